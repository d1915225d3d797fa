"""Leases and fences: who works on a job now, when that ends, and what becomes of a job whose worker is gone."""

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from pathlib import Path

from distwright.errors import LeaseLost
from distwright.jobs.keeping import end_attempt_holds, end_job_holds
from distwright.jobs.order import PRIORITY_RELEASE
from distwright.jobs.step import KindName
from distwright.model.digests import Json, Sha256
from distwright.model.events import Event, EventKind
from distwright.model.outcomes import Outcome
from distwright.model.records import Job
from distwright.store.database import Database, Transaction
from distwright.store.embargoes import note_private_objects
from distwright.store.events import append_event
from distwright.store.jobs import (
    Finish,
    claim,
    find_job,
    finish_attempt,
    is_leased,
    renew_lease,
    running_below,
    running_jobs,
    waiting_since,
)

LEASE_S = 60
HUNG_AFTER_S = 600
RETRY_DELAYS_S = (30, 120, 600)
MAKE_WAY_LIMIT = 100  # jobs of releases that are looked at
MAKE_WAY_AFTER_S = 10  # until then a worker that has nothing to do takes it
LOST_WORKERS_LIMIT = 10  # a job that takes its worker down each time must not run for ever
STAYS = frozenset({"pool.scale"})  # begun once and for all (jobs/scaling.py), and short
_BAD_ENDS = (Outcome.FAILED, Outcome.BROKEN, Outcome.TIMED_OUT)


@dataclass(frozen=True, slots=True)
class Ending:
    """How an attempt ended, as its worker saw it.

    outputs, events, heir: as the conclusion gave them. evidence: objects that its steps left, whatever the end. log_bytes: how long
    its log is, where the server may not have all of it; None: it is here.
    """

    outcome: Outcome
    message: str
    outputs: Mapping[str, Json] | None = None
    events: Sequence[Event] = ()
    heir: str = ""
    evidence: Mapping[str, Sha256] = field(default_factory=dict)
    log_bytes: int | None = None


class Retry(Enum):
    """When a BROKEN attempt is tried again by itself: later (a server), at once (it was interrupted), never (a command).

    An interruption is nobody's fault: it does not count as a try. MADE_WAY: a release takes its place: an attempt that
    is CANCELLED for that is tried again too, and it counts as nothing at all.
    """

    LATER = "later"
    AT_ONCE = "at once"
    NEVER = "never"
    MADE_WAY = "made way"


def retry_at(outcome: Outcome, broken_count: int, now: datetime) -> datetime | None:
    """Say when to try again by itself: only after BROKEN, three times, later each time."""
    if outcome is not Outcome.BROKEN or broken_count >= len(RETRY_DELAYS_S):
        return None
    return now + timedelta(seconds=RETRY_DELAYS_S[broken_count])


def claim_next(
    database: Database,
    pools: Sequence[str],
    holder: str,
    now: datetime,
    kinds: Collection[KindName] | None = None,
    only: Collection[int] | None = None,
) -> Job | None:
    """Lease the next job of these pools; None if nothing is ready. kinds: those that the holder knows; None takes any.

    only: numbers of the jobs that it wants, however many others come before them; None: whatever is next.
    """
    known = None if kinds is None else [(kind.name, kind.version) for kind in kinds]
    with database.write() as tx:
        return claim(tx, pools, holder, now, now + timedelta(seconds=LEASE_S), known, only)


def renew(database: Database, job: Job, now: datetime) -> Job | None:
    """Keep a lease alive; None means that the job is no longer ours and the attempt must stop."""
    with database.write() as tx:
        return renew_lease(tx, job.id, job.fence, now + timedelta(seconds=LEASE_S))


def takes_its_place(
    database: Database,
    job: Job,
    pools: Sequence[str],
    kinds: Collection[KindName],
    now: datetime,
    portable: Collection[KindName] = (),
) -> Job | None:
    """Say for which job of a release a running one must make way; None if it may go on.

    Only for one that nobody has taken for MAKE_WAY_AFTER_S. kinds: those that any worker of this version knows; portable: those of
    them that one on another machine may run. All workers of these pools come to the same answer (`who_makes_way`).
    """
    if job.priority >= PRIORITY_RELEASE:
        return None
    known = [(kind.name, kind.version) for kind in kinds]
    since = now - timedelta(seconds=MAKE_WAY_AFTER_S)
    with database.read() as tx:
        waiting = waiting_since(tx, pools, PRIORITY_RELEASE, since, known, MAKE_WAY_LIMIT)
        lower = running_below(tx, pools, PRIORITY_RELEASE) if waiting else []
    return who_makes_way(lower, waiting, {(kind.name, kind.version) for kind in portable}).get(job.id)


def who_makes_way(
    running: Sequence[Job], waiting: Sequence[Job], portable: Collection[tuple[str, int]]
) -> dict[int, Job]:
    """Say which jobs make way for which: for each that waits, in their order, the least whose worker could take it.

    running: the least first, of those the youngest. A worker on another machine takes portable kinds only. Whoever has a job of a
    pool works for that pool, and perhaps for others: one of the same pool comes first.
    """
    places: dict[int, Job] = {}
    for release in waiting:
        is_for_all = (release.kind, release.version) in portable
        fit = [
            row
            for row in running
            if row.id not in places and row.kind not in STAYS and (is_for_all or not host_of(row.lease_holder or ""))
        ]
        for row in sorted(fit, key=lambda row: row.pool != release.pool)[:1]:
            places[row.id] = release
    return places


