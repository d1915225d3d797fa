"""What work holds: what an order names until it is done, what an attempt made until it ends, then what is left of both.

Holders: `job 12` (everything that its inputs name; once it is done, the evidence of its attempts), `attempt 12-3` (what its
steps made so far), and whoever takes over when a job is ok (`build 12`, `image 12`). Who waits for a job holds the job itself
(kind "job"), and holds what it leaves from the moment that it ends. Jobs of images hold the results of the steps that they use
(kind "step", holder `stages 12`), so that a result of which no job knows any more can be dropped.
"""

from collections.abc import Iterable
from datetime import datetime

from distwright.jobs.step import KindName
from distwright.model.digests import Json, Sha256
from distwright.model.records import Job
from distwright.store.archives import find_snapshots_by_digests
from distwright.store.database import Transaction
from distwright.store.holds import (
    Hold,
    add_holds,
    drop_holds,
    holds_of,
    holds_on,
    holds_on_all,
    replace_holds,
    serial_hold,
)
from distwright.store.jobs import attempts_of, forget_step_results, is_leased

_JOB = "job"  # kind of a hold; its target is the job's number
STEP = "step"  # kind of a hold; its target is the key of a step. The holder of what the step gave is `step KEY`
_WITH_STAGES = "image."  # large and soon out of date: those of packages are small, and found by their plan for as long as there are


def needs_of(tx: Transaction, value: Json) -> list[Hold]:
    """Say what a value needs: the objects that it names, and the serials of the snapshots whose documents are among them."""
    objects = holds_on_all(value)
    reasons = {Sha256(hold.target): hold.reason for hold in objects}
    rows = find_snapshots_by_digests(tx, reasons)
    return [*(serial_hold("", row.archive, row.serial, reasons[row.digest]) for row in rows), *objects]


def hold_for_job(tx: Transaction, job: Job, more: Iterable[Hold], now: datetime) -> None:
    """Hold what a queued job will need: all that its inputs name, and `more`."""
    replace_holds(tx, _of_job(job), [*more, *needs_of(tx, job.inputs), *_evidence(tx, job)], now)


def hold_what_job_leaves(tx: Transaction, holder: str, job: Job, now: datetime) -> None:
    """Hold what a job needs, and what it leaves when it ends, or has left already."""
    wanted = [Hold("", _JOB, str(job.id), job.title), *needs_of(tx, job.inputs), *holds_on_all(job.outputs)]
    add_holds(tx, holder, wanted, now)


def hold_for_attempt(tx: Transaction, job_id: int, fence: int, made: Iterable[Hold], now: datetime) -> None:
    """Hold what a step made until its attempt ends; nothing if the attempt has lost its job."""
    if is_leased(tx, job_id, fence):
        add_holds(tx, f"attempt {job_id}-{fence}", made, now)


def has_stages(kind: KindName) -> bool:
    """Say whether jobs of a kind note which results of steps they use."""
    return kind.name.startswith(_WITH_STAGES)


def hold_stage(tx: Transaction, job_id: int, key: Sha256, step: str, now: datetime) -> None:
    """Note that a job uses what a step gave, or will give."""
    add_holds(tx, _stages_of(job_id), [Hold("", STEP, key, step)], now)


def let_stages_go(tx: Transaction, job_ids: Iterable[int]) -> None:
    """Let jobs use no results of steps any more, and drop those that no other job has noted."""
    holders = [_stages_of(job_id) for job_id in job_ids]
    keys = {hold.target for holder in holders for hold in holds_of(tx, holder) if hold.kind == STEP}
    drop_holds(tx, holders)
    gone = sorted(key for key in keys if not holds_on(tx, STEP, key))
    drop_holds(tx, [f"{STEP} {key}" for key in gone])
    forget_step_results(tx, gone)


def _stages_of(job_id: int) -> str:
    return f"stages {job_id}"


def end_attempt_holds(tx: Transaction, job: Job, now: datetime) -> None:
    """Let go of what an attempt made; its evidence passes to the job. Call it when the end of the attempt is written."""
    replace_holds(tx, f"attempt {job.id}-{job.fence}", [], now)
    add_holds(tx, _of_job(job), _evidence(tx, job), now)


def end_job_holds(
    tx: Transaction, job: Job, now: datetime, *, heir: str = "", left: Json = None, is_ok: bool = False
) -> None:
    """Let go of what a job needed. `heir` takes over all of it and what is `left`; evidence stays with the job.

    Without an heir, what is `left` of a job that is not ok is evidence too; what one that is ok leaves has holders of its own.
    Who waits for the job holds what is left, whatever the end.
    """
    remains = holds_on_all(left)
    for waiting in holds_on(tx, _JOB, str(job.id)):
        add_holds(tx, waiting.holder, remains, now)
    if heir:
        add_holds(tx, heir, [*remains, *holds_of(tx, _of_job(job))], now)
    evidence = _evidence(tx, job)
    replace_holds(tx, _of_job(job), evidence if heir or is_ok else [*evidence, *remains], now)


def _of_job(job: Job) -> str:
    return f"job {job.id}"


def _evidence(tx: Transaction, job: Job) -> list[Hold]:
    return [
        hold
        for attempt in attempts_of(tx, job.id)
        for hold in holds_on_all({f"attempt {attempt.fence}": dict(attempt.outputs)})
    ]
