"""One status for a branch: from the jobs of its newest commit to a state, stage by stage. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from distwright.checks.rebuild import DIFFERS
from distwright.images.testing import is_of_a_part, upgrade_tried
from distwright.model.branches import BranchState
from distwright.model.digests import Json
from distwright.model.events import OpenEvent
from distwright.model.outcomes import JobState, Outcome
from distwright.model.records import Job

BUILD, REBUILD, TESTS, CHECKS = "build", "rebuild", "tests", "checks"
STAGES = (BUILD, REBUILD, TESTS, CHECKS)
# Kinds that say nothing about a branch (a record, a sweep's trial of an old commit) are in no stage.
_STAGE_OF: Mapping[str, str] = {
    "package.build": BUILD, "upload.accept": BUILD, "suite.publish": BUILD, "image.build": BUILD, "image.layer": BUILD,
    "package.rebuild": REBUILD, "image.rebuild": REBUILD,
    "suite.install": TESTS, "image.boot": TESTS, "image.test": TESTS, "package.autopkgtest": TESTS, "package.piuparts": TESTS,
    "package.review": CHECKS, "package.explain": CHECKS, "image.contents": CHECKS, "suite.debcheck": CHECKS,
}  # fmt: skip
# What jobs of one kind are told apart by: a newer one about the same stands for it.
_SUBJECT = ("archive", "suite", "source", "image", "architecture", "firmware")
_OF_OUTCOME: Mapping[Outcome, BranchState] = {
    Outcome.OK: BranchState.OK,
    Outcome.SKIPPED: BranchState.OK,
    Outcome.FAILED: BranchState.FAILED,
    Outcome.TIMED_OUT: BranchState.FAILED,
    Outcome.BROKEN: BranchState.BROKEN,
    Outcome.CANCELLED: BranchState.CANCELLED,
}
# Of several, the first that there is counts: what went wrong is said while the rest still runs.
_WORST_FIRST = (
    BranchState.FAILED, BranchState.BROKEN, BranchState.REFUSED, BranchState.CANCELLED, BranchState.RUNNING,
    BranchState.WAITING, BranchState.OK,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class StageStatus:
    """One stage. jobs: the newest about each subject, oldest first. since: when the job that stands for it ended, or was ordered.

    job: which that is; None as long as there is none. state: NOTHING without a job.
    """

    stage: str
    state: BranchState
    since: datetime | None
    job: Job | None
    jobs: tuple[Job, ...] = ()


@dataclass(frozen=True, slots=True)
class Status:
    """All stages, and what they come to. job: the one that decides, if one does. reason: in words, "" if all is well."""

    state: BranchState
    stages: tuple[StageStatus, ...]
    job: Job | None
    reason: str


def status_of(jobs: Sequence[Job], open_events: Iterable[OpenEvent] = ()) -> Status:
    """Say how a commit stands. jobs: all of it, oldest first. open_events: of its push and its jobs, as far as they wait.

    A test of which a person chose a part says nothing about it.
    """
    newest: dict[tuple[str, ...], Job] = {}
    for job in jobs:
        if job.kind in _STAGE_OF and not is_of_a_part(job.inputs):
            about = (_text(job.inputs.get(key)) for key in _SUBJECT)
            newest[(job.kind, *about, upgrade_tried(job.inputs) if job.kind == "image.test" else "")] = job
    stages = tuple(_stage(name, [job for job in newest.values() if _STAGE_OF[job.kind] == name]) for name in STAGES)
    found: dict[BranchState, tuple[Job | None, str]] = {}
    for stage in stages:
        if stage.job is not None:
            found.setdefault(stage.state, (stage.job, _words(stage)))
    for event in open_events:
        state = BranchState.REFUSED if event.is_refused else BranchState.WAITING
        found.setdefault(state, (None, event.reason))
    state = next((state for state in _WORST_FIRST if state in found), BranchState.NOTHING)
    decides, reason = found.get(state, (None, "no job is for this commit"))
    return Status(
        state, stages, None if state is BranchState.OK else decides, "" if state is BranchState.OK else reason
    )


def state_of_job(job: Job) -> BranchState:
    """Say what one job comes to: a rebuild that differs is no good end, though it ended well."""
    if job.state is not JobState.DONE or job.outcome is None:
        return BranchState.RUNNING
    if (
        job.outcome is Outcome.OK
        and _STAGE_OF.get(job.kind) == REBUILD
        and (job.outputs or {}).get("verdict") == DIFFERS
    ):
        return BranchState.FAILED
    return _OF_OUTCOME[job.outcome]


def _stage(name: str, jobs: Sequence[Job]) -> StageStatus:
    ordered = sorted(jobs, key=lambda job: job.id)
    states = {job.id: state_of_job(job) for job in ordered}
    for state in _WORST_FIRST:
        meant = [job for job in ordered if states[job.id] is state]
        if meant:
            job = max(meant, key=lambda job: job.finished_at or job.created_at) if state is BranchState.OK else meant[0]
            return StageStatus(name, state, job.finished_at or job.created_at, job, tuple(ordered))
    return StageStatus(name, BranchState.NOTHING, None, None)


def _words(stage: StageStatus) -> str:
    if stage.job is None or stage.state is BranchState.OK:
        return ""
    said = stage.job.message if stage.job.state is JobState.DONE else None
    return f"{stage.stage}: {said or stage.job.title}"


def _text(value: Json) -> str:
    return value if isinstance(value, str) else ""
