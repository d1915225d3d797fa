"""One status of a branch, from the jobs of its newest commit: pure."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.worlds.times import NOW

from distwright.flow.branch_status import STAGES, Status, state_of_job, status_of
from distwright.model.branches import BranchState
from distwright.model.digests import Json, sha256_of
from distwright.model.events import Event, EventKind, OpenEvent, StoredEvent
from distwright.model.outcomes import JobState, Outcome
from distwright.model.records import Job
from distwright.worker.kinds import KINDS

S = BranchState
PUSHED = StoredEvent(1, 1, Event(EventKind.REPO_PUSHED, NOW, "live refs/heads/topic", {}))


def job_of(number: int, kind: str, outcome: Outcome | None = Outcome.OK, **inputs: Json) -> Job:
    """Give a job that ended so, or runs (None)."""
    state, ended = (JobState.RUNNING, None) if outcome is None else (JobState.DONE, NOW + timedelta(minutes=number))
    verdict: Mapping[str, Json] = {"verdict": inputs.pop("verdict", "same")}
    return Job(
        id=number, kind=kind, version=1, digest=sha256_of(b"%d" % number), inputs=inputs, title=f"do {kind}", pool="local",
        priority=40, state=state, outcome=outcome, message=None if outcome is None else f"{kind} {outcome}", outputs=verdict,
        created_at=NOW, finished_at=ended, not_before=NOW, fence=1, broken_count=0, lost_count=0, lease_holder=None,
        lease_until=None, is_cancelled=False, config_commit=None, cause=None,
    )  # fmt: skip


def stages(status: Status) -> dict[str, str]:
    return {stage.stage: stage.state.value for stage in status.stages}


def test_nothing_is_built_of_a_commit_without_jobs() -> None:
    status = status_of([])
    assert (status.state, status.job, status.reason) == (S.NOTHING, None, "no job is for this commit")
    assert stages(status) == dict.fromkeys(STAGES, "nothing")


def test_all_is_well_when_every_stage_that_there_is_ended_well() -> None:
    status = status_of([job_of(1, "image.build"), job_of(2, "image.rebuild"), job_of(3, "image.boot")])
    assert (status.state, status.job, status.reason) == (S.OK, None, "")
    assert stages(status) == {"build": "ok", "rebuild": "ok", "tests": "ok", "checks": "nothing"}
    assert [stage.since for stage in status.stages] == [NOW + timedelta(minutes=number) for number in (1, 2, 3)] + [
        None
    ]


def test_it_runs_while_one_job_does_and_has_failed_as_soon_as_one_has() -> None:
    jobs = [job_of(1, "image.build"), job_of(2, "image.boot", None), job_of(3, "image.test", None)]
    running = status_of(jobs)
    assert (running.state, running.reason) == (S.RUNNING, "tests: do image.boot")
    failed = status_of([*jobs[:2], job_of(3, "image.test", Outcome.FAILED)])
    assert (failed.state, failed.reason) == (S.FAILED, "tests: image.test failed")
    assert failed.job is not None
    assert failed.job.id == 3


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (Outcome.SKIPPED, S.OK),
        (Outcome.TIMED_OUT, S.FAILED),
        (Outcome.BROKEN, S.BROKEN),
        (Outcome.CANCELLED, S.CANCELLED),
    ],
)
def test_every_end_has_its_word(outcome: Outcome, state: BranchState) -> None:
    assert status_of([job_of(1, "package.build", outcome)]).state is state
    assert (
        status_of([job_of(1, "package.build", outcome), job_of(2, "upload.accept", Outcome.FAILED)]).state is S.FAILED
    )


def test_part_of_the_tests_that_a_person_chose_stands_for_nothing() -> None:
    bad = job_of(1, "image.test", Outcome.FAILED, image="a", firmware="bios", chosen_scenarios=[])
    part = job_of(2, "image.test", image="a", firmware="bios", asked="now", chosen_scenarios=["one"])
    assert status_of([bad, part]).state is S.FAILED
    upgrade = job_of(3, "image.test", Outcome.FAILED, image="a", firmware="bios", asked="now", upgrade={"from": "a-1"})
    assert status_of([upgrade, job_of(4, "image.test", image="a", firmware="bios")]).state is S.FAILED
    assert status_of([bad, job_of(4, "image.test", image="a", firmware="bios")]).state is S.OK


def test_newer_job_about_the_same_stands_for_it_and_one_about_another_does_not() -> None:
    bad = job_of(1, "image.boot", Outcome.FAILED, image="a", firmware="bios")
    assert status_of([bad, job_of(2, "image.boot", image="a", firmware="bios")]).state is S.OK
    assert status_of([bad, job_of(2, "image.boot", image="a", firmware="uefi")]).state is S.FAILED
    assert status_of([bad, job_of(2, "image.boot", image="b", firmware="bios")]).state is S.FAILED


def test_rebuild_that_differs_has_failed_though_its_job_ended_well() -> None:
    differs = job_of(2, "package.rebuild", verdict="differs")
    assert (differs.outcome, state_of_job(differs)) == (Outcome.OK, S.FAILED)
    assert stages(status_of([job_of(1, "package.build"), differs]))["rebuild"] == "failed"
    assert state_of_job(job_of(3, "package.build", verdict="differs")) is S.OK, "only rebuilds have such a verdict"


def test_what_waits_and_what_was_refused_is_said_with_its_reason() -> None:
    waits = OpenEvent(PUSHED, "no snapshot yet", is_refused=False, retry_at=None)
    refused = OpenEvent(PUSHED, "no changelog", is_refused=True, retry_at=None)
    assert (status_of([], [waits]).state, status_of([], [waits]).reason) == (S.WAITING, "no snapshot yet")
    assert (status_of([], [waits, refused]).state, status_of([], [waits, refused]).reason) == (
        S.REFUSED,
        "no changelog",
    )
    built = job_of(1, "package.build")
    assert status_of([built], [waits]).state is S.WAITING
    assert status_of([replace(built, state=JobState.RUNNING, outcome=None)], [waits]).state is S.RUNNING
    assert status_of([job_of(1, "package.build", Outcome.FAILED)], [refused]).state is S.FAILED


def test_work_that_says_nothing_about_a_branch_is_in_no_stage() -> None:
    """Each kind is in a stage or among these: a new one has to be thought of."""
    in_none = {kind for kind in KINDS if status_of([job_of(1, kind)]).state is S.NOTHING}
    assert in_none == {
        "archive.record", "archive.renew", "repo.fetch", "suite.tidy", "package.try", "package.dependents", "image.kit",
        "image.rehearsal", "pool.scale",
    }  # fmt: skip
