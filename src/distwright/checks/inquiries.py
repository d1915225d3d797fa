"""Inquiries: questions that take many jobs. Each look reads what is answered, and orders what is asked next."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from distwright.archive.resolve import Ground, NotReadyError
from distwright.errors import Busy, DiskFailed, DistwrightError, NotFound, OutOfSpace, ProgramFailed, Refused, quoted
from distwright.jobs.keeping import hold_what_job_leaves, needs_of
from distwright.jobs.order import JobOrder, cancel, embargo_of, place_order
from distwright.jobs.pools import in_its_pool, shared_pools
from distwright.model import plain
from distwright.model.digests import Json, Sha256
from distwright.model.outcomes import JobState, Outcome
from distwright.model.records import Inquiry, InquiryState, Job
from distwright.store.database import Database, Transaction
from distwright.store.events import newest_events
from distwright.store.holds import Hold, add_holds, drop_holds
from distwright.store.inquiries import end_inquiry, find_inquiry, insert_inquiry, list_inquiries, move_inquiry
from distwright.store.jobs import find_by_digest, find_job
from distwright.store.tallies import count_done
from distwright.store.times import from_text, to_text

_PLACED, _MADE, _DONE, _WAITS = "placed", "made", "done", "waits_for"  # keys of progress that are kept here
_TRIES, _AGAIN = "tries", "again_at"
_KEPT_HERE = (_PLACED, _MADE, _DONE, _WAITS, _TRIES, _AGAIN)
_FIRST_PAUSE, _LONGEST_PAUSE = timedelta(minutes=1), timedelta(hours=1)
OUR_FAULTS = (Busy, OutOfSpace, DiskFailed, ProgramFailed)  # the question is right, this machine is not


class Effect(Protocol):
    """Something that is written together with a move: a finding that is seen, another question that is asked."""

    def __call__(self, tx: Transaction, *, now: datetime) -> object:
        """Write it."""
        ...


@dataclass(frozen=True, slots=True)
class Move:
    """What a look gives. orders: asked next (known ones cost nothing, and none is placed twice). progress: kept until then.

    answer: None to go on. holds: what the inquiry needs until it ends, beside what its orders name and its jobs leave. effects:
    written with it, once. waits_for: why nothing is asked yet. trouble: what keeps this machine from asking, to be tried
    again after a pause. is_stopped: it ends without the answer that was wanted.
    """

    orders: Sequence[JobOrder] = ()
    progress: Mapping[str, Json] | None = None
    answer: Mapping[str, Json] | None = None
    holds: Sequence[Hold] = ()
    effects: Sequence[Effect] = ()
    waits_for: str = ""
    trouble: str = ""
    is_stopped: bool = False


Look = Callable[[Database, Ground, Inquiry], Move]
"""Looks at what is answered. Reads only; it may be called again for the same state of things."""


def ask(
    database: Database, kind: str, subject: str, asked: Mapping[str, Json], actor: str, now: datetime, *,
    holds: Sequence[Hold] = (),
) -> int:  # fmt: skip
    """Open an inquiry, whose first look comes with the next `advance_inquiries`; give its number."""
    with database.write() as tx:
        return ask_with(tx, kind, subject, asked, actor, now, holds=holds)


def ask_with(
    tx: Transaction, kind: str, subject: str, asked: Mapping[str, Json], actor: str, now: datetime, *,
    holds: Sequence[Hold] = (),
) -> int:  # fmt: skip
    """Open an inquiry in a transaction that says why; give its number. It holds what is asked names, and `holds`."""
    number = insert_inquiry(tx, kind, subject, asked, actor, now)
    add_holds(tx, holder_of(number), [*holds, *needs_of(tx, dict(asked))], now)
    return number


def holder_of(number: int) -> str:
    """Say who holds what an inquiry needs."""
    return f"inquiry {number}"


def advance_inquiries(
    database: Database, ground: Ground, looks: Mapping[str, Look], hint: Callable[[str], None],
    commit: str | None = None,
) -> int:  # fmt: skip
    """Look at every open inquiry that something may have happened to since its last look; say how many moves there were.

    One with jobs that are not done is looked at when another of them is; one that has none left after each event; one that waits
    each time; one that this machine could not look at, after a pause.
    """
    with database.read() as tx:
        newest = newest_events(tx, 1)
        last = newest[0].number if newest else 0
        waiting = [
            row for row in list_inquiries(tx, only_open=True, limit=None) if _may_move(tx, row, last, ground.now)
        ]
    return sum(_advance(database, ground, looks, row, last, hint, commit) for row in reversed(waiting))


def _may_move(tx: Transaction, row: Inquiry, last: int, now: datetime) -> bool:
    placed = placed_jobs(row)
    done, pause = count_done(tx, placed), again_at(row)
    if done != row.progress.get(_DONE) and row.seen_event >= 0:
        return True
    if pause is not None:
        return now >= pause
    return row.seen_event < 0 or waits_for(row) != "" or (row.seen_event < last and done == len(placed))


def _advance(
    database: Database, ground: Ground, looks: Mapping[str, Look], row: Inquiry, last: int,
    hint: Callable[[str], None], commit: str | None,
) -> int:  # fmt: skip
    look = looks.get(row.kind)
    if look is None:
        return 0  # a newer version asked
    moves = 0
    pools = shared_pools(database, ground.config)
    while True:
        with database.read() as tx:
            done = count_done(tx, placed_jobs(row))  # before the look, so that what ends meanwhile is looked at again
        move = _looked(look, database, ground, row)
        move = replace(move, orders=tuple(in_its_pool(order, pools) for order in move.orders))
        if waits_for(row) and again_at(row) is None and move == Move(waits_for=waits_for(row)):
            return moves  # it still waits: nothing to write
        try:
            with database.write() as tx:
                if find_inquiry(tx, row.id) != row:
                    return moves  # another process was faster, or somebody stopped it
                jobs = _write(tx, row, move, last, done, ground, commit)
                again = find_inquiry(tx, row.id)
        except OUR_FAULTS:
            if move.trouble:
                return moves  # not even that can be written now
            raise
        moves += again is None or again.progress != row.progress or again.state is not row.state
        for pool in {job.pool for job in jobs}:
            hint(pool)
        if again is None or not _can_go_on(row, again, jobs):
            return moves
        row = again


def _can_go_on(before: Inquiry, row: Inquiry, jobs: Sequence[Job]) -> bool:
    """Say whether to look again at once: everything that a move asked for was known already, or it has nothing to wait for."""
    if row.state is not InquiryState.OPEN or waits_for(row):
        return False
    if jobs:
        return all(job.state is JobState.DONE for job in jobs)
    return not placed_jobs(row) and before.progress != row.progress


def _looked(look: Look, database: Database, ground: Ground, row: Inquiry) -> Move:
    """Look, or say why that cannot be."""
    try:
        return look(database, ground, row)
    except NotReadyError as error:
        return Move(waits_for=f"{error.message} ({error.hint})")
    except OUR_FAULTS as error:
        return Move(trouble=f"{error.message} ({error.hint})")
    except DistwrightError as error:
        return _given_up(error.message, error.hint)
    except KeyError as error:
        return _given_up(f"the configuration no longer has {error}", "distwright config show")
    except Exception as error:  # one that a look chokes on must not hold up all others
        return _given_up(
            f"a bug of distwright in an inquiry of kind {row.kind}: {quoted(repr(error))}",
            "report this as a bug of distwright",
        )


def _given_up(message: str, hint: str) -> Move:
    return Move(answer={"error": message, "hint": hint}, is_stopped=True)


def _write(
    tx: Transaction, row: Inquiry, move: Move, last: int, done: int, ground: Ground, commit: str | None
) -> list[Job]:
    """Write a move: its end, or how far it is with the jobs that it asks for. Give those that this move placed."""
    now = ground.now
    for effect in move.effects:
        effect(tx, now=now)
    if move.answer is not None:
        state = InquiryState.STOPPED if move.is_stopped else InquiryState.DONE
        counts: dict[str, Json] = {"builds": len(plain.members(row.progress, _MADE)) if _MADE in row.progress else 0}
        end_inquiry(tx, row.id, state, {**move.answer, **counts}, now)
        drop_holds(tx, [holder_of(row.id)])
        return []
    add_holds(tx, holder_of(row.id), move.holds, now)
    placed, made = set(placed_jobs(row)), set(made_jobs(row))
    under = embargo_of(tx, dict(row.asked))  # an order may name nothing but what we made of that
    jobs = []
    for order in move.orders:
        known = find_by_digest(tx, order.digest)
        if known is not None and known.id in placed:
            continue
        job = place_order(tx, order, now, config_commit=commit, objects=ground.objects, may_repeat=True, under=under)
        add_holds(tx, holder_of(row.id), order.holds, now)
        hold_what_job_leaves(tx, holder_of(row.id), job, now)
        placed.add(job.id)
        was_asked = known is not None and known.state is not JobState.DONE
        if job.state is not JobState.DONE and not was_asked:
            made.add(job.id)
        jobs.append(job)
    own = row.progress if move.progress is None else move.progress
    kept = {key: value for key, value in own.items() if key not in _KEPT_HERE}
    waits: dict[str, Json] = _pause(row, move.trouble, now) if move.trouble else {}
    waits |= {_WAITS: move.waits_for} if move.waits_for else {}
    # A job that was known already is done, but this look did not see it.
    progress: dict[str, Json] = {**kept, **waits, _PLACED: sorted(placed), _MADE: sorted(made), _DONE: done}
    move_inquiry(tx, row.id, seen_event=last, progress=progress)
    return jobs


def _pause(row: Inquiry, trouble: str, now: datetime) -> dict[str, Json]:
    """Say why an inquiry pauses, and until when: each time for twice as long. A pause that is not over goes on."""
    tries, until = tries_of(row), again_at(row)
    if until is None or now >= until:
        tries += 1
        until = now + pause_after(tries)
    return {_WAITS: trouble, _TRIES: tries, _AGAIN: to_text(until)}


def pause_after(tries: int) -> timedelta:
    """Say how long to wait after so many looks in vain, 1 or more (pure): a minute, then twice as long each time, up to an hour."""
    return min(_FIRST_PAUSE * (1 << min(tries - 1, 10)), _LONGEST_PAUSE)


def tries_of(row: Inquiry) -> int:
    """Say how often this machine has looked in vain since it could look last."""
    return plain.number(row.progress, _TRIES) if _TRIES in row.progress else 0


def again_at(row: Inquiry) -> datetime | None:
    """Say from when on an inquiry is looked at again that this machine could not look at; None for all others."""
    return from_text(plain.text(row.progress, _AGAIN)) if _AGAIN in row.progress else None


def placed_jobs(row: Inquiry) -> tuple[int, ...]:
    """Give the jobs that an inquiry has asked for."""
    return _numbers(row, _PLACED)


def made_jobs(row: Inquiry) -> tuple[int, ...]:
    """Give those of its jobs that were not done, nor asked for by others, when it asked for them."""
    return _numbers(row, _MADE)


def waits_for(row: Inquiry) -> str:
    """Say why an inquiry asks nothing yet, or what keeps this machine from looking; "" if it does not wait."""
    return plain.text(row.progress, _WAITS) if _WAITS in row.progress else ""


def _numbers(row: Inquiry, key: str) -> tuple[int, ...]:
    members = plain.members(row.progress, key) if key in row.progress else ()
    return tuple(member for member in members if isinstance(member, int))


def answered(tx: Transaction, order: Sha256, placed: Collection[int] = ()) -> Job | None:
    """Give the job of an order that is done and decided: its outcome says how. None while it is not.

    placed: what the inquiry has asked for itself. Of these, one that ended undecided (broken, cancelled) is answered too: it cannot
    be known. What ended so before is asked for again.
    """
    job = find_by_digest(tx, order)
    if job is None or job.state is not JobState.DONE:
        return None
    is_decided = job.outcome not in (Outcome.BROKEN, Outcome.CANCELLED, None)
    return job if is_decided or job.id in placed else None


def get_inquiry(tx: Transaction, number: int) -> Inquiry:
    """Find an inquiry; raise NotFound."""
    row = find_inquiry(tx, number)
    if row is None:
        raise NotFound(f"there is no inquiry {number}", hint="distwright package inquiries")
    return row


def stop(tx: Transaction, number: int, actor: str, now: datetime) -> None:
    """End an open inquiry without an answer, with the jobs that nobody but it has asked for; raise NotFound, Refused."""
    row = get_inquiry(tx, number)
    if not end_inquiry(tx, number, InquiryState.STOPPED, {"error": f"stopped by {actor}", "hint": "ask again"}, now):
        raise Refused(f"inquiry {number} is {row.state}", hint=f"distwright package inquiry {number}")
    drop_holds(tx, [holder_of(number)])
    wanted = {job for other in list_inquiries(tx, only_open=True, limit=None) for job in placed_jobs(other)}
    for job_id in made_jobs(row):
        job = find_job(tx, job_id)
        if job is not None and job.state is not JobState.DONE and job_id not in wanted:
            cancel(tx, job_id, now)
