"""A release takes the place of what runs: that attempt is stopped with all its programs, and runs again afterwards."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.worlds.processes import living, wait_until
from tests.worlds.state import count_order
from tests.worlds.work import Workshop, ended, kind_of, start_worker, step, workshop

from distwright.jobs.lease import MAKE_WAY_AFTER_S
from distwright.jobs.order import PRIORITY_RELEASE, PRIORITY_TOPIC, get_job, place_order
from distwright.jobs.step import Action, Context, Earlier, Inputs, StepResult
from distwright.model.outcomes import JobState, Outcome
from distwright.store.jobs import attempts_of
from distwright.tools.sandbox import Sandbox

pytestmark = pytest.mark.system
_SECONDS = f"3600.{os.getpid()}7"
LONG_AGO = datetime.now(UTC) - timedelta(seconds=MAKE_WAY_AFTER_S + 60)


@pytest.fixture
def shop(tmp_path: Path, work_database: str) -> Iterator[Workshop]:
    shop = workshop(tmp_path / "state", Sandbox(None), work_database)
    yield shop
    shop.database.close()


def place(shop: Workshop, number: int, priority: int) -> int:
    with shop.database.write() as tx:
        return place_order(tx, count_order(number, priority=priority), LONG_AGO).id


def test_running_job_makes_way_for_a_release_and_is_done_after_it(shop: Workshop) -> None:
    """The first attempt of the topic's job would run for ever; the second one finds that it was there before, and ends."""
    began, order = shop.paths.root / "began", shop.paths.root / "order"

    def act(context: Context, inputs: Inputs, _earlier: Earlier) -> StepResult:
        if inputs["number"] == 1 and not began.exists():
            began.write_text(str(os.getpid()))
            while True:
                context.check_cancelled()
        with order.open("a") as file:
            file.write(f"{inputs['number']} ")
        return StepResult({})

    topic = place(shop, 1, PRIORITY_TOPIC)
    worker = start_worker(shop, kind_of(Action("act", act)), jobs=3)
    wait_until(began.exists, "the job of the topic runs")
    release = place(shop, 2, PRIORITY_RELEASE)
    assert ended(worker) == 0
    assert order.read_text() == "2 1 "
    with shop.database.read() as tx:
        job = get_job(tx, topic)
        assert (job.state, job.outcome, job.broken_count, job.lost_count) == (JobState.DONE, Outcome.OK, 0, 0)
        first, second = attempts_of(tx, topic)
    assert (first.outcome, second.outcome) == (Outcome.CANCELLED, Outcome.OK)
    assert first.message == f"made way for job {release}, 'count to 2'; it runs again after that"
    assert not Path(f"/proc/{began.read_text()}").exists()


def test_programs_of_an_attempt_that_makes_way_are_ended(shop: Workshop) -> None:
    place(shop, 1, PRIORITY_TOPIC)
    worker = start_worker(shop, kind_of(step(f"sleep {_SECONDS}")), jobs=1)
    wait_until(lambda: living(_SECONDS), "the program runs")
    place(shop, 2, PRIORITY_RELEASE)
    assert ended(worker) == 0
    assert living(_SECONDS) == []
    with shop.database.read() as tx:
        assert [get_job(tx, number).state for number in (1, 2)] == [JobState.QUEUED, JobState.QUEUED]
