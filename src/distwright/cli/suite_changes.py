"""`distwright suite`: the verbs that change suites. Every one can be tried with --dry-run, and taken back with `undo`."""

import getpass
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps

import click

from distwright.app import App, open_app
from distwright.archive.adding import add_packages, files_below
from distwright.archive.merging import Difference
from distwright.archive.resolve import publish_request
from distwright.archive.suites import (
    Outcome,
    Who,
    branch_suite,
    diff_suites,
    merge_suite,
    phase_sources,
    publish_suite,
    pull_packages,
    remove_packages,
    reset_suite,
    set_sealed,
    undo_change,
)
from distwright.cli.options import json_option, print_json, print_stream, state_option
from distwright.errors import BadUsage
from distwright.model.digests import Json
from distwright.model.records import SuiteState
from distwright.site.views import state_named, suite_named

Verb = Callable[..., None]

dry_run_option = click.option("--dry-run", is_flag=True, help="Say what would happen, change nothing.")
reason_option = click.option("--reason", default="", help="Why; kept with the revision.")
publish_option = click.option("--publish", "then_publish", is_flag=True, help="Serve the new state at once.")


@dataclass(frozen=True, slots=True)
class Asked:
    """How a change was asked for: what the options say that every such verb has."""

    dry_run: bool
    then_publish: bool
    reason: str
    state: str | None
    as_json: bool

    def who(self, otherwise: str = "") -> Who:
        """Say who asks, and why."""
        return Who(_actor(), self.reason or otherwise)


def changing(verb: Verb) -> Verb:
    """Give a verb the options of a change, all in one argument, its first."""

    @wraps(verb)
    def with_options(
        *, dry_run: bool, then_publish: bool, reason: str, state: str | None, as_json: bool, **named: object
    ) -> None:
        verb(Asked(dry_run, then_publish, reason, state, as_json), **named)

    for option in (json_option, state_option, reason_option, publish_option, dry_run_option):
        with_options = option(with_options)
    return with_options


@click.command()
@click.argument("name")
@click.argument("paths", nargs=-1, required=True, type=click.Path())
@click.option(
    "--link", is_flag=True, help="Share the files instead of copying them: they become read-only, leave them alone."
)
@publish_option
@reason_option
@state_option
@json_option
def add(
    name: str, paths: tuple[str, ...], link: bool, then_publish: bool, reason: str, state: str | None, as_json: bool
) -> None:
    """Add .deb and .dsc files, or folders of them, to a suite: all of them or none.

    Exit codes: 0 added or there already, 3 refused (everything that is wrong is named), 10 no such suite or file.
    """
    app = open_app(state)
    row = suite_named(app.database, name)
    context = app.command_context()
    done = add_packages(
        context,
        row.archive,
        row.name,
        files_below(paths),
        link=link,
        actor=_actor(),
        reason=reason or f"{len(paths)} places",
    )
    _publish_if(app, row, then_publish)
    answer: dict[str, Json] = {
        "suite": f"{row.archive}/{row.name}",
        "revision": str(done.revision),
        "added": done.added,
        "unchanged": done.unchanged,
        "passed over": done.passed,
    }
    _answer(answer, as_json, f"{done.added} added, {done.unchanged} there already, {done.passed} passed over")


@click.command()
@click.argument("names", nargs=-1, required=True)
@click.option("--again", is_flag=True, help="Sign anew even if it is served already.")
@state_option
@json_option
def publish(names: tuple[str, ...], again: bool, state: str | None, as_json: bool) -> None:
    """Serve the present state of suites."""
    app = open_app(state)
    rows: list[Json] = []
    for name in names:
        row = suite_named(app.database, name)
        publication = publish_suite(app.command_context(), publish_request(app.config(), row, again=again))
        rows.append({"suite": f"{row.archive}/{row.name}", "publication": publication.id, "revision": row.revision})
        if not as_json:
            click.echo(f"{row.archive}/{row.name}: publication {publication.id}, revision {row.revision.short}")
    if as_json:
        print_json(rows)


@click.command()
@click.argument("parent")
@click.argument("new")
@click.option(
    "--kind", type=click.Choice(["base", "overlay", "release"]), default="overlay", show_default=True,
    help="overlay: empty, for what a topic branch adds; base, release: everything of the parent.",
)  # fmt: skip
@reason_option
@state_option
@json_option
def branch(parent: str, new: str, kind: str, reason: str, state: str | None, as_json: bool) -> None:
    """Make suite NEW from suite PARENT: one row, whatever its size; it follows the settings of its parent."""
    app = open_app(state)
    row = suite_named(app.database, parent)
    made = branch_suite(app.command_context(), row.archive, new, row.name, kind, Who(_actor(), reason))
    answer: dict[str, Json] = {
        "suite": f"{made.archive}/{made.name}",
        "kind": made.kind,
        "revision": str(made.revision),
    }
    _answer(answer, as_json, f"{made.archive}/{made.name} is at {made.revision.short}")


@click.command()
@click.argument("old")
@click.argument("new")
@state_option
@json_option
def diff(old: str, new: str, state: str | None, as_json: bool) -> None:
    """List what differs between two suites, or revisions written as SUITE@NUMBER (see history)."""
    app = open_app(state)
    changes = diff_suites(app.command_context(), state_named(app.database, old), state_named(app.database, new))
    if as_json:
        print_json([_plain(change) for change in changes])
    else:
        _print_changes(changes, "no difference")


