"""A suite begins and ends: its row, what it holds, its step and its event, in the transaction of whoever wants that."""

from datetime import datetime

from distwright.archive.changing import hold_suite
from distwright.archive.tree import EMPTY_ROOT
from distwright.model.digests import Json
from distwright.model.events import Event, EventKind
from distwright.model.records import Revision, SuiteState
from distwright.store.archives import list_publications, set_publication_states
from distwright.store.database import Transaction
from distwright.store.events import append_event
from distwright.store.holds import replace_holds
from distwright.store.suites import delete_suite, insert_revision, insert_suite

ENDED = "retire"  # the action of a suite's last step


def begin_suite(
    tx: Transaction, row: SuiteState, action: str, actor: str, reason: str, now: datetime, job: int | None = None
) -> None:
    """Let there be a suite, in a state whose objects are kept already. action: as in model.records.Revision."""
    insert_suite(tx, row)
    before = EMPTY_ROOT.revision
    insert_revision(tx, Revision(0, row.archive, row.name, before, row.revision, action, reason, actor, now))
    hold_suite(tx, row.archive, row.name, row.revision, now)
    body: dict[str, Json] = {"archive": row.archive, "suite": row.name, "before": before, "revision": row.revision}
    body |= {"action": action, "added": []}
    append_event(tx, Event(EventKind.SUITE_CHANGED, now, f"{row.archive}/{row.name}", body, job))


def end_suite(tx: Transaction, row: SuiteState, actor: str, reason: str, now: datetime, job: int | None = None) -> None:
    """Forget a suite; its history stays. What is served of it (`ServedTree.withdraw`) is the caller's to take away."""
    rows = list_publications(tx, archive=row.archive, suite=row.name)
    served = [one.id for one in rows if not one.serial and one.state in ("live", "building")]
    set_publication_states(tx, served, "retired")
    delete_suite(tx, row.archive, row.name)
    replace_holds(tx, f"suite {row.archive}/{row.name}", [], now)
    after = EMPTY_ROOT.revision
    insert_revision(tx, Revision(0, row.archive, row.name, row.revision, after, ENDED, reason, actor, now))
    body: dict[str, Json] = {"archive": row.archive, "suite": row.name, "revision": row.revision}
    append_event(tx, Event(EventKind.SUITE_RETIRED, now, f"{row.archive}/{row.name}", body, job))
