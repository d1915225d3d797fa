"""`distwright builder`: for a machine that a server has programs run on, and trusts with nothing else."""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from distwright.cli.host import token_given
from distwright.cli.options import say, state_option
from distwright.site import building
from distwright.site.places import state_paths
from distwright.tools.sandbox import sandbox_for


@click.group()
def command() -> None:
    """Be a builder: a machine whose programs a server starts by ssh, and which it trusts with nothing."""


@command.command()
@click.option(
    "--token-file", metavar="FILE", type=click.Path(dir_okay=False),
    help="Where the line is that distwright host enrol printed.  [default: stdin]",
)  # fmt: skip
@click.option(
    "--host-key", "host_keys", multiple=True, metavar="FILE", type=click.Path(dir_okay=False, path_type=Path),
    help="Public host key of this machine's sshd; may be given again.  [default: those in /etc/ssh]",
)  # fmt: skip
@click.option(
    "--authorized-keys", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path),
    help="Where keys are that may log in as this user.  [default: ~/.ssh/authorized_keys]",
)  # fmt: skip
@state_option
def join(
    token_file: str | None, host_keys: tuple[Path, ...], authorized_keys: Path | None, state: str | None
) -> None:  # fmt: skip
    """Let the server of a line in, as this user, for one command: distwright builder serve.

    The line is what distwright host enrol printed on the server, for a host whose role is builder. It counts for an hour: within
    that, type distwright host meet NAME there.
    """
    paths = state_paths(state)
    program = (str(Path(sys.executable).with_name("distwright")), "builder", "serve", "--state", str(paths.root))
    place = authorized_keys or Path.home() / ".ssh" / "authorized_keys"
    click.echo(building.join(paths, token_given(token_file), host_keys, program, place, datetime.now(UTC)))
    say(f"the server is let in by {place}; there, within an hour: distwright host meet NAME")


@command.command()
@state_option
def serve(state: str | None) -> None:
    """Carry out one step for the server that started this by ssh; people have no use for it."""
    building.serve(state_paths(state), sandbox_for(os.geteuid()), datetime.now(UTC))
