"""Whose turn it is, on every database: classes of work, a fair share of each, and room for a release."""

from datetime import timedelta

import sqlalchemy as sa
from tests.worlds.state import COUNT, OpenAgain, count_order, placed
from tests.worlds.times import NOW

from distwright.jobs.lease import MAKE_WAY_AFTER_S, Ending, Retry, claim_next, end_attempt, takes_its_place
from distwright.jobs.order import (
    PRIORITY_BASE,
    PRIORITY_DAILY,
    PRIORITY_RELEASE,
    PRIORITY_REVIEW,
    PRIORITY_TOPIC,
    cancel,
    get_job,
    place_order,
    retry,
)
from distwright.model.outcomes import JobState, Outcome
from distwright.model.records import Job
from distwright.store.database import Database
from distwright.store.jobs import attempts_of, change_priority, list_jobs
from distwright.store.schema import jobs

POOLS = ["local"]
SOMEBODY = "another-host 11111111-2222-3333-4444-555555555555 4026531836 4711 100"
LATE = NOW + timedelta(seconds=MAKE_WAY_AFTER_S)
DONE = Ending(Outcome.OK, "", {})


def claimed(database: Database, pools: list[str] = POOLS) -> Job:
    job = claim_next(database, pools, SOMEBODY, NOW)
    assert job is not None
    return job


def worked(database: Database, count: int) -> list[int]:
    """Claim and end jobs one after another; give their numbers as they were ordered."""
    order = []
    for _ in range(count):
        job = claimed(database)
        end_attempt(database, job, DONE, NOW)
        order.append(int(str(job.inputs["number"])))
    return order


def queue(database: Database, share: str, numbers: range, priority: int = PRIORITY_TOPIC) -> None:
    with database.write() as tx:
        for number in numbers:
            place_order(tx, count_order(number, share=share, priority=priority), NOW)


def makes_way(database: Database, job: Job) -> int | None:
    found = takes_its_place(database, job, POOLS, [COUNT], LATE)
    return None if found is None else found.id


def test_each_share_has_one_job_a_round_however_many_another_has_queued(open_again: OpenAgain) -> None:
    database = open_again()
    queue(database, "ada", range(10, 20))
    queue(database, "bob", range(20, 23))
    assert worked(database, 6) == [10, 20, 11, 21, 12, 22]
    assert worked(database, 4) == [13, 14, 15, 16]


def test_who_comes_later_joins_the_round_that_is_being_served(open_again: OpenAgain) -> None:
    database = open_again()
    queue(database, "ada", range(10, 20))
    assert worked(database, 5) == [10, 11, 12, 13, 14]
    queue(database, "bob", range(20, 22))
    queue(database, "ada", range(30, 31))
    assert worked(database, 8) == [15, 20, 16, 21, 17, 18, 19, 30]


def test_who_waited_long_for_one_job_has_no_claim_to_many(open_again: OpenAgain) -> None:
    """A job that nobody can run yet keeps its turn; whoever comes meanwhile does not start from there."""
    database = open_again()
    placed(database, count_order(1, share="eve", priority=PRIORITY_TOPIC), NOW + timedelta(days=1))
    queue(database, "ada", range(10, 20))
    assert worked(database, 5) == [10, 11, 12, 13, 14]
    running = claimed(database)
    queue(database, "bob", range(20, 25))
    assert running.inputs == {"number": 15}
    assert worked(database, 6) == [20, 16, 21, 17, 22, 18]


def test_a_class_comes_before_any_share(open_again: OpenAgain) -> None:
    database = open_again()
    queue(database, "ada", range(10, 12), PRIORITY_DAILY)
    queue(database, "bob", range(20, 21), PRIORITY_TOPIC)
    queue(database, "ada", range(30, 32), PRIORITY_REVIEW)
    queue(database, "bob", range(40, 41), PRIORITY_BASE)
    queue(database, "eve", range(50, 51), PRIORITY_RELEASE)
    assert worked(database, 7) == [50, 40, 30, 31, 20, 10, 11]


def test_order_that_is_raised_queues_behind_its_own_there(open_again: OpenAgain) -> None:
    database = open_again()
    queue(database, "ada", range(10, 12), PRIORITY_REVIEW)
    queue(database, "bob", range(20, 22), PRIORITY_REVIEW)
    queue(database, "ada", range(30, 31), PRIORITY_TOPIC)
    placed(database, count_order(30, share="ada", priority=PRIORITY_REVIEW))
    assert worked(database, 5) == [10, 20, 11, 21, 30]


def test_some_jobs_that_wait_change_their_class_and_come_back(open_again: OpenAgain) -> None:
    database = open_again()
    queue(database, "ada", range(1, 4), PRIORITY_TOPIC)
    running = claimed(database)
    with database.write() as tx:
        assert change_priority(tx, [1, 2, 3, 9], PRIORITY_TOPIC, PRIORITY_REVIEW) == 2
        assert change_priority(tx, [], PRIORITY_TOPIC, PRIORITY_REVIEW) == 0
        assert [job.priority for job in list_jobs(tx)] == [PRIORITY_REVIEW, PRIORITY_REVIEW, PRIORITY_TOPIC]
        assert change_priority(tx, [running.id, 3], PRIORITY_REVIEW, PRIORITY_TOPIC) == 1
    assert worked(database, 2) == [2, 3]


