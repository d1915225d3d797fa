"""How many jobs there are of a sort."""

from collections.abc import Collection

import sqlalchemy as sa

from distwright.model.outcomes import JobState
from distwright.store.database import Transaction
from distwright.store.schema import jobs


def count_done(tx: Transaction, numbers: Collection[int]) -> int:
    """Count those of some jobs that are done."""
    where = (jobs.c.id.in_(sorted(numbers)), jobs.c.state == JobState.DONE.value)
    return tx.connection.execute(sa.select(sa.func.count()).select_from(jobs).where(*where)).scalar_one()


def count_by_state(tx: Transaction, embargoes: Collection[str] | None = None) -> dict[JobState, int]:
    """Count the jobs in each state. embargoes: those that may be seen ("" is none), as texts; None: all."""
    query = sa.select(jobs.c.state, sa.func.count()).group_by(jobs.c.state)
    if embargoes is not None:
        query = query.where(jobs.c.embargo.in_(sorted(embargoes)))
    return {JobState(state): count for state, count in tx.connection.execute(query)}
