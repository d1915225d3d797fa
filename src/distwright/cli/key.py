"""`distwright key`: the keys that the configuration needs."""

import click

from distwright.app import open_app
from distwright.cli.options import json_option, print_rows, state_option
from distwright.model.digests import Json


@click.group()
def command() -> None:
    """The keys that sign archives, built packages and images."""


@command.command("list")
@state_option
@json_option
def list_keys(state: str | None, as_json: bool) -> None:
    """List the keys that the configuration needs, what they sign, and whether they are there. Exit codes: 0 all, 1 not all."""
    app = open_app(state)
    found = app.keys.look(app.config())
    rows: list[dict[str, Json]] = [
        {
            "key": one.needed.credential,
            "signs": one.needed.signs,
            "state": one.problem or "there",
            "fingerprints": list(one.fingerprints),
        }
        for one in found
    ]
    print_rows(rows, ("key", "signs", "state", "fingerprints"), as_json=as_json, empty="the configuration needs none")
    if any(one.problem for one in found):
        raise click.exceptions.Exit(1)


@command.command()
@click.argument("names", metavar="[KEY]...", nargs=-1)
@state_option
@json_option
def make(names: tuple[str, ...], state: str | None, as_json: bool) -> None:
    """Make the keys that the configuration needs and that are not there yet, or only those named.

    What waited for them goes on. Each is a file in keys/ of the state. One that is there stays as it is, wherever it is.

    Exit codes: 0 they are there, 10 the configuration needs no such key.
    """
    app = open_app(state)
    made = app.make_keys(names)
    rows: list[dict[str, Json]] = [
        {"key": needed.credential, "signs": needed.signs, "state": "made" if is_new else "was there"}
        for needed, is_new in made
    ]
    print_rows(rows, ("key", "signs", "state"), as_json=as_json, empty="the configuration needs none")
