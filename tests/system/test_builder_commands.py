"""The commands by which a machine becomes a builder, on an installation whose rows are in a file."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.system.line import Line, state_folder
from tests.worlds.builders import NAME, USER, Yard, yard
from tests.worlds.installation import CONFIG
from tests.worlds.work import workshop

from distwright.tools.sandbox import Sandbox

pytestmark = pytest.mark.system


@dataclass(frozen=True)
class Two:
    """A server by its commands, and a machine that is a builder of another one already."""

    server: Line
    mason: Yard

    def call(self, *words: str) -> tuple[int, str, str]:
        """Run a command on the server."""
        done = self.server.call(*words, "--state", str(self.server.state))
        return done.returncode, done.stdout, done.stderr

    def join(self, line: str, *more: str) -> tuple[int, str, str]:
        """Join, on the builder."""
        token = self.mason.folder / "token"
        token.write_text(line)
        keys = ("--host-key", str(self.mason.folder / "host_key.pub"))
        place = ("--authorized-keys", str(self.mason.home / ".ssh" / "authorized_keys"))
        done = Line(self.mason.state.root).call(
            "builder", "join", "--token-file", str(token), "--state", str(self.mason.state.root), *keys, *place, *more
        )
        self.mason.give()
        return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def two() -> Iterator[Two]:
    with state_folder() as folder, yard(workshop(folder / "other", Sandbox(None)), folder / "far") as mason:
        server = Line(folder / "server")
        table = f'[host.{NAME}]\nrole = "builder"\naddress = "ssh://{USER}@127.0.0.1:{mason.port}"\nslots = 2\n'
        runner = '[host.anvil]\nrole = "runner"\n'
        (folder / "distwright.toml").write_text(f"{CONFIG}\n{table}{runner}")
        done = server.call("config", "init", str(folder), "--state", str(server.state))
        assert done.returncode == 0, done.stderr
        yield Two(server, mason)


def test_machine_becomes_a_builder(two: Two) -> None:
    assert {row["host"]: row["state"] for row in two.server.answer("host", "list")}[NAME] == "not enrolled"
    code, line, said = two.call("host", "enrol", NAME)
    assert (code, line.startswith("distwright-builder-1:")) == (0, True), said
    assert "distwright builder join" in said
    assert f"distwright host meet {NAME}" in said
    code, _, said = two.call("host", "meet", NAME)
    assert (code, f"builder {NAME}: " in said) == (20, True), "it has not let this server in yet"
    code, out, said = two.join(line)
    assert (code, out.startswith('restrict,command="')) == (0, True), said
    code, out, said = two.call("host", "meet", NAME)
    assert code == 0, said
    assert " ".join((two.mason.folder / "host_key.pub").read_text().split()[:2]) in out
    row = next(row for row in two.server.answer("host", "list") if row["host"] == NAME)
    assert (row["state"], row["role"], row["slots"]) == ("ready", "builder", 2)
    key = Path(two.server.state, "keys", "builders.ssh")
    assert key.stat().st_mode & 0o777 == 0o600
    code, _, said = two.call("host", "meet", NAME)
    assert (code, "no line is waiting" in said) == (3, True), said
    two.call("host", "drain", NAME)
    assert next(row for row in two.server.answer("host", "list") if row["host"] == NAME)["state"] == "draining"
    two.call("host", "undrain", NAME)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("host", "meet", "nobody"), 10, "the configuration has no builder 'nobody'"),
        (("host", "meet", "anvil"), 10, "the configuration has no builder 'anvil'"),
        (("host", "enrol", "anvil"), 3, "no other machine can reach"),
    ],
)
def test_what_is_no_builder_is_not_met(two: Two, words: tuple[str, ...], code: int, said: str) -> None:
    found, _, stderr = two.call(*words)
    assert (found, said in stderr) == (code, True), stderr


def test_join_says_what_is_wrong_with_a_line_and_with_a_place(two: Two) -> None:
    code, _, said = two.join("something else")
    assert (code, "this is not the line that distwright host enrol printed" in said) == (2, True), said
    assert "something else" not in said
    code, line, _ = two.call("host", "enrol", NAME)
    code, _, said = two.join(line, "--host-key", str(two.mason.folder / "sshd_config"))
    assert (code, "sshd_config: this is not the public key of an ssh host" in said) == (2, True), said


def test_serve_is_for_servers(two: Two) -> None:
    done = Line(two.mason.state.root).call("builder", "serve", "--state", str(two.mason.folder / "elsewhere"))
    assert done.returncode == 20, done
    assert "the connection ended" in done.stderr
