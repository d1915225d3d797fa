"""A job order: immutable, known by the digest of its kind and inputs; the same order twice is one job."""

from dataclasses import dataclass, replace
from datetime import datetime

from distwright.errors import NotFound, Refused
from distwright.jobs.keeping import end_job_holds, hold_for_job
from distwright.jobs.step import Inputs, KindName
from distwright.model.branches import RefCommit, commit_of_inputs
from distwright.model.digests import Json, Sha256, digest_of, digests_in
from distwright.model.embargo import PUBLIC, REPO, Embargo, named_in
from distwright.model.outcomes import JobState, Outcome
from distwright.model.records import Job
from distwright.store.branch_states import add_branch_jobs
from distwright.store.database import Transaction
from distwright.store.embargoes import (
    embargo_of_event,
    embargo_of_objects,
    list_private_names,
    open_job,
    set_embargo,
)
from distwright.store.holds import Hold
from distwright.store.jobs import (
    find_by_digest,
    find_job,
    finish_queued,
    insert_job,
    raise_priority,
    requeue,
    set_cancelled,
    set_title,
)
from distwright.store.objects import ObjectStore

DEFAULT_POOL = "local"
PRIORITY_WAITED = 45  # a person waits for it
PRIORITY_RELEASE, PRIORITY_BASE, PRIORITY_REVIEW, PRIORITY_TOPIC, PRIORITY_DAILY = 50, 40, 30, 20, 10

# Ends that say nothing about the work: whoever orders it again wants it done. FAILED and SKIPPED would only be repeated.
_UNDECIDED = (Outcome.BROKEN, Outcome.CANCELLED, Outcome.TIMED_OUT)


@dataclass(frozen=True, slots=True)
class JobOrder:
    """kind: a key of worker/kinds.py, in its present version. inputs: plain JSON, digests instead of paths. title: for people,
    not in the identity. holds: what must stay until the job is done beside the objects that its inputs name: serials. share: whose
    it is: of one priority, each share has one job a round. commits: what it is for, beside what its inputs name.
    """

    kind: KindName
    inputs: Inputs
    title: str
    priority: int = PRIORITY_BASE
    pool: str = DEFAULT_POOL
    holds: tuple[Hold, ...] = ()
    share: str = ""
    commits: tuple[RefCommit, ...] = ()

    @property
    def digest(self) -> Sha256:
        """The identity: kind, version of its steps, inputs."""
        return digest_of({"kind": self.kind.name, "version": self.kind.version, "inputs": self.inputs})


def with_priority(order: JobOrder, priority: int) -> JobOrder:
    """Give the same order another place in the queue."""
    return replace(order, priority=priority)


def place_order(
    tx: Transaction,
    order: JobOrder,
    now: datetime,
    *,
    config_commit: str | None = None,
    cause: int | None = None,
    objects: ObjectStore | None = None,
    may_repeat: bool = True,
    under: Embargo = PUBLIC,
) -> Job:
    """Queue the order unless its job exists already; give the job either way. cause: number of the event that asked for it.

    A job that ended undecided, or whose outputs are no longer in `objects`, is queued again if it may_repeat. Of two orders the
    higher priority counts. It is under embargo for what is private in its inputs, and in what it follows from: an event, or what
    somebody asked (under: `embargo_of` that). A public order of the same job opens it, for all of it can be known then.
    """
    existing = find_by_digest(tx, order.digest)
    embargo = _embargo(tx, order, cause) | under
    commits = _shown_commits((*order.commits, *commit_of_inputs(order.inputs)), embargo)
    if existing is not None:
        _join(tx, existing, order, embargo)
        add_branch_jobs(tx, existing.id, commits)
        raise_priority(tx, existing.id, order.priority)
        if may_repeat and _is_to_repeat(existing, objects):
            requeue(tx, existing.id, now)
            hold_for_job(tx, existing, order.holds, now)
        return get_job(tx, existing.id)
    job_id = insert_job(
        tx,
        kind=order.kind.name,
        version=order.kind.version,
        digest=order.digest,
        inputs=order.inputs,
        title=order.title,
        pool=order.pool,
        priority=order.priority,
        now=now,
        config_commit=config_commit,
        cause=cause,
        share=order.share,
        embargo=embargo,
    )
    add_branch_jobs(tx, job_id, commits)
    job = get_job(tx, job_id)
    hold_for_job(tx, job, order.holds, now)
    return job


