"""What work holds: what an order names until it is done, what an attempt made until it ends, then what is left of both.

Holders: `job 12` (everything that its inputs name; once it is done, the evidence of its attempts), `attempt 12-3` (what its
steps made so far), and whoever takes over when a job is ok (`build 12`, `image 12`).
"""

from collections.abc import Iterable
from datetime import datetime

from distwright.model.digests import Json
from distwright.model.records import Job
from distwright.store.database import Transaction
from distwright.store.holds import Hold, add_holds, holds_of, holds_on_all, replace_holds
from distwright.store.jobs import attempts_of, is_leased


def hold_for_job(tx: Transaction, job: Job, more: Iterable[Hold], now: datetime) -> None:
    """Hold what a queued job will need: all that its inputs name, and `more` (serials, which inputs do not name)."""
    replace_holds(tx, _of_job(job), [*more, *holds_on_all(job.inputs), *_evidence(tx, job)], now)


def hold_for_attempt(tx: Transaction, job_id: int, fence: int, made: Iterable[Hold], now: datetime) -> None:
    """Hold what a step made until its attempt ends; nothing if the attempt has lost its job."""
    if is_leased(tx, job_id, fence):
        add_holds(tx, f"attempt {job_id}-{fence}", made, now)


def end_attempt_holds(tx: Transaction, job: Job, now: datetime) -> None:
    """Let go of what an attempt made; its evidence passes to the job. Call it when the end of the attempt is written."""
    replace_holds(tx, f"attempt {job.id}-{job.fence}", [], now)
    add_holds(tx, _of_job(job), _evidence(tx, job), now)


def end_job_holds(tx: Transaction, job: Job, now: datetime, *, heir: str = "", left: Json = None) -> None:
    """Let go of what a job needed. `heir` takes over all of it and what is `left`; evidence stays with the job.

    Without an heir, what is `left` of it is evidence too.
    """
    if heir:
        add_holds(tx, heir, [*holds_on_all(left), *holds_of(tx, _of_job(job))], now)
    evidence = _evidence(tx, job)
    replace_holds(tx, _of_job(job), evidence if heir else [*evidence, *holds_on_all(left)], now)


def _of_job(job: Job) -> str:
    return f"job {job.id}"


def _evidence(tx: Transaction, job: Job) -> list[Hold]:
    return [
        hold
        for attempt in attempts_of(tx, job.id)
        for hold in holds_on_all({f"attempt {attempt.fence}": dict(attempt.outputs)})
    ]
