"""Leases and fences: whose turn it is, whose word counts, and what becomes of a job whose worker is gone."""

import os
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from tests.worlds.state import COUNT, Clock, count_order, placed
from tests.worlds.times import NOW

from distwright.errors import LeaseLost
from distwright.jobs.lease import (
    LEASE_S,
    LOST_WORKERS_LIMIT,
    RETRY_DELAYS_S,
    Ending,
    Retry,
    claim_next,
    end_attempt,
    fenced_write,
    holder_name,
    host_of,
    is_alive,
    reap,
    renew,
    retry_at,
)
from distwright.jobs.order import cancel, get_job
from distwright.jobs.step import KindName
from distwright.model.digests import sha256_of
from distwright.model.events import Event, EventKind
from distwright.model.outcomes import JobState, Outcome
from distwright.model.records import Attempt, Job
from distwright.store.database import Database
from distwright.store.events import append_event, events_after
from distwright.store.jobs import attempts_of, unfinished
from distwright.store.tallies import count_by_state

POOLS = ["local"]
ME = holder_name()
ELSEWHERE = "another-host 11111111-2222-3333-4444-555555555555 4711 100"
LEASE = timedelta(seconds=LEASE_S)
EVENT = Event(EventKind.CONFIG_APPLIED, NOW, "c0ffee", {"commit": "c0ffee", "config": "0" * 64})


# Claiming


def test_nothing_queued_is_nothing_claimed(database: Database) -> None:
    assert claim_next(database, POOLS, ME, NOW) is None


def test_claimed_job_runs_under_a_lease_and_a_new_fence(database: Database) -> None:
    queued = placed(database, count_order())
    claimed = claim_next(database, POOLS, ME, NOW)
    assert claimed == replace(queued, state=JobState.RUNNING, fence=1, lease_holder=ME, lease_until=NOW + LEASE)
    assert _attempts(database, 1) == [Attempt(1, 1, ME, NOW, None, None, None)]
    assert claim_next(database, POOLS, "another", NOW) is None, "one job is for one worker"


def test_turn_is_by_priority_then_by_age(database: Database) -> None:
    for number, priority in enumerate((20, 40, 10, 40, 50)):
        placed(database, count_order(number, priority=priority), NOW - timedelta(hours=number))
    assert [_claimed(database).inputs["number"] for _ in range(5)] == [4, 1, 3, 0, 2]


def test_worker_takes_jobs_of_its_pools_only(database: Database) -> None:
    placed(database, count_order(1, pool="big"))
    placed(database, count_order(2, pool="small"))
    assert claim_next(database, ["local", "tiny"], ME, NOW) is None
    assert _claimed(database, "tiny", "small").inputs["number"] == 2
    assert claim_next(database, [], ME, NOW) is None


def test_worker_leaves_jobs_of_kinds_and_versions_that_it_does_not_know(database: Database) -> None:
    """After an upgrade, or beside a newer worker: they wait for one that knows them, and nobody spins or fails them."""
    for number, kind in enumerate((KindName("count", 2), KindName("moon", 1), COUNT)):
        placed(database, count_order(number, kind=kind))
    job = claim_next(database, POOLS, ME, NOW, [COUNT, KindName("account", 2)])
    assert job is not None
    assert (job.kind, job.version, job.inputs["number"]) == ("count", 1, 2)
    end_attempt(database, job, Ending(Outcome.OK, "ok"), NOW)
    assert claim_next(database, POOLS, ME, NOW, [COUNT]) is None
    assert claim_next(database, POOLS, ME, NOW, []) is None
    with database.read() as tx:
        assert unfinished(tx, POOLS, NOW, [("count", 1)]) == []
        assert [left.id for left in unfinished(tx, POOLS, NOW, [("count", 1)], wanted=[2, 3])] == [2]
        assert count_by_state(tx) == {JobState.QUEUED: 2, JobState.DONE: 1}


