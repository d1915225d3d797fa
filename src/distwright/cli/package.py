"""`distwright package`."""

from pathlib import Path

import click

from distwright.app import App, open_app
from distwright.archive.resolve import machine_keyring
from distwright.builds.archive_source import read_recorded
from distwright.builds.dsc_source import read_dsc
from distwright.cli.options import finish_jobs, json_option, print_rows, say, shown_time, state_option
from distwright.cli.package_compare import compare
from distwright.cli.package_rebuild import rebuild
from distwright.cli.package_reproduce import reproduce
from distwright.cli.watch import TerminalWatcher
from distwright.errors import BadUsage
from distwright.model.digests import Json
from distwright.model.records import Job
from distwright.signing.verify import Keyring
from distwright.site.checking import inquiries, trials


@click.group()
def command() -> None:
    """Debian packages that are built here."""


command.add_command(reproduce)
command.add_command(compare)
command.add_command(rebuild)


@command.command()
@click.argument("name", required=False)
@click.option("--tag", help="Build this tag of repo NAME.")
@click.option(
    "--ref", metavar="BRANCH_OR_COMMIT", help="Build the newest commit of this branch of repo NAME, or this commit."
)
@click.option("--dsc", metavar="PATH_OR_URL", help="Build the source package of this .dsc.")
@click.option(
    "--from", "archive", metavar="ARCHIVE/SUITE", help="Build source NAME or NAME=VERSION of this recorded suite."
)
@click.option("--serial", help="Of --from: look in this snapshot, not in the newest.")
@click.option("--keyring", metavar="FILE", help="Of --dsc: OpenPGP certificates, one of which must have signed it.")
@click.option("--suite", help="Where the packages go (SUITE or ARCHIVE/SUITE).")
@click.option("--environment", help="Of --dsc and --from: the [environment.NAME] to build in.")
@state_option
@click.option("--follow", is_flag=True, help="Print the logs.")
@json_option
def build(
    name: str | None,
    tag: str | None,
    ref: str | None,
    dsc: str | None,
    archive: str | None,
    serial: str | None,
    keyring: str | None,
    suite: str | None,
    environment: str | None,
    state: str | None,
    follow: bool,
    as_json: bool,
) -> None:
    """Build a package, and let follow what follows (upload, publishing, images).

    NAME is a repo with --tag and --ref, a source with --from. Without --suite, a tag and the default branch go to the suite of the
    repo, another branch to the suite of its name if there is one; everything else is only tried: nothing is uploaded.
    An untagged commit gets a version between those of the releases around it.

    Exit codes: 0 built, 1 it does not build, 2 it is no package, 3 wrong hash or signature, 10 no such repo, tag, source or
    file, 11 an archive has no snapshot yet.
    """
    _refuse_what_does_not_fit(
        {"--tag": tag, "--ref": ref, "--dsc": dsc, "--from": archive},
        {"--serial": serial, "--keyring": keyring, "--environment": environment},
        name,
    )
    app = open_app(state)
    app.tell = say
    job = _ordered(
        app, name or "", tag, ref, dsc, archive, serial=serial, keyring=keyring, suite=suite, environment=environment
    )
    app.run_until_idle(TerminalWatcher(app.paths.job_log, follow=follow), [job])
    finish_jobs(app, [job], as_json=as_json)


_FITTING = {"--serial": ("--from",), "--keyring": ("--dsc",), "--environment": ("--dsc", "--from")}


def _refuse_what_does_not_fit(sources: dict[str, str | None], more: dict[str, str | None], name: str | None) -> None:
    """Want one source, the name that it needs, and only those options that mean something for it. Raises BadUsage."""
    given = [option for option, value in sources.items() if value is not None]
    if len(given) != 1:
        said = " and ".join(given) or "nothing"
        raise BadUsage(
            f"{said} says what to build; want one of {', '.join(sources)}",
            hint="distwright package build REPO --tag TAG",
        )
    if (name is None) != (given[0] == "--dsc"):
        raise BadUsage(
            f"{given[0]} {'needs a name' if name is None else 'needs no name'}",
            hint="see distwright package build --help",
        )
    for option, value in more.items():
        if value is not None and given[0] not in _FITTING[option]:
            raise BadUsage(f"{option} means nothing with {given[0]}", hint=f"leave out {option}")


def _ordered(
    app: App,
    name: str,
    tag: str | None,
    ref: str | None,
    dsc: str | None,
    archive: str | None,
    *,
    serial: str | None,
    keyring: str | None,
    suite: str | None,
    environment: str | None,
) -> Job:
    if dsc is not None:
        trusted = None if keyring is None else Keyring(machine_keyring(str(Path(keyring).absolute())), keyring)
        found = read_dsc(app.command_context(), dsc, trusted)
        say(found.said)
        return app.order_given(found.source, suite=suite, environment=environment)
    if archive is not None:
        source = read_recorded(app.command_context(), archive, name, serial)
        say(f"{source.name} {source.version} of {source.origin}")
        return app.order_given(source, suite=suite, environment=environment)
    return app.order_build(name, tag=tag, ref=ref, suite=suite)


@command.command()
@click.argument("source", required=False)
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10000), help="How many, newest first.")
@state_option
@json_option
def history(source: str | None, limit: int, state: str | None, as_json: bool) -> None:
    """List what builds were tried, newest first: with which states of the archives, and how they ended."""
    app = open_app(state)
    rows: list[dict[str, Json]] = [
        {
            "source": row.trial.subject,
            "version": row.trial.version,
            "outcome": row.trial.outcome.value,
            "with": ", ".join(f"{name} {serial}" for name, serial in row.serials.items()),
            "at": shown_time(row.trial.at),
            "seconds": row.trial.took_s,
            "job": row.trial.job,
            "message": row.trial.message,
        }
        for row in trials(app.database, source, limit)
    ]
    headings = ("source", "version", "outcome", "with", "at", "seconds", "job", "message")
    print_rows(rows, headings, as_json=as_json, empty="nothing was built yet: distwright package build REPO --tag TAG")


@command.command("inquiries")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10000), help="How many, newest first.")
@state_option
@json_option
def list_asked(limit: int, state: str | None, as_json: bool) -> None:
    """List questions that take many jobs: sweeps, bisections, impacts."""
    app = open_app(state)
    rows: list[dict[str, Json]] = [
        {
            "inquiry": row.id,
            "kind": row.kind,
            "about": row.subject,
            "state": row.state.value,
            "began": shown_time(row.began_at),
            "ended": shown_time(row.ended_at),
        }
        for row in inquiries(app.database, limit)
    ]
    headings = ("inquiry", "kind", "about", "state", "began", "ended")
    print_rows(rows, headings, as_json=as_json, empty="nothing was asked yet")
