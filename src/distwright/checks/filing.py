"""Filing: events of builds and comparisons become rows, by a reader of its own with a cursor of its own."""

from collections.abc import Mapping
from datetime import datetime

from distwright.checks.findings import see, see_no_more
from distwright.jobs.step import Inputs
from distwright.model import plain
from distwright.model.digests import Sha256
from distwright.model.events import EventKind, StoredEvent
from distwright.model.outcomes import Outcome
from distwright.model.records import Trial
from distwright.store.database import Database, Transaction
from distwright.store.events import cursor_of, events_after, move_cursor
from distwright.store.jobs import attempts_of, find_job
from distwright.store.trials import set_trial

READER = "checks"
BUILDS = "builds"
NOT_REPRODUCIBLE = "not-reproducible"


def file_results(database: Database, now: datetime) -> int:
    """Deal with all new events; give their number. Killed anywhere, nothing is filed twice."""
    count = 0
    while True:
        with database.read() as tx:
            new = events_after(tx, cursor_of(tx, READER))
        if not new:
            return count
        with database.write() as tx:
            for event in new:
                if cursor_of(tx, READER) >= event.number:
                    continue  # another process was faster
                _file(tx, event, now)
                move_cursor(tx, READER, event.number)
        count += len(new)


def _file(tx: Transaction, stored: StoredEvent, now: datetime) -> None:
    kind, body = stored.event.kind, stored.event.body
    if kind in (EventKind.BUILD_FINISHED, EventKind.BUILD_FAILED, EventKind.BUILD_TRIED):
        outcome = Outcome(plain.text(body, "outcome")) if "outcome" in body else Outcome.OK
        message = plain.text(body, "message") if "message" in body else ""
        _file_trial(tx, stored, outcome, message)
    elif kind is EventKind.BUILD_COMPARED:
        verdict, subject = plain.text(body, "verdict"), plain.text(body, "source")
        if verdict == "same":
            see_no_more(tx, NOT_REPRODUCIBLE, subject, "", now)
        elif verdict == "differs":
            see(tx, NOT_REPRODUCIBLE, subject, "", body, now)


def _file_trial(tx: Transaction, stored: StoredEvent, outcome: Outcome, message: str) -> None:
    job = None if stored.event.job is None else find_job(tx, stored.event.job)
    if job is None:
        return  # an event of an older version, or of a person
    attempts = [attempt for attempt in attempts_of(tx, job.id) if attempt.finished_at is not None]
    took = max(((one.finished_at or one.started_at) - one.started_at for one in attempts[-1:]), default=None)
    set_trial(
        tx,
        Trial(
            id=0,
            question=BUILDS,
            subject=plain.text(job.inputs, "source"),
            version=plain.text(job.inputs, "version"),
            commit=plain.text(job.inputs, "commit") if "commit" in job.inputs else "",
            states=states_of(job.inputs),
            order=job.digest,
            job=job.id,
            outcome=outcome,
            message=message,
            took_s=0 if took is None else int(took.total_seconds()),
            at=stored.event.at,
        ),
    )


def states_of(inputs: Inputs) -> Mapping[str, Sha256]:
    """Say which states an order's environment has: `archive/suite` -> document."""
    shelf = plain.members(plain.mapping(inputs, "environment"), "shelf")
    entries = [plain.mapping({"entry": entry}, "entry") for entry in shelf]
    return {
        f"{plain.text(entry, 'archive')}/{plain.text(entry, 'suite')}": plain.digest(entry, "document")
        for entry in entries
    }
