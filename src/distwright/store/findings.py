"""Rows of findings: each once by (kind, subject, key), with since when and whether it is still so."""

import json
from datetime import datetime

import sqlalchemy as sa

from distwright.model.digests import canonical_json
from distwright.model.records import FindingState, KnownFinding
from distwright.store.database import Transaction
from distwright.store.schema import findings
from distwright.store.times import from_text, maybe_from_text, to_text


def find_finding(tx: Transaction, kind: str, subject: str, key: str) -> KnownFinding | None:
    """Find what is known of a finding."""
    row = tx.connection.execute(sa.select(findings).where(*_same(kind, subject, key))).first()
    return None if row is None else _finding(row)


def set_finding(tx: Transaction, row: KnownFinding) -> None:
    """Keep a finding (its `id` is ignored) in place of what was known of it."""
    values = {
        "state": row.state.value,
        "owner": row.owner,
        "first_seen": to_text(row.first_seen),
        "last_seen": to_text(row.last_seen),
        "fixed_at": None if row.fixed_at is None else to_text(row.fixed_at),
        "expires": None if row.expires is None else to_text(row.expires),
        "evidence": canonical_json(dict(row.evidence)).decode(),
    }
    changed = tx.connection.execute(findings.update().where(*_same(row.kind, row.subject, row.key)).values(**values))
    if changed.rowcount == 0:
        tx.connection.execute(findings.insert().values(kind=row.kind, subject=row.subject, key=row.key, **values))


def list_findings(
    tx: Transaction, *, kind: str | None = None, subject: str | None = None, fixed: bool = False
) -> list[KnownFinding]:
    """List findings by kind, subject and key. fixed: those that are no longer so as well."""
    query = sa.select(findings).order_by(findings.c.kind, findings.c.subject, findings.c.key)
    if kind is not None:
        query = query.where(findings.c.kind == kind)
    if subject is not None:
        query = query.where(findings.c.subject == subject)
    if not fixed:
        query = query.where(findings.c.state != FindingState.FIXED.value)
    return [_finding(row) for row in tx.connection.execute(query)]


def mark_fixed(tx: Transaction, kind: str, subject: str, key: str, now: datetime) -> bool:
    """Note that a finding is no longer so; say whether it was."""
    values = {"state": FindingState.FIXED.value, "fixed_at": to_text(now)}
    where = (*_same(kind, subject, key), findings.c.state != FindingState.FIXED.value)
    return tx.connection.execute(findings.update().where(*where).values(**values)).rowcount > 0


def _same(kind: str, subject: str, key: str) -> tuple[sa.ColumnElement[bool], ...]:
    return findings.c.kind == kind, findings.c.subject == subject, findings.c.key == key


def _finding(row: sa.Row[tuple[object, ...]]) -> KnownFinding:
    return KnownFinding(
        id=row.id,
        kind=row.kind,
        subject=row.subject,
        key=row.key,
        state=FindingState(row.state),
        owner=row.owner,
        first_seen=from_text(row.first_seen),
        last_seen=from_text(row.last_seen),
        fixed_at=maybe_from_text(row.fixed_at),
        expires=maybe_from_text(row.expires),
        evidence=json.loads(row.evidence),
    )
