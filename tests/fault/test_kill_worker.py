"""Kill -9 of workers and of the processes of jobs: nothing is lost, nothing is done twice, nothing stays."""

import json
import os
import signal
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.system.line import state_folder
from tests.worlds.processes import living, wait_until
from tests.worlds.rootfs import root_tar
from tests.worlds.state import count_order, placed
from tests.worlds.times import NOW
from tests.worlds.work import Onlooker, Workshop, ended, kind_of, start_worker, workshop

from distwright.errors import Refused
from distwright.jobs.lease import RETRY_DELAYS_S
from distwright.jobs.order import cancel, get_job
from distwright.jobs.step import Action, Context, Earlier, Inputs, JobKind, Plan, PlannedCommand, Step, StepResult
from distwright.model.digests import sha256_of
from distwright.model.events import Event, EventKind
from distwright.model.outcomes import JobState, Outcome
from distwright.model.records import Attempt, Job
from distwright.store.events import events_after
from distwright.store.jobs import attempts_of, list_jobs
from distwright.tools.run import Command, run
from distwright.tools.sandbox import sandbox_for

pytestmark = pytest.mark.system

DAEMONS = 'setsid sh -c "trap : TERM HUP; while :; do sleep 0.1; done" "$0" & '
RESULT = sha256_of(b"result")


@dataclass(frozen=True)
class Yard:
    """An installation, a folder where jobs leave signs of life, and a mark on their processes."""

    shop: Workshop
    signs: Path
    mark: str

    def sign(self, name: str) -> Path:
        return self.signs / name

    def place(self, number: int = 1) -> Job:
        return placed(self.shop.database, count_order(number))

    def job(self, number: int = 1) -> Job:
        with self.shop.database.read() as tx:
            return get_job(tx, number)

    def attempts(self, number: int = 1) -> list[Attempt]:
        with self.shop.database.read() as tx:
            return attempts_of(tx, number)

    def outcomes(self, number: int = 1) -> list[Outcome | None]:
        return [attempt.outcome for attempt in self.attempts(number)]

    def events(self) -> list[Event]:
        with self.shop.database.read() as tx:
            return [stored.event for stored in events_after(tx, 0)]

    def cancel(self, number: int = 1) -> Job:
        with self.shop.database.write() as tx:
            return cancel(tx, number, NOW)

    def began(self, fence: int = 1) -> int:
        """Wait until an attempt is at work; give the process number of its job."""
        sign = self.sign(f"began-{fence}")
        wait_until(lambda: sign.exists() and sign.read_text().endswith("\n"), f"attempt {fence}")
        return int(sign.read_text())

    def all_gone(self) -> None:
        """Wait until no process of any job lives."""
        pids = [int(sign.read_text()) for sign in self.signs.glob("began-*")]
        wait_until(lambda: not any(_lives(pid) for pid in pids), f"the end of {pids}")
        wait_until(lambda: not living(self.mark), f"the end of {living(self.mark)}")


@pytest.fixture
def yard(work_database: str) -> Iterator[Yard]:
    with state_folder() as folder:
        shop = workshop(folder / "state", sandbox_for(os.geteuid()), work_database)
        (folder / "signs").mkdir()
        yard = Yard(shop, folder / "signs", f"mark-{uuid.uuid4()}")
        yield yard
        for pid in living(yard.mark):
            os.kill(pid, signal.SIGKILL)
        for unpacked in shop.paths.roots.iterdir():
            shop.sandbox.remove(unpacked)
        shop.database.close()


def slow_action(yard: Yard, *, is_deaf: bool = False) -> JobKind:
    """A kind whose action says that it began, waits for `go`, and keeps a result. is_deaf: it never asks whether to stop."""

    def perform(context: Context, _inputs: Inputs, _earlier: Earlier) -> StepResult:
        fence = context.fence
        yard.sign(f"began-{fence}").write_text(f"{os.getpid()}\n")
        while not yard.sign("go").exists():
            if not is_deaf:
                context.check_cancelled()
            _nap()
        with yard.sign("done").open("a") as file:
            file.write("done\n")
        return StepResult({"out": context.objects.put(b"result")})

    return _with_event(kind_of(Action("act", perform)))


def slow_program(yard: Yard) -> JobKind:
    """A kind whose rooted program starts daemons in sessions of their own, and then waits for `/work/go`."""
    root = yard.shop.objects.put(root_tar())
    script = f"{DAEMONS} {DAEMONS} until [ -e go ]; do sleep 0.05; done; echo -n result >out"
    plan = Plan(
        (PlannedCommand(("sh", "-c", script, yard.mark), 60, root=root),),
        place={"go": yard.shop.objects.put(b"")} if yard.sign("go").exists() else {},
        collect={"out": "out"},
    )
    return _with_event(kind_of(Step("count-long", lambda _inputs, _earlier: plan)))


