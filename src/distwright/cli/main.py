"""Dispatch to a noun's module when that noun is called, so that help and errors start fast."""

import importlib
import os
import sys
import traceback
from collections.abc import Mapping
from contextlib import suppress

import click

from distwright.errors import DistwrightError, OutOfSpace, disk_error, visible

NOUNS: Mapping[str, str] = {
    "archive": "Record upstream archives; list archives.",
    "branch": "Say how branches stand, which suites they have, and which are built.",
    "builder": "Run programs for a server that trusts this machine with nothing: join, serve.",
    "check": "List what the checks found.",
    "config": "Check, show, plan and apply the configuration.",
    "db": "Say where rows are kept; move them to PostgreSQL.",
    "demo": "Carry an example distribution from git to a booted image.",
    "embargo": "Say what is private, and end it: a branch of a private twin goes to the public repo.",
    "event": "List events that wait or were refused; try them again.",
    "doctor": "Say what is missing or broken on this machine.",
    "host": "Other machines that work for this one: enrol, list, drain.",
    "image": "Build, test, compare, keep and drop images; list them.",
    "key": "List and make the keys that the configuration needs.",
    "job": "List, follow, retry and cancel jobs.",
    "package": "Build packages from tags, commits and source packages.",
    "pin": "Freeze and thaw a branch: which serial of each archive it uses.",
    "propose": "Build and check your commits as the project would; make a file to send in.",
    "reader": "Tokens by which persons look at what is private, on the web.",
    "repo": "List hosted git repositories; fetch those of other forges.",
    "serve": "Serve archives, images and the status page on loopback.",
    "snapshot": "Take, tag, hold, prolong and drop snapshots; list them.",
    "suite": "List suites and their revisions.",
    "upload": "Upload packages; list uploads with their verdicts.",
    "worker": "Work through the job table until stopped.",
}
INTERRUPTED = 130
BUG = 70


class _Nouns(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(NOUNS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in NOUNS:
            return None
        module = importlib.import_module(f"distwright.cli.{cmd_name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Nouns"):
            formatter.write_dl(sorted(NOUNS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in NOUNS:
            import difflib

            near = difflib.get_close_matches(args[0], NOUNS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "see distwright --help"
            raise click.UsageError(f"no such noun: {args[0]!r}; {hint}")
        return super().resolve_command(ctx, args)


@click.command(
    cls=_Nouns,
    epilog="Exit codes: 0 ok, 1 the work failed, 2 usage, 3 refused by a rule, 10 not found, 11 busy, 12 not allowed, "
    "20 outside program, 70 bug, 130 interrupted.",
)
@click.version_option(package_name="distwright", message="%(prog)s %(version)s")
def cli() -> None:
    """From git push to a signed, boot-tested Debian-based image."""


def main() -> None:
    """Run the command line; every error of ours becomes two lines on stderr and its exit code."""
    try:
        exit_code = cli.main(
            standalone_mode=False, obj=main
        )  # `serve` runs us again, for each command that it is asked
    except click.exceptions.Exit as stop:
        exit_code = stop.exit_code
    except click.ClickException as error:
        error.show()
        exit_code = error.exit_code
    except (KeyboardInterrupt, click.Abort):
        exit_code = _interrupted()
    except BrokenPipeError:
        _drop_output()
        exit_code = 0
    except DistwrightError as error:
        if _is_interrupt(error):
            exit_code = _interrupted()
        else:
            _tell(error.message, error.hint)
            exit_code = error.exit_code
    except OSError as error:
        exit_code = _refused_by_disk(error)
    except Exception as error:  # a bug of ours: say so, with what is needed to find it
        exit_code = _interrupted() if _is_interrupt(error) else _bug()
    sys.exit(exit_code or 0)


def _is_interrupt(error: BaseException | None) -> bool:
    """Say whether an error is what became of Ctrl-C: one in the middle of a query comes out as an error of the driver."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False


def _interrupted() -> int:
    click.echo("interrupted; run the same command again to go on", err=True)
    return INTERRUPTED


def _refused_by_disk(error: OSError) -> int:
    named = disk_error(error, str(error.filename or "what was to be read or written"))
    if named is None:
        return _bug()
    _drop_output()
    is_full = isinstance(named, OutOfSpace)
    what = f"the answer or a file cannot be written: {error.strerror}" if is_full else named.message
    _tell(what, "free some space, then run the same command again" if is_full else named.hint)
    return named.exit_code


def _tell(message: str, hint: str) -> None:
    """Say what is wrong, in one write: whoever reads it gets both halves, and a full disk behind stderr is no bug of ours."""
    with suppress(OSError):
        click.echo(visible(f"distwright: {message}\n  try: {hint}"), err=True)


def _bug() -> int:
    traceback.print_exc()
    click.echo("distwright: this is a bug of distwright; nothing was lost", err=True)
    click.echo("  try: the same command again; if it stays, report the lines above", err=True)
    return BUG


def _drop_output() -> None:
    """Let what stdout still holds go nowhere: Python would try to write it once more at its end, and fail (exit code 120)."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
