"""`distwright branch`."""

import click

from distwright.cli.branch_status import active, ready, status


@click.group()
def command() -> None:
    """Branches of hosted repos: how they stand, and which are built."""


command.add_command(status)
command.add_command(active)
command.add_command(ready)