def test_retried_job_queues_as_a_new_one_of_its_share(open_again: OpenAgain) -> None:
    database = open_again()
    queue(database, "ada", range(10, 13))
    queue(database, "bob", range(20, 22))
    end_attempt(database, claimed(database), Ending(Outcome.FAILED, "no"), NOW)
    with database.write() as tx:
        retry(tx, 1, NOW)
    assert worked(database, 5) == [20, 11, 21, 12, 10]


def test_the_next_job_of_several_pools_is_the_next_of_all(open_again: OpenAgain) -> None:
    database = open_again()
    for number, (pool, priority) in enumerate([("a", 20), ("b", 40), ("a", 30), ("c", 50), ("b", 40)]):
        placed(database, count_order(number, pool=pool, priority=priority))
    assert [claimed(database, ["a", "b"]).inputs["number"] for _ in range(4)] == [1, 4, 2, 0]
    assert claim_next(database, ["a", "b"], SOMEBODY, NOW) is None


def test_claim_walks_along_an_index_and_sorts_nothing(open_again: OpenAgain) -> None:
    database = open_again()
    ordered = sa.select(jobs.c.id).where(jobs.c.state == "queued", jobs.c.pool == "local", jobs.c.not_before <= "9")
    query = ordered.order_by(jobs.c.rank, jobs.c.turn, jobs.c.id).limit(1)
    if database.is_of_one_machine:
        with database.read() as tx:
            text = str(query.compile(tx.connection.engine, compile_kwargs={"literal_binds": True}))
            plan = tx.connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}").all()
    else:
        queue(database, "ada", range(2000))
        with database.write() as tx:
            tx.connection.exec_driver_sql("ANALYZE jobs")
            text = str(query.compile(tx.connection.engine, compile_kwargs={"literal_binds": True}))
            plan = tx.connection.exec_driver_sql(f"EXPLAIN {text}").all()
    said = "\n".join(" ".join(map(str, row)) for row in plan)
    assert "jobs_by_turn" in said
    assert "Sort" not in said
    assert "TEMP B-TREE" not in said


def test_release_takes_the_place_of_the_least_and_youngest_and_of_no_more_than_wait(open_again: OpenAgain) -> None:
    database = open_again()
    queue(database, "ada", range(1, 3), PRIORITY_TOPIC)
    queue(database, "ada", range(3, 4), PRIORITY_BASE)
    running = [claimed(database) for _ in range(3)]  # base, topic 1, topic 2
    assert [makes_way(database, job) for job in running] == [None, None, None]
    release = placed(database, count_order(9, priority=PRIORITY_RELEASE))
    assert [makes_way(database, job) for job in running] == [None, None, release.id]
    more = placed(database, count_order(10, priority=PRIORITY_RELEASE))
    assert [makes_way(database, job) for job in running] == [None, more.id, release.id]


def test_nobody_makes_way_for_what_an_idle_worker_takes_or_what_is_elsewhere_or_unknown(open_again: OpenAgain) -> None:
    database = open_again()
    queue(database, "ada", range(1, 2), PRIORITY_TOPIC)
    job = claimed(database)
    placed(database, count_order(8, priority=PRIORITY_RELEASE, pool="big"))
    placed(database, count_order(9, priority=PRIORITY_RELEASE), NOW + timedelta(seconds=1))
    assert makes_way(database, job) is None
    assert takes_its_place(database, job, POOLS, [], LATE + timedelta(days=1)) is None
    assert takes_its_place(database, job, POOLS, [COUNT], LATE + timedelta(seconds=1)) is not None
    release = claim_next(database, POOLS, SOMEBODY, LATE)
    assert release is not None
    assert release.priority == PRIORITY_RELEASE
    placed(database, count_order(10, priority=PRIORITY_RELEASE))
    assert makes_way(database, release) is None, "one release does not stop another"


def test_job_that_made_way_waits_first_in_its_class_and_nothing_counts_against_it(open_again: OpenAgain) -> None:
    database = open_again()
    queue(database, "ada", range(1, 4), PRIORITY_TOPIC)
    queue(database, "bob", range(4, 5), PRIORITY_TOPIC)
    job = claimed(database)
    placed(database, count_order(9, priority=PRIORITY_RELEASE))
    assert end_attempt(database, job, Ending(Outcome.CANCELLED, "made way"), NOW, retry=Retry.MADE_WAY)
    with database.read() as tx:
        back = get_job(tx, job.id)
        assert [(attempt.outcome, attempt.message) for attempt in attempts_of(tx, job.id)] == [
            (Outcome.CANCELLED, "made way")
        ]
    assert (back.state, back.outcome, back.broken_count, back.lost_count) == (JobState.QUEUED, None, 0, 0)
    assert worked(database, 5) == [9, 1, 4, 2, 3]


def test_job_that_was_cancelled_while_it_made_way_is_cancelled(open_again: OpenAgain) -> None:
    database = open_again()
    queue(database, "ada", range(1, 2))
    job = claimed(database)
    with database.write() as tx:
        cancel(tx, job.id, NOW)
    end_attempt(database, job, Ending(Outcome.CANCELLED, "made way"), NOW, retry=Retry.MADE_WAY)
    with database.read() as tx:
        assert (get_job(tx, job.id).state, get_job(tx, job.id).outcome) == (JobState.DONE, Outcome.CANCELLED)
