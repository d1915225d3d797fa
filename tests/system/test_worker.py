"""A worker and the process of an attempt: how they talk, and what becomes of every kind of end."""

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from tests.worlds.processes import wait_until
from tests.worlds.state import count_order, placed
from tests.worlds.times import NOW
from tests.worlds.work import Onlooker, Workshop, ended, kind_of, nothing, start_worker, worker_of, workshop

from distwright.errors import NotFound
from distwright.jobs.order import get_job
from distwright.jobs.step import Action, Conclusion, Context, Earlier, Inputs, JobKind, KindName, StepResult
from distwright.model.events import Event, EventKind
from distwright.model.outcomes import JobState, Outcome
from distwright.model.records import Job
from distwright.store.database import Database
from distwright.store.events import events_after
from distwright.tools.sandbox import Sandbox
from distwright.worker.context import JobContext
from distwright.worker.loop import MakeContext

pytestmark = pytest.mark.system
LARGE = "x" * 3_000_000


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Workshop]:
    shop = workshop(tmp_path / "state", Sandbox(None))
    yield shop
    shop.database.close()


def run_all(
    shop: Workshop, *kinds: JobKind, watcher: Onlooker | None = None, make_context: MakeContext | None = None
) -> None:
    """Run what is queued, in a process of its own: a worker ends every process that descends from it."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            worker = worker_of(shop, *kinds, watcher=watcher, may_wait_to_retry=False)
            worker.make_context = make_context or worker.make_context
            while worker.run_one():
                pass
            if watcher is not None:
                (shop.paths.root / "seen").write_text(repr(watcher.seen))
            status = 0
        finally:
            os._exit(status)
    assert ended(pid) == 0


def job(shop: Workshop, number: int = 1) -> Job:
    with shop.database.read() as tx:
        return get_job(tx, number)


def test_onlooker_hears_of_everything_in_order(shop: Workshop) -> None:
    def perform(context: Context, _inputs: Inputs, _earlier: Earlier) -> StepResult:
        for done in range(4):
            context.progress("fetching", done, 3, "files")
        return StepResult({})

    placed(shop.database, count_order())
    run_all(shop, kind_of(Action("one", nothing), Action("two", perform)), watcher=Onlooker())
    assert (shop.paths.root / "seen").read_text() == repr(
        [
            ("began", 1), ("step", "one", 1, 2), ("step", "two", 2, 2), ("progress", "fetching", 0, 3, "files"),
            ("progress", "fetching", 3, 3, "files"), ("ended", 1, Outcome.OK),
        ]
    )  # fmt: skip


def test_outputs_and_events_larger_than_a_pipe_come_through(shop: Workshop) -> None:
    def conclude(_inputs: Inputs, _earlier: Earlier, _now: datetime, number: int) -> Conclusion:
        event = Event(EventKind.CONFIG_APPLIED, NOW, "größe", {"commit": LARGE, "config": "ü"}, number)
        return Conclusion({"large": LARGE, "nested": {"a": [1, None, True]}}, "done", [event])

    placed(shop.database, count_order())
    run_all(shop, replace(kind_of(), conclude=conclude))
    done = job(shop)
    assert (done.outcome, done.outputs) == (Outcome.OK, {"large": LARGE, "nested": {"a": [1, None, True]}})
    with shop.database.read() as tx:
        (stored,) = events_after(tx, 0)
    assert stored.event == Event(EventKind.CONFIG_APPLIED, NOW, "größe", {"commit": LARGE, "config": "ü"}, 1)


def test_bug_breaks_the_job_and_its_traceback_is_in_the_log(shop: Workshop) -> None:
    def stumble(_context: Context, _inputs: Inputs, _earlier: Earlier) -> StepResult:
        raise KeyError("petrel")

    placed(shop.database, count_order())
    run_all(shop, kind_of(Action("act", stumble)))
    assert (job(shop).outcome, job(shop).message) == (
        Outcome.BROKEN,
        "a bug of distwright: KeyError: 'petrel'; see distwright job log 1",
    )
    assert 'raise KeyError("petrel")' in shop.log()


def test_result_that_cannot_be_reported_is_a_bug_and_not_a_riddle(shop: Workshop) -> None:
    placed(shop.database, count_order())
    run_all(shop, replace(kind_of(), conclude=lambda *_: Conclusion({"no json": {1, 2}}, "done")))  # type: ignore[dict-item]
    message = job(shop).message or ""
    assert (job(shop).outcome, message.startswith("a bug of distwright: TypeError: ")) == (Outcome.BROKEN, True), (
        message
    )


def test_context_that_cannot_be_made_says_why(shop: Workshop) -> None:
    def refuse(*_: object) -> JobContext:
        raise NotFound("no configuration is applied here", hint="distwright config apply COMMIT")

    def stumble(*_: object) -> JobContext:
        raise ValueError("not so")

    for number, make in enumerate((refuse, stumble), start=1):
        placed(shop.database, count_order(number))
        run_all(shop, kind_of(), make_context=make)
    assert [(job(shop, number).outcome, job(shop, number).message) for number in (1, 2)] == [
        (Outcome.BROKEN, "no configuration is applied here (distwright config apply COMMIT)"),
        (Outcome.BROKEN, "a bug of distwright: ValueError: not so; see distwright job log 2"),
    ]


def test_job_of_a_kind_that_nobody_knows_has_failed(shop: Workshop) -> None:
    placed(shop.database, count_order(kind=KindName("unheard-of", 1)))
    run_all(shop, kind_of())
    assert (job(shop).state, job(shop).outcome, job(shop).message) == (
        JobState.DONE,
        Outcome.FAILED,
        "this version of distwright knows no job of kind unheard-of",
    )


def test_worker_whose_onlooker_fails_ends_its_attempt_first(shop: Workshop) -> None:
    """A terminal that went away (EPIPE) must not leave a job running that nobody follows."""
    alive = shop.paths.root / "alive"

    class Gone(Onlooker):
        def step(self, job: Job, name: str, number: int, total: int) -> None:
            raise BrokenPipeError

    def perform(context: Context, _inputs: Inputs, _earlier: Earlier) -> StepResult:
        while True:
            context.check_cancelled()

    pid = os.fork()
    if pid == 0:
        placed(shop.database.reopen(), count_order())
        worker = worker_of(shop, kind_of(Action("act", perform)), watcher=Gone())
        try:
            worker.run_one()
        except BrokenPipeError:
            children = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
            alive.write_text(f"children: {children}")
        finally:
            os._exit(0)
    ended(pid)
    assert alive.read_text() == "children: "


def test_lease_that_cannot_be_renewed_just_now_does_not_end_the_attempt(shop: Workshop) -> None:
    """The database is locked, or the disk is full because of this very job: the fence decides later, not a bad moment."""
    signs = shop.paths.root

    class Ticking(Onlooker):
        def tick(self, job: Job) -> None:
            with (signs / "ticks").open("a") as file:
                file.write(".")

    def perform(_context: Context, _inputs: Inputs, _earlier: Earlier) -> StepResult:
        (signs / "began").touch()
        wait_until((signs / "go").exists, "go")
        return StepResult({})

    def ticks() -> int:
        return len((signs / "ticks").read_text()) if (signs / "ticks").exists() else 0

    placed(shop.database, count_order())
    pid = os.fork()
    if pid == 0:
        worker = worker_of(shop, kind_of(Action("act", perform)), watcher=Ticking())
        worker.database = Database(shop.database.url, busy_timeout_s=0)
        try:
            worker.run_one()
        finally:
            os._exit(0)
    wait_until((signs / "began").exists, "the attempt")
    with shop.database.write():
        before = ticks()
        wait_until(lambda: ticks() > before + 3, "several tries to renew")
    (signs / "go").touch()
    ended(pid)
    assert (job(shop).outcome, job(shop).fence) == (Outcome.OK, 1)


def test_worker_begins_where_the_folders_of_runs_are_gone(shop: Workshop) -> None:
    """run/ may be on a tmpfs, and cache/ may be removed at any time."""
    shop.paths.work.rmdir()
    shop.paths.roots.rmdir()
    assert ended(start_worker(shop, kind_of(), jobs=0)) == 0
    assert (shop.paths.work.is_dir(), shop.paths.roots.is_dir()) == (True, True)
