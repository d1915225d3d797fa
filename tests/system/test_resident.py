"""The resident server answers exactly what a command of its own would, much cheaper; without it nothing is missing."""

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.system.line import DISTWRIGHT, Line, state_folder
from tests.worlds.installation import CONFIG
from tests.worlds.packages import make_deb
from tests.worlds.processes import living, wait_until

import distwright
from distwright.store.locks import locked

pytestmark = pytest.mark.system


@contextmanager
def installed() -> Iterator[Line]:
    with state_folder() as folder:
        (folder / "distwright.toml").write_text(CONFIG)
        (folder / "debs").mkdir()
        (folder / "debs" / "hello.deb").write_bytes(make_deb("hello").content)
        line = Line(folder / "state")
        assert line.call("config", "init", str(folder), "--state", str(line.state)).returncode == 0
        yield line


@pytest.fixture(scope="module")
def line() -> Iterator[Line]:
    with installed() as line:
        yield line


@pytest.fixture
def fresh() -> Iterator[Line]:
    """Give an installation whose server nobody else needs, and whose suite devel has changed twice."""
    with installed() as line:
        line.answer("suite", "add", "devel", str(line.state.parent / "debs" / "hello.deb"))
        line.answer("suite", "remove", "devel", "hello")
        yield line


@pytest.fixture(scope="module")
def served(line: Line) -> Iterator[Line]:
    with line.serving():
        yield line