def embargo_of(tx: Transaction, value: Json) -> Embargo:
    """Say of what private things a value tells: by name, or by the digest of what a private job has made."""
    private = list_private_names(tx)
    return named_in(value, private) | embargo_of_objects(tx, value) if private else PUBLIC


def _embargo(tx: Transaction, order: JobOrder, cause: int | None) -> Embargo:
    """Say of what private things an order is. One that a person gives follows from no event: what it names by digest counts."""
    private = list_private_names(tx)
    if not private:
        return PUBLIC
    named = named_in(order.inputs, private)
    if cause is not None:
        return named | embargo_of_event(tx, cause)
    repos = Embargo(frozenset(f"{REPO}/{one.repo}" for one in order.commits) & private)
    return named | repos | embargo_of_objects(tx, order.inputs)


def _shown_commits(commits: tuple[RefCommit, ...], embargo: Embargo) -> tuple[RefCommit, ...]:
    """Leave out commits of public repos where work is private: their pages would show it."""
    return tuple(one for one in commits if not embargo or f"{REPO}/{one.repo}" in embargo.names)


def _join(tx: Transaction, job: Job, order: JobOrder, embargo: Embargo) -> None:
    if job.embargo and not embargo:
        open_job(tx, job.id, order.title, order.share)
    elif job.embargo:
        set_embargo(tx, job.id, job.embargo | embargo)


def retitle(tx: Transaction, job: Job, title: str) -> None:
    """Say in other words what a job is for, unless it is done; the title is for people and no part of what it is."""
    set_title(tx, job.id, title)


def get_job(tx: Transaction, job_id: int) -> Job:
    """Find a job; raise NotFound."""
    job = find_job(tx, job_id)
    if job is None:
        raise no_job(job_id)
    return job


def no_job(job_id: int) -> NotFound:
    """Give what is said of a job that is not there."""
    return NotFound(f"job {job_id} does not exist", hint="distwright job list")


def retry(tx: Transaction, job_id: int, now: datetime) -> Job:
    """Queue a job again that is done and not ok; raise Refused for any other."""
    job = get_job(tx, job_id)
    if job.state is not JobState.DONE:
        raise Refused(f"job {job_id} is {job.state}", hint=f"distwright job show {job_id}")
    if job.outcome is Outcome.OK:
        raise Refused(f"job {job_id} is ok; the same inputs give the same result", hint=f"distwright job show {job_id}")
    requeue(tx, job_id, now)
    hold_for_job(tx, job, (), now)
    return get_job(tx, job_id)


def cancel(tx: Transaction, job_id: int, now: datetime) -> Job:
    """End a job: at once if it is queued, by its runner if it runs; raise Refused if it is done."""
    job = get_job(tx, job_id)
    if job.state is JobState.DONE:
        raise Refused(f"job {job_id} is done ({job.outcome})", hint=f"distwright job show {job_id}")
    if finish_queued(tx, job_id, Outcome.CANCELLED, "cancelled before it began", now):
        end_job_holds(tx, job, now)
    else:
        set_cancelled(tx, job_id)
    return get_job(tx, job_id)


def _is_to_repeat(job: Job, objects: ObjectStore | None) -> bool:
    if job.state is not JobState.DONE:
        return False
    if job.outcome is Outcome.OK and objects is not None:
        return not all(objects.has(digest) for _, digest in digests_in(job.outputs))
    return job.outcome in _UNDECIDED
