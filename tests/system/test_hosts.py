"""A worker on another machine: it shares nothing with the server but the database and what goes over HTTP."""

import os
import signal
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.system.line import state_folder
from tests.system.test_reading_step import HELLO, Mirror
from tests.unit.archive.requests import record_request
from tests.worlds.hosts import HOST, HOSTED, Homestead, Outpost, answering, homestead, outpost
from tests.worlds.postgres import PostgresCluster, postgres_cluster
from tests.worlds.processes import wait_until
from tests.worlds.state import count_order, placed
from tests.worlds.work import ended, kind_of, nothing, shell, step

from distwright import __version__
from distwright.archive.record import record
from distwright.errors import BadUsage, NotAllowed, NotFound, Refused, Unreachable, WorkFailed
from distwright.jobs.lease import LEASE_S, claim_next, holder_name, host_of, renew
from distwright.jobs.order import get_job
from distwright.jobs.step import Action, Context, Earlier, Inputs, JobKind, ShelfEntry, StepResult, Where
from distwright.model.digests import Sha256, sha256_of
from distwright.model.outcomes import JobState, Outcome
from distwright.model.records import Attempt, Job
from distwright.net.home import HomeLink
from distwright.site.away import join, own_pools
from distwright.site.hosts import drain, enrol, exchange, host_json, host_rows, may_claim
from distwright.site.views import job_detail
from distwright.store.jobs import Finish, attempts_of, finish_attempt
from distwright.store.paths import StatePaths
from distwright.tools.sandbox import sandbox_for
from distwright.worker.carrying import LogCarrier
from distwright.worker.context import CommandContext
from distwright.worker.kinds import KINDS, portable
from distwright.worker.loop import Worker

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def cluster() -> Iterator[PostgresCluster]:
    with postgres_cluster(address="127.0.0.1") as cluster:
        yield cluster


@pytest.fixture
def home(cluster: PostgresCluster, tmp_path: Path) -> Iterator[Homestead]:
    home = homestead(tmp_path, cluster.new_database())
    with answering(home):
        yield home
    home.shop.database.close()


@pytest.fixture
def anvil(home: Homestead, cluster: PostgresCluster, tmp_path: Path) -> Iterator[Outpost]:
    anvil = outpost(home, tmp_path, cluster.tcp_url(home.shop.database.url))
    yield anvil
    anvil.close()


def kinds(*kind: JobKind) -> dict[str, JobKind]:
    return {one.kind.name: one for one in kind}


def run(anvil: Outpost, kind: JobKind) -> None:
    assert ended(anvil.start(kinds(kind))) == 0


def done(home: Homestead, job: Job) -> tuple[Job, list[Attempt]]:
    with home.shop.database.read() as tx:
        return get_job(tx, job.id), attempts_of(tx, job.id)


def test_job_runs_there_and_everything_of_it_is_here(home: Homestead, anvil: Outpost) -> None:
    given = home.shop.objects.put(b"given by the server\n" * 100_000)
    kind = kind_of(step("cat given >made; echo seen", place={"given": given}, collect={"out": "made"}))
    job = placed(home.shop.database, count_order())
    run(anvil, kind)
    ended_job, attempts = done(home, job)
    assert (ended_job.state, ended_job.outcome) == (JobState.DONE, Outcome.OK)
    assert ended_job.outputs == {"count/out": str(given)}
    assert [host_of(attempt.holder) for attempt in attempts] == [HOST]
    log = home.shop.log(job.id, 1)
    assert "seen" in log
    assert log.endswith("ok: counted\n")
    assert attempts[0].log_bytes == len(log.encode())
    assert not anvil.away.paths.job_log(job.id, 1).exists(), "the server has all of it"
    assert job_detail(home.shop.database, home.shop.paths, job.id).missing_log == ""


def test_what_is_made_there_is_here_before_a_row_names_it(home: Homestead, anvil: Outpost) -> None:
    """The step's result, its outputs and evidence: all that any row names is in the server's store when the job is done."""
    kind = kind_of(
        step("head -c 20000000 /dev/zero >made; echo two >second", collect={"out": "made", "other": "second"})
    )
    job = placed(home.shop.database, count_order())
    run(anvil, kind)
    outputs = done(home, job)[0].outputs
    assert outputs is not None
    assert set(outputs) == {"count/out", "count/other"}
    for digest in outputs.values():
        assert home.shop.objects.is_intact(Sha256(str(digest)))
    assert len(list(home.shop.objects.digests())) == 3, "both outputs and the result of the step"
    assert not list(home.shop.paths.objects.glob("arriving/*/*"))


