"""What the job table is on every database: many workers at once, one truth. The decisions themselves: tests/unit/jobs."""

import os
import signal
from datetime import timedelta

from tests.worlds.state import OpenAgain, all_at_once, count_order, placed
from tests.worlds.times import NOW

from distwright.jobs.keeping import hold_stage, let_stages_go
from distwright.jobs.lease import LEASE_S, Ending, claim_next, end_attempt, holder_name, reap, renew
from distwright.jobs.order import cancel, get_job, retry
from distwright.model.events import Event, EventKind
from distwright.model.outcomes import JobState, Outcome
from distwright.model.records import Job
from distwright.store.database import Database
from distwright.store.events import events_after
from distwright.store.holds import add_holds, all_holds, object_hold
from distwright.store.jobs import (
    attempts_of,
    find_step_result,
    forget_orders,
    forget_step_results,
    keep_step_result,
    list_jobs,
)
from distwright.store.tallies import count_by_state

POOLS = ["local"]
ELSEWHERE = "another-host 11111111-2222-3333-4444-555555555555 4026531836 4711 100"
LATER = NOW + timedelta(seconds=LEASE_S + 1)
OK = Ending(
    Outcome.OK, "", {"sum": "1"}, [Event(EventKind.CONFIG_APPLIED, NOW, "c", {"commit": "c", "config": "0" * 64})]
)


def test_no_job_is_claimed_twice_by_many_workersall_at_once(open_again: OpenAgain) -> None:
    database = open_again()
    for number in range(20):
        placed(database, count_order(number))

    def claim_all(worker: Database) -> list[int]:
        claimed = []
        while (job := claim_next(worker, POOLS, ELSEWHERE, NOW)) is not None:
            claimed.append(job.id)
        return claimed

    claimed = all_at_once(database.url, claim_all)
    assert sorted(number for numbers in claimed for number in numbers) == list(range(1, 21))
    with database.read() as tx:
        assert count_by_state(tx) == {JobState.RUNNING: 20}
        assert [job.fence for job in list_jobs(tx)] == [1] * 20


def test_turn_is_by_priority_then_by_age(open_again: OpenAgain) -> None:
    database = open_again()
    for number, priority in enumerate((20, 40, 10, 40, 50)):
        placed(database, count_order(number, priority=priority))
    placed(database, count_order(9, pool="big", priority=90))
    assert [_claimed(database).inputs["number"] for _ in range(5)] == [4, 1, 3, 0, 2]
    assert claim_next(database, POOLS, ELSEWHERE, NOW) is None
    assert claim_next(database, [], ELSEWHERE, NOW) is None


def test_only_the_newest_fence_may_renew_and_end(open_again: OpenAgain) -> None:
    """The worker that was given up wakes again: nothing it says counts, no event of it is written."""
    database = open_again()
    placed(database, count_order())
    first = _claimed(database)
    assert reap(database, LATER) == [first]
    second = claim_next(database, POOLS, ELSEWHERE, LATER)
    assert second is not None
    assert (second.id, second.fence, second.broken_count, second.lost_count) == (first.id, 2, 0, 1)
    assert (renew(database, first, LATER), end_attempt(database, first, OK, LATER)) == (None, False)
    renewed = renew(database, second, LATER + timedelta(seconds=1))
    assert renewed is not None
    assert end_attempt(database, renewed, OK, LATER)
    assert not end_attempt(database, renewed, OK, LATER), "an attempt ends once"
    with database.read() as tx:
        assert [attempt.outcome for attempt in attempts_of(tx, first.id)] == [Outcome.BROKEN, Outcome.OK]
        assert (get_job(tx, first.id).outputs, len(events_after(tx, 0))) == ({"sum": "1"}, 1)


def test_end_of_an_attempt_is_written_by_one_of_manyall_at_once(open_again: OpenAgain) -> None:
    database = open_again()
    placed(database, count_order())
    job = _claimed(database)
    assert sorted(all_at_once(database.url, lambda worker: end_attempt(worker, job, OK, NOW))) == [
        False,
        False,
        False,
        True,
    ]
    with database.read() as tx:
        assert len(events_after(tx, 0)) == 1


