"""Machines are started when jobs of a pool wait, and stopped when it is idle: by a command of the configuration.

A job runs it, so that it has a log, a time limit and an end like all work. It is started once for each order: the row that says so
is written before. Where the attempt is lost after that, nobody knows what the command has done, and only its next time may tell.
Shape: GitLab's fleeting plugins (increase, decrease), Jenkins' clouds (excess workload, idle minutes), Buildbot's latent workers.
"""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from distwright.config.model import Config
from distwright.config.tables_hosts import Pool
from distwright.errors import Interrupted, Refused, WorkFailed, quoted
from distwright.jobs.order import PRIORITY_WAITED, JobOrder
from distwright.jobs.step import Action, Conclusion, Context, Earlier, Inputs, JobKind, KindName, StepResult
from distwright.model import plain
from distwright.model.digests import Json, canonical_json
from distwright.model.events import Event, EventKind
from distwright.store.database import Transaction
from distwright.store.pools import PoolLoad, loads_of_pools
from distwright.store.timetable import serve, served_until
from distwright.tools.run import Command, Finished, run

SCALE_KIND = KindName("pool.scale", 1)
GROW, SHRINK = "grow", "shrink"
BUSY_EVERY = timedelta(minutes=1)
_OUTPUT_LIMIT_BYTES = 1 << 20
_LOGGED_LINES, _LINE_LENGTH = 200, 500


@dataclass(frozen=True, slots=True)
class Scaled:
    """What was done for a pool. busy: when it was last seen to have work. grown, shrunk: when that was ordered last, if it was.

    is_open: the last order has not ended yet. shrank: the last one to shrink it ended well.
    """

    busy: datetime | None = None
    grown: datetime | None = None
    shrunk: datetime | None = None
    is_open: bool = False
    shrank: bool = False


def action_for(table: Pool, load: PoolLoad, scaled: Scaled, now: datetime) -> str:
    """Say what is to be done for a pool: GROW, SHRINK, or "" for nothing. A job that waits has found no free slot so far."""
    last = max((time for time in (scaled.grown, scaled.shrunk) if time is not None), default=None)
    if scaled.is_open or (last is not None and now - last < timedelta(minutes=table.every_minutes)):
        return ""
    if load.since is not None and now - load.since >= timedelta(minutes=table.wait_minutes):
        return GROW
    if load.waiting or load.running or scaled.grown is None or scaled.busy is None:
        return ""  # who never grew has nothing that we started
    is_over = now - scaled.busy >= timedelta(minutes=table.idle_minutes)
    is_done = scaled.shrunk is not None and scaled.shrunk >= scaled.grown and scaled.shrank
    return SHRINK if is_over and not is_done else ""


def scale_order(pool: str, action: str, at: datetime) -> JobOrder:
    """Order that a pool's command is run. at: when that was decided, which makes it another order than the last."""
    inputs: dict[str, Json] = {"pool": pool, "action": action, "at": at.isoformat()}
    return JobOrder(SCALE_KIND, inputs, f"{action} pool {pool}", PRIORITY_WAITED)


def row_of(word: str, pool: str) -> str:
    """Name the row of the timetable about a pool: `busy`, GROW, SHRINK, or `scaling`: the order that was begun last."""
    return f"{word} {pool}"


def begins(tx: Transaction, pool: str, at: datetime) -> bool:
    """Note that the command of an order is started now; say whether nobody has noted that before."""
    name = row_of("scaling", pool)
    before = served_until(tx).get(name)
    return (before is None or before < at) and serve(tx, name, before, at)


def _slots(config: Config, pool: str) -> int:
    return sum(host.slots for host in config.hosts.values() if pool in host.pools)


def _scale(context: Context, inputs: Inputs, _earlier: Earlier) -> StepResult:
    pool, action = plain.text(inputs, "pool"), plain.text(inputs, "action")
    table = context.config.pools.get(pool)
    if table is None:
        raise Refused(f"pool {pool} has no table any more", hint=f"write [pool.{pool}], or leave it")
    now = context.now()
    with context.write() as tx:
        is_first = begins(tx, pool, datetime.fromisoformat(plain.text(inputs, "at")))
        load = loads_of_pools(tx, now).get(pool, PoolLoad())
    if not is_first:
        raise WorkFailed(
            f"the command of pool {pool} was begun by an attempt that is gone; nobody knows what it did",
            hint="look at the machines themselves; it is run again at its next time",
        )
    said: dict[str, Json] = {
        "pool": pool, "action": action, "waiting": load.waiting, "running": load.running, "slots": _slots(context.config, pool),
        "longest_wait_s": 0 if load.since is None else max(0, int((now - load.since).total_seconds())),
    }  # fmt: skip
    done = _run(context, table, action, said)
    lines = _lines(done)
    for line in lines[:_LOGGED_LINES]:
        context.log(line)
    if done.exit_code or done.cut:
        last = f": {lines[-1]}" if lines else ""
        raise WorkFailed(
            f"{done.command.argv[0]} {action} failed for pool {pool} ({done.cut or f'exit {done.exit_code}'}){last}",
            hint=f"correct scale_command of [pool.{pool}], or try it by hand",
        )
    return StepResult({}, values={**said, "message": lines[-1] if lines else ""})


def _run(context: Context, table: Pool, action: str, said: Mapping[str, Json]) -> Finished:
    def is_cancelled() -> bool:
        with contextlib.suppress(Interrupted):
            context.check_cancelled()
            return False
        return True

    command = Command(
        (*table.scale_command, action),
        table.timeout_minutes * 60,
        stdin=canonical_json(dict(said)) + b"\n",
        output_limit_bytes=_OUTPUT_LIMIT_BYTES,
    )
    return run(command, is_cancelled=is_cancelled)


def _lines(done: Finished) -> list[str]:
    text = (done.stdout + done.stderr).decode(errors="replace")
    return [quoted(line, _LINE_LENGTH)[1:-1] for line in text.splitlines() if line.strip()]


def _scaled(inputs: Inputs, earlier: Earlier, now: datetime, job: int) -> Conclusion:
    values = earlier["scale"].values
    pool, action, message = plain.text(inputs, "pool"), plain.text(inputs, "action"), plain.text(values, "message")
    body = {key: values[key] for key in ("pool", "action", "message", "waiting", "running")}
    event = Event(EventKind.POOL_SCALED, now, f"pool {pool}: {action}", body, job)
    return Conclusion(dict(values), f"{action} pool {pool}{': ' * bool(message)}{message}", [event])


POOL_SCALE = JobKind(SCALE_KIND, (Action("scale", _scale),), _scaled)
