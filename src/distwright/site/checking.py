"""What faces show of checks: trials with the serials that people know, and inquiries."""

from collections.abc import Mapping
from dataclasses import dataclass

from distwright.checks.filing import BUILDS
from distwright.model.digests import Sha256
from distwright.model.records import Inquiry, Trial
from distwright.store.archives import find_snapshot_by_digest
from distwright.store.database import Database, Transaction
from distwright.store.inquiries import list_inquiries
from distwright.store.trials import list_trials


@dataclass(frozen=True, slots=True)
class ShownTrial:
    """A trial. serials: archive -> the serial that its state has here; a state of ours, or one that is gone, by its digest."""

    trial: Trial
    serials: Mapping[str, str]


def serials_of(tx: Transaction, states: Mapping[str, Sha256]) -> dict[str, str]:
    """Name states (`archive/suite` -> document) as people do: archive -> serial; others by `archive/suite` and short digest."""
    named: dict[str, str] = {}
    for name, document in states.items():
        archive = name.partition("/")[0]
        row = find_snapshot_by_digest(tx, archive, document)
        if row is None:
            named[name] = document.short
        else:
            named[archive] = row.serial
    return named


def trials(database: Database, source: str | None, limit: int) -> list[ShownTrial]:
    """List the trials of builds, newest first."""
    with database.read() as tx:
        return [ShownTrial(row, serials_of(tx, row.states)) for row in list_trials(tx, BUILDS, source, limit=limit)]


def inquiries(database: Database, limit: int) -> list[Inquiry]:
    """List inquiries, newest first."""
    with database.read() as tx:
        return list_inquiries(tx, limit=limit)
