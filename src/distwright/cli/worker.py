"""`distwright worker`."""

import click

from distwright.app import open_app
from distwright.cli.options import say, state_option
from distwright.cli.watch import TerminalWatcher


@click.command()
@click.option("--until-idle", is_flag=True, help="Stop when nothing is left to do.")
@click.option("--follow", is_flag=True, help="Print the logs.")
@state_option
def command(until_idle: bool, follow: bool, state: str | None) -> None:
    """Work through the job table: take in pushes, run what follows. Ctrl-C stops it; nothing is lost."""
    app = open_app(state)
    app.tell = say
    watcher = TerminalWatcher(app.paths.job_log, follow=follow)
    if until_idle:
        app.run_until_idle(watcher)
    else:
        app.run_for_ever(watcher)
