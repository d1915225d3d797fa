"""`distwright event`."""

import click

from distwright.app import open_app
from distwright.cli.options import echo, json_option, print_rows, shown_time, state_option
from distwright.flow.advance import ask_again
from distwright.flow.advance import drop as give_up
from distwright.model.digests import Json
from distwright.site.views import open_events


@click.group()
def command() -> None:
    """Events that nothing has followed from: they wait for something, or were refused."""


@command.command("list")
@state_option
@json_option
def list_events(state: str | None, as_json: bool) -> None:
    """List events that wait or were refused, oldest first, each with its reason."""
    app = open_app(state)
    rows: list[dict[str, Json]] = [
        {
            "event": row.event.number,
            "kind": row.event.event.kind,
            "subject": row.event.event.subject,
            "state": "refused" if row.is_refused else "waiting",
            "tried again": shown_time(row.retry_at),
            "reason": row.reason,
        }
        for row in open_events(app.database)
    ]
    headings = ("event", "kind", "subject", "state", "tried again", "reason")
    print_rows(rows, headings, as_json=as_json, empty="no event waits, none was refused")


@command.command()
@click.argument("number", type=int)
@state_option
def retry(number: int, state: str | None) -> None:
    """Ask again what follows from an event. Exit code 10 if it neither waits nor was refused."""
    app = open_app(state)
    ask_again(app.database, number, app.now())
    app.take_in()
    still = [row for row in open_events(app.database) if row.event.number == number]
    echo(f"event {number}: {still[0].reason}" if still else f"event {number} was acted on: distwright job list")


@command.command()
@click.argument("number", type=int)
@state_option
def drop(number: int, state: str | None) -> None:
    """Give up an event: nothing will follow from it. Exit code 10 if it neither waits nor was refused."""
    give_up(open_app(state).database, number)
    echo(f"event {number} was given up")
