"""What a program prints, while it prints it: nothing runs ahead of who reads, and it ends with who reads."""

import time
from pathlib import Path

import pytest
from tests.worlds.processes import living, wait_until

from distwright.errors import ProgramFailed
from distwright.tools.run import Command, run_streamed

pytestmark = pytest.mark.system


def command(script: str, **more: float) -> Command:
    return Command(("sh", "-c", script), timeout_s=more.pop("timeout_s", 30), grace_s=0, **more)  # type: ignore[arg-type]  # as a test says


def test_what_is_printed_comes_whole_and_in_order() -> None:
    pieces = run_streamed(command("seq 200000; echo never seen >&2"))
    assert b"".join(pieces).split() == [b"%d" % number for number in range(1, 200001)]


def test_a_piece_is_given_before_the_program_has_ended(tmp_path: Path) -> None:
    pieces = run_streamed(command(f"echo one; while [ ! -e {tmp_path}/go ]; do sleep 0.01; done; echo two"))
    assert next(pieces) == b"one\n"
    (tmp_path / "go").touch()
    assert b"".join(pieces) == b"two\n"


def test_the_program_waits_for_who_reads(tmp_path: Path) -> None:
    pieces = run_streamed(command(f"dd if=/dev/zero bs=1M count=8 status=none; touch {tmp_path}/done"))
    size = len(next(pieces))
    time.sleep(0.3)  # in which it could write all of it, if it were not held
    assert not (tmp_path / "done").exists()
    assert size + sum(map(len, pieces)) == 8 << 20
    assert (tmp_path / "done").exists()


def test_it_ends_when_nobody_reads_any_more(tmp_path: Path) -> None:
    pieces = run_streamed(command(f"echo one; sleep 1000 & while :; do sleep 0.1; done; : {tmp_path}"))
    assert next(pieces) == b"one\n"
    assert living(str(tmp_path))
    pieces.close()  # type: ignore[attr-defined]  # it is a generator
    wait_until(lambda: not living(str(tmp_path)), "the program ended")


def test_input_is_given_and_may_be_left_unread() -> None:
    assert b"".join(run_streamed(Command(("cat",), timeout_s=30, stdin=b"x" * (1 << 20)))) == b"x" * (1 << 20)
    assert b"".join(run_streamed(Command(("echo", "a"), timeout_s=30, stdin=b"x" * (1 << 20)))) == b"a\n"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (command("echo one; echo why >&2; exit 3"), "exit 3.*why"),
        (command("echo one; exec sleep 1000", timeout_s=0.2), "time limit"),
        (command("echo one; yes", output_limit_bytes=1 << 20), "output limit"),
    ],
)
def test_a_bad_end_is_an_error_after_what_was_given(given: Command, words: str) -> None:
    pieces = run_streamed(given)
    assert next(pieces).startswith(b"one\n")
    with pytest.raises(ProgramFailed, match=words):
        list(pieces)


def test_a_program_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ProgramFailed, match="cannot be started"):
        list(run_streamed(Command(("no-such-program",), timeout_s=1)))