def test_step_reads_archives_of_the_server_there_and_what_it_fetched_is_here(
    home: Homestead, cluster: PostgresCluster
) -> None:
    """The record is on the server alone; the package comes from upstream to whoever asks first."""
    shop, mirror = home.shop, Mirror()
    person = CommandContext(shop.database, shop.objects, mirror, HOSTED, shop.paths)
    row = record(record_request(), person, shop.paths.cache / "pool").row
    assert not shop.objects.has(HELLO.sha256)
    read = shell(f"curl -sf {{shelf:debian/stable}}/{HELLO.pool_path()} >out", reads_shelf=True)
    kind = kind_of(step(read, shelf=(ShelfEntry("debian", "stable", row.digest),), collect={"out": "out"}))
    job = placed(shop.database, count_order())
    with state_folder() as folder:
        anvil = outpost(home, folder, cluster.tcp_url(shop.database.url))
        anvil.sandbox, anvil.fetcher = sandbox_for(os.geteuid()), mirror
        run(anvil, kind)
        anvil.close()
    outputs = done(home, job)[0].outputs
    assert outputs == {"count/out": HELLO.sha256}, done(home, job)[1]
    assert shop.objects.is_intact(HELLO.sha256)


def test_log_can_be_followed_while_the_job_runs_elsewhere(home: Homestead, anvil: Outpost, tmp_path: Path) -> None:
    go = tmp_path / "go"

    def perform(context: Context, _inputs: Inputs, _earlier: Earlier) -> StepResult:
        context.log("it has begun")
        wait_until(go.exists, "the test to have read it")
        context.log("it goes on")
        return StepResult({})

    kind = kind_of(Action("act", perform, Where.ANYWHERE))
    job = placed(home.shop.database, count_order())
    worker = anvil.start(kinds(kind))
    log = home.shop.paths.job_log(job.id, 1)
    wait_until(lambda: log.exists() and "it has begun" in log.read_text(), "the log to come")
    assert done(home, job)[0].state is JobState.RUNNING
    go.touch()
    assert ended(worker) == 0
    assert "it goes on" in log.read_text()


def test_an_action_that_needs_a_key_is_done_by_the_server(home: Homestead, anvil: Outpost) -> None:
    def sign(context: Context, _inputs: Inputs, earlier: Earlier) -> StepResult:
        content = context.objects.read(earlier["count"].outputs["out"])
        context.log(f"signed in process group {os.getpgid(0)}")
        return StepResult({"signed": context.objects.put(b"signed " + content)})

    kind = kind_of(step("echo made >made", collect={"out": "made"}), Action("sign", sign, Where.ASKED))
    home.kinds = kinds(kind)
    home.stop()
    home.start()
    job = placed(home.shop.database, count_order())
    run(anvil, kind)
    outputs = done(home, job)[0].outputs
    assert outputs is not None
    assert outputs["sign/signed"] == str(sha256_of(b"signed made\n"))
    assert f"signed in process group {home.pid}" in home.shop.log(job.id, 1)


def test_that_the_work_is_at_fault_is_said_by_the_server_and_that_it_refuses_us_is_no_fault_of_the_work(
    home: Homestead, anvil: Outpost
) -> None:
    def sign(context: Context, _inputs: Inputs, _earlier: Earlier) -> StepResult:
        raise WorkFailed("the .changes is not what was ordered", hint="look at the log")

    kind = kind_of(Action("sign", sign, Where.ASKED))
    home.kinds = kinds(kind)
    home.stop()
    home.start()
    job = placed(home.shop.database, count_order())
    run(anvil, kind)
    assert done(home, job)[0].outcome is Outcome.FAILED
    assert "the .changes is not what was ordered" in (done(home, job)[0].message or "")

    home.kinds = {}
    home.stop()
    home.start()
    other = placed(home.shop.database, count_order(2))
    run(anvil, kind)
    assert [attempt.outcome for attempt in done(home, other)[1]] == [Outcome.BROKEN]


