"""Several workers of one machine: jobs at the same time, one that is killed is replaced, all stop together."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.system.line import Line, state_folder
from tests.worlds.installation import CONFIG
from tests.worlds.processes import wait_until
from tests.worlds.state import count_order, placed
from tests.worlds.work import Workshop, ended, kind_of, worker_of, workshop

from distwright.jobs.lease import reap
from distwright.jobs.order import get_job
from distwright.jobs.step import Action, Context, Earlier, Inputs, JobKind, StepResult
from distwright.model.outcomes import JobState, Outcome
from distwright.model.records import Job
from distwright.store.database import Database, Transaction
from distwright.store.jobs import attempts_of
from distwright.tools.sandbox import sandbox_for
from distwright.worker.crew import become_one_of

pytestmark = pytest.mark.system


@dataclass(frozen=True)
class Dock:
    """An installation, and a folder of signs: `worker-PID`, `began-JOB` (its worker), `go` (jobs end), `leave` (workers do)."""

    shop: Workshop
    signs: Path

    def place(self, jobs: int) -> None:
        for number in range(jobs):
            placed(self.shop.database, count_order(number))

    def job(self, number: int) -> Job:
        with self.shop.database.read() as tx:
            return get_job(tx, number)

    def workers(self) -> set[int]:
        """Give those that live."""
        pids = {int(sign.name.partition("-")[2]) for sign in self.signs.glob("worker-*")}
        return {pid for pid in pids if _lives(pid)}

    def worker_of(self, job: int) -> int:
        """Wait until a job has begun; give its worker."""
        sign = self.signs / f"began-{job}"
        wait_until(lambda: sign.exists() and sign.read_text(), f"job {job}")
        return int(sign.read_text())

    def start(self, count: int) -> int:
        """Fork a first process of so many workers, who work until `leave`."""
        pid = os.fork()
        if pid:
            wait_until(lambda: len(self.workers()) == count, f"{count} workers")
            return pid
        code: int | None = 1
        try:
            code = become_one_of(count, self._tell)
            if code is None:
                self._work()
                code = 0
        except KeyboardInterrupt:
            code = 130
        finally:
            os._exit(1 if code is None else code)

    def _tell(self, text: str) -> None:
        (self.signs / "told").write_text(text)

    def _work(self) -> None:
        worker = worker_of(self.shop, waiting(self))
        worker.clean_up()
        (self.signs / f"worker-{os.getpid()}").touch()
        while not (self.signs / "leave").exists():
            if (self.signs / "fail").exists():
                os._exit(7)
            if not worker.run_one():
                time.sleep(0.02)


@pytest.fixture
def dock(work_database: str) -> Iterator[Dock]:
    with state_folder() as folder:
        shop = workshop(folder / "state", sandbox_for(os.geteuid()), work_database)
        (folder / "signs").mkdir()
        dock = Dock(shop, folder / "signs")
        yield dock
        for pid in dock.workers():
            os.kill(pid, signal.SIGKILL)
        shop.database.close()


def waiting(dock: Dock) -> JobKind:
    """A kind whose action says who does it, and waits for `go`."""

    def perform(context: Context, _inputs: Inputs, _earlier: Earlier) -> StepResult:
        (dock.signs / f"began-{context.job}").write_text(str(os.getppid()))
        while not (dock.signs / "go").exists():
            context.check_cancelled()
            time.sleep(0.01)
        with (dock.signs / f"done-{context.job}").open("a") as file:
            file.write("done\n")
        return StepResult({})

    return kind_of(Action("act", perform))


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_as_many_jobs_as_workers_run_at_a_time_and_each_once(dock: Dock) -> None:
    dock.place(5)
    first = dock.start(3)
    assert len({dock.worker_of(job) for job in (1, 2, 3)}) == 3, "each waits for `go`, so they run at the same time"
    assert dock.job(4).state is JobState.QUEUED
    (dock.signs / "go").touch()
    wait_until(lambda: all(dock.job(job).state is JobState.DONE for job in range(1, 6)), "the end of all jobs")
    (dock.signs / "leave").touch()
    assert ended(first) == 0
    assert {sign.read_text() for sign in dock.signs.glob("done-*")} == {"done\n"}
    assert len(list(dock.signs.glob("done-*"))) == 5


def test_a_killed_worker_is_replaced_and_its_job_done_again(dock: Dock) -> None:
    dock.place(2)
    first = dock.start(2)
    killed, other = dock.worker_of(1), dock.worker_of(2)
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: killed not in dock.workers() and len(dock.workers()) == 2, "another in its place")
    (dock.signs / "go").touch()
    wait_until(lambda: all(dock.job(job).state is JobState.DONE for job in (1, 2)), "the end of both jobs")
    with dock.shop.database.read() as tx:
        outcomes = [[attempt.outcome for attempt in attempts_of(tx, job)] for job in (1, 2)]
    assert outcomes == [[Outcome.BROKEN, Outcome.OK], [Outcome.OK]]
    assert other in dock.workers()
    assert (dock.signs / "told").read_text() == "a worker was killed by signal 9: another takes its place"
    (dock.signs / "leave").touch()
    assert ended(first) == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_of_the_first_stops_all_and_gives_their_jobs_back(dock: Dock, number: int, code: int) -> None:
    dock.place(2)
    first = dock.start(2)
    dock.worker_of(1), dock.worker_of(2)
    os.kill(first, number)
    assert ended(first) == code
    assert dock.workers() == set()
    assert [dock.job(job).state for job in (1, 2)] == [JobState.QUEUED, JobState.QUEUED]
    assert not list(dock.signs.glob("done-*"))


def test_ctrl_c_in_the_middle_of_a_transaction_waits_for_its_end(dock: Dock) -> None:
    """An interrupted transaction may stay open; whoever is interrupted would then wait for himself, for half a minute."""

    class InterruptedDatabase(Database):
        @contextmanager
        def write(self) -> Iterator[Transaction]:
            with super().write() as tx:
                if (dock.signs / "began-1").exists() and not (dock.signs / "whole").exists():
                    os.kill(os.getpid(), signal.SIGINT)
                    (dock.signs / "whole").touch()
                yield tx

    dock.place(1)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            worker = worker_of(dock.shop, waiting(dock))
            worker.database = InterruptedDatabase(dock.shop.paths.database_url)
            worker.run_one()
            code = 0
        except KeyboardInterrupt:
            code = 130
        finally:
            os._exit(code)
    assert ended(pid) == 130
    assert (dock.signs / "whole").exists()
    assert dock.job(1).state is JobState.QUEUED


def test_no_worker_outlives_the_first_process(dock: Dock) -> None:
    dock.place(1)
    first = dock.start(3)
    dock.worker_of(1)
    os.kill(first, signal.SIGKILL)
    assert ended(first) == -signal.SIGKILL
    wait_until(lambda: not dock.workers(), "the end of the workers")
    reap(dock.shop.database, dock.shop.context().now())
    assert dock.job(1).state is JobState.QUEUED


def test_one_that_ends_with_an_error_ends_all_with_its_exit_code(dock: Dock) -> None:
    first = dock.start(3)
    (dock.signs / "fail").touch()
    assert ended(first) == 7
    assert dock.workers() == set()


def test_the_command_runs_so_many_and_ends_with_them() -> None:
    with state_folder() as folder:
        (folder / "distwright.toml").write_text(CONFIG)
        line = Line(folder / "state")
        assert line.call("config", "init", str(folder), "--state", str(line.state)).returncode == 0
        done = line.call("worker", "--count", "2", "--until-idle", "--state", str(line.state))
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
        broken = line.call("worker", "--count", "2", "--state", str(folder / "nothing"))
        assert (broken.returncode, "there is no distwright state" in broken.stderr) == (10, True)
