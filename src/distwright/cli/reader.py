"""`distwright reader`."""

import click

from distwright.app import open_app
from distwright.cli.options import json_option, print_json, print_rows, say, state_option
from distwright.site import readers


@click.group()
def command() -> None:
    """Who may look at what is private by web: persons of the configuration, each with a token."""


@command.command("list")
@state_option
@json_option
def list_readers(state: str | None, as_json: bool) -> None:
    """List the persons who have a token, and what is private that each may see."""
    app = open_app(state)
    rows = readers.reader_rows(app.database, app.config())
    print_rows(rows, ("person", "given", "may see"), as_json=as_json, empty="nobody: distwright reader token PERSON")


@command.command()
@click.argument("person")
@state_option
@json_option
def token(person: str, state: str | None, as_json: bool) -> None:
    """Make a token for a person and print it, once; an earlier one counts no longer. Exit code 10 for nobody of the configuration.

    With it they see what comes of the private repos that they may read: pages, logs, and packages by apt.
    """
    app = open_app(state)
    made = readers.give_token(app.database, app.config(), person, app.now())
    if as_json:
        return print_json({"person": person, "token": made})
    click.echo(made)
    say(f"for {person}, at URL/reader: the name and this token; it is not shown again")
    return None


@command.command()
@click.argument("person")
@state_option
def drop(person: str, state: str | None) -> None:
    """Let a person's token count no more. Exit code 10 if there is none."""
    app = open_app(state)
    readers.take_token(app.database, person)
    click.echo(f"the token of {person} counts no more")