@click.command()
@click.argument("into")
@click.argument("other")
@changing
def merge(asked: Asked, into: str, other: str) -> None:
    """Bring into suite INTO what suite OTHER has newer, added and removed."""
    app = open_app(asked.state)
    row, source = suite_named(app.database, into), suite_named(app.database, other)
    _same_archive(row, source)
    done = merge_suite(app.command_context(), row.archive, row.name, source.name, asked.who(), dry_run=asked.dry_run)
    _finish(app, row, done, asked)


@click.command()
@click.argument("into")
@click.argument("other")
@click.argument("sources", nargs=-1, required=True)
@changing
def pull(asked: Asked, into: str, other: str, sources: tuple[str, ...]) -> None:
    """Take SOURCES, with everything built from them, out of suite OTHER into suite INTO."""
    app = open_app(asked.state)
    row, source = suite_named(app.database, into), suite_named(app.database, other)
    _same_archive(row, source)
    who = asked.who()
    done = pull_packages(app.command_context(), row.archive, row.name, source.name, sources, who, dry_run=asked.dry_run)
    _finish(app, row, done, asked)


@click.command()
@click.argument("name")
@click.argument("packages", nargs=-1, required=True)
@changing
def remove(asked: Asked, name: str, packages: tuple[str, ...]) -> None:
    """Take packages out of a suite; the name of a source takes everything built from it along."""
    app = open_app(asked.state)
    row = suite_named(app.database, name)
    who = asked.who()
    done = remove_packages(app.command_context(), row.archive, row.name, packages, who, dry_run=asked.dry_run)
    _finish(app, row, done, asked)


@click.command()
@click.argument("name")
@click.argument("percent", type=click.IntRange(0, 100))
@click.argument("sources", nargs=-1, required=True)
@changing
def phase(asked: Asked, name: str, percent: int, sources: tuple[str, ...]) -> None:
    """Offer what was built from SOURCES to PERCENT of the machines that have it; 100 is all.

    apt upgrades by itself on that share of them (Phased-Update-Percentage); who asks for the package gets it anyway. The next
    version is for all again.
    """
    app = open_app(asked.state)
    row = suite_named(app.database, name)
    done = phase_sources(
        app.command_context(), row.archive, row.name, sources, percent, asked.who(), dry_run=asked.dry_run
    )
    _finish(app, row, done, asked)


@click.command()
@click.argument("name")
@click.argument("target")
@click.option(
    "--downgrade", is_flag=True, help="Even if packages get older: clients that have the newer ones keep them."
)
@changing
def reset(asked: Asked, name: str, target: str, downgrade: bool) -> None:
    """Make a suite exactly what TARGET is: another suite, or a revision written as SUITE@NUMBER."""
    app = open_app(asked.state)
    row = suite_named(app.database, name)
    _same_archive(row, suite_named(app.database, target.partition("@")[0]))
    who = asked.who(target)
    done = reset_suite(
        app.command_context(), row.archive, row.name, state_named(app.database, target), who,
        action="reset", downgrades=downgrade, dry_run=asked.dry_run,
    )  # fmt: skip
    _finish(app, row, done, asked)


@click.command()
@click.argument("name")
@changing
def undo(asked: Asked, name: str) -> None:
    """Take the last change of a suite back; again: the one before."""
    app = open_app(asked.state)
    row = suite_named(app.database, name)
    done = undo_change(app.command_context(), row.archive, row.name, asked.who(), dry_run=asked.dry_run)
    _finish(app, row, done, asked)


@click.command()
@click.argument("name")
@click.option("--open", "reopen", is_flag=True, help="Let it change again.")
@state_option
@json_option
def seal(name: str, reopen: bool, state: str | None, as_json: bool) -> None:
    """Make a suite read-only: every later change is refused."""
    app = open_app(state)
    row = suite_named(app.database, name)
    set_sealed(app.command_context(), row.archive, row.name, is_sealed=not reopen)
    word = "open" if reopen else "read-only"
    _answer({"suite": f"{row.archive}/{row.name}", "state": word}, as_json, f"{row.archive}/{row.name} is {word}")


CHANGES = (add, publish, branch, diff, merge, pull, remove, phase, reset, undo, seal)


def _finish(app: App, row: SuiteState, done: Outcome, asked: Asked) -> None:
    if not asked.dry_run:
        _publish_if(app, row, asked.then_publish)
    if asked.as_json:
        print_json(
            {
                "suite": f"{row.archive}/{row.name}",
                "before": str(done.before),
                "after": str(done.after),
                "changes": [_plain(change) for change in done.changes],
                "kept": list(done.kept),
            }
        )
        return
    _print_changes(done.changes, "nothing changes")
    for line in done.kept:
        click.echo(f"kept: {line}")
    if asked.dry_run:
        click.echo("nothing was changed (--dry-run)")


def _publish_if(app: App, row: SuiteState, then_publish: bool) -> None:  # an option of every verb
    if then_publish:
        present = suite_named(app.database, f"{row.archive}/{row.name}")
        publish_suite(app.command_context(), publish_request(app.config(), present))


def _print_changes(changes: Sequence[Difference], empty: str) -> None:
    print_stream((_plain(change) for change in changes), ("list", "package", "old", "new"), as_json=False, empty=empty)


def _plain(change: Difference) -> dict[str, Json]:
    return {"list": change.list_name, "package": change.name, "old": change.old or None, "new": change.new or None}


def _answer(value: dict[str, Json], as_json: bool, text: str) -> None:  # an option of every verb
    if as_json:
        print_json(value)
    else:
        click.echo(text)


def _same_archive(one: SuiteState, other: SuiteState) -> None:
    if one.archive != other.archive:
        raise BadUsage(f"{one.archive} and {other.archive} are two archives", hint="name suites of one archive")


def _actor() -> str:
    return f"user {getpass.getuser()}"
