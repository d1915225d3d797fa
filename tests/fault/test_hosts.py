"""What can happen between a server and a machine that works for it: nothing is lost, no result is written twice, nobody stays."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from tests.fault.test_full_disk import small_disk
from tests.worlds.cables import Cable, cable, tls_in_front
from tests.worlds.hosts import Homestead, Outpost, answering, homestead, outpost
from tests.worlds.postgres import PostgresCluster, postgres_cluster
from tests.worlds.processes import living, wait_until
from tests.worlds.state import count_order, placed
from tests.worlds.work import ended, kind_of, start_worker, step

from distwright.errors import OutOfSpace
from distwright.jobs.lease import claim_next, holder_name, reap
from distwright.jobs.order import cancel, get_job
from distwright.jobs.step import Action, Context, Earlier, Inputs, JobKind, StepResult, Where
from distwright.model.digests import Sha256, sha256_of
from distwright.model.outcomes import JobState, Outcome
from distwright.model.records import Attempt, Job
from distwright.site.views import job_detail
from distwright.store.database import Database
from distwright.store.jobs import attempts_of, renew_lease

pytestmark = pytest.mark.system
NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root joins network namespaces by a cable")


@dataclass
class Field:
    """A server, a machine that works for it, and a folder of signs."""

    home: Homestead
    anvil: Outpost
    signs: Path

    def place(self, number: int = 1) -> Job:
        return placed(self.home.shop.database, count_order(number))

    def begun(self, job: Job, fence: int = 1) -> None:
        wait_until((self.signs / f"began-{job.id}-{fence}").exists, f"attempt {fence} of job {job.id}")

    def job(self, job: Job) -> tuple[Job, list[Attempt]]:
        with self.home.shop.database.read() as tx:
            return get_job(tx, job.id), attempts_of(tx, job.id)

    def outcomes(self, job: Job) -> list[Outcome | None]:
        return [attempt.outcome for attempt in self.job(job)[1]]

    def waiting(self) -> JobKind:
        """A kind whose action says that it began, waits for `go`, logs, and keeps who did it."""

        def perform(context: Context, _inputs: Inputs, _earlier: Earlier) -> StepResult:
            (self.signs / f"began-{context.job}-{context.fence}").write_text(str(os.getpid()))
            context.log("it waits")
            while not (self.signs / "go").exists():
                context.check_cancelled()
                time.sleep(0.02)
            context.log("it goes on")
            return StepResult({"out": context.objects.put(f"attempt {context.fence}".encode() * 200_000)})

        return kind_of(Action("act", perform, Where.ANYWHERE))

    def start(self, kind: JobKind, jobs: int = 1) -> int:
        return self.anvil.start({kind.kind.name: kind}, jobs)

    def lose(self, job: Job) -> None:
        """Let the lease of a job's first attempt have ended a second ago, and its job be given back."""
        database = self.home.shop.database
        with database.write() as tx:
            renew_lease(tx, job.id, 1, database.now() - timedelta(seconds=1))
        assert [lost.id for lost in reap(database, database.now())] == [job.id]


@pytest.fixture
def field(tmp_path: Path) -> Iterator[Field]:
    """Give both, on loopback."""
    with postgres_cluster(address="127.0.0.1") as cluster:
        yield from _field(tmp_path, cluster)


def _field(tmp_path: Path, cluster: PostgresCluster) -> Iterator[Field]:
    home = homestead(tmp_path, cluster.new_database())
    with answering(home):
        anvil = outpost(home, tmp_path, cluster.tcp_url(home.shop.database.url))
        (tmp_path / "signs").mkdir()
        yield Field(home, anvil, tmp_path / "signs")
    home.shop.database.close()
    anvil.close()


@dataclass
class Joined:
    """A field with a cable between."""

    field: Field
    cable: Cable


@pytest.fixture
def joined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Joined]:
    """Give both, in network namespaces of their own, TLS between."""
    with cable() as between, postgres_cluster(address=between.here) as cluster:
        home = homestead(tmp_path, cluster.new_database())
        with answering(home), tls_in_front(home.url, between.here, tmp_path / "nginx") as (url, certificate):
            monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
            anvil = outpost(home, tmp_path, cluster.tcp_url(home.shop.database.url), url=url)
            anvil.enter = between.enter
            (tmp_path / "signs").mkdir()
            yield Joined(Field(home, anvil, tmp_path / "signs"), between)
        home.shop.database.close()
        anvil.close()


@NEEDS_ROOT
def test_job_runs_over_a_cable_with_tls(joined: Joined) -> None:
    field = joined.field
    job = field.place()
    (field.signs / "go").touch()
    assert ended(field.start(field.waiting())) == 0
    assert field.outcomes(job) == [Outcome.OK]
    assert "it goes on" in field.home.shop.log(job.id)


