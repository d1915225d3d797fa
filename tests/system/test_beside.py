"""Steps made beside others: the same as in their turn but for the time, whatever goes wrong, and nothing of them stays."""

import os
import re
import signal
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
from tests.system.line import state_folder
from tests.worlds.processes import living, wait_until
from tests.worlds.state import count_order, placed
from tests.worlds.times import NOW
from tests.worlds.work import Workshop, ended, kind_of, start_worker, step, worker_of, workshop

from distwright.jobs.order import cancel, get_job
from distwright.jobs.step import JobKind, Step
from distwright.model.outcomes import JobState, Outcome
from distwright.model.records import Job
from distwright.tools.sandbox import sandbox_for

pytestmark = pytest.mark.system

TELLS = "echo {name} at $(date +%s%N)"


@dataclass(frozen=True)
class Place:
    """An installation with one job, and a mark on the programs of its slow steps."""

    shop: Workshop
    mark: str

    def slow(self, name: str) -> Step:
        return step(f"echo {name}; : {self.mark}; sleep 60", name=name)

    def job(self) -> Job:
        with self.shop.database.read() as tx:
            return get_job(tx, 1)

    def nothing_is_left(self) -> None:
        wait_until(lambda: not living(self.mark), f"the end of {living(self.mark)}")
        assert [left.name for left in self.shop.paths.work.iterdir()] == []

    def ends(self, kind: JobKind) -> Job:
        placed(self.shop.database, count_order())
        assert worker_of(self.shop, kind).run_one()
        self.nothing_is_left()
        return self.job()


@pytest.fixture
def place() -> Iterator[Place]:
    with state_folder() as folder:
        place = Place(workshop(folder / "state", sandbox_for(os.geteuid())), f"mark-{uuid.uuid4()}")
        yield place
        for pid in living(place.mark):
            os.kill(pid, signal.SIGKILL)
        place.shop.database.close()


def beside(one: Step, other: str) -> Step:
    return replace(one, beside=other)


def both() -> JobKind:
    first = step("sleep 2", TELLS.format(name="first"), "echo 1 >out", name="first", collect={"out": "out"})
    second = step(TELLS.format(name="second"), "echo 2 >out", name="second", collect={"out": "out"})
    return kind_of(first, beside(second, "first"), step(TELLS.format(name="third"), name="third"))


def test_both_are_made_at_the_same_time_and_told_one_after_the_other(place: Place) -> None:
    job = place.ends(both())
    assert job.outcome is Outcome.OK
    told = place.shop.log()
    at = {name: int(time) for name, time in re.findall(r"^(\w+) at (\d+)$", told, re.MULTILINE)}
    assert list(at) == ["first", "second", "third"]
    assert at["second"] < at["first"] < at["third"]
    assert "second was made beside" in told
    assert sorted(job.outputs or {}) == ["first/out", "second/out"]


def test_on_one_processor_they_are_made_in_turn(place: Place) -> None:
    one = min(os.sched_getaffinity(0))
    kept = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {one})
    try:
        job = place.ends(both())
    finally:
        os.sched_setaffinity(0, kept)
    assert job.outcome is Outcome.OK
    assert "was made beside" not in place.shop.log()


def test_what_fails_beside_fails_in_its_turn_with_its_own_words(place: Place) -> None:
    second = beside(step("echo no such thing; exit 3", name="second"), "first")
    job = place.ends(kind_of(step("true", name="first"), second))
    assert (job.outcome, job.message) == (Outcome.FAILED, "second: sh ended with exit 3: no such thing")
    told = place.shop.log()
    assert told.index("(2 of 2)") < told.index("second is performed once more, in its turn")


def test_what_is_made_beside_one_that_fails_is_ended_with_it(place: Place) -> None:
    first = step("sleep 1; exit 3", name="first")
    job = place.ends(kind_of(first, beside(place.slow("second"), "first")))
    assert (job.outcome, "first" in str(job.message)) == (Outcome.FAILED, True)


@pytest.mark.parametrize("slow", ["first", "second"])
def test_a_cancelled_job_ends_both(place: Place, slow: str) -> None:
    first = place.slow("first") if slow == "first" else step("true", name="first")
    kind = kind_of(first, beside(place.slow("second"), "first"))
    placed(place.shop.database, count_order())
    worker = start_worker(place.shop, kind)
    wait_until(lambda: len(living(place.mark)) >= (2 if slow == "first" else 1), "the programs")
    with place.shop.database.write() as tx:
        cancel(tx, 1, NOW)
    assert ended(worker) == 0
    assert place.job().outcome is Outcome.CANCELLED
    place.nothing_is_left()


def test_killed_with_its_worker_the_next_one_does_it_all(place: Place) -> None:
    kind = kind_of(place.slow("first"), beside(place.slow("second"), "first"))
    placed(place.shop.database, count_order())
    worker = start_worker(place.shop, kind)
    wait_until(lambda: len(living(place.mark)) >= 2, "the programs of both")
    os.kill(worker, signal.SIGKILL)
    ended(worker)
    wait_until(lambda: not living(place.mark), "their end")
    assert ended(start_worker(place.shop, both())) == 0
    job = place.job()
    assert (job.state, job.outcome) == (JobState.DONE, Outcome.OK)
    place.nothing_is_left()
