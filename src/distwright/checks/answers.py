"""Answers to "does it build there?": from the job of a trial, or of a build of the same state."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from distwright.builds.package import KIND as BUILD_KIND
from distwright.builds.trying import trial_of
from distwright.checks.bisection import Answer
from distwright.checks.filing import BUILDS, states_of
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
_Place = tuple[str, frozenset[tuple[str, Sha256]]]  # a commit, and `archive/suite` -> document


@dataclass(frozen=True, slots=True)
class Builds:
    """What was tried or built of a source. jobs: of each commit and state, the newest first."""

    jobs: Mapping[_Place, Sequence[int]]

    @property
    def commits(self) -> frozenset[str]:
        """The commits that anybody has tried."""
        return frozenset(commit for commit, _ in self.jobs)

    def twin(self, tx: Transaction, order: JobOrder) -> Job | None:
        """Find a build of the very same state, which answers what a trial would.

        A build that failed is kept by no step: it would be repeated.
        """
        commit = str(order.inputs.get("commit", ""))
        jobs = (find_job(tx, number) for number in self.jobs.get(_place(commit, states_of(order.inputs)), ()))
        return next((job for job in jobs if job is not None and _is_twin(job, order)), None)


def _is_twin(job: Job, order: JobOrder) -> bool:
    is_decided = job.state is JobState.DONE and job.outcome in _DECIDED
    if job.kind != BUILD_KIND.name or not is_decided:
        return False
    return trial_of(JobOrder(BUILD_KIND, job.inputs, job.title)).digest == order.digest


def builds_of(tx: Transaction, source: str) -> Builds:
    """Read what was tried of a source."""
    found: dict[_Place, list[int]] = {}
    for trial in list_trials(tx, BUILDS, source):
        found.setdefault(_place(trial.commit, trial.states), []).append(trial.job)
    return Builds(found)


def _place(commit: str, states: Mapping[str, Sha256]) -> _Place:
    return commit, frozenset(states.items())


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