def test_what_is_left_is_what_is_ready_or_runs_in_these_pools(database: Database, clock: Clock) -> None:
    for number, pool in enumerate(("local", "local", "local", "other"), start=1):
        placed(database, count_order(number, pool=pool))
    _claimed(database, holder=ELSEWHERE)
    end_attempt(database, _claimed(database), Ending(Outcome.BROKEN, "no network"), clock.now())
    _claimed(database, "other", holder=ELSEWHERE)
    with database.read() as tx:
        assert [job.id for job in unfinished(tx, POOLS, clock.now())] == [1, 3]
        assert [job.id for job in unfinished(tx, POOLS, clock.now(), wanted=[2])] == [1, 2, 3]


def test_job_that_waits_for_its_retry_is_not_claimed_before(database: Database, clock: Clock) -> None:
    placed(database, count_order())
    end_attempt(database, _claimed(database), Ending(Outcome.BROKEN, "no network"), clock.now())
    assert claim_next(database, POOLS, ME, clock.forward(RETRY_DELAYS_S[0] - 1)) is None
    again = claim_next(database, POOLS, ME, clock.forward(1))
    assert again is not None
    assert (again.fence, again.broken_count) == (2, 1)


# Fences


def test_renewed_lease_lasts_from_now(database: Database, clock: Clock) -> None:
    placed(database, count_order())
    job = _claimed(database)
    renewed = renew(database, job, clock.forward(40))
    assert renewed == replace(job, lease_until=clock.now() + LEASE)


def test_holder_learns_of_a_cancel_when_it_renews(database: Database) -> None:
    placed(database, count_order())
    job = _claimed(database)
    with database.write() as tx:
        cancel(tx, job.id, NOW)
    assert renew(database, job, NOW) == replace(job, is_cancelled=True)


def test_stale_fence_can_neither_renew_nor_finish(database: Database, clock: Clock) -> None:
    placed(database, count_order())
    stale = _claimed(database, holder=ELSEWHERE)
    reap(database, clock.forward(LEASE_S + 1))
    present = claim_next(database, POOLS, ME, clock.now())
    assert present is not None
    before = _job(database)
    assert renew(database, stale, clock.now()) is None
    assert not end_attempt(database, stale, Ending(Outcome.OK, "late", {"x": "y"}, [EVENT]), clock.now())
    assert (_job(database), _events(database)) == (before, [])
    assert end_attempt(database, present, Ending(Outcome.OK, "ok", {"a": "b"}, [EVENT]), clock.now())
    assert (_job(database).outputs, _events(database)) == ({"a": "b"}, [EVENT])


def test_action_of_an_attempt_that_lost_its_job_writes_nothing(database: Database, clock: Clock) -> None:
    placed(database, count_order())
    stale = _claimed(database, holder=ELSEWHERE)
    with fenced_write(database, stale.id, stale.fence) as tx:
        append_event(tx, EVENT)
    reap(database, clock.forward(LEASE_S + 1))
    present = claim_next(database, POOLS, ME, clock.now())
    assert present is not None

    def write(job: int | None, fence: int) -> None:
        with fenced_write(database, job, fence) as tx:
            append_event(tx, EVENT)

    with pytest.raises(LeaseLost, match="attempt 1 has lost job 1"):
        write(stale.id, stale.fence)
    write(present.id, present.fence)
    end_attempt(database, present, Ending(Outcome.OK, "ok"), clock.now())
    with pytest.raises(LeaseLost, match="attempt 2 has lost job 1"):
        write(present.id, present.fence)
    write(None, 0)
    assert _events(database) == [EVENT] * 3


def test_result_is_written_once(database: Database) -> None:
    placed(database, count_order())
    job = _claimed(database)
    assert [end_attempt(database, job, Ending(Outcome.OK, "ok", {}, [EVENT]), NOW) for _ in range(2)] == [True, False]
    assert renew(database, job, NOW) is None
    assert _events(database) == [EVENT]


