"""What waits and runs in each pool, and jobs that change their pool. Which pool an order is of is decided in `jobs/pools.py`."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from distwright.model.outcomes import JobState
from distwright.store.database import Transaction
from distwright.store.jobs import next_turn
from distwright.store.schema import jobs
from distwright.store.times import maybe_from_text, to_text

_MOVED_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class PoolLoad:
    """waiting: jobs that a free worker would take now; since: when the first of them could have begun. running: under a lease."""

    waiting: int = 0
    since: datetime | None = None
    running: int = 0


def loads_of_pools(tx: Transaction, now: datetime) -> dict[str, PoolLoad]:
    """Say what waits and runs in each pool that has something to do. Cost: two walks along an index of what is not done."""
    ready = (jobs.c.state == JobState.QUEUED.value, jobs.c.not_before <= to_text(now))
    count, since = sa.func.count(), sa.func.min(jobs.c.not_before)
    waiting = tx.connection.execute(sa.select(jobs.c.pool, count, since).where(*ready).group_by(jobs.c.pool)).all()
    runs = sa.select(jobs.c.pool, count).where(jobs.c.state == JobState.RUNNING.value).group_by(jobs.c.pool)
    running = {str(pool): int(number) for pool, number in tx.connection.execute(runs)}
    found = {pool: PoolLoad(running=number) for pool, number in running.items()}
    for pool, number, first in waiting:
        found[pool] = PoolLoad(number, maybe_from_text(first), running.get(pool, 0))
    return found


def move_waiting(tx: Transaction, known: Collection[str], pool: str) -> int:
    """Bring jobs that wait in a pool that is not known to another one, by their turns; say how many, a part at once."""
    lost = (jobs.c.state == JobState.QUEUED.value, jobs.c.pool.not_in(sorted({*known, pool})))
    query = sa.select(jobs).where(*lost).order_by(jobs.c.rank, jobs.c.turn, jobs.c.id).limit(_MOVED_AT_ONCE)
    rows = tx.connection.execute(query).all()
    for row in rows:
        turn = next_turn(tx, pool, row.priority, row.share)
        tx.connection.execute(jobs.update().where(jobs.c.id == row.id).values(pool=pool, turn=turn))
    return len(rows)