def slow_command(yard: Yard) -> JobKind:
    """A kind whose action runs a program as we are, in no sandbox, which starts daemons in sessions of their own."""

    def perform(context: Context, _inputs: Inputs, _earlier: Earlier) -> StepResult:
        yard.sign(f"began-{context.fence}").write_text(f"{os.getpid()}\n")
        run(Command(("sh", "-c", f"{DAEMONS} {DAEMONS} while :; do sleep 0.1; done", yard.mark), 600))
        return StepResult({})

    return kind_of(Action("act", perform))


def _with_event(kind: JobKind) -> JobKind:
    def conclude(inputs: Inputs, earlier: Earlier, now: object, job: int) -> object:
        conclusion = kind.conclude(inputs, earlier, NOW, job)
        body: Mapping[str, str] = {"commit": "c0ffee", "config": RESULT}
        return type(conclusion)(
            conclusion.outputs, conclusion.message, [Event(EventKind.CONFIG_APPLIED, NOW, "x", body, job)]
        )

    return JobKind(kind.kind, kind.steps, conclude)  # type: ignore[arg-type]


# The worker is killed


def test_job_of_a_killed_worker_is_finished_by_the_next_and_its_result_written_once(yard: Yard) -> None:
    kind = slow_action(yard)
    yard.place()
    first = start_worker(yard.shop, kind)
    yard.began()
    os.kill(first, signal.SIGKILL)
    assert ended(first) == -signal.SIGKILL
    yard.all_gone()
    yard.sign("go").touch()
    assert ended(start_worker(yard.shop, kind)) == 0
    job = yard.job()
    assert (job.state, job.outcome, job.outputs, job.fence) == (JobState.DONE, Outcome.OK, {"act/out": RESULT}, 2)
    lost, good = yard.attempts()
    assert (lost.outcome, lost.message) == (Outcome.BROKEN, f"the worker {lost.holder} is gone")
    assert (good.outcome, good.message) == (Outcome.OK, "counted")
    assert ([event.job for event in yard.events()], yard.sign("done").read_text()) == ([1], "done\n")
    yard.all_gone()


def test_programs_of_a_killed_worker_die_with_their_daemons_and_their_folder_goes(yard: Yard) -> None:
    kind = slow_program(yard)
    yard.place()
    first = start_worker(yard.shop, kind)
    wait_until(lambda: _daemons(yard) >= 2, "two daemons")
    os.kill(first, signal.SIGKILL)
    ended(first)
    yard.all_gone()
    assert [folder.name for folder in yard.shop.paths.work.iterdir()] == ["1-1-count-long"]
    yard.sign("go").touch()
    assert ended(start_worker(yard.shop, slow_program(yard))) == 0
    assert (yard.outcomes(), yard.job().outputs) == ([Outcome.BROKEN, Outcome.OK], {"count-long/out": RESULT})
    assert list(yard.shop.paths.work.iterdir()) == []
    yard.all_gone()


def test_program_of_an_action_dies_with_its_worker_and_so_do_its_daemons(yard: Yard) -> None:
    yard.place()
    worker = start_worker(yard.shop, slow_command(yard))
    wait_until(lambda: _daemons(yard) >= 2, "two daemons")
    os.kill(worker, signal.SIGKILL)
    ended(worker)
    yard.all_gone()


def test_worker_killed_again_and_again_gives_way_in_the_end(yard: Yard) -> None:
    kind = slow_action(yard)
    yard.place()
    for fence in range(1, 4):
        worker = start_worker(yard.shop, kind)
        yard.began(fence)
        os.kill(worker, signal.SIGKILL)
        ended(worker)
    yard.all_gone()
    yard.sign("go").touch()
    assert ended(start_worker(yard.shop, kind)) == 0
    assert yard.outcomes() == [Outcome.BROKEN] * 3 + [Outcome.OK]