def test_object_that_has_rotted_on_the_server_is_not_the_works_fault(home: Homestead, anvil: Outpost) -> None:
    given = home.shop.objects.put(b"given by the server\n")
    home.shop.objects.path(given).chmod(0o644)
    home.shop.objects.path(given).write_bytes(b"given by nobody\n")
    job = placed(home.shop.database, count_order())
    run(anvil, kind_of(step("cat given", place={"given": given})))
    attempt = done(home, job)[1][0]
    assert attempt.outcome is Outcome.BROKEN
    assert f"object {given} has rotted" in (attempt.message or "")


def test_nobody_asks_for_an_action_of_a_job_that_it_does_not_have(home: Homestead, anvil: Outpost) -> None:
    job = placed(home.shop.database, count_order())
    home.kinds = kinds(kind_of(Action("sign", nothing, Where.ASKED), Action("publish", nothing)))
    home.stop()
    home.start()
    link = anvil.away.link(patience_s=1)
    with pytest.raises(Unreachable, match=f"host anvil has no attempt 1 of job {job.id}"):
        link.act(job.id, 1, "sign", {})
    assert claimed(anvil).id == job.id
    assert link.act(job.id, 1, "sign", {})["said"] == []
    with pytest.raises(Unreachable, match="no action that a host may ask for"):
        link.act(job.id, 1, "publish", {})
    with pytest.raises(Unreachable):
        link.act(job.id, 1, "../sign", {})
    with home.shop.database.write() as tx:
        finish_attempt(tx, job.id, 1, Finish(Outcome.OK, "done"), home.shop.database.now())
    with pytest.raises(Unreachable, match="has lost job"):
        link.act(job.id, 1, "sign", {})


def claimed(anvil: Outpost) -> Job:
    database = anvil.away.database
    job = claim_next(database, ["local"], holder_name(host=HOST), database.now())
    assert job is not None
    return job


def test_a_log_is_taken_by_offset_once_and_without_gaps(home: Homestead, anvil: Outpost) -> None:
    job = placed(home.shop.database, count_order())
    claimed(anvil)
    link = anvil.away.link(patience_s=1)
    assert link.send_log(job.id, 1, 0, b"one\n") == 4
    assert link.send_log(job.id, 1, 0, b"one\n") == 4
    assert link.send_log(job.id, 1, 8, b"three\n") == 4, "a gap is not taken"
    assert link.send_log(job.id, 1, 2, b"e\ntwo\n") == 8
    assert home.shop.log(job.id, 1) == "one\ntwo\n"
    for number, fence in ((job.id, 2), (job.id + 1, 1), (2**40, 1)):
        with pytest.raises(NotFound):
            link.send_log(number, fence, 0, b"not mine\n")
    assert [path.name for path in home.shop.paths.logs.glob("*/*")] == [f"{job.id}-1.log"]


def test_a_log_that_did_not_arrive_is_named_and_carried_later(home: Homestead, anvil: Outpost) -> None:
    kind = kind_of(step("echo seen"))
    job = placed(home.shop.database, count_order())
    away = anvil.away

    class Silent:
        def send_log(self, *_: object) -> int:
            raise Unreachable("nobody answers", hint="look at the network")

        def greet(self) -> None:
            self.send_log()

    class Hasty(LogCarrier):
        def finish(self, patience_s: float = 0.0) -> int:
            return super().finish(0.0)

    def unheard(worker: Worker) -> None:
        worker.carrier_of = lambda job: Hasty(Silent(), job.id, job.fence, away.paths.job_log(job.id, job.fence))

    assert ended(anvil.start(kinds(kind), change=unheard)) == 0
    detail = job_detail(home.shop.database, home.shop.paths, job.id)
    size = away.paths.job_log(job.id, 1).stat().st_size
    assert detail.missing_log == f"the last {size} bytes of this log are on host anvil still: its worker sends them"
    away.carry_late_logs()
    assert away.paths.job_log(job.id, 1).exists(), "it may be written to still"
    away.carry_late_logs(age_s=0)
    assert "seen" in home.shop.log(job.id, 1)
    assert not away.paths.job_log(job.id, 1).exists()
    assert job_detail(home.shop.database, home.shop.paths, job.id).missing_log == ""


