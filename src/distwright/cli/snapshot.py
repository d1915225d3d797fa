"""`distwright snapshot`."""

import click

from distwright.app import open_app
from distwright.cli.options import json_option, print_rows, shown_time, state_option
from distwright.config.tables_archive import UpstreamArchive
from distwright.errors import NotFound, quoted
from distwright.model.digests import Json
from distwright.site.views import snapshots


@click.group()
def command() -> None:
    """Recorded states of upstream archives, named by serial."""


@command.command("list")
@click.argument("archive", required=False)
@state_option
@json_option
def list_snapshots(archive: str | None, state: str | None, as_json: bool) -> None:
    """List snapshots, newest first. Exit code 10 if there is no such upstream archive."""
    app = open_app(state)
    found = snapshots(app.database, archive)
    if archive is not None and not found and not isinstance(app.config().archives.get(archive), UpstreamArchive):
        raise NotFound(f"{quoted(archive)} is no upstream archive", hint="distwright archive list")
    rows: list[dict[str, Json]] = [
        {
            "archive": row.archive,
            "serial": row.serial,
            "taken": shown_time(row.taken_at),
            "valid until": shown_time(row.valid_until),
            "digest": str(row.digest) if as_json else row.digest.short,
        }
        for row in found
    ]
    headings = ("archive", "serial", "taken", "valid until", "digest")
    print_rows(rows, headings, as_json=as_json, empty="nothing is recorded yet: distwright archive record")