def test_end_of_an_attempt_is_in_the_job_the_attempt_and_the_events(database: Database, clock: Clock) -> None:
    placed(database, count_order())
    job = _claimed(database)
    ended = clock.forward(5)
    end_attempt(database, job, Ending(Outcome.OK, "counted", {"count": "7"}, [EVENT, EVENT]), ended)
    assert _job(database) == replace(
        job, state=JobState.DONE, outcome=Outcome.OK, message="counted", outputs={"count": "7"}, finished_at=ended,
        lease_holder=None, lease_until=None,
    )  # fmt: skip
    assert _attempts(database, 1) == [Attempt(1, 1, ME, NOW, ended, Outcome.OK, "counted")]
    assert _events(database) == [EVENT, EVENT]


# Retries


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome is not Outcome.BROKEN])
@pytest.mark.parametrize("retry", Retry)
def test_only_what_is_broken_is_tried_again_by_itself(database: Database, outcome: Outcome, retry: Retry) -> None:
    placed(database, count_order())
    end_attempt(database, _claimed(database), Ending(outcome, "the end"), NOW, retry=retry)
    made_way = (outcome, retry) == (Outcome.CANCELLED, Retry.MADE_WAY)
    ended = (JobState.QUEUED, None) if made_way else (JobState.DONE, outcome)
    assert (_job(database).state, _job(database).outcome) == ended
    assert retry_at(outcome, 0, NOW) is None


def test_broken_job_is_tried_three_times_more_each_later(database: Database, clock: Clock) -> None:
    placed(database, count_order())
    waits = []
    while (job := _job(database)).state is JobState.QUEUED:
        waits.append((job.not_before - clock.now()).total_seconds())
        clock.at = job.not_before
        end_attempt(database, _claimed(database, now=clock.now()), Ending(Outcome.BROKEN, "no network"), clock.now())
    assert waits == [0, *RETRY_DELAYS_S]
    assert (job.outcome, job.message, job.fence, job.broken_count) == (Outcome.BROKEN, "no network", 4, 3)
    assert [attempt.outcome for attempt in _attempts(database, 1)] == [Outcome.BROKEN] * 4


def test_interruptions_do_not_use_up_the_retries(database: Database, clock: Clock) -> None:
    placed(database, count_order())
    for _ in range(5):
        end_attempt(database, _claimed(database), Ending(Outcome.BROKEN, "Ctrl-C"), NOW, retry=Retry.AT_ONCE)
        _claimed(database, holder=_dead_holder())
        reap(database, NOW)
    end_attempt(database, _claimed(database), Ending(Outcome.BROKEN, "no network"), clock.now())
    job = _job(database)
    assert (job.state, job.broken_count, job.lost_count) == (JobState.QUEUED, 1, 10)
    assert job.not_before == NOW + timedelta(seconds=RETRY_DELAYS_S[0])


def test_broken_attempts_do_not_use_up_the_patience_with_lost_workers(database: Database, clock: Clock) -> None:
    placed(database, count_order())
    for delay in RETRY_DELAYS_S:
        end_attempt(database, _claimed(database, now=clock.now()), Ending(Outcome.BROKEN, "no"), clock.now())
        clock.forward(delay)
    _claimed(database, holder=_dead_holder(), now=clock.now())
    assert len(reap(database, clock.now())) == 1
    assert (_job(database).state, _job(database).broken_count, _job(database).lost_count) == (JobState.QUEUED, 3, 1)


def test_evidence_is_kept_with_its_attempt(database: Database) -> None:
    placed(database, count_order())
    left = {"boot/console": sha256_of(b"console")}
    end_attempt(database, _claimed(database), Ending(Outcome.FAILED, "no", evidence=left), NOW)
    assert [attempt.outputs for attempt in _attempts(database, 1)] == [left]
    assert _job(database).outputs is None