def test_only_a_kind_that_needs_nothing_of_the_server_is_portable(home: Homestead, anvil: Outpost) -> None:
    elsewhere = set(portable(KINDS))
    assert {"package.build", "package.try", "image.boot", "package.review"} <= elsewhere
    assert elsewhere.isdisjoint(
        {"archive.record", "suite.publish", "upload.accept", "image.build", "image.layer", "image.test"}
    )
    assert not kind_of(step("true"), Action("publish", nothing)).is_portable
    job = placed(home.shop.database, count_order())
    worker = anvil.worker(portable(kinds(kind_of(Action("publish", nothing)))))
    assert not worker.run_one(), "it is not even claimed"
    worker.database.close()
    assert done(home, job)[0].state is JobState.QUEUED


def test_tokens_count_once_for_an_hour_and_for_one_name(home: Homestead) -> None:
    database, now = home.shop.database, home.shop.database.now()
    first = enrol(database, HOSTED, HOST, now)
    second = enrol(database, HOSTED, HOST, now)
    late = now + timedelta(minutes=61)
    for name, token, when in (
        (HOST, first, now), ("tongs", second, now), ("../x", second, now), (HOST, "", now), (HOST, second, late),
    ):  # fmt: skip
        with pytest.raises(NotAllowed, match="does not count"):
            exchange(database, HOSTED, name, token, "1", when)
    lasting = exchange(database, HOSTED, HOST, second, "1", now)
    with pytest.raises(NotAllowed, match="does not count"):
        exchange(database, HOSTED, HOST, second, "1", now)
    with pytest.raises(NotFound, match=r"no \[host.nobody\]"):
        enrol(database, HOSTED, "nobody", now)
    with database.read() as tx:
        kept = str(tx.connection.execute(sa.text("SELECT * FROM hosts")).all())
    assert not any(token in kept for token in (first, second, lasting))


def test_wrong_token_version_and_host_are_refused_with_words(home: Homestead, anvil: Outpost) -> None:
    place = anvil.away.place
    with pytest.raises(NotAllowed, match="no host that is configured here has this name and token"):
        HomeLink(place.url, place.host, place.token[:-1], __version__, patience_s=1).hello()
    with pytest.raises(NotAllowed):
        HomeLink(place.url, "tongs", place.token, __version__, patience_s=1).hello()
    with pytest.raises(Refused, match=r"this machine has '0\.0\.1'"):
        HomeLink(place.url, place.host, place.token, "0.0.1", patience_s=1).hello()
    with pytest.raises(Refused, match="has not said which"):
        HomeLink(place.url, place.host, place.token, "", patience_s=1).hello()
    assert HomeLink(place.url, place.host, place.token, __version__, patience_s=1).hello()["pools"] == ["local"]


def test_draining_host_takes_nothing_new_and_is_listed(home: Homestead, anvil: Outpost) -> None:
    database, now = home.shop.database, home.shop.database.now()
    assert may_claim(database, HOST, "9", now)
    drain(database, HOST, is_draining=True)
    assert not may_claim(database, HOST, "9", now)
    placed(database, count_order())
    claimed(anvil)
    rows = {row.name: (row.state, row.running) for row in host_rows(database, HOSTED, now)}
    assert rows == {HOST: ("draining", (1,)), "tongs": ("not enrolled", ())}
    drain(database, HOST, is_draining=False)
    assert may_claim(database, HOST, "9", now)
    with pytest.raises(NotFound, match="no host 'tongs' was enrolled"):
        drain(database, "tongs", is_draining=True)


def test_silent_server_is_named_once_and_ctrl_c_is_heard_all_the_same(
    home: Homestead, anvil: Outpost, tmp_path: Path
) -> None:
    said, kind = tmp_path / "said", kind_of(step("echo seen"))
    home.stop()
    worker = anvil.work(kinds(kind), said)
    wait_until(lambda: said.exists() and "waiting for it" in said.read_text(), "the worker to notice")
    home.start()
    wait_until(lambda: "the server answers again" in said.read_text(), "the worker to go on")
    job = placed(home.shop.database, count_order())
    wait_until(lambda: done(home, job)[0].outcome is Outcome.OK, "the end of the job")
    home.stop()
    wait_until(lambda: said.read_text().count("waiting for it") == 2, "the worker to notice again")
    os.kill(worker, signal.SIGINT)
    assert ended(worker) == 130
    assert len(said.read_text().splitlines()) == 3


