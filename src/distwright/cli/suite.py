"""`distwright suite`."""

import click

from distwright.app import open_app
from distwright.cli.options import json_option, print_rows, shown_time, state_option
from distwright.config.tables_archive import OwnArchive
from distwright.errors import NotFound, quoted
from distwright.model.digests import Json
from distwright.site.views import suites


@click.group()
def command() -> None:
    """Named package sets of our own archives."""


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
        }
        for row, live in found
    ]
    headings = ("suite", "kind", "revision", "changed", "served")
    print_rows(rows, headings, as_json=as_json, empty="no suite is configured; see docs/reference/settings.md")
