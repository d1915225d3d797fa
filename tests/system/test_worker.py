"""A worker and the process of an attempt: how they talk, and what becomes of every kind of end."""

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.worlds.installation import CONFIG
from tests.worlds.processes import wait_until
from tests.worlds.state import count_order, placed
from tests.worlds.times import NOW
from tests.worlds.work import Onlooker, Workshop, ended, kind_of, nothing, start_worker, worker_of, workshop

from distwright.app import App
from distwright.errors import NotFound
from distwright.flow.engines.chosen import engine_of
from distwright.jobs.lease import Ending, claim_next, end_attempt, holder_name
from distwright.jobs.order import get_job
from distwright.jobs.step import (
    Action,
    Conclusion,
    Context,
    Earlier,
    Inputs,
    JobKind,
    KindName,
    Plan,
    PlannedCommand,
    Step,
    StepResult,
)
from distwright.model.digests import canonical_json, sha256_of
from distwright.model.events import Event, EventKind
from distwright.model.outcomes import JobState, Outcome
from distwright.model.records import Job
from distwright.store.database import Database
from distwright.store.events import append_event, events_after
from distwright.store.holds import holds_of, serial_hold
from distwright.store.jobs import Finish, attempts_of, finish_attempt
from distwright.store.refs import AppliedConfig, keep_applied_config
from distwright.tools.sandbox import Sandbox
from distwright.worker.context import JobContext
from distwright.worker.loop import MakeContext

pytestmark = pytest.mark.system
LARGE = "x" * 3_000_000
FAR = datetime.now(UTC) + timedelta(days=1)


@pytest.fixture
def shop(tmp_path: Path, work_database: str) -> Iterator[Workshop]:
    shop = workshop(tmp_path / "state", Sandbox(None), work_database)
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


def test_job_of_a_kind_or_version_that_the_worker_does_not_know_waits_for_one_that_does(shop: Workshop) -> None:
    for number, kind in enumerate((KindName("unheard-of", 1), KindName("count", 2), KindName("count", 1)), start=1):
        placed(shop.database, count_order(number, kind=kind))
    run_all(shop, kind_of())
    assert [job(shop, number).state for number in (1, 2, 3)] == [JobState.QUEUED, JobState.QUEUED, JobState.DONE]


def test_evidence_and_heir_come_through_from_the_process_of_the_attempt(shop: Workshop) -> None:
    def find(_inputs: Inputs, _earlier: Earlier) -> Plan:
        return Plan((PlannedCommand(("sh", "-c", "echo seen >log; exit 1"), 60),), collect_always={"log": "log"})

    def conclude(_inputs: Inputs, _earlier: Earlier, _now: datetime, number: int) -> Conclusion:
        return Conclusion({}, "done", heir=f"build {number}")

    kept = replace(count_order(1), holds=(serial_hold("", "debian", "2026112301", "the base"),))
    placed(shop.database, kept)
    run_all(shop, replace(kind_of(), conclude=conclude))
    placed(shop.database, count_order(2))
    run_all(shop, kind_of(Step("look", find)))
    with shop.database.read() as tx:
        assert [hold.target for hold in holds_of(tx, "build 1")] == ["debian/2026112301"]
        assert [hold.target for hold in holds_of(tx, "job 2")] == [sha256_of(b"seen\n")]
        assert [attempt.outputs for attempt in attempts_of(tx, 2)] == [{"look/log": sha256_of(b"seen\n")}]


def test_action_whose_job_was_taken_away_writes_nothing(shop: Workshop) -> None:
    """Its worker hung for long, and another one began; what it wakes up to write would undo the other's work."""
    written = Event(EventKind.CONFIG_APPLIED, NOW, "x", {"commit": "x", "config": "x"})

    def perform(context: Context, _inputs: Inputs, _earlier: Earlier) -> StepResult:
        with context.write() as tx:
            append_event(tx, written)
        with context.database.write() as tx:
            finish_attempt(tx, 1, 1, Finish(Outcome.BROKEN, "taken", retry_at=FAR), NOW)
        with context.write() as tx:
            append_event(tx, written)
        return StepResult({})

    placed(shop.database, count_order())
    run_all(shop, kind_of(Action("act", perform)))
    with shop.database.read() as tx:
        assert [stored.event for stored in events_after(tx, 0)] == [written]
    assert "attempt 1 has lost job 1" in shop.log()
    assert (job(shop).state, job(shop).message) == (JobState.QUEUED, "taken")


def test_command_waits_for_the_job_that_another_worker_runs(shop: Workshop) -> None:
    """`image build` beside a running worker says how the image ended, not that it has not."""
    settings = {"files": {"distwright.toml": CONFIG}, "keyrings": {}}
    with shop.database.write() as tx:
        keep_applied_config(tx, AppliedConfig("1" * 40, shop.objects.put(canonical_json(settings)), NOW))
    wanted = placed(shop.database, count_order())
    taken = claim_next(shop.database, ["local"], holder_name(), datetime.now(UTC))
    assert taken is not None
    waits, returned = shop.paths.root / "waits", shop.paths.root / "returned"

    class Waiting(Onlooker):
        def waits(self, job: Job) -> None:
            waits.touch()

    pid = os.fork()
    if pid == 0:
        try:
            database = shop.database.reopen()
            app = App(shop.paths, database, shop.objects, shop.sandbox, engine_of(database, shop.paths))
            app.run_until_idle(Waiting(), [wanted])
            with app.database.read() as tx:
                returned.write_text(str(get_job(tx, wanted.id).outcome))
        finally:
            os._exit(0)
    wait_until(waits.exists, "the command")
    assert not returned.exists()
    end_attempt(shop.database, taken, Ending(Outcome.OK, "ok"), datetime.now(UTC))
    ended(pid)
    assert returned.read_text() == "ok"


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
