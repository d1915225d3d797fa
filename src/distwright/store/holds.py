"""Holds: who needs which serial or object, and why. Retention reads nothing else."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from distwright.model.digests import Json, Sha256, digests_in
from distwright.store.database import Transaction
from distwright.store.inserting import insert_new
from distwright.store.schema import holds
from distwright.store.times import to_text


@dataclass(frozen=True, slots=True)
class Hold:
    """kind "serial": target is `archive/serial`. kind "object": target is a SHA-256. holder: `job 12`, `suite petrel/main`."""

    holder: str
    kind: str
    target: str
    reason: str


def serial_hold(holder: str, archive: str, serial: str, reason: str) -> Hold:
    """Say that `holder` needs a snapshot."""
    return Hold(holder, "serial", f"{archive}/{serial}", reason)


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
        {"holder": holder, "kind": hold.kind, "target": hold.target, "reason": hold.reason, "at": to_text(now)}
        for hold in wanted
    ]
    if rows:
        tx.connection.execute(insert_new(tx, holds), rows)


def holds_of(tx: Transaction, holder: str) -> list[Hold]:
    """List what a holder holds."""
    rows = tx.connection.execute(
        sa.select(holds).where(holds.c.holder == holder).order_by(holds.c.kind, holds.c.target)
    )
    return [Hold(row.holder, row.kind, row.target, row.reason) for row in rows]


def holds_on(tx: Transaction, kind: str, target: str) -> list[Hold]:
    """List who holds a serial or an object."""
    rows = tx.connection.execute(sa.select(holds).where(holds.c.kind == kind, holds.c.target == target))
    return [Hold(row.holder, row.kind, row.target, row.reason) for row in rows]


def all_holds(tx: Transaction) -> list[Hold]:
    """List every hold."""
    rows = tx.connection.execute(sa.select(holds).order_by(holds.c.holder, holds.c.kind, holds.c.target))
    return [Hold(row.holder, row.kind, row.target, row.reason) for row in rows]