def test_what_dead_workers_left_is_removed_and_what_living_ones_need_is_kept(yard: Yard) -> None:
    shop, kind = yard.shop, slow_action(yard)
    yard.place()
    living_worker = start_worker(shop, kind)
    yard.began()
    dead = os.fork()
    if dead == 0:
        os._exit(0)
    ended(dead)
    for name in ("1-1-build", "1-1-long-name", "1-0-build", "7-1-build", "1-11-build"):
        (shop.paths.work / name).mkdir()
    there = shop.objects.put(b"a root that is packed as well")
    for name in (f"new-{dead}-{RESULT}", f"new-{os.getpid()}-{RESULT}", RESULT, there):
        (shop.paths.roots / name).mkdir()
    incoming = shop.paths.objects / "incoming"
    incoming.mkdir(exist_ok=True)
    for name in (f"{dead}-abc", f"{os.getpid()}-abc"):
        (incoming / name).touch()
    assert ended(start_worker(shop, kind, jobs=0)) == 0
    assert sorted(folder.name for folder in shop.paths.work.iterdir()) == ["1-1-build", "1-1-long-name"]
    assert sorted(folder.name for folder in shop.paths.roots.iterdir()) == sorted(
        [there, f"new-{os.getpid()}-{RESULT}"]
    )
    assert [file.name for file in incoming.iterdir()] == [f"{os.getpid()}-abc"]
    yard.sign("go").touch()
    assert ended(living_worker) == 0


# The process of the job is killed


def test_killed_job_is_put_back_for_later_by_its_worker(yard: Yard) -> None:
    yard.place()
    worker = start_worker(yard.shop, slow_action(yard))
    os.kill(yard.began(), signal.SIGKILL)
    assert ended(worker) == 0
    job = yard.job()
    assert (job.state, job.outcome, job.lease_holder) == (JobState.QUEUED, None, None)
    assert job.message == "the job's process was killed (status -9): out of memory?"
    (attempt,) = yard.attempts()
    assert (attempt.outcome, attempt.finished_at) == (
        Outcome.BROKEN,
        job.not_before - timedelta(seconds=RETRY_DELAYS_S[0]),
    )
    yard.all_gone()


def test_killed_job_of_a_command_that_waits_for_nothing_is_broken(yard: Yard) -> None:
    yard.place()
    worker = start_worker(yard.shop, slow_action(yard), may_wait_to_retry=False)
    os.kill(yard.began(), signal.SIGKILL)
    assert ended(worker) == 0
    assert (yard.job().state, yard.job().outcome) == (JobState.DONE, Outcome.BROKEN)


def test_daemons_of_a_killed_job_are_ended_by_its_worker(yard: Yard) -> None:
    yard.place()
    worker = start_worker(yard.shop, slow_program(yard))
    wait_until(lambda: _daemons(yard) >= 2, "two daemons")
    (child,) = _children(worker)
    os.kill(child, signal.SIGKILL)
    assert ended(worker) == 0
    yard.all_gone()


# Fences


def test_worker_whose_lease_was_taken_stops_and_writes_nothing(yard: Yard) -> None:
    """As after a long break of the network between machines: the other one believed us dead."""
    yard.place()
    first = start_worker(yard.shop, slow_action(yard))
    child = yard.began()
    elsewhere = {"holder": "another-host boot 1 1", "until": "2000-01-01T00:00:00.000000Z"}
    with yard.shop.database.write() as tx:
        tx.connection.execute(sa.text("UPDATE jobs SET lease_holder = :holder, lease_until = :until"), elsewhere)
    os.kill(first, signal.SIGSTOP)
    second = start_worker(yard.shop, slow_action(yard))
    yard.began(2)
    os.kill(first, signal.SIGCONT)
    wait_until(lambda: not _lives(child), "the end of the first attempt")
    assert ended(first) == 0
    assert (yard.job().state, yard.job().fence, yard.outcomes()) == (JobState.RUNNING, 2, [Outcome.BROKEN, None])
    yard.sign("go").touch()
    assert ended(second) == 0
    assert (yard.job().outcome, yard.outcomes(), len(yard.events())) == (Outcome.OK, [Outcome.BROKEN, Outcome.OK], 1)


def test_workers_share_the_queue_and_run_each_job_once(yard: Yard) -> None:
    yard.sign("go").touch()
    for number in range(12):
        yard.place(number)
    workers = [start_worker(yard.shop, slow_action(yard), jobs=100) for _ in range(3)]
    assert [ended(worker) for worker in workers] == [0, 0, 0]
    with yard.shop.database.read() as tx:
        jobs = list_jobs(tx)
    assert [(job.outcome, job.fence) for job in jobs] == [(Outcome.OK, 1)] * 12
    assert (yard.sign("done").read_text(), len(yard.events())) == ("done\n" * 12, 12)


# Cancelling in each state


def test_cancelled_queued_job_never_begins(yard: Yard) -> None:
    yard.place()
    assert yard.cancel().outcome is Outcome.CANCELLED
    assert ended(start_worker(yard.shop, slow_action(yard))) == 0
    assert (yard.attempts(), list(yard.signs.iterdir())) == ([], [])


