"""The server of the database is killed, and comes back: what was committed is there, work under way is written once."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.system.line import DISTWRIGHT, Line, state_folder
from tests.worlds.installation import CONFIG
from tests.worlds.postgres import PostgresCluster, postgres_cluster
from tests.worlds.processes import wait_until
from tests.worlds.state import count_order, placed
from tests.worlds.work import Workshop, ended, kind_of, start_worker, workshop

from distwright.errors import DatabaseLost
from distwright.jobs.order import get_job
from distwright.jobs.step import Action, Context, Earlier, Inputs, JobKind, StepResult
from distwright.model.digests import sha256_of
from distwright.model.outcomes import JobState, Outcome
from distwright.model.records import Job
from distwright.store.jobs import attempts_of
from distwright.tools.sandbox import Sandbox

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresCluster]:
    with postgres_cluster(is_durable=True) as cluster:
        yield cluster


@pytest.fixture
def shop(server: PostgresCluster, tmp_path: Path) -> Iterator[Workshop]:
    server.start()
    shop = workshop(tmp_path / "state", Sandbox(None), server.new_database())
    yield shop
    shop.database.close()


def slow(shop: Workshop, *, writes: bool) -> JobKind:
    """A kind whose action waits for `go`, and then writes into the database, or does not."""

    def perform(context: Context, _inputs: Inputs, _earlier: Earlier) -> StepResult:
        (shop.paths.root / f"began-{context.job}-{context.fence}").touch()
        while not (shop.paths.root / "go").exists():
            context.check_cancelled()
            time.sleep(0.01)
        if writes:
            with context.write():
                pass
        return StepResult({"out": context.objects.put(b"result")})

    return kind_of(Action("act", perform))


def begun(shop: Workshop, job: Job, fence: int = 1) -> None:
    sign = shop.paths.root / f"began-{job.id}-{fence}"
    wait_until(sign.exists, f"attempt {fence} of job {job.id}")


def outcomes(shop: Workshop, job: Job) -> list[Outcome | None]:
    with shop.database.read() as tx:
        return [attempt.outcome for attempt in attempts_of(tx, job.id)]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGQUIT])
def test_job_that_ends_while_the_server_is_away_is_written_when_it_is_back(
    server: PostgresCluster, shop: Workshop, number: int
) -> None:
    job = placed(shop.database, count_order())
    worker = start_worker(shop, slow(shop, writes=False))
    begun(shop, job)
    server.stop(number)
    with pytest.raises(DatabaseLost, match="cannot be reached"):
        placed(shop.database, count_order(2))
    (shop.paths.root / "go").touch()
    time.sleep(1.5)  # it ends in that time, and finds nobody
    server.start()
    assert ended(worker) == 0
    assert outcomes(shop, job) == [Outcome.OK]
    with shop.database.read() as tx:
        done = get_job(tx, job.id)
    assert (done.state, done.outputs) == (JobState.DONE, {"act/out": str(sha256_of(b"result"))})


def test_job_that_needs_the_server_while_it_is_away_waits_for_it(server: PostgresCluster, shop: Workshop) -> None:
    job = placed(shop.database, count_order())
    worker = start_worker(shop, slow(shop, writes=True))
    begun(shop, job)
    server.stop(signal.SIGKILL)
    (shop.paths.root / "go").touch()
    time.sleep(1.5)  # it comes to its transaction in that time
    server.start()
    assert ended(worker) == 0
    assert outcomes(shop, job) == [Outcome.OK]


def test_commands_say_what_is_away_and_a_worker_waits_for_it(server: PostgresCluster) -> None:
    server.start()
    with state_folder() as folder:
        (folder / "distwright.toml").write_text(CONFIG)
        line = Line(folder / "state")
        assert line.call("config", "init", str(folder), "--state", str(line.state)).returncode == 0
        url = server.new_database()
        moved = line.call("db", "migrate", "--to", url.replace("+psycopg", ""), "--state", str(line.state))
        assert moved.returncode == 0, moved.stderr
        shown = line.answer("db", "show")
        assert (shown["kind"], shown["engine"]) == ("postgresql", "procrastinate")
        said = folder / "said"
        pid = os.fork()
        if pid == 0:
            with said.open("wb") as out:
                os.dup2(out.fileno(), 2)
                os.execv(DISTWRIGHT, [str(DISTWRIGHT), "worker", "--state", str(line.state)])  # noqa: S606  # no shell is meant
        try:
            database = sa.make_url(url).database or ""
            wait_until(lambda: server.listeners(database) > 0, "the worker to wait")
            server.stop(signal.SIGKILL)
            refused = line.call("job", "list", "--state", str(line.state))
            assert (refused.returncode, "look whether PostgreSQL runs" in refused.stderr) == (11, True), refused.stderr
            wait_until(lambda: "waiting for it" in said.read_text(), "the worker to notice")
            server.start()
            wait_until(lambda: "the database answers again" in said.read_text(), "the worker to go on")
        finally:
            os.kill(pid, signal.SIGINT)
            assert ended(pid) == 130, said.read_text()
        assert said.read_text().count("waiting for it") == 1
