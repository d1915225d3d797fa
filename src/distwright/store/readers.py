"""Rows of readers: persons who may look at what is private by web. Who may see what is decided in `site/readers.py`."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from distwright.model.digests import Sha256
from distwright.store.database import Transaction
from distwright.store.schema import readers
from distwright.store.times import from_text, to_text


@dataclass(frozen=True, slots=True)
class ReaderRow:
    """A person with a token, of which the sum is kept; given_at: when it was made."""

    person: str
    token_hash: Sha256
    given_at: datetime


def find_reader(tx: Transaction, person: str) -> ReaderRow | None:
    """Find a person's token."""
    row = tx.connection.execute(sa.select(readers).where(readers.c.person == person)).first()
    return None if row is None else _row(row)


def list_readers(tx: Transaction) -> list[ReaderRow]:
    """List who has a token, by name."""
    return [_row(row) for row in tx.connection.execute(sa.select(readers).order_by(readers.c.person))]


def keep_reader(tx: Transaction, row: ReaderRow) -> None:
    """Keep the sum of a person's token; an earlier one counts no more."""
    drop_reader(tx, row.person)
    values = {"person": row.person, "token_hash": row.token_hash, "given_at": to_text(row.given_at)}
    tx.connection.execute(readers.insert().values(**values))


def drop_reader(tx: Transaction, person: str) -> bool:
    """Let a person's token count no more; say whether there was one."""
    return tx.connection.execute(readers.delete().where(readers.c.person == person)).rowcount > 0


def _row(row: sa.Row[tuple[object, ...]]) -> ReaderRow:
    return ReaderRow(row.person, Sha256(row.token_hash), from_text(row.given_at))