def test_lost_job_is_reaped_by_one_of_manyall_at_once(open_again: OpenAgain) -> None:
    database = open_again()
    placed(database, count_order())
    job = _claimed(database)
    assert sorted(map(len, all_at_once(database.url, lambda reaper: reap(reaper, LATER)))) == [0, 0, 0, 1]
    with database.read() as tx:
        assert (get_job(tx, job.id).state, get_job(tx, job.id).lost_count) == (JobState.QUEUED, 1)


def test_job_of_a_worker_that_was_killed_is_reaped_and_done_by_another(open_again: OpenAgain) -> None:
    database = open_again()
    placed(database, count_order())
    pid = os.fork()
    if pid == 0:
        claim_next(database.reopen(), POOLS, holder_name(), NOW)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    assert [job.fence for job in reap(database, NOW)] == [1]
    assert (_claimed(database).fence, reap(database, NOW)) == (2, [])


def test_worker_that_is_killed_inside_a_transaction_leaves_nothing_of_it_and_no_lock(open_again: OpenAgain) -> None:
    database = Database(open_again().url)
    pid = os.fork()
    if pid == 0:
        with database.reopen().write() as tx:
            keep_step_result(tx, count_order().digest, "count", count_order(2).digest, NOW)
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    placed(database, count_order())
    with database.read() as tx:
        assert find_step_result(tx, count_order().digest) is None
    database.close()


def test_cancelled_queued_job_is_done_and_may_be_tried_again(open_again: OpenAgain) -> None:
    database = open_again()
    job = placed(database, count_order())
    with database.write() as tx:
        assert cancel(tx, job.id, NOW).outcome is Outcome.CANCELLED
    assert claim_next(database, POOLS, ELSEWHERE, NOW) is None
    with database.write() as tx:
        assert retry(tx, job.id, NOW) == job
    assert _claimed(database).id == job.id


def test_cancelled_running_job_is_told_to_its_worker_at_the_next_renewal(open_again: OpenAgain) -> None:
    database = open_again()
    placed(database, count_order())
    job = _claimed(database)
    with database.write() as tx:
        assert not job.is_cancelled
        cancel(tx, job.id, NOW)
    renewed = renew(database, job, NOW)
    assert renewed is not None
    assert renewed.is_cancelled


def _claimed(database: Database) -> Job:
    job = claim_next(database, POOLS, ELSEWHERE, NOW)
    assert job is not None
    return job


def test_an_order_that_was_forgotten_is_a_new_job_when_it_comes_again_and_the_old_one_stays(
    open_again: OpenAgain,
) -> None:
    database = open_again()
    first, other = placed(database, count_order(1)), placed(database, count_order(2))
    with database.write() as tx:
        forget_orders(tx, [first.id])
        forget_orders(tx, [])
    assert placed(database, count_order(2)).id == other.id
    again = placed(database, count_order(1))
    assert (again.id, again.digest, again.inputs) == (3, first.digest, first.inputs)
    with open_again().read() as tx:
        assert [job.inputs for job in list_jobs(tx)] == [first.inputs, other.inputs, first.inputs]


def test_results_of_steps_are_forgotten_by_key(open_again: OpenAgain) -> None:
    database = open_again()
    keys = [count_order(number).digest for number in range(3)]
    with database.write() as tx:
        for key in keys:
            keep_step_result(tx, key, "count", key, NOW)
        forget_step_results(tx, keys[:2])
        forget_step_results(tx, [])
    with open_again().read() as tx:
        assert [find_step_result(tx, key) for key in keys] == [None, None, keys[2]]


def test_a_stage_goes_with_the_last_job_that_has_noted_it(open_again: OpenAgain) -> None:
    database = open_again()
    shared, alone = (count_order(number).digest for number in (1, 2))
    with database.write() as tx:
        for key in (shared, alone):
            keep_step_result(tx, key, "count", key, NOW)
            add_holds(tx, f"step {key}", [object_hold("", key, "out")], NOW)
        for job, key in ((1, shared), (2, shared), (2, alone)):
            hold_stage(tx, job, key, "count", NOW)
        let_stages_go(tx, [2])
    with database.read() as tx:
        assert [find_step_result(tx, key) for key in (shared, alone)] == [shared, None]
        assert [hold.holder for hold in all_holds(tx)] == ["stages 1", f"step {shared}"]
    with database.write() as tx:
        let_stages_go(tx, [1, 2])
    with open_again().read() as tx:
        assert (find_step_result(tx, shared), all_holds(tx)) == (None, [])
