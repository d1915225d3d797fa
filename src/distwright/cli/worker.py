"""`distwright worker`."""

import click

from distwright.app import open_app
from distwright.cli.options import say, state_option
from distwright.cli.watch import TerminalWatcher
from distwright.worker.crew import become_one_of


@click.command()
@click.option("--until-idle", is_flag=True, help="Stop when nothing is left to do.")
@click.option("--follow", is_flag=True, help="Print the logs.")
@click.option(
    "--count",
    default=1,
    show_default=True,
    type=click.IntRange(1, 256),
    help="How many jobs at a time, each by a worker.",
)
@state_option
def command(until_idle: bool, follow: bool, count: int, state: str | None) -> None:
    """Work through the job table: take in pushes, run what follows. Ctrl-C stops it; nothing is lost."""
    app = open_app(state)
    if count > 1:
        app.database.close()
        code = become_one_of(count, say)
        if code is not None:
            raise click.exceptions.Exit(code)
        app = open_app(state)
    app.tell = say
    watcher = TerminalWatcher(app.paths.job_log, follow=follow, is_alone=count == 1)
    if until_idle:
        app.run_until_idle(watcher)
    else:
        app.run_for_ever(watcher)
