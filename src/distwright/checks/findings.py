"""Findings over time: seen for the first time, seen again, seen no more, come back."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from distwright.model.digests import Json
from distwright.model.records import FindingState, KnownFinding
from distwright.store.database import Transaction
from distwright.store.findings import find_finding, list_findings, mark_fixed, set_finding


def seen(
    known: KnownFinding | None, kind: str, subject: str, key: str, evidence: Mapping[str, Json], now: datetime
) -> KnownFinding:
    """Say what is known of a finding that is seen now (pure). One that was fixed and is back begins anew, as NEW."""
    if known is None or known.state is FindingState.FIXED:
        return KnownFinding(0, kind, subject, key, FindingState.NEW, "", now, now, None, None, evidence)
    return replace(known, last_seen=now, evidence=evidence)


def see(tx: Transaction, kind: str, subject: str, key: str, evidence: Mapping[str, Json], now: datetime) -> bool:
    """Note that a finding is so now; say whether that is news: it was not so before."""
    known = find_finding(tx, kind, subject, key)
    set_finding(tx, seen(known, kind, subject, key, evidence, now))
    return known is None or known.state is FindingState.FIXED


def see_no_more(tx: Transaction, kind: str, subject: str, key: str, now: datetime) -> bool:
    """Note that a finding is not so now; say whether that is news."""
    return mark_fixed(tx, kind, subject, key, now)


def see_all(
    tx: Transaction, kind: str, subject: str, found: Iterable[tuple[str, Mapping[str, Json]]], now: datetime
) -> None:
    """Note everything of a kind that is so about a subject now, by (key, evidence); the rest of that kind is so no more."""
    present = dict(found)
    for key, evidence in present.items():
        see(tx, kind, subject, key, evidence, now)
    for known in list_findings(tx, kind=kind, subject=subject):
        if known.key not in present:
            see_no_more(tx, kind, subject, known.key, now)
