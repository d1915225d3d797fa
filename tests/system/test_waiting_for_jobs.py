"""Who waits for a job has it first, is told when it is done, and leaves the rest of the queue alone."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from tests.worlds.processes import wait_until
from tests.worlds.state import COUNT, count_order, placed
from tests.worlds.times import NOW
from tests.worlds.work import Onlooker, Workshop, ended, kind_of, worker_of, workshop

from distwright.flow.engines.chosen import engine_of
from distwright.jobs.lease import Ending, claim_next, end_attempt, holder_name
from distwright.jobs.order import PRIORITY_RELEASE, PRIORITY_WAITED, JobOrder, get_job, place_order
from distwright.jobs.step import JobKind, KindName
from distwright.model import plain
from distwright.model.events import Event, EventKind
from distwright.model.outcomes import JobState, Outcome
from distwright.model.records import Job
from distwright.site.awaited import hasten, not_done, say_what_is_queued, work_until
from distwright.store.events import append_event, events_after
from distwright.tools.sandbox import Sandbox

pytestmark = pytest.mark.system
NEXT, OTHER = KindName("next", 1), KindName("other", 1)


@pytest.fixture
def shop(tmp_path: Path, work_database: str) -> Iterator[Workshop]:
    shop = workshop(tmp_path / "state", Sandbox(None), work_database)
    yield shop
    shop.database.close()


def done_event(now: datetime, job: int) -> tuple[Event, ...]:
    return (Event(EventKind.CONFIG_APPLIED, now, f"c{job}", {"commit": "c", "config": "0" * 64}, job),)


def kinds_of_chain() -> list[JobKind]:
    """Give three kinds, each of which ends with an event of its job."""
    return [replace(kind_of(events=done_event), kind=kind) for kind in (COUNT, NEXT, OTHER)]


def followed(shop: Workshop) -> None:
    """Order what follows from each event: of a first job, one of each other kind; of the second kind, one more."""
    with shop.database.write() as tx:
        for stored in events_after(tx, 0):
            job = get_job(tx, stored.event.job or 0)
            orders: list[JobOrder] = []
            if job.kind == COUNT.name:
                orders = [count_order(100 + job.id, kind=NEXT), count_order(200 + job.id, kind=OTHER)]
            elif job.kind == NEXT.name and plain.number(job.inputs, "number") < 1000:
                orders = [count_order(1000 + job.id, kind=NEXT)]
            for order in orders:
                place_order(tx, order, NOW, cause=stored.number)


def waited(
    shop: Workshop,
    wanted: Callable[[], list[Job]],
    kinds: Sequence[JobKind],
    take_in: Callable[[], None] = lambda: None,
    watcher: Onlooker | None = None,
) -> list[str]:
    """Wait in a process of its own, for a worker ends every process that descends from it; give what it said at its end."""
    told = shop.paths.root / "told"
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            worker = worker_of(shop, *kinds, watcher=watcher, may_wait_to_retry=False)
            work_until(worker, engine_of(worker.database, shop.paths), take_in, wanted, is_all=False)
            lines: list[str] = []
            say_what_is_queued(worker, lines.append)
            told.write_text("\n".join(lines))
            status = 0
        finally:
            os._exit(status)
    assert ended(pid) == 0
    return told.read_text().splitlines()


def ended_jobs(shop: Workshop) -> list[tuple[str, object]]:
    with shop.database.read() as tx:
        jobs = [get_job(tx, number) for number in range(1, 1 + count(shop))]
    return [(job.kind, job.inputs["number"]) for job in jobs if job.state is JobState.DONE]


def count(shop: Workshop) -> int:
    from distwright.store.jobs import list_jobs

    with shop.database.read() as tx:
        return len(list_jobs(tx))


def test_the_last_of_a_long_queue_is_run_and_nothing_else(shop: Workshop) -> None:
    for number in range(1, 5):
        placed(shop.database, count_order(number, priority=PRIORITY_RELEASE))
    wanted = placed(shop.database, count_order(5, priority=10))
    told = waited(shop, partial(not_done, shop.database, [wanted.id], ()), [kind_of()])
    assert ended_jobs(shop) == [("count", 5)]
    assert told == ["4 jobs more are in the queue: `distwright worker --until-idle` carries out all, or serve does"]


def test_what_follows_is_run_as_far_as_it_is_wanted(shop: Workshop) -> None:
    """A built package is published, however many images follow; what follows from other jobs stays, be it of that kind."""
    other = placed(shop.database, count_order(1))
    wanted = placed(shop.database, count_order(2))
    with shop.database.write() as tx:
        append_event(tx, *done_event(NOW, other.id))
        place_order(tx, count_order(101, kind=NEXT), NOW, cause=1)
    left = partial(not_done, shop.database, [wanted.id], (NEXT.name,))
    told = waited(shop, left, kinds_of_chain(), partial(followed, shop))
    assert ended_jobs(shop) == [("count", 2), ("next", 102), ("next", 1005)]
    assert told == ["4 jobs more are in the queue: `distwright worker --until-idle` carries out all, or serve does"]


def test_who_waits_for_what_others_have_is_told_when_it_is_done_and_does_nothing_meanwhile(shop: Workshop) -> None:
    wanted = placed(shop.database, count_order(1))
    taken = claim_next(shop.database, ["local"], holder_name(), datetime.now(UTC))
    assert taken is not None
    placed(shop.database, count_order(2))
    waits = shop.paths.root / "waits"

    class Waiting(Onlooker):
        def waits(self, job: Job) -> None:
            assert job.id == wanted.id
            waits.touch()

    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            waited(shop, partial(not_done, shop.database.reopen(), [wanted.id], ()), [kind_of()], watcher=Waiting())
            status = 0
        finally:
            os._exit(status)
    wait_until(waits.exists, "the command")
    assert end_attempt(shop.database, taken, Ending(Outcome.OK, "ok"), datetime.now(UTC))
    assert ended(pid) == 0
    assert ended_jobs(shop) == [("count", 1)], "the second one is nobody's business"


def test_a_job_that_somebody_waits_for_comes_next_whoever_takes_it(shop: Workshop) -> None:
    for number in (1, 2):
        placed(shop.database, count_order(number))
    wanted, release = placed(shop.database, count_order(3)), placed(shop.database, count_order(4, priority=50))
    running = claim_next(shop.database, ["local"], holder_name(), NOW, only=[1])
    assert running is not None
    hasten(shop.database, [running, wanted, release])
    with shop.database.read() as tx:
        priorities = [get_job(tx, number).priority for number in (1, 2, 3, 4)]
    assert priorities == [40, 40, PRIORITY_WAITED, PRIORITY_RELEASE]
    later = NOW + timedelta(seconds=1)
    claimed = [claim_next(shop.database, ["local"], holder_name(), later) for _ in range(3)]
    assert [job.id for job in claimed if job is not None] == [4, 3, 2]


def test_only_what_is_wanted_is_claimed_from_whatever_pool(shop: Workshop) -> None:
    for number, pool in ((1, "local"), (2, "arm64"), (3, "local")):
        placed(shop.database, count_order(number, pool=pool))
    pools = ["local", "arm64"]
    claimed = [claim_next(shop.database, pools, holder_name(), NOW, only=only) for only in ([2], [2], [], [1, 3])]
    assert [None if job is None else job.id for job in claimed] == [2, None, None, 1]