def test_job_that_is_cancelled_between_its_claim_and_its_beginning_stops_at_once(yard: Yard) -> None:
    class Canceller(Onlooker):
        """Cancels each job that was claimed, as somebody else would: over a connection of its own."""

        def began(self, job: Job) -> None:
            database = yard.shop.database.reopen()
            with database.write() as tx:
                cancel(tx, job.id, NOW)
            database.close()

    yard.place()
    assert ended(start_worker(yard.shop, slow_action(yard), watcher=Canceller())) == 0
    assert (yard.job().state, yard.outcomes(), yard.events()) == (JobState.DONE, [Outcome.CANCELLED], [])
    assert not yard.sign("done").exists()
    yard.all_gone()


def test_job_that_is_cancelled_while_it_ends_has_one_end_and_the_events_of_that(yard: Yard) -> None:
    def perform(context: Context, _inputs: Inputs, _earlier: Earlier) -> StepResult:
        yard.sign(f"began-{context.fence}").write_text(f"{os.getpid()}\n")
        with context.database.write() as tx:
            cancel(tx, 1, NOW)
        return StepResult({"out": context.objects.put(b"result")})

    yard.place()
    assert ended(start_worker(yard.shop, _with_event(kind_of(Action("act", perform))))) == 0
    job = yard.job()
    assert job.state is JobState.DONE
    assert yard.outcomes() == [job.outcome]
    assert (job.outcome, len(yard.events())) in ((Outcome.OK, 1), (Outcome.CANCELLED, 0))
    yard.all_gone()


def test_cancelled_action_stops_when_it_next_asks(yard: Yard) -> None:
    yard.place()
    worker = start_worker(yard.shop, slow_action(yard))
    yard.began()
    assert yard.cancel().is_cancelled
    assert ended(worker) == 0
    assert (yard.job().state, yard.job().outcome, yard.events()) == (JobState.DONE, Outcome.CANCELLED, [])
    yard.all_gone()


def test_cancelled_action_that_never_asks_is_killed_after_its_grace_and_is_cancelled(yard: Yard) -> None:
    yard.place()
    worker = start_worker(yard.shop, slow_action(yard, is_deaf=True))
    yard.began()
    yard.cancel()
    assert ended(worker) == 0
    job = yard.job()
    assert (job.state, job.outcome, yard.outcomes()) == (JobState.DONE, Outcome.CANCELLED, [Outcome.CANCELLED])
    assert job.message == "cancelled (the job's process was killed (status -9): out of memory?)"
    yard.all_gone()


def test_cancelled_program_is_ended_with_its_daemons(yard: Yard) -> None:
    yard.place()
    worker = start_worker(yard.shop, slow_program(yard))
    wait_until(lambda: _daemons(yard) >= 2, "two daemons")
    yard.cancel()
    assert ended(worker) == 0
    assert (yard.job().outcome, yard.events()) == (Outcome.CANCELLED, [])
    yard.all_gone()
    assert ended(start_worker(yard.shop, slow_program(yard))) == 0
    assert (yard.outcomes(), list(yard.shop.paths.work.iterdir())) == ([Outcome.CANCELLED], [])


def test_job_cancelled_after_its_worker_was_killed_is_not_begun_again(yard: Yard) -> None:
    yard.place()
    worker = start_worker(yard.shop, slow_action(yard))
    yard.began()
    os.kill(worker, signal.SIGKILL)
    ended(worker)
    yard.cancel()
    yard.sign("go").touch()
    assert ended(start_worker(yard.shop, slow_action(yard))) == 0
    assert (yard.job().outcome, yard.outcomes()) == (Outcome.CANCELLED, [Outcome.CANCELLED])
    assert not yard.sign("done").exists()


def test_cancel_of_a_job_that_is_done_is_refused_and_changes_nothing(yard: Yard) -> None:
    yard.sign("go").touch()
    yard.place()
    assert ended(start_worker(yard.shop, slow_action(yard))) == 0
    before = yard.job()
    with pytest.raises(Refused, match=r"job 1 is done \(ok\)"):
        yard.cancel()
    assert yard.job() == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_worker_puts_its_job_back_at_once(yard: Yard, number: int) -> None:
    yard.place()
    worker = start_worker(yard.shop, slow_action(yard))
    yard.began()
    os.kill(worker, number)
    assert ended(worker) == 130
    job = yard.job()
    assert (job.state, job.message) == (JobState.QUEUED, "interrupted by Ctrl-C or SIGTERM")
    yard.all_gone()
    yard.sign("go").touch()
    assert ended(start_worker(yard.shop, slow_action(yard))) == 0
    assert yard.outcomes() == [Outcome.BROKEN, Outcome.OK]


def _daemons(yard: Yard) -> int:
    return sum("while :; do sleep" in json.dumps(_words(pid)) for pid in living(yard.mark) if _words(pid)[:1] == ["sh"])


def _words(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _nap() -> None:
    signal.sigtimedwait([], 0.01)