def test_a_state_that_is_an_installation_never_joins_another(home: Homestead, tmp_path: Path) -> None:
    token = enrol(home.shop.database, HOSTED, HOST, home.shop.database.now())
    with pytest.raises(Refused, match="is an installation of its own"):
        join(home.shop.paths, home.url, HOST, token, None)
    with pytest.raises(BadUsage, match="which this machine cannot reach"):
        join(StatePaths(tmp_path / "new"), home.url, HOST, token, None)
    assert not (tmp_path / "new" / "db.url").exists()


def test_pools_are_those_of_the_table(anvil: Outpost) -> None:
    assert anvil.away.table() == (("local",), 1)
    assert own_pools((), ("local", "big")) == ("local", "big")
    assert own_pools(("big",), ("local", "big")) == ("big",)
    with pytest.raises(BadUsage, match="pool huge is none of this host's: local, big"):
        own_pools(("huge",), ("local", "big"))


def test_server_that_is_killed_in_the_middle_of_an_upload_and_a_download_gets_and_gives_the_rest(
    home: Homestead, anvil: Outpost, tmp_path: Path
) -> None:
    content = os.urandom(30_000_000)
    (tmp_path / "large").write_bytes(content)
    objects = anvil.away.objects()
    pid = os.fork()
    if pid == 0:
        try:
            objects.put_file(tmp_path / "large")
            os._exit(0)
        finally:
            os._exit(1)
    wait_until(lambda: any(home.shop.paths.objects.glob("arriving/*/*")), "the first piece")
    home.stop(signal.SIGKILL)
    home.start()
    assert ended(pid) == 0
    digest = sha256_of(content)
    assert home.shop.objects.is_intact(digest)
    anvil.away.objects().path(digest).unlink()
    assert anvil.away.objects().read(digest) == content


def test_host_says_how_it_is_and_a_silent_one_is_named_with_since_when(home: Homestead, anvil: Outpost) -> None:
    database = home.shop.database
    anvil.away.link(patience_s=1).hello()
    now = database.now()
    (row, _) = host_rows(database, HOSTED, now)
    assert row.known is not None
    assert row.known.health is not None
    assert 0 < row.known.health.free_bytes < 1 << 60
    shown = host_json(row)
    assert (shown["state"], shown["note"], str(shown["free disk"]).endswith(" GiB")) == ("ready", "", True)
    later = now + timedelta(seconds=LEASE_S + 30)
    (silent, _) = host_rows(database, HOSTED, later)
    assert silent.state == "silent"
    assert silent.heard is not None
    assert f"not heard of since {silent.heard:%Y-%m-%d %H:%M:%S} UTC; look" in str(host_json(silent)["note"])


def test_host_that_renews_a_lease_is_heard_though_it_says_nothing_else(home: Homestead, anvil: Outpost) -> None:
    database = home.shop.database
    anvil.away.link(patience_s=1).hello()
    placed(database, count_order())
    job = claimed(anvil)
    later = database.now() + timedelta(seconds=5 * LEASE_S)
    renew(database, job, later)
    (row, _) = host_rows(database, HOSTED, later)
    assert (row.state, row.running, row.heard) == ("ready", (job.id,), later)
    (row, _) = host_rows(database, HOSTED, later + timedelta(seconds=LEASE_S + 1))
    assert f"; job {job.id} comes back when its lease ends; look" in str(host_json(row)["note"])


def test_attempt_that_prints_nothing_is_greeted_for(tmp_path: Path) -> None:
    greeted = threading.Event()

    class Server:
        def send_log(self, *_: object) -> int:
            raise AssertionError("there is no log")

        def greet(self) -> None:
            greeted.set()

    carrier = LogCarrier(Server(), 1, 1, tmp_path / "1-1.log", greet_every_s=0.0)
    carrier.begin()
    assert greeted.wait(30)
    assert carrier.finish() == 0
