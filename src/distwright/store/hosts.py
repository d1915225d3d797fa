"""Rows of other machines that work for us. Who may do what is decided in `site/hosts.py`; here is only the SQL."""

from datetime import datetime

import sqlalchemy as sa

from distwright.model.digests import Sha256
from distwright.model.records import HostHealth, HostState
from distwright.store.database import Transaction
from distwright.store.schema import hosts
from distwright.store.times import maybe_from_text, to_text


def find_host(tx: Transaction, name: str) -> HostState | None:
    """Find what is known of a host; None if nobody has enrolled it."""
    row = tx.connection.execute(sa.select(hosts).where(hosts.c.name == name)).first()
    return None if row is None else _host(row)


def list_hosts(tx: Transaction) -> list[HostState]:
    """List hosts by name."""
    return [_host(row) for row in tx.connection.execute(sa.select(hosts).order_by(hosts.c.name))]


def offer_enrolment(tx: Transaction, name: str, enrol_hash: Sha256, until: datetime) -> None:
    """Let whoever has this one-time token become the host, until then; an earlier one counts no more."""
    values = {"enrol_hash": enrol_hash, "enrol_until": to_text(until)}
    changed = tx.connection.execute(hosts.update().where(hosts.c.name == name).values(**values))
    if changed.rowcount == 0:
        tx.connection.execute(hosts.insert().values(name=name, version="", is_draining=False, **values))


def keep_token(tx: Transaction, name: str, token_hash: Sha256, version: str, now: datetime) -> None:
    """Take the one-time token away and keep the lasting one."""
    tx.connection.execute(
        hosts.update()
        .where(hosts.c.name == name)
        .values(
            enrol_hash=None, enrol_until=None, token_hash=token_hash, enrolled_at=to_text(now), version=version,
            last_seen=to_text(now),
        )
    )  # fmt: skip


def see_host(tx: Transaction, name: str, version: str, now: datetime, health: HostHealth | None = None) -> None:
    """Note that a host was heard of. health: as it says; None: it does not, and what it said last stays."""
    values: dict[str, object] = {"version": version, "last_seen": to_text(now)}
    if health is not None:
        values |= {"free_bytes": health.free_bytes, "load": health.load}
    tx.connection.execute(hosts.update().where(hosts.c.name == name).values(**values))


def set_draining(tx: Transaction, name: str, *, is_draining: bool) -> bool:
    """Let a host take new jobs, or none; say whether there is such a host."""
    changed = tx.connection.execute(hosts.update().where(hosts.c.name == name).values(is_draining=is_draining))
    return changed.rowcount == 1


def _host(row: sa.Row[tuple[object, ...]]) -> HostState:
    return HostState(
        name=row.name,
        enrol_hash=None if row.enrol_hash is None else Sha256(row.enrol_hash),
        enrol_until=maybe_from_text(row.enrol_until),
        token_hash=None if row.token_hash is None else Sha256(row.token_hash),
        enrolled_at=maybe_from_text(row.enrolled_at),
        version=row.version,
        last_seen=maybe_from_text(row.last_seen),
        is_draining=bool(row.is_draining),
        health=None if row.free_bytes is None or row.load is None else HostHealth(int(row.free_bytes), float(row.load)),
    )
