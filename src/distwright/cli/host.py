"""`distwright host`."""

import sys
from pathlib import Path

import click

from distwright.app import App, open_app
from distwright.cli.options import json_option, print_json, print_rows, say, state_option
from distwright.errors import BadUsage
from distwright.site import builders, hosts
from distwright.site.away import join as join_server
from distwright.site.places import state_paths

_TOKEN_LIMIT = 200


@click.group()
def command() -> None:
    """Other machines that work for this installation: [host.NAME] tables of the configuration."""


@command.command("list")
@state_option
@json_option
def list_hosts(state: str | None, as_json: bool) -> None:
    """List hosts: whether they live, what they run, their version, free disk and load; since when one is silent."""
    app = open_app(state, may_be_away=True)
    rows = [hosts.host_json(row) for row in hosts.host_rows(app.database, app.config(), app.database.now())]
    headings = (
        "host", "state", "role", "pools", "slots", "architecture", "running", "free disk", "load", "version", "last heard", "note",
    )  # fmt: skip
    print_rows(
        rows, headings, as_json=as_json, empty="no host: write a [host.NAME] table, then distwright host enrol NAME"
    )


@command.command()
@click.argument("name")
@state_option
@json_option
def enrol(name: str, state: str | None, as_json: bool) -> None:
    """Print a one-time token, with which a machine becomes host NAME within an hour: distwright host join, there.

    For a builder it is a line for distwright builder join there; then type distwright host meet NAME here.

    A host that was enrolled already stays what it is until the token is used. Exit code 3 if the rows are in a file, which no
    other machine can reach, unless it is a builder; 10 if the configuration has no such host.
    """
    app = open_app(state)
    if builders.is_builder(app.config(), name):
        return _enrol_builder(app, name, as_json=as_json)
    token = hosts.enrol(app.database, app.config(), name, app.database.now())
    if as_json:
        return print_json({"host": name, "token": token, "minutes": int(hosts.ENROL_WITHIN.total_seconds()) // 60})
    click.echo(token)
    say(f"on the other machine, within an hour: distwright host join https://THIS-SERVER {name}, which asks for it")
    return None


def _enrol_builder(app: App, name: str, *, as_json: bool) -> None:
    line = builders.enrol_builder(app.database, app.paths, app.config(), name, app.database.now())
    if as_json:
        return print_json({"host": name, "token": line.text, "key": line.server_key})
    click.echo(line.text)
    say("on the builder, as the user of its address: distwright builder join, which asks for this line")
    say(f"then here, within an hour: distwright host meet {name}")
    return None


@command.command()
@click.argument("name")
@state_option
def meet(name: str, state: str | None) -> None:
    """Go to builder NAME by ssh for the first time, after distwright builder join there, and know its host key from then on.

    Exit codes: 3 no line is waiting to be used, or another version of distwright is there; 12 what answers there cannot vouch for
    its host key; 20 it does not answer.
    """
    app = open_app(state)
    key = builders.meet(app.database, app.objects, app.paths, app.config(), name, app.database.now)
    click.echo(f"builder {name} has the host key {key}")
    say("jobs of its pools are carried out there by workers here: distwright worker --pool NAME --slots N")


@command.command()
@click.argument("url")
@click.argument("name")
@click.option(
    "--token-file",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="Where the one-time token is.  [default: stdin]",
)
@click.option("--database", metavar="URL", help="How this machine reaches the database.  [default: as the server says]")
@state_option
def join(url: str, name: str, token_file: str | None, database: str | None, state: str | None) -> None:
    """Make this machine host NAME of the server at URL, with the token that `host enrol` printed there.

    Its state is a cache from then on: jobs, objects and logs are the server's. Exit codes: 3 this is an installation of its own,
    or another version than the server's, 12 the token does not count, 20 the server does not answer.
    """
    place = join_server(state_paths(state), url, name, token_given(token_file), database)
    click.echo(f"this is host {place.host} of {place.url}: distwright worker")


@command.command()
@click.argument("name")
@state_option
def drain(name: str, state: str | None) -> None:
    """Let a host end what it runs, and take nothing new."""
    app = open_app(state)
    hosts.drain(app.database, name, is_draining=True)
    click.echo(f"host {name} takes no new jobs; what it runs: distwright host list")


@command.command()
@click.argument("name")
@state_option
def undrain(name: str, state: str | None) -> None:
    """Let a host take jobs again."""
    app = open_app(state)
    hosts.drain(app.database, name, is_draining=False)
    click.echo(f"host {name} takes jobs")


def token_given(file: str | None) -> str:
    """Read the token from a file or stdin, never from the command line, which every process can see. Raises BadUsage."""
    try:
        if file is None and sys.stdin.isatty():
            say("the one-time token:")
        text = sys.stdin.readline(_TOKEN_LIMIT) if file is None else Path(file).read_text()[:_TOKEN_LIMIT]
    except (OSError, ValueError) as error:
        raise BadUsage(f"the token cannot be read: {error}", hint="name a file: --token-file FILE") from error
    if not text.strip():
        raise BadUsage(
            "there is no token", hint="run distwright host enrol NAME on the server, and give what it prints"
        )
    return text.strip()
