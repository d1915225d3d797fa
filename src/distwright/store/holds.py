"""Holds: who needs which serial or object, why, and perhaps until when. Retention reads nothing else."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from distwright.model.digests import Json, Sha256, digests_in
from distwright.store.database import Transaction
from distwright.store.inserting import insert_new
from distwright.store.schema import holds
from distwright.store.times import maybe_from_text, to_text


@dataclass(frozen=True, slots=True)
class Hold:
    """kind "serial": target is `archive/serial`. kind "object": target is a SHA-256. kind "job": target is its number, and what it
    leaves will be needed (jobs/keeping.py). holder: `job 12`, `suite petrel/main`.

    until: when it ends by itself; None: when its holder lets go.
    """

    holder: str
    kind: str
    target: str
    reason: str
    until: datetime | None = None


def serial_hold(holder: str, archive: str, serial: str, reason: str, until: datetime | None = None) -> Hold:
    """Say that `holder` needs a snapshot."""
    return Hold(holder, "serial", f"{archive}/{serial}", reason, until)


def object_hold(holder: str, digest: Sha256, reason: str) -> Hold:
    """Say that `holder` needs an object (and what the object itself names)."""
    return Hold(holder, "object", digest, reason)


def holds_on_all(value: Json) -> list[Hold]:
    """Say that every object that a value names is needed; the reason is its place in the value."""
    return [object_hold("", digest, place) for place, digest in digests_in(value)]


def replace_holds(tx: Transaction, holder: str, wanted: Iterable[Hold], now: datetime) -> None:
    """Make `wanted` the only holds of `holder`; call it in the holder's own transaction."""
    tx.connection.execute(holds.delete().where(holds.c.holder == holder))
    add_holds(tx, holder, wanted, now)


def drop_holds(tx: Transaction, holders: Iterable[str]) -> None:
    """Let go of everything that these hold."""
    rows = [{"whose": holder} for holder in holders]
    if rows:
        tx.connection.execute(holds.delete().where(holds.c.holder == sa.bindparam("whose")), rows)


def add_holds(tx: Transaction, holder: str, wanted: Iterable[Hold], now: datetime) -> None:
    """Let `holder` hold these as well; what it holds already keeps its reason."""
    rows = [
        {
            "holder": holder,
            "kind": hold.kind,
            "target": hold.target,
            "reason": hold.reason,
            "at": to_text(now),
            "until": None if hold.until is None else to_text(hold.until),
        }
        for hold in wanted
    ]
    if rows:
        tx.connection.execute(insert_new(tx, holds), rows)


def drop_hold(tx: Transaction, hold: Hold) -> None:
    """Let go of one thing; what else the holder holds stays."""
    tx.connection.execute(
        holds.delete().where(holds.c.holder == hold.holder, holds.c.kind == hold.kind, holds.c.target == hold.target)
    )


def holds_of(tx: Transaction, holder: str) -> list[Hold]:
    """List what a holder holds."""
    return _found(tx, holds.c.holder == holder)


def holds_on(tx: Transaction, kind: str, target: str, now: datetime | None = None) -> list[Hold]:
    """List who holds a serial or an object. now: leave out what has ended by itself."""
    found = _found(tx, sa.and_(holds.c.kind == kind, holds.c.target == target))
    return [hold for hold in found if now is None or hold.until is None or hold.until > now]


def holds_of_kind(tx: Transaction, kind: str) -> list[Hold]:
    """List every hold on serials, or on objects."""
    return _found(tx, holds.c.kind == kind)


def all_holds(tx: Transaction) -> list[Hold]:
    """List every hold."""
    return _found(tx, sa.true())


def _found(tx: Transaction, condition: sa.ColumnElement[bool]) -> list[Hold]:
    rows = tx.connection.execute(sa.select(holds).where(condition).order_by(*holds.primary_key.columns))
    return [Hold(row.holder, row.kind, row.target, row.reason, maybe_from_text(row.until)) for row in rows]
