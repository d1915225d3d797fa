"""`distwright db`."""

import click

from distwright.app import open_app
from distwright.cli.options import json_option, print_json, say, state_option
from distwright.site.moving import move_rows
from distwright.site.places import state_paths


@click.group()
def command() -> None:
    """Where rows are kept: a file of this machine (SQLite), or PostgreSQL, which workers on other machines can reach."""


@command.command()
@state_option
@json_option
def show(state: str | None, as_json: bool) -> None:
    """Say which database this installation uses, and what carries hints to its workers."""
    app = open_app(state, may_be_away=True)
    kind = "sqlite" if app.database.is_of_one_machine else "postgresql"
    engine = "embedded" if app.database.is_of_one_machine else "procrastinate"
    if as_json:
        return print_json({"kind": kind, "place": app.database.shown, "engine": engine})
    return click.echo(f"{kind} at {app.database.shown}, engine {engine}")


@command.command()
@click.option("--to", "url", required=True, metavar="URL", help="An empty database: postgresql://USER@HOST/DATABASE.")
@state_option
@json_option
def migrate(url: str, state: str | None, as_json: bool) -> None:
    """Move the rows to PostgreSQL, in the middle of whatever runs; nothing is lost.

    Others are refused from that moment on, and find the new place when they are started again; a job that was running
    is begun again. The old file stays where it is, unused. Called again after it was cut off, it goes on.

    Exit codes: 0 moved, 2 that is no such address, 3 the database there is in use, or this state has moved already,
    11 another process holds the database.
    """
    rows, is_resumed = move_rows(state_paths(state), url, say)
    if as_json:
        return print_json({"moved": dict(rows), "resumed": is_resumed})
    click.echo(f"moved {sum(rows.values())} rows of {len(rows)} tables")
    return say("start serve and workers again: distwright serve; distwright worker")