@NEEDS_ROOT
def test_cut_for_longer_than_a_lease_gives_the_job_to_another_and_its_result_is_written_once(joined: Joined) -> None:
    field, kind = joined.field, joined.field.waiting()
    job = field.place()
    worker = field.start(kind)
    field.begun(job)
    joined.cable.pull()
    field.lose(job)
    other = start_worker(field.home.shop, kind)
    field.begun(job, 2)
    (field.signs / "go").touch()
    assert ended(other) == 0
    first = field.job(job)[0]
    assert (first.state, first.outcome) == (JobState.DONE, Outcome.OK)
    joined.cable.plug()
    assert ended(worker) == 0, "the one that was cut off ends by itself"
    assert field.outcomes(job) == [Outcome.BROKEN, Outcome.OK]
    assert field.job(job)[0] == first, "nothing is written a second time"
    assert first.outputs == {"act/out": str(sha256_of(b"attempt 2" * 200_000))}
    assert not Path(f"/proc/{(field.signs / f'began-{job.id}-1').read_text()}").exists(), "nobody stays"


@NEEDS_ROOT
def test_writer_that_is_cut_off_in_the_middle_keeps_nobody_out_for_long(joined: Joined) -> None:
    """PostgreSQL hears nothing of it, and has its lock; everybody else would give up waiting for that before it ends by itself."""
    field = joined.field
    database = field.home.shop.database
    pid = os.fork()
    if pid == 0:
        joined.cable.enter()
        with field.anvil.away.database.reopen().write():
            (field.signs / "writing").touch()
            time.sleep(60)
        os._exit(0)
    wait_until((field.signs / "writing").exists, "the writer")
    joined.cable.pull()
    try:
        job = field.place()
        assert field.job(job)[0].state is JobState.QUEUED
        assert database.now()
    finally:
        os.kill(pid, signal.SIGKILL)
        ended(pid)


@NEEDS_ROOT
def test_cut_that_ends_in_time_costs_nothing(joined: Joined) -> None:
    field = joined.field
    job = field.place()
    worker = field.start(field.waiting())
    field.begun(job)
    joined.cable.pull()
    (field.signs / "go").touch()
    time.sleep(2)  # it wants to send in that time, and nobody answers
    joined.cable.plug()
    assert ended(worker) == 0
    assert field.outcomes(job) == [Outcome.OK]
    assert "it goes on" in field.home.shop.log(job.id)
    assert field.home.shop.objects.has(sha256_of(b"attempt 1" * 200_000))


def test_server_that_is_killed_and_comes_back_gets_everything(field: Field) -> None:
    job = field.place()
    worker = field.start(field.waiting())
    field.begun(job)
    field.home.stop(signal.SIGKILL)
    (field.signs / "go").touch()
    time.sleep(1)  # it ends in that time, and finds nobody
    field.home.start()
    assert ended(worker) == 0
    assert field.outcomes(job) == [Outcome.OK]
    log = field.home.shop.log(job.id)
    assert log.count("it waits") == log.count("it goes on") == 1
    assert field.job(job)[1][0].log_bytes == len(log.encode())


def test_killed_worker_leaves_nobody_and_its_job_to_another(field: Field) -> None:
    number = f"{42_000_000 + os.getpid()}"
    slow = kind_of(step(f"sleep {number} & setsid sleep {number} & echo programs run; sleep {number}"))
    job = field.place()
    worker = field.start(slow)
    log = field.home.shop.paths.job_log(job.id, 1)
    wait_until(lambda: log.exists() and "programs run" in log.read_text(), "the program to begin")
    assert living(f"sleep\0{number}")
    os.kill(worker, signal.SIGKILL)
    assert ended(worker) == -signal.SIGKILL
    wait_until(lambda: not living(f"sleep\0{number}"), "the end of its programs")
    assert reap(field.home.shop.database, field.home.shop.database.now()) == [], "the server cannot see who lives there"
    (field.signs / "go").touch()
    assert ended(field.start(field.waiting())) == 0, "who starts there again does: its own worker is dead"
    assert field.outcomes(job) == [Outcome.BROKEN, Outcome.OK]
    assert list(field.anvil.away.paths.work.iterdir()) == []


def test_two_hosts_share_the_queue_and_each_job_is_done_once(field: Field, tmp_path: Path) -> None:
    tongs = outpost(field.home, tmp_path, field.anvil.away.paths.database_url, "tongs")
    kind = kind_of(step("echo made >made", collect={"out": "made"}))
    jobs = [field.place(number) for number in range(6)]
    workers = [one.start({kind.kind.name: kind}, 3) for one in (field.anvil, tongs)]
    assert [ended(worker) for worker in workers] == [0, 0]
    assert [field.outcomes(job) for job in jobs] == [[Outcome.OK]] * 6
    holders = sorted(field.job(job)[1][0].holder.partition(":")[0] for job in jobs)
    assert holders == ["anvil"] * 3 + ["tongs"] * 3
    tongs.close()


