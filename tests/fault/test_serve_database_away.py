"""`serve` while the server of its database is away: it says so, stays, and answers as before when that is back."""

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest
from tests.system.line import DISTWRIGHT, Line, state_folder
from tests.worlds.installation import CONFIG
from tests.worlds.postgres import PostgresCluster, postgres_cluster
from tests.worlds.processes import wait_until

from distwright import __version__

pytestmark = pytest.mark.system
WAITING = (
    ("GET", "/"),
    ("GET", "/job"),
    ("GET", "/job/1/log"),
    ("GET", "/branch"),
    ("GET", "/host"),
    ("GET", "/archive/petrel"),
    ("GET", "/petrel/dists/devel/InRelease"),
    ("GET", "/repo/live.git/info/refs?service=git-upload-pack"),
    ("GET", "/upload.json"),
    ("PUT", "/upload/greeter_1.dsc"),
    ("POST", "/host/hello"),
    ("POST", "/repo/live/pushed"),
)


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresCluster]:
    with postgres_cluster(is_durable=True) as cluster:
        yield cluster


@pytest.fixture
def line(server: PostgresCluster) -> Iterator[Line]:
    """An installation whose rows are in PostgreSQL."""
    server.start()
    with state_folder() as folder:
        (folder / "distwright.toml").write_text(CONFIG)
        line = Line(folder / "state")
        assert line.call("config", "init", str(folder), "--state", str(line.state)).returncode == 0
        url = server.new_database().replace("+psycopg", "")
        moved = line.call("db", "migrate", "--to", url, "--state", str(line.state))
        assert moved.returncode == 0, moved.stderr
        yield line


@contextmanager
def serving(line: Line, said: Path) -> Iterator[str]:
    """Serve, with what it says in a file; give the address."""
    argv = [str(DISTWRIGHT), "serve", "--port", "0", "--state", str(line.state)]
    with said.open("wb") as out, subprocess.Popen(argv, stderr=out) as process:
        try:
            wait_until(lambda: "(Ctrl-C stops)" in said.read_text(), "serve to begin")
            yield said.read_text().split()[0].rstrip("/")
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


def ask(url: str, method: str = "GET") -> tuple[int, str]:
    headers = {"Distwright-Version": __version__}
    content = None if method == "GET" else b"x"
    answer = httpx.request(method, url, headers=headers, auth=("ada", "token"), content=content, timeout=60)
    return answer.status_code, answer.text


def has_said(said: Path, words: str, times: int) -> bool:
    return said.read_text().count(words) == times


def test_serve_says_what_is_away_and_goes_on_each_time_that_it_is_back(
    server: PostgresCluster, line: Line, tmp_path: Path
) -> None:
    said = tmp_path / "said"
    with serving(line, said) as base:
        assert (ask(f"{base}/job.json"), ask(f"{base}/")[0]) == ((200, "[]"), 200)
        for times, number in enumerate((signal.SIGKILL, signal.SIGQUIT), start=1):
            server.stop(number)
            for method, path in WAITING:
                status, text = ask(f"{base}{path}", method)
                assert (status, "look whether PostgreSQL runs" in text) == (503, True), (path, text)
            assert json.loads(ask(f"{base}/job.json")[1])["status"] == 503
            assert line.call("job", "list", "--state", str(line.state)).returncode == 11
            assert ask(f"{base}/static/style.css")[0] == 200, "what needs no rows is served all the same"
            wait_until(partial(has_said, said, "waiting for it", times), "serve to say it")
            server.start()
            wait_until(lambda: ask(f"{base}/job.json") == (200, "[]"), "the pages to come back")
            wait_until(partial(has_said, said, "the database answers again", times), "serve to say it")
            assert (ask(f"{base}/")[0], ask(f"{base}/host/hello", "POST")[0]) == (200, 401)
            done = line.call("job", "list", "--json", "--state", str(line.state))
            assert (done.returncode, json.loads(done.stdout)) == (0, [])
    assert len(said.read_text().splitlines()) == 5, said.read_text()


def test_serve_that_begins_while_it_is_away_ends_with_what_to_do(server: PostgresCluster, line: Line) -> None:
    server.stop(signal.SIGKILL)
    done = line.call("serve", "--port", "0", "--state", str(line.state))
    assert (done.returncode, "look whether PostgreSQL runs" in done.stderr) == (11, True), done.stderr
    assert "Traceback" not in done.stderr
