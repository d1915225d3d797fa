"""Findings over time: seen for the first time, seen again, seen no more, come back."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from distwright.errors import BadInput
from distwright.model import plain
from distwright.model.digests import Json
from distwright.model.records import FindingState, KnownFinding
from distwright.model.versions import DebVersion, compare
from distwright.store.database import Transaction
from distwright.store.findings import find_finding, list_findings, mark_fixed, set_finding

NOT_REPRODUCIBLE = "not-reproducible"  # key: suite/architecture
FAILS = "fails-to-build"  # key: environment/suite


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
    tx: Transaction, kind: str, subject: str, found: Iterable[tuple[str, Mapping[str, Json]]], now: datetime,
    is_meant: Callable[[KnownFinding], bool],
) -> None:  # fmt: skip
    """Note everything of a kind that is so about a subject now, by (key, evidence).

    The rest of that kind is so no more, as far as it is meant.
    """
    present = dict(found)
    for key, evidence in present.items():
        see(tx, kind, subject, key, evidence, now)
    for known in list_findings(tx, kind=kind, subject=subject):
        if known.key not in present and is_meant(known):
            see_no_more(tx, kind, subject, known.key, now)


def add_evidence(tx: Transaction, kind: str, subject: str, key: str, more: Mapping[str, Json]) -> bool:
    """Add to what is known of a finding that is so; say whether there is one."""
    known = find_finding(tx, kind, subject, key)
    if known is None or known.state is FindingState.FIXED:
        return False
    set_finding(tx, replace(known, evidence={**known.evidence, **more}))
    return True


def builds_again(
    tx: Transaction, kind: str, subject: str, version: str, serials: Mapping[str, str], now: datetime,
    is_about: Callable[[KnownFinding], bool],
) -> None:  # fmt: skip
    """Close what is known against a source that was built well: in this version or an older one, with these serials or older ones.

    is_about: says whether the build tells anything of what a finding is about. Evidence of such a finding has `version` and
    `serials` (archive -> serial) of the state that it was last seen in.
    """
    for known in list_findings(tx, kind=kind, subject=subject):
        try:
            at = plain.text_map(known.evidence, "serials")
            is_older = not is_newer(known, version)
        except BadInput:
            continue
        if is_older and is_about(known) and all(serial <= serials.get(archive, "") for archive, serial in at.items()):
            see_no_more(tx, kind, subject, known.key, now)


def is_newer(known: KnownFinding, version: str) -> bool:
    """Say whether a finding was last seen in a later version than this; raise BadInput if its evidence has none."""
    return compare(DebVersion(plain.text(known.evidence, "version")), DebVersion(version)) > 0
