"""Inquiries: questions that take many jobs. Each look reads what is answered, and orders what is asked next."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from distwright.archive.resolve import Ground, NotReadyError
from distwright.errors import DistwrightError, NotFound
from distwright.jobs.order import JobOrder, place_order
from distwright.model.digests import Json, Sha256
from distwright.model.outcomes import JobState, Outcome
from distwright.model.records import Inquiry, InquiryState, Job
from distwright.store.database import Database, Transaction
from distwright.store.events import newest_events
from distwright.store.holds import Hold, replace_holds
from distwright.store.inquiries import end_inquiry, find_inquiry, insert_inquiry, list_inquiries, move_inquiry
from distwright.store.jobs import find_by_digest


@dataclass(frozen=True, slots=True)
class Move:
    """What a look gives. orders: asked next (known ones cost nothing). progress: kept until the next look. answer: None to go on.

    holds: what the inquiry needs as long as it is open. stopped: it ends without the answer that was wanted.
    """

    orders: Sequence[JobOrder] = ()
    progress: Mapping[str, Json] | None = None
    answer: Mapping[str, Json] | None = None
    holds: Sequence[Hold] = ()
    is_stopped: bool = False


Look = Callable[[Database, Ground, Inquiry], Move]
"""Looks at what is answered. Reads only; it may be called again for the same state of things."""


def ask(
    database: Database, kind: str, subject: str, asked: Mapping[str, Json], actor: str, now: datetime, *,
    holds: Sequence[Hold] = (),
) -> int:  # fmt: skip
    """Open an inquiry, whose first look comes with the next `advance_inquiries`; give its number."""
    with database.write() as tx:
        number = insert_inquiry(tx, kind, subject, asked, actor, now)
        replace_holds(tx, holder_of(number), list(holds), now)
    return number


def holder_of(number: int) -> str:
    """Say who holds what an inquiry needs."""
    return f"inquiry {number}"


def advance_inquiries(
    database: Database, ground: Ground, looks: Mapping[str, Look], now: datetime, hint: Callable[[str], None],
    commit: str | None = None,
) -> int:  # fmt: skip
    """Look at every open inquiry that something may have happened to since its last look; say how many moved."""
    with database.read() as tx:
        newest = newest_events(tx, 1)
        last = newest[0].number if newest else 0
        waiting = [row for row in list_inquiries(tx, only_open=True) if row.seen_event < last or row.seen_event < 0]
    return sum(_advance(database, ground, looks, row, last, now, hint, commit) for row in reversed(waiting))


def _advance(
    database: Database, ground: Ground, looks: Mapping[str, Look], row: Inquiry, last: int, now: datetime,
    hint: Callable[[str], None], commit: str | None,
) -> int:  # fmt: skip
    look = looks.get(row.kind)
    if look is None:
        return 0  # a newer version asked
    while True:
        try:
            move = look(database, ground, row)
        except NotReadyError:
            move = Move(progress=row.progress)
        except DistwrightError as error:
            move = Move(answer={"error": error.message, "hint": error.hint}, is_stopped=True)
        with database.write() as tx:
            if move.answer is not None:
                state = InquiryState.STOPPED if move.is_stopped else InquiryState.DONE
                end_inquiry(tx, row.id, state, move.answer, now)
                replace_holds(tx, holder_of(row.id), [], now)
                return 1
            progress = row.progress if move.progress is None else move.progress
            if not move_inquiry(tx, row.id, before=row.seen_event, seen_event=last, progress=progress):
                return 0  # another process was faster, or somebody stopped it
            replace_holds(tx, holder_of(row.id), list(move.holds), now)
            jobs = [
                place_order(tx, order, now, config_commit=commit, objects=ground.objects, may_repeat=True)
                for order in move.orders
            ]
        for pool in {job.pool for job in jobs}:
            hint(pool)
        if not jobs or not all(job.state is JobState.DONE for job in jobs):
            return 1
        with database.read() as tx:  # everything was known already: look again at once
            again = find_inquiry(tx, row.id)
        if again is None or (again.progress == row.progress and row.seen_event >= 0):
            return 1
        row = again


def answered(tx: Transaction, order: Sha256) -> Job | None:
    """Give the job of an order that is done and decided: its outcome says how. None while it is not."""
    job = find_by_digest(tx, order)
    return job if job is not None and job.state is JobState.DONE and job.outcome is not Outcome.CANCELLED else None


def get_inquiry(tx: Transaction, number: int) -> Inquiry:
    """Find an inquiry; raise NotFound."""
    row = find_inquiry(tx, number)
    if row is None:
        raise NotFound(f"there is no inquiry {number}", hint="distwright package inquiries")
    return row
