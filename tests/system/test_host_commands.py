"""The commands by which a machine becomes one that works for another, and by which people see it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.system.line import Line, state_folder
from tests.worlds.installation import CONFIG
from tests.worlds.postgres import postgres_cluster

pytestmark = pytest.mark.system


@dataclass(frozen=True)
class Two:
    """A server, the address of its serve, and the state of another machine, which is not there yet."""

    server: Line
    url: str
    other: Line
    folder: Path

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
        with server.serving() as address:
            yield Two(server, address, Line(folder / "other"), folder)


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