def is_answered_by_the_server(line: Line) -> bool:
    """Say whether a command loads no more than what it takes to ask."""
    argv = [sys.executable, "-X", "importtime", str(DISTWRIGHT), "suite", "list", "--state", str(line.state)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    return "sqlalchemy" not in done.stderr


def test_commands_are_answered_by_the_server_with_the_same_words_and_exit_codes(line: Line) -> None:
    asked = [
        ("suite", "list"), ("suite", "list", "--json"), ("suite", "show", "devel"), ("suite", "show", "nope"), ("suite",),
        ("suite", "lisst"), ("job", "list"), ("snapshot", "list"), ("upload", "list", "--limit", "0"),
    ]  # fmt: skip

    def answers() -> list[tuple[int, str, str]]:
        done = [line.call(*words, "--state", str(line.state)) for words in asked]
        return [(one.returncode, one.stdout, one.stderr) for one in done]

    alone = answers()
    assert {code for code, _, _ in alone} == {0, 2, 10}
    with line.serving():
        assert is_answered_by_the_server(line)
        assert answers() == alone
    assert not is_answered_by_the_server(line)
    assert not (line.state / "run" / "command.sock").exists()


def test_paths_are_of_the_folder_that_the_command_was_typed_in_and_files_go_to_its_output(served: Line) -> None:
    argv = [str(DISTWRIGHT), "suite", "add", "devel", "hello.deb", "--state", str(served.state), "--json"]
    folder = served.state.parent
    with (folder / "answer").open("wb") as answer:
        done = subprocess.run(argv, cwd=folder / "debs", stdout=answer, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads((folder / "answer").read_text())["suite"] == "petrel/devel"
    assert [row["package"] for row in served.answer("suite", "show", "devel")] == ["hello"]
    relative = subprocess.run(
        [str(DISTWRIGHT), "suite", "list", "--state", "state"], cwd=folder, capture_output=True, check=False
    )
    assert relative.returncode == 0


@contextmanager
def waiting(line: Line) -> "Iterator[subprocess.Popen[bytes]]":
    """Begin a command that waits for a lock of ours, and wait until the server runs it."""
    argv = [str(DISTWRIGHT), "archive", "collect", "--state", str(line.state)]
    with locked(line.state / "run" / "locks" / "archive-petrel"):
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            wait_until(lambda: children(line), "the server runs it")
            yield process
        finally:
            process.kill()
            process.communicate(timeout=20)


def children(line: Line) -> list[int]:
    """List the commands that the server runs."""
    return [pid for server in living(str(line.state)) for pid in _children(server) if _children_of(server)]


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _children_of(pid: int) -> bool:
    """Say whether this is the resident server: `serve` has it as a child, and it has commands as its own."""
    try:
        return b"serve" in Path(f"/proc/{parent_of(pid)}/cmdline").read_bytes()
    except OSError:
        return False


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_a_command_ends_as_if_it_were_alone_when_it_is_interrupted_or_who_asked_is_gone(
    served: Line, number: int, code: int
) -> None:
    with waiting(served) as process:
        process.send_signal(number)
        process.communicate(timeout=20)
        assert process.returncode == code
        wait_until(lambda: not children(served), "the end of the command")
    assert served.call("suite", "list", "--state", str(served.state)).returncode == 0


def undoing(line: Line) -> "tuple[subprocess.Popen[bytes], int]":
    """Begin an undo that cannot print its answer, and wait until it is done but for that; give the end that reads too."""
    reading, writing = os.pipe()
    size = fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    os.write(writing, b"." * size)
    before = len(line.answer("suite", "history", "devel"))
    argv = [str(DISTWRIGHT), "suite", "undo", "devel", "--state", str(line.state)]
    process = subprocess.Popen(argv, stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    wait_until(lambda: len(line.answer("suite", "history", "devel")) > before, "the undo")
    return process, reading


def test_a_command_whose_server_is_killed_is_not_run_again_and_says_so(fresh: Line) -> None:
    with fresh.serving():
        process, reading = undoing(fresh)
        [server] = {parent_of(pid) for pid in children(fresh)}
        os.kill(server, signal.SIGKILL)
        with os.fdopen(reading, "rb") as answer:
            answer.read()
        _, errors = process.communicate(timeout=20)
    assert (process.returncode, b"may have done its work" in errors) == (70, True), errors
    assert [row["action"] for row in fresh.answer("suite", "history", "devel")] == ["undo", "remove", "add"]
    assert children(fresh) == []


def test_a_command_ends_with_its_server_as_if_it_were_interrupted(fresh: Line) -> None:
    with ExitStack() as lasting:
        with fresh.serving():
            process = lasting.enter_context(waiting(fresh))
        _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors.strip()) == (130, b"interrupted; run the same command again to go on")
    assert children(fresh) == []


def test_a_command_that_ends_at_the_moment_when_who_asked_goes_ends_no_server(fresh: Line) -> None:
    with fresh.serving():
        with waiting(fresh) as process:
            [command] = children(fresh)
            server = parent_of(command)
            os.kill(server, signal.SIGSTOP)  # so that it learns both at once
            try:
                os.kill(command, signal.SIGKILL)
                wait_until(lambda: ") Z" in Path(f"/proc/{command}/stat").read_text(), "the end of the command")
                process.kill()
                process.wait(
                    20
                )  # and no more: a server that stopped just after its fork still has the files of who asked
            finally:
                os.kill(server, signal.SIGCONT)
            wait_until(lambda: not children(fresh), "the server has noticed")
        assert is_answered_by_the_server(fresh)


SERVER = """
import json, os, signal, sys
from pathlib import Path
from distwright.cli.resident import start_resident
pid = start_resident(Path(sys.argv[1]), lambda: print(json.dumps(dict(os.environ))))
print(flush=True)
sys.stdin.read()
os.kill(pid, signal.SIGTERM)
"""


@dataclass
class Echo:
    """A server of a copy of the package whose one command is to print its environment."""

    package: Path
    state: Path

    def environment(self, **more: str) -> dict[str, str]:
        """Give that of who asks."""
        return {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "PYTHONPATH": str(self.package.parent), **more}

    def ask(self, **more: str) -> object:
        """Give what the server prints; None if the command runs alone, which finds no state."""
        argv = [str(DISTWRIGHT), "suite", "list", "--state", str(self.state)]
        done = subprocess.run(argv, env=self.environment(**more), capture_output=True, check=False)
        return None if done.returncode else json.loads(done.stdout)


@pytest.fixture
def echo() -> Iterator[Echo]:
    with state_folder() as folder:
        package = folder / "src" / "distwright"
        shutil.copytree(Path(distwright.__path__[0]), package, ignore=shutil.ignore_patterns("__pycache__"))
        (folder / "state" / "run").mkdir(parents=True)
        made = Echo(package, folder / "state")
        argv = [sys.executable, "-c", SERVER, str(made.state)]
        with subprocess.Popen(
            argv, env=made.environment(GNUPGHOME="/serve"), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"\n"
            yield made


def test_a_command_has_the_environment_of_who_asks_and_nothing_of_the_servers(echo: Echo) -> None:
    mine = {
        "SSH_AUTH_SOCK": "/agent",
        "TMPDIR": "/elsewhere",
        "http_proxy": "http://proxy",
        "CREDENTIALS_DIRECTORY": "/c",
    }
    assert echo.ask(**mine) == echo.environment(**mine)
    assert echo.ask(LONG="x" * 120_000) == echo.environment(LONG="x" * 120_000)


def test_a_command_is_not_run_by_other_code_than_is_there_now(echo: Echo) -> None:
    assert echo.ask() is not None
    place = echo.package / "archive" / "publish.py"
    place.write_text(f"{place.read_text()}\n")
    assert echo.ask() is None


def test_who_connects_and_asks_nothing_holds_nobody_up(echo: Echo) -> None:
    with linked(echo.state) as silent:
        assert echo.ask() is not None
        silent.settimeout(0)
        with pytest.raises(BlockingIOError):  # nobody has lost patience with it yet
            silent.recv(64)


@contextmanager
def linked(state: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as link:
        directory = os.open(state / "run", os.O_PATH)
        link.connect(f"/proc/self/fd/{directory}/command.sock")
        os.close(directory)
        yield link


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_a_server_of_other_code_and_a_request_that_is_none_are_not_answered(served: Line) -> None:
    for content in (b'{"version": "another"}', b"not json", b"[]", b"[" * 9999, b""):
        with linked(served.state) as link:
            link.settimeout(10)
            if content:
                socket.send_fds(link, [content], [0, 1, 2])
                assert link.recv(64) in (b"no", b"")
    assert served.call("suite", "list", "--state", str(served.state)).returncode == 0


def test_a_socket_that_a_killed_server_left_is_no_hindrance(line: Line, tmp_path: Path) -> None:
    argv = [str(DISTWRIGHT), "serve", "--port", "0", "--state", str(line.state)]
    place = line.state / "run" / "command.sock"
    place.unlink(missing_ok=True)
    with subprocess.Popen(argv, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith(b"http://")
        for pid in [*_children(process.pid), process.pid]:
            os.kill(pid, signal.SIGKILL)
    assert place.exists()
    done = line.call("suite", "list", "--state", str(line.state))
    assert (done.returncode, done.stderr) == (0, "")
