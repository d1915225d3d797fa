"""Answers to "does it build there?": from the job of a trial, or of a build of the same state."""

from collections.abc import Collection, Mapping

from distwright.builds.package import KIND as BUILD_KIND
from distwright.builds.trying import trial_of
from distwright.checks.bisection import Answer
from distwright.checks.filing import BUILDS
from distwright.checks.inquiries import answered
from distwright.jobs.order import JobOrder
from distwright.model import plain
from distwright.model.digests import Sha256
from distwright.model.outcomes import JobState, Outcome
from distwright.model.records import Job
from distwright.store.database import Transaction
from distwright.store.jobs import find_job
from distwright.store.trials import list_trials

_DECIDED = (Outcome.OK, Outcome.FAILED, Outcome.TIMED_OUT)

_BEFORE = ("environment", "source", "dependencies")
Twins = Mapping[Sha256, Job]
"""Digest of a trial's order -> a build of the very same state that is done."""


def twins_of(tx: Transaction, source: str) -> dict[Sha256, Job]:
    """Find the builds of a source that answer what a trial would: a build that failed is kept by no step, and would be repeated."""
    found: dict[Sha256, Job] = {}
    for trial in list_trials(tx, BUILDS, source):
        job = find_job(tx, trial.job)
        if job is not None and job.kind == BUILD_KIND.name and job.state is JobState.DONE and job.outcome in _DECIDED:
            found[trial_of(JobOrder(BUILD_KIND, job.inputs, job.title)).digest] = job
    return found


def known_job(tx: Transaction, order: Sha256, placed: Collection[int], twins: Twins) -> Job | None:
    """Give the job that answers an order's question; None if none has yet."""
    return answered(tx, order, placed) or twins.get(order)


def stage_of(job: Job) -> str:
    """Say where a build stopped: before it began (`dependencies`, `source`), or in it (`build`); "" if nobody noted it."""
    if job.outputs is None or "stage" not in job.outputs:
        return ""
    stage = plain.text(job.outputs, "stage")
    return stage if stage in _BEFORE else "build"


def answer_of(job: Job, stage: str = "") -> Answer:
    """Say what a job answers. stage: where the failure that is looked for stops; one that stops elsewhere is another one."""
    if job.outcome is Outcome.OK:
        return Answer.GOOD
    if job.outcome is Outcome.TIMED_OUT:
        return Answer.BAD
    if job.outcome is not Outcome.FAILED:
        return Answer.UNKNOWN
    its = stage_of(job)
    return Answer.BAD if not stage or not its or its == stage else Answer.UNKNOWN