def test_job_that_waits_for_its_retry_says_why(database: Database) -> None:
    placed(database, count_order())
    end_attempt(database, _claimed(database), Ending(Outcome.BROKEN, "no network"), NOW)
    job = _job(database)
    assert (job.state, job.outcome, job.message, job.lease_holder) == (JobState.QUEUED, None, "no network", None)


@pytest.mark.parametrize(("retry", "not_before"), [(Retry.AT_ONCE, NOW), (Retry.NEVER, None)])
def test_broken_attempt_is_retried_as_its_worker_wants(
    database: Database, retry: Retry, not_before: datetime | None
) -> None:
    placed(database, count_order())
    end_attempt(database, _claimed(database), Ending(Outcome.BROKEN, "interrupted"), NOW, retry=retry)
    job = _job(database)
    assert (job.state, job.outcome) == (
        (JobState.DONE, Outcome.BROKEN) if not_before is None else (JobState.QUEUED, None)
    )
    assert (claim_next(database, POOLS, ME, NOW) is None) == (not_before is None)


@pytest.mark.parametrize("retry", Retry)
def test_cancelled_job_whose_attempt_broke_is_not_tried_again(database: Database, retry: Retry) -> None:
    """Whoever cancelled it sees it cancelled, though its process had to be killed."""
    placed(database, count_order())
    job = _claimed(database)
    with database.write() as tx:
        cancel(tx, job.id, NOW)
    assert end_attempt(database, job, Ending(Outcome.BROKEN, "the job's process was killed"), NOW, retry=retry)
    job = _job(database)
    assert (job.state, job.outcome) == (JobState.DONE, Outcome.CANCELLED)
    assert job.message == "cancelled (the job's process was killed)"


def test_cancel_that_comes_too_late_changes_nothing(database: Database) -> None:
    placed(database, count_order())
    job = _claimed(database)
    with database.write() as tx:
        cancel(tx, job.id, NOW)
    end_attempt(database, job, Ending(Outcome.OK, "ok", {}), NOW)
    assert _job(database).outcome is Outcome.OK


# Lost workers


def test_job_of_a_living_worker_on_this_machine_is_left_alone(database: Database, clock: Clock) -> None:
    placed(database, count_order())
    _claimed(database)
    assert reap(database, clock.forward(10 * LEASE_S)) == []
    assert _job(database).state is JobState.RUNNING


def test_job_of_a_dead_worker_on_this_machine_is_free_at_once(database: Database) -> None:
    placed(database, count_order())
    job = _claimed(database, holder=_dead_holder())
    assert reap(database, NOW) == [job]
    message = f"the worker {_dead_holder()} is gone"
    assert _job(database) == replace(
        job, state=JobState.QUEUED, message=message, lost_count=1, lease_holder=None, lease_until=None
    )
    assert _attempts(database, 1) == [Attempt(1, 1, _dead_holder(), NOW, NOW, Outcome.BROKEN, message)]
    again = _claimed(database)
    assert again.fence == 2


def test_job_of_another_machine_is_free_when_its_lease_has_run_out_and_not_before(
    database: Database, clock: Clock
) -> None:
    placed(database, count_order())
    job = _claimed(database, holder=ELSEWHERE)
    assert reap(database, clock.forward(LEASE_S)) == []
    assert reap(database, clock.forward(0.001)) == [job]


def test_renewing_keeps_the_job_of_another_machine(database: Database, clock: Clock) -> None:
    placed(database, count_order())
    job = _claimed(database, holder=ELSEWHERE)
    renew(database, job, clock.forward(LEASE_S - 1))
    assert reap(database, clock.forward(LEASE_S)) == []


def test_job_that_takes_down_its_worker_each_time_does_not_run_for_ever(database: Database) -> None:
    placed(database, count_order())
    while _job(database).state is not JobState.DONE:
        _claimed(database, holder=_dead_holder())
        assert len(reap(database, NOW)) == 1
    job = _job(database)
    assert (job.outcome, job.fence) == (Outcome.BROKEN, LOST_WORKERS_LIMIT + 1)
    assert job.message == f"the worker {_dead_holder()} is gone"


