"""The commands by which a machine becomes one that works for another, and by which people see it."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.system.line import DISTWRIGHT, Line, state_folder
from tests.worlds.installation import CONFIG
from tests.worlds.postgres import postgres_cluster
from tests.worlds.processes import wait_until
from tests.worlds.servers import free_port, our_server
from tests.worlds.work import ended

pytestmark = pytest.mark.system


@dataclass(frozen=True)
class Two:
    """A server, whose serve can be stopped and started, and the state of another machine, which is not there yet."""

    server: Line
    other: Line
    folder: Path
    port: int = field(default_factory=free_port)
    running: ExitStack = field(default_factory=ExitStack)

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def start_serving(self) -> None:
        """Serve."""
        self.running.enter_context(our_server(self.server.state, self.port))

    def stop_serving(self) -> None:
        """Serve no more."""
        self.running.close()

    def join(self, token: str, *more: str, name: str = "anvil") -> tuple[int, str]:
        """Join with a token; give the exit code and what was said."""
        (self.folder / "token").write_text(token)
        words = ("host", "join", self.url, name, "--token-file", str(self.folder / "token"), *more)
        done = self.other.call(*words, "--state", str(self.other.state))
        return done.returncode, done.stdout + done.stderr

    def on_other(self, *words: str) -> tuple[int, str]:
        """Run a command there."""
        done = self.other.call(*words, "--state", str(self.other.state))
        return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def two() -> Iterator[Two]:
    with state_folder() as folder, postgres_cluster(address="127.0.0.1") as cluster:
        server = Line(folder / "server")
        (folder / "distwright.toml").write_text(f'{CONFIG}\n[host.anvil]\nrole = "runner"\nslots = 2\n')
        done = server.call("config", "init", str(folder), "--state", str(server.state))
        assert done.returncode == 0, done.stderr
        refused = server.call("host", "enrol", "anvil", "--state", str(server.state))
        assert (refused.returncode, "no other machine can reach" in refused.stderr) == (3, True), refused.stderr
        url = cluster.tcp_url(cluster.new_database())
        done = server.call("db", "migrate", "--to", url, "--state", str(server.state))
        assert done.returncode == 0, done.stderr
        two = Two(server, Line(folder / "other"), folder)
        with two.running:
            two.start_serving()
            yield two


def test_machine_joins_works_and_leaves(two: Two) -> None:
    assert two.server.answer("host", "list")[0]["state"] == "not enrolled"
    code, said = two.join("wrong")
    assert (code, "this one-time token does not count" in said) == (12, True), said
    token = two.server.answer("host", "enrol", "anvil")["token"]
    code, said = two.join(token)
    assert (code, said) == (0, f"this is host anvil of {two.url}: distwright worker\n")
    for file in ("home.json", "db.url"):
        assert (two.other.state / file).stat().st_mode & 0o777 == 0o600
    code, said = two.on_other("worker", "--until-idle")
    assert code == 0, said
    row = two.server.answer("host", "list")[0]
    assert (row["state"], row["running"], row["slots"]) == ("ready", [], 2)
    for words in (("serve", "--port", "0"), ("suite", "list"), ("job", "log", "1"), ("host", "enrol", "anvil")):
        code, said = two.on_other(*words)
        assert (code, "this machine is host anvil" in said) == (3, True), (words, said)
    code, said = two.on_other("doctor", "--json")
    server = next(finding for finding in json.loads(said) if finding["check"] == "home")
    assert (server["state"], server["what"]) == ("well", f"host anvil of {two.url}: 2 jobs at a time of local")
    code, said = two.on_other("job", "list")
    assert code == 0, said
    code, said = two.on_other("worker", "--until-idle", "--pool", "big")
    assert (code, "pool big is none of this host's: local" in said) == (2, True), said
    for verb, state in (("drain", "draining"), ("undrain", "ready")):
        done = two.server.call("host", verb, "anvil", "--state", str(two.server.state))
        assert done.returncode == 0, done.stderr
        assert two.server.answer("host", "list")[0]["state"] == state
    code, said = two.join(two.server.answer("host", "enrol", "anvil")["token"])
    assert code == 0, "joining again gives a new token"
    done = two.server.call(
        "worker", "--until-idle", "--pool", "local", "--slots", "1", "--state", str(two.server.state)
    )
    assert done.returncode == 0, done.stderr


def test_worker_of_a_host_waits_for_a_server_that_is_silent(two: Two) -> None:
    code, said = two.join(two.server.answer("host", "enrol", "anvil")["token"])
    assert code == 0, said
    home = two.other.state / "home.json"
    right = home.read_text()
    told = two.folder / "said"
    pid = os.fork()
    if pid == 0:
        with told.open("wb") as out:
            os.dup2(out.fileno(), 2)
            os.execv(DISTWRIGHT, [str(DISTWRIGHT), "worker", "--slots", "1", "--state", str(two.other.state)])  # noqa: S606  # no shell is meant
    try:
        two.stop_serving()  # before it asks for the first time, or after
        wait_until(lambda: "waiting for it" in told.read_text(), "the worker to notice")
        two.start_serving()
        wait_until(lambda: "the server answers again" in told.read_text(), "the worker to go on")
    finally:
        os.kill(pid, signal.SIGINT)
        assert ended(pid) == 130, told.read_text()
    assert told.read_text().count("waiting for it") == 1
    assert home.read_text() == right
