"""Orders: one job for each identity, and what a person may ask of a job."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.worlds.state import COUNT, Clock, count_order, placed
from tests.worlds.times import NOW

from distwright.errors import NotFound, Refused
from distwright.jobs.lease import Ending, Retry, claim_next, end_attempt
from distwright.jobs.order import JobOrder, cancel, get_job, place_order, retry
from distwright.jobs.step import KindName
from distwright.model.digests import Json, digest_of, sha256_of
from distwright.model.outcomes import JobState, Outcome
from distwright.model.records import Job
from distwright.store.database import Database
from distwright.store.holds import Hold, all_holds, object_hold, serial_hold
from distwright.store.jobs import attempts_of, list_jobs
from distwright.store.memory import MemoryObjects

ENDS = [outcome for outcome in Outcome if outcome is not Outcome.OK]


def test_identity_is_kind_version_and_inputs_and_nothing_else() -> None:
    order = count_order(7)
    assert order.digest == digest_of({"kind": "count", "version": 1, "inputs": {"number": 7}})
    same = JobOrder(
        COUNT, {"number": 7}, "another title", 1, "other pool", (serial_hold("", "debian", "2026112301", "x"),)
    )
    others = [count_order(8), count_order(7, kind=KindName("count", 2)), count_order(7, kind=KindName("account", 1))]
    assert same.digest == order.digest
    assert len({order.digest, *(other.digest for other in others)}) == 4


def test_new_order_is_a_queued_job(database: Database) -> None:
    order = count_order(7, title="count to seven", pool="fast", priority=50)
    with database.write() as tx:
        job = place_order(tx, order, NOW, config_commit="c0ffee", cause=3)
    assert job == Job(
        id=1, kind="count", version=1, digest=order.digest, inputs={"number": 7}, title="count to seven", pool="fast",
        priority=50, state=JobState.QUEUED, outcome=None, message=None, outputs=None, created_at=NOW, finished_at=None,
        not_before=NOW, fence=0, broken_count=0, lost_count=0, lease_holder=None, lease_until=None, is_cancelled=False,
        config_commit="c0ffee", cause=3,
    )  # fmt: skip


def test_same_order_twice_is_one_job(database: Database) -> None:
    first = placed(database, count_order(7))
    again = placed(database, count_order(7, title="other words"), NOW + timedelta(days=1))
    assert again == first
    with database.read() as tx:
        assert list_jobs(tx) == [first]


@pytest.mark.parametrize("outcome", [Outcome.OK, Outcome.FAILED, Outcome.SKIPPED])
def test_order_of_a_job_that_was_decided_does_not_run_it_again(database: Database, outcome: Outcome) -> None:
    done = _ended(database, outcome)
    assert placed(database, count_order()) == done


@pytest.mark.parametrize("outcome", [Outcome.BROKEN, Outcome.CANCELLED, Outcome.TIMED_OUT])
def test_order_of_a_job_that_ended_undecided_runs_it_again(database: Database, outcome: Outcome) -> None:
    """`run the same command again` is what the hints say."""
    done = _ended(database, outcome)
    later = NOW + timedelta(hours=1)
    again = placed(database, count_order(), later)
    assert again == replace(done, state=JobState.QUEUED, outcome=None, message=None, finished_at=None, not_before=later)
    assert claim_next(database, ["local"], "holder", later) is not None


def test_event_that_waits_does_not_begin_anew_what_broke_since(database: Database) -> None:
    done = _ended(database, Outcome.BROKEN)
    with database.write() as tx:
        assert place_order(tx, count_order(), NOW, may_repeat=False) == done


def test_job_whose_outputs_are_gone_runs_again_when_it_is_ordered(database: Database) -> None:
    objects = MemoryObjects()
    kept, lost = objects.put(b"kept"), sha256_of(b"lost")
    for number, (files, state) in enumerate((([kept], JobState.DONE), ([kept, lost], JobState.QUEUED)), start=1):
        placed(database, count_order(number))
        running = claim_next(database, ["local"], "holder", NOW)
        assert running is not None
        outputs: dict[str, Json] = {"files": [str(file) for file in files], "name": "x"}
        end_attempt(database, running, Ending(Outcome.OK, "ok", outputs), NOW)
        with database.write() as tx:
            again = place_order(tx, count_order(number), NOW, objects=objects)
        assert (again.state, again.fence) == (state, 1)


@pytest.mark.parametrize(("second", "counts"), [(50, 50), (10, 40)])
def test_of_two_orders_the_higher_priority_counts(database: Database, second: int, counts: int) -> None:
    placed(database, count_order(7, priority=40))
    assert placed(database, count_order(7, priority=second)).priority == counts


def test_holds_of_an_order_are_its_jobs(database: Database) -> None:
    kept = object_hold("", sha256_of(b"x"), "the source")
    base = serial_hold("anybody", "debian", "2026112301", "the base")
    placed(database, replace(count_order(), holds=(kept, base, kept)))
    with database.read() as tx:
        assert all_holds(tx) == [
            Hold("job 1", "object", sha256_of(b"x"), "the source"),
            Hold("job 1", "serial", "debian/2026112301", "the base"),
        ]


def test_job_that_does_not_exist_is_not_found(database: Database) -> None:
    with database.write() as tx:
        asked: list[Callable[[], Job]] = [
            lambda: get_job(tx, 5),
            lambda: retry(tx, 5, NOW),
            lambda: cancel(tx, 5, NOW),
        ]
        for ask in asked:
            with pytest.raises(NotFound, match="job 5 does not exist"):
                ask()


@pytest.mark.parametrize("outcome", ENDS)
def test_retry_queues_a_job_that_did_not_end_well_as_new(database: Database, outcome: Outcome) -> None:
    done = _ended(database, outcome)
    later = NOW + timedelta(hours=1)
    with database.write() as tx:
        again = retry(tx, 1, later)
    assert again == replace(
        done, state=JobState.QUEUED, outcome=None, message=None, finished_at=None, not_before=later, broken_count=0
    )
    assert again.fence == 1, "the next attempt gets another fence"


def test_retry_of_a_job_that_is_ok_queued_or_running_is_refused(database: Database) -> None:
    _ended(database, Outcome.OK)
    placed(database, count_order(2))
    with database.write() as tx:
        with pytest.raises(Refused, match="job 1 is ok; the same inputs give the same result"):
            retry(tx, 1, NOW)
        with pytest.raises(Refused, match="job 2 is queued"):
            retry(tx, 2, NOW)
    claim_next(database, ["local"], "holder", NOW)
    with database.write() as tx, pytest.raises(Refused, match="job 2 is running"):
        retry(tx, 2, NOW)


def test_cancel_ends_a_queued_job_at_once(database: Database) -> None:
    job = placed(database, count_order())
    with database.write() as tx:
        cancelled = cancel(tx, job.id, NOW)
    assert cancelled == replace(
        job, state=JobState.DONE, outcome=Outcome.CANCELLED, message="cancelled before it began", finished_at=NOW
    )
    assert claim_next(database, ["local"], "holder", NOW) is None


def test_cancel_of_a_running_job_is_left_to_its_runner(database: Database) -> None:
    placed(database, count_order())
    running = claim_next(database, ["local"], "holder", NOW)
    assert running is not None
    with database.write() as tx:
        assert cancel(tx, running.id, NOW) == replace(running, is_cancelled=True)
        assert cancel(tx, running.id, NOW) == replace(running, is_cancelled=True), "twice is once"


@pytest.mark.parametrize("outcome", Outcome)
def test_cancel_of_a_job_that_is_done_is_refused(database: Database, outcome: Outcome) -> None:
    _ended(database, outcome)
    with database.write() as tx, pytest.raises(Refused, match=rf"job 1 is done \({outcome}\)"):
        cancel(tx, 1, NOW)


def test_cancelled_job_that_is_queued_again_is_not_cancelled_any_more(database: Database) -> None:
    clock = Clock()
    placed(database, count_order())
    running = claim_next(database, ["local"], "holder", clock.now())
    assert running is not None
    with database.write() as tx:
        cancel(tx, running.id, clock.now())
    end_attempt(database, running, Ending(Outcome.CANCELLED, "stopped"), clock.forward(1))
    with database.write() as tx:
        again = retry(tx, running.id, clock.forward(1))
    assert (again.state, again.is_cancelled) == (JobState.QUEUED, False)
    with database.read() as tx:
        assert [(attempt.fence, attempt.outcome) for attempt in attempts_of(tx, 1)] == [(1, Outcome.CANCELLED)]


def _ended(database: Database, outcome: Outcome) -> Job:
    """Carry job 1 to an outcome, for good."""
    placed(database, count_order())
    running = claim_next(database, ["local"], "holder", NOW)
    assert running is not None
    end_attempt(database, running, Ending(outcome, "the end"), NOW, retry=Retry.NEVER)
    with database.read() as tx:
        return get_job(tx, running.id)
