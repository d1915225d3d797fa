"""`distwright worker`."""

from collections.abc import Sequence

import click

from distwright.app import App, open_app
from distwright.cli.options import say, state_option
from distwright.cli.watch import TerminalWatcher
from distwright.jobs.order import DEFAULT_POOL
from distwright.jobs.pools import check_pools
from distwright.site.away import own_pools
from distwright.worker.crew import become_one_of


@click.command()
@click.option("--until-idle", is_flag=True, help="Stop when nothing is left to do.")
@click.option("--follow", is_flag=True, help="Print the logs.")
@click.option(
    "--slots",
    "--count",
    "slots",
    type=click.IntRange(1, 256),
    help="How many jobs at a time, each by a worker.  [default: 1; on a host, as its table says]",
)
@click.option(
    "--pool",
    "pools",
    multiple=True,
    metavar="NAME",
    help="Take jobs of this pool only; may be given again.  [default: local; on a host, as its table says]",
)
@state_option
def command(until_idle: bool, follow: bool, slots: int | None, pools: tuple[str, ...], state: str | None) -> None:
    """Work through the job table: take in pushes, run what follows. Ctrl-C stops it; nothing is lost.

    On a machine that joined a server (distwright host join) it runs those of the server's jobs that can run elsewhere.
    """
    app = open_app(state, may_be_away=True)
    pools, slots = _wanted(app, pools, slots, until_idle=until_idle)
    if slots > 1:
        app.database.close()
        code = become_one_of(slots, say)
        if code is not None:
            raise click.exceptions.Exit(code)
        app = open_app(state, may_be_away=True)
    app.tell = say
    watcher = TerminalWatcher(app.paths.job_log, follow=follow, is_alone=slots == 1)
    if app.away is not None:
        worker = app.worker(watcher, may_wait_to_retry=True, pools=pools)
        app.away.work(worker, app.engine, say, until_idle=until_idle)
    elif until_idle:
        app.run_until_idle(watcher, pools=pools)
    else:
        app.run_for_ever(watcher, pools)


def _wanted(app: App, pools: Sequence[str], slots: int | None, *, until_idle: bool) -> tuple[tuple[str, ...], int]:
    """Say which pools are worked for, and with how many jobs at a time. Raises what the server has against this host.

    Raises BadUsage for a pool that there is none of.
    """
    if app.away is None:
        check_pools(app.config(), pools)
        return tuple(pools) or (DEFAULT_POOL,), slots or 1
    known, most = app.away.table(None if until_idle else say)
    return own_pools(pools, known), slots or most