def test_cancelled_job_of_a_dead_worker_is_cancelled(database: Database) -> None:
    placed(database, count_order())
    job = _claimed(database, holder=_dead_holder())
    with database.write() as tx:
        cancel(tx, job.id, NOW)
    assert len(reap(database, NOW)) == 1
    assert (_job(database).state, _job(database).outcome) == (JobState.DONE, Outcome.CANCELLED)


def test_reaping_twice_reaps_once(database: Database) -> None:
    placed(database, count_order())
    _claimed(database, holder=_dead_holder())
    assert [len(reap(database, NOW)) for _ in range(2)] == [1, 0]


# Holders


def test_this_process_is_alive_by_its_name() -> None:
    assert is_alive(holder_name()) is True


def test_process_that_is_gone_or_waits_to_be_buried_is_dead() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    ghost = holder_name(pid)
    host, boot, space, number, _ = holder_name(os.getpid()).split(" ")
    assert ghost == f"{host} {boot} {space} {pid} "
    assert is_alive(ghost) is False
    os.waitpid(pid, 0)
    assert is_alive(ghost) is False
    assert is_alive(f"{host} {boot} {space} {pid} 12345") is False
    assert number == str(os.getpid())


def test_process_of_the_same_number_that_began_later_is_another() -> None:
    assert is_alive(_dead_holder()) is False


def test_process_from_before_the_last_boot_is_dead() -> None:
    host, _, space, pid, ticks = holder_name().split(" ")
    assert is_alive(f"{host} 00000000-0000-0000-0000-000000000000 {space} {pid} {ticks}") is False


def test_process_of_another_container_on_this_machine_cannot_be_seen() -> None:
    host, boot, _, pid, ticks = holder_name().split(" ")
    assert is_alive(f"{host} {boot} 1 {pid} {ticks}") is None


@pytest.mark.parametrize(
    "holder", [ELSEWHERE, "", "a worker of another kind", f"{os.uname().nodename} boot space not-a-number 1"]
)
def test_of_anybody_else_only_the_lease_can_tell(holder: str) -> None:
    assert is_alive(holder) is None


def test_jobs_are_counted_by_state(database: Database) -> None:
    for number in range(3):
        placed(database, count_order(number))
    end_attempt(database, _claimed(database), Ending(Outcome.OK, "ok"), NOW)
    _claimed(database)
    with database.read() as tx:
        assert count_by_state(tx) == {JobState.QUEUED: 1, JobState.RUNNING: 1, JobState.DONE: 1}


def _dead_holder() -> str:
    """Name a process of this machine and boot that had our number before us."""
    host, boot, space, pid, _ = ME.split(" ")
    return f"{host} {boot} {space} {pid} 1"


def _claimed(database: Database, *pools: str, holder: str = ME, now: datetime = NOW) -> Job:
    job = claim_next(database, pools or POOLS, holder, now)
    assert job is not None
    return job


def _job(database: Database, number: int = 1) -> Job:
    with database.read() as tx:
        return get_job(tx, number)


def _attempts(database: Database, number: int) -> list[Attempt]:
    with database.read() as tx:
        return attempts_of(tx, number)


def _events(database: Database) -> list[Event]:
    with database.read() as tx:
        return [stored.event for stored in events_after(tx, 0)]


def test_a_process_of_a_host_is_judged_by_that_host_alone() -> None:
    """Two machines may be copies of one disk, with one machine-id: what one sees says nothing of the other."""
    here = holder_name(host="anvil")
    assert (host_of(here), host_of(holder_name())) == ("anvil", "")
    assert is_alive(here, "anvil") is True
    assert is_alive(here) is None
    assert is_alive(here, "tongs") is None
    assert is_alive(holder_name(), "anvil") is None
