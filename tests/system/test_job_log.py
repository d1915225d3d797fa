"""What a build printed goes to files and pipes as it is, and to a terminal without what would command that."""

import os
import pty
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.worlds.commands import CommandLine, command_line
from tests.worlds.state import count_order, placed
from tests.worlds.times import NOW

from distwright.app import open_app
from distwright.jobs.lease import Ending, claim_next, end_attempt
from distwright.model.outcomes import Outcome

pytestmark = pytest.mark.system
LOG = b"\x1b]0;a title\x07\x1b[31mred\x1b[0m\x1b[2J\ntwo\r\n\xc3\xa4 last"


@pytest.fixture
def line(tmp_path: Path) -> CommandLine:
    line = command_line(tmp_path)
    app = open_app(str(line.state))
    placed(app.database, count_order())
    job = claim_next(app.database, ["local"], "somebody", NOW)
    assert job is not None
    log = app.paths.job_log(job.id, job.fence)
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_bytes(LOG)
    end_attempt(app.database, job, Ending(Outcome.OK, "ok"), NOW)
    app.database.close()
    return line


def words(line: CommandLine, *more: str) -> Sequence[str]:
    program = str(Path(sys.executable).with_name("distwright"))
    return [program, "job", "log", "1", "--state", str(line.state), *more]


def on_terminal(argv: Sequence[str]) -> bytes:
    """Run a program on a terminal of its own; give what that was sent, whose line ends are two signs."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(argv[0], [*argv])  # noqa: S606  # the child of a terminal
    said = b""
    while True:
        try:
            said += os.read(terminal, 4096)
        except OSError:  # it has ended
            break
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, said
    return said.replace(b"\r\n", b"\n")


@pytest.mark.parametrize("follow", [(), ("--follow",)])
def test_terminal_gets_the_text_alone(line: CommandLine, follow: Sequence[str]) -> None:
    assert on_terminal(words(line, *follow)) == "red\ntwo\nä last".encode()


def test_pipe_gets_every_byte_and_so_does_a_terminal_that_is_meant_to(line: CommandLine) -> None:
    assert subprocess.run(words(line), capture_output=True, check=True).stdout == LOG
    assert on_terminal(words(line, "--raw")).replace(b"\r", b"") == LOG.replace(b"\r", b"")
