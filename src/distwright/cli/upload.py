"""`distwright upload`."""

import click

from distwright.app import open_app
from distwright.cli.options import json_option, print_rows, shown_time, state_option
from distwright.errors import NotFound, quoted
from distwright.model.digests import Json
from distwright.site.views import suites, uploads


@click.group()
def command() -> None:
    """Signed .changes with their files, and what became of them."""


@command.command("list")
@click.option("--suite", help="Only uploads to this suite.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10000), help="How many to look at.")
@state_option
@json_option
def list_uploads(suite: str | None, limit: int, state: str | None, as_json: bool) -> None:
    """List uploads with every reason of a reject, newest first. Exit code 10 if there is no such suite."""
    app = open_app(state)
    known = {name for row, _ in suites(app.database) for name in (row.name, f"{row.archive}/{row.name}")}
    if suite is not None and suite not in known:
        raise NotFound(f"there is no suite {quoted(suite)}", hint="distwright suite list")
    rows: list[dict[str, Json]] = [
        {
            "suite": f"{row.archive}/{row.suite}",
            "source": row.source,
            "version": row.version,
            "verdict": "accepted" if row.is_accepted else "rejected",
            "at": shown_time(row.at),
            "signer": row.signer or "",
            "problems": list(row.problems),
        }
        for row in uploads(app.database, limit=limit)
        if suite is None or suite in (row.suite, f"{row.archive}/{row.suite}")
    ]
    headings = ("suite", "source", "version", "verdict", "at", "problems")
    print_rows(rows, headings, as_json=as_json, empty="nothing was uploaded yet")
