"""Rows of jobs that follow from others: whose cause is an event of one of them."""

from collections.abc import Collection, Sequence
from datetime import datetime

import sqlalchemy as sa

from distwright.model.outcomes import JobState
from distwright.store.database import Transaction
from distwright.store.schema import events, jobs
from distwright.store.times import to_text


def followers(tx: Transaction, numbers: Collection[int], kinds: Collection[str]) -> list[int]:
    """Number the jobs of these kinds that follow at once from some jobs, oldest first; none that was ordered before."""
    if not numbers or not kinds:
        return []
    query = (
        sa.select(jobs.c.id)
        .join(events, events.c.number == jobs.c.cause)
        .where(jobs.c.id > min(numbers), jobs.c.kind.in_(sorted(kinds)), events.c.job.in_(sorted(numbers)))
        .order_by(jobs.c.id)
    )
    return [int(number) for number in tx.connection.execute(query).scalars()]


def count_queued(tx: Transaction, pools: Sequence[str], now: datetime) -> int:
    """Count the jobs of these pools that may begin now."""
    waits = (jobs.c.state == JobState.QUEUED.value, jobs.c.pool.in_(list(pools)), jobs.c.not_before <= to_text(now))
    return int(tx.connection.execute(sa.select(sa.func.count()).select_from(jobs).where(*waits)).scalar_one())