def test_cancelled_job_stops_there_and_its_log_is_here(field: Field) -> None:
    job = field.place()
    worker = field.start(field.waiting())
    field.begun(job)
    with field.home.shop.database.write() as tx:
        cancel(tx, job.id, field.home.shop.database.now())
    assert ended(worker) == 0
    assert field.outcomes(job) == [Outcome.CANCELLED]
    assert "cancelled" in field.home.shop.log(job.id)


def test_job_that_is_cancelled_while_it_ends_has_one_end(field: Field) -> None:
    """The attempt is over, but its log cannot be carried yet: the end is still to be written."""
    job = field.place()
    worker = field.start(field.waiting())
    field.begun(job)
    log = field.home.shop.paths.job_log(job.id, 1)
    wait_until(lambda: log.exists() and "it waits" in log.read_text(), "the log to come")
    os.kill(field.home.pid or 0, signal.SIGSTOP)
    (field.signs / "go").touch()
    with field.home.shop.database.write() as tx:
        cancel(tx, job.id, field.home.shop.database.now())
    os.kill(field.home.pid or 0, signal.SIGCONT)
    assert ended(worker) == 0
    done, attempts = field.job(job)
    assert done.state is JobState.DONE
    assert done.outcome in (Outcome.OK, Outcome.CANCELLED)
    assert [attempt.outcome for attempt in attempts] == [done.outcome]


def test_full_disk_of_the_server_cuts_no_log_for_good(field: Field) -> None:
    job = field.place()
    database = field.anvil.away.database
    assert claim_next(database, ["local"], holder_name(host="anvil"), database.now()) is not None
    content = os.urandom(900_000)
    with small_disk("512k") as disk:
        field.home.shop.paths.logs.rmdir()
        field.home.shop.paths.logs.symlink_to(disk.seen)
        link = field.anvil.away.link(patience_s=0)
        with pytest.raises(OutOfSpace, match="no space left"):
            link.send_log(job.id, 1, 0, content)
        held = field.home.shop.paths.job_log(job.id, 1).read_bytes()
        assert 0 < len(held) < len(content)
        assert content.startswith(held)
        disk.grow("2m")
        assert link.send_log(job.id, 1, 0, content) == len(content)
        assert field.home.shop.paths.job_log(job.id, 1).read_bytes() == content


def test_clock_that_is_ten_minutes_wrong_takes_no_job_away_and_dates_nothing_wrong(field: Field) -> None:
    """To a machine whose clock is ten minutes slow, the server's is ten minutes fast: that is what is made here."""

    class AheadDatabase(Database):
        def now(self) -> datetime:
            return super().now() + timedelta(minutes=10)

        def reopen(self, *, lost_patience_s: float | None = None) -> "AheadDatabase":
            return AheadDatabase(self.url)

    seen = field.signs / "now"

    def perform(context: Context, _inputs: Inputs, _earlier: Earlier) -> StepResult:
        seen.write_text(context.now().isoformat())
        return StepResult({})

    field.anvil.away.database.close()
    field.anvil.away.database = AheadDatabase(field.home.shop.database.url)
    job = field.place()
    kind = kind_of(Action("act", perform, Where.ANYWHERE))
    assert ended(field.start(kind)) == 0
    attempt = field.job(job)[1][0]
    assert attempt.outcome is Outcome.OK
    told = datetime.fromisoformat(seen.read_text())
    assert attempt.finished_at is not None
    assert attempt.started_at <= told <= attempt.finished_at
    assert told > field.home.shop.database.now() + timedelta(minutes=9)


def test_worker_that_is_killed_at_any_moment_of_a_job_loses_nothing(field: Field) -> None:
    """Later each time: while it claims, fetches, runs a program, sends what it made, carries the log, writes the end."""
    given = field.home.shop.objects.put(os.urandom(5_000_000))
    kind = kind_of(step("cat given given >made; echo made", place={"given": given}, collect={"out": "made"}))
    job = field.place()
    for tenths in range(1, 9):
        worker = field.start(kind)
        time.sleep(tenths / 10)
        with suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)
        if ended(worker) == 0:
            break
    else:
        if field.job(job)[0].state is not JobState.DONE:
            assert ended(field.start(kind)) == 0
    done, attempts = field.job(job)
    assert (done.state, done.outcome) == (JobState.DONE, Outcome.OK)
    assert [attempt.outcome for attempt in attempts].count(Outcome.OK) == 1
    assert done.outputs is not None
    assert field.home.shop.objects.is_intact(Sha256(str(done.outputs["count/out"])))
    field.anvil.away.carry_late_logs(age_s=0)
    assert job_detail(field.home.shop.database, field.home.shop.paths, job.id).missing_log == ""
    log = field.home.shop.log(job.id, done.fence)
    assert "made" in log or "count is known already" in log, "an attempt before may have sent what it made"
    wait_until(lambda: not living(str(field.anvil.away.paths.work)), "the end of all programs")
