"""Rows of the timetable: until when each entry of it was served."""

from datetime import datetime

import sqlalchemy as sa

from distwright.store.database import Transaction
from distwright.store.inserting import insert_new
from distwright.store.schema import timetable
from distwright.store.times import from_text, to_text


def served_until(tx: Transaction) -> dict[str, datetime]:
    """Give entry -> the time of its that was served last."""
    rows = tx.connection.execute(sa.select(timetable.c.name, timetable.c.due))
    return {str(name): from_text(due) for name, due in rows}


def serve(tx: Transaction, name: str, before: datetime | None, due: datetime) -> bool:
    """Note that an entry is served until a time; say whether nobody else has since `before` (None: it has no row yet)."""
    if before is None:
        row = insert_new(tx, timetable).values(name=name, due=to_text(due)).returning(timetable.c.name)
        return tx.connection.execute(row).first() is not None  # psycopg gives no count of what was inserted
    moved = timetable.update().where(timetable.c.name == name, timetable.c.due == to_text(before))
    return tx.connection.execute(moved.values(due=to_text(due))).rowcount == 1