@contextmanager
def fenced_write(database: Database, job_id: int | None, fence: int) -> Iterator[Transaction]:
    """Begin a writing transaction of an attempt; raise LeaseLost if the job is no longer its own. None: a person's, no job."""
    with database.write() as tx:
        if job_id is not None and not is_leased(tx, job_id, fence):
            raise LeaseLost(
                f"attempt {fence} has lost job {job_id}: another one has it, or it is done",
                hint=f"distwright job show {job_id}",
            )
        yield tx


def end_attempt(database: Database, job: Job, ending: Ending, now: datetime, *, retry: Retry = Retry.LATER) -> bool:
    """Write an attempt's end and its events in one transaction, if the fence is still ours; say whether it was.

    An attempt of a job that somebody cancelled meanwhile is CANCELLED if it is BROKEN or made way, and not tried again.
    """
    later = {
        Retry.LATER: retry_at(ending.outcome, job.broken_count, now),
        Retry.AT_ONCE: now if ending.outcome is Outcome.BROKEN else None,
        Retry.NEVER: None,
        Retry.MADE_WAY: now if ending.outcome in (Outcome.CANCELLED, Outcome.BROKEN) else None,
    }[retry]
    is_lost, makes_way = retry is Retry.AT_ONCE, retry is Retry.MADE_WAY and later is not None
    end = Finish(
        ending.outcome, ending.message, ending.outputs, later, ending.evidence,
        is_lost=is_lost, makes_way=makes_way, log_bytes=ending.log_bytes,
    )  # fmt: skip
    return _write_end(database, job, end, now, events=ending.events, heir=ending.heir)


def reap(database: Database, now: datetime, host: str = "") -> list[Job]:
    """Give back the jobs whose lease ran out or whose worker on this machine is dead; they are ready at once.

    host: what this machine is called if it works for another.
    """
    with database.read() as tx:
        lost = [job for job in running_jobs(tx) if _is_lost(job, now, host)]
    reaped = []
    for job in lost:
        later = now if job.lost_count < LOST_WORKERS_LIMIT else None
        end = Finish(Outcome.BROKEN, f"the worker {job.lease_holder} is gone", retry_at=later, is_lost=True)
        if _write_end(database, job, end, now):
            reaped.append(job)
    return reaped


def holder_name(pid: int | None = None, *, host: str = "") -> str:
    """Name this process so that another can tell whether it still lives: machine, boot, pid namespace, pid, start time.

    host: what this machine is called if it works for another; it stands before the machine, and a colon after it.
    """
    who = os.getpid() if pid is None else pid
    return f"{_machine(host)} {_boot_id()} {_pid_namespace()} {who} {_start_ticks(who)}"


def host_of(holder: str) -> str:
    """Say which host a holder of a lease is on; "" for the server itself."""
    return holder.partition(" ")[0].rpartition(":")[0]


def is_alive(holder: str, host: str = "") -> bool | None:
    """Say whether a holder lives; None if that cannot be seen from here (another machine, another container)."""
    parts = holder.split(" ")
    if len(parts) != 5 or parts[0] != _machine(host) or not parts[3].isdigit():
        return None
    if parts[1] != _boot_id():
        return False
    if parts[2] != _pid_namespace():
        return None
    return parts[4] != "" and _start_ticks(int(parts[3])) == parts[4]


def _write_end(
    database: Database, job: Job, end: Finish, now: datetime, *, events: Sequence[Event] = (), heir: str = ""
) -> bool:
    """Write an end with all that follows from it: events, holds, and the news that a job is given up."""
    with database.write() as tx:
        end = _unless_cancelled(tx, job, end)
        if not finish_attempt(tx, job.id, job.fence, end, now):
            return False
        for event in events:
            append_event(tx, event)
        note_private_objects(tx, job.id, [end.outputs, end.evidence, job.inputs.get("files")])
        end_attempt_holds(tx, job, now)
        if end.retry_at is None:
            left: Json = [end.outputs, [event.body for event in events]]
            end_job_holds(tx, job, now, heir=heir, left=left, is_ok=end.outcome is Outcome.OK)
        if end.retry_at is None and end.outcome in _BAD_ENDS:
            body: dict[str, Json] = {"job": job.id, "kind": job.kind, "title": job.title}
            body |= {"outcome": end.outcome.value, "message": end.message}
            append_event(tx, Event(EventKind.JOB_ENDED, now, job.title, body, job.id))
    return True


def _unless_cancelled(tx: Transaction, job: Job, end: Finish) -> Finish:
    current = find_job(tx, job.id)
    may_go_on = end.outcome is Outcome.BROKEN or end.makes_way
    if not may_go_on or current is None or not current.is_cancelled:
        return end
    return Finish(Outcome.CANCELLED, f"cancelled ({end.message})", evidence=end.evidence)


def _is_lost(job: Job, now: datetime, host: str) -> bool:
    if job.lease_until is None or job.lease_holder is None:
        return True
    alive = is_alive(job.lease_holder, host)
    if alive is False:
        return True
    # A process that lives but has not renewed for long hangs; its fence keeps it from writing when it wakes.
    patience = timedelta(seconds=HUNG_AFTER_S if alive else 0)
    return job.lease_until + patience < now


def _machine(host: str) -> str:
    """Give the machine's identity (machine-id(5)); its name where it has none. Two hosts may be copies of one disk."""
    try:
        identity = Path("/etc/machine-id").read_text().strip()
    except OSError:
        identity = ""
    return f"{host}:" * bool(host) + (identity or os.uname().nodename)


def _pid_namespace() -> str:
    return str(Path("/proc/self/ns/pid").stat().st_ino)


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _start_ticks(pid: int) -> str:
    """Give the start time of a process in clock ticks since boot (proc(5), stat field 22); "" if it is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if fields[0] == "Z" else fields[19]
