"""`distwright suite`: what suites there are, and what they have."""

from collections.abc import Iterator

import click

from distwright.app import open_app
from distwright.archive.suites import packages_of
from distwright.cli.options import json_option, print_rows, print_stream, shown_time, state_option
from distwright.cli.suite_changes import CHANGES
from distwright.cli.suite_exceptions import EXCEPTIONS
from distwright.cli.suite_retire import retire
from distwright.config.tables_archive import OwnArchive
from distwright.errors import NotFound, quoted
from distwright.model.digests import Json
from distwright.site.views import suite_named, suite_revisions, suites


@click.group()
def command() -> None:
    """Named package sets of our own archives. NAME is a suite, or ARCHIVE/SUITE where two archives have one of that name."""


@command.command("list")
@click.argument("archive", required=False)
@state_option
@json_option
def list_suites(archive: str | None, state: str | None, as_json: bool) -> None:
    """List suites with their present revision and the one that is served. Exit code 10 if there is no such archive."""
    app = open_app(state)
    found = [(row, live) for row, live in suites(app.database) if archive is None or row.archive == archive]
    if archive is not None and not found and not isinstance(app.config().archives.get(archive), OwnArchive):
        raise NotFound(f"{quoted(archive)} is no archive of our own", hint="distwright archive list")
    rows: list[dict[str, Json]] = [
        {
            "suite": f"{row.archive}/{row.name}",
            "kind": row.kind,
            "revision": str(row.revision) if as_json else row.revision.short,
            "changed": shown_time(row.changed_at),
            "served": "" if live is None else str(live.revision) if as_json else live.revision.short,
            "parent": row.parent,
            "read-only": row.is_sealed,
        }
        for row, live in found
    ]
    headings = ("suite", "kind", "revision", "changed", "served")
    print_rows(rows, headings, as_json=as_json, empty="no suite is configured; see docs/reference/settings.md")


@command.command()
@click.argument("name")
@state_option
@json_option
def show(name: str, state: str | None, as_json: bool) -> None:
    """List the packages of a suite."""
    app = open_app(state)
    row = suite_named(app.database, name)
    rows: Iterator[dict[str, Json]] = (
        {"list": list_name, "package": package, "version": version}
        for list_name, package, version in packages_of(app.objects, row)
    )
    print_stream(rows, ("list", "package", "version"), as_json=as_json, empty=f"{row.archive}/{row.name} is empty")


@command.command()
@click.argument("name")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10000), help="How many.")
@state_option
@json_option
def history(name: str, limit: int, state: str | None, as_json: bool) -> None:
    """List how a suite came to be what it is, newest first."""
    app = open_app(state)
    row = suite_named(app.database, name)
    rows: list[dict[str, Json]] = [
        {
            "number": step.number,
            "at": shown_time(step.at),
            "action": step.action,
            "by": step.actor,
            "reason": step.reason,
            "revision": str(step.after) if as_json else step.after.short,
        }
        for step in suite_revisions(app.database, row, limit)
    ]
    headings = ("number", "at", "action", "by", "reason", "revision")
    print_rows(rows, headings, as_json=as_json, empty=f"{row.archive}/{row.name} has never changed")


for change in (*CHANGES, *EXCEPTIONS, retire):
    command.add_command(change)
