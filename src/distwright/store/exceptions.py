"""Rows of freeze exceptions: sources that were let into a frozen suite, with who, why, and what became of it."""

from datetime import datetime

import sqlalchemy as sa

from distwright.model.records import FreezeException
from distwright.store.database import Transaction, inserted_id
from distwright.store.schema import exceptions
from distwright.store.times import from_text, maybe_from_text, to_text


def insert_exception(tx: Transaction, row: FreezeException) -> int:
    """Add an exception (its `id` is ignored) and give its number."""
    return inserted_id(
        tx.connection.execute(
            exceptions.insert().values(
                archive=row.archive,
                suite=row.suite,
                source=row.source,
                version=row.version,
                origin=row.origin,
                base=row.base,
                branch=row.branch,
                reason=row.reason,
                actor=row.actor,
                at=to_text(row.at),
            )
        )
    )


def end_exception(tx: Transaction, number: int, why: str, now: datetime) -> bool:
    """Note that an exception is over; say whether it was not already."""
    ended = tx.connection.execute(
        exceptions.update()
        .where(exceptions.c.id == number, exceptions.c.ended_at.is_(None))
        .values(ended_at=to_text(now), ended_why=why)
    )
    return ended.rowcount == 1


def list_exceptions(
    tx: Transaction, archive: str | None = None, suite: str | None = None, *, ended: bool = False
) -> list[FreezeException]:
    """List exceptions by age, of one suite or of all. ended: those that are over as well."""
    query = sa.select(exceptions).order_by(exceptions.c.id)
    for name, value in (("archive", archive), ("suite", suite)):
        if value is not None:
            query = query.where(exceptions.c[name] == value)
    if not ended:
        query = query.where(exceptions.c.ended_at.is_(None))
    return [
        FreezeException(
            id=row.id,
            archive=row.archive,
            suite=row.suite,
            source=row.source,
            version=row.version,
            origin=row.origin,
            base=row.base,
            branch=row.branch,
            reason=row.reason,
            actor=row.actor,
            at=from_text(row.at),
            ended_at=maybe_from_text(row.ended_at),
            ended_why=row.ended_why,
        )
        for row in tx.connection.execute(query)
    ]
