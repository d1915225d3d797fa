"""Locks between processes, with real processes: one holder, nobody left out for ever, nothing stale."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent

import pytest

from distwright.errors import Busy
from distwright.store.locks import locked

HOLD = dedent("""\
    import sys, time
    from pathlib import Path
    from distwright.store.locks import locked
    with locked(Path(sys.argv[1])):
        print("held", flush=True)
        sys.stdin.read()
""")


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    """Name a lock in a folder that nobody has made yet."""
    return tmp_path / "run" / "locks" / "publish"


def test_lock_is_free_again_after_its_block_however_that_ends(lock: Path) -> None:
    def hold_and_raise() -> None:
        with locked(lock):
            raise KeyError("no")

    with pytest.raises(KeyError, match="no"):
        hold_and_raise()
    for _ in range(2):
        with locked(lock, patience_s=0):
            pass


def test_second_holder_is_busy_when_its_patience_ends(lock: Path) -> None:
    with _held_elsewhere(lock):
        began = time.monotonic()
        with (
            pytest.raises(Busy, match=re.escape("publish is held by another process for 0 s")),
            locked(lock, patience_s=0.2),
        ):
            pass
        assert time.monotonic() - began >= 0.2


def test_second_holder_waits_for_the_first(lock: Path) -> None:
    with _held_elsewhere(lock) as holder:
        assert holder.stdin is not None
        threading.Timer(0.2, holder.stdin.close).start()
        began = time.monotonic()
        with locked(lock, patience_s=20):
            assert time.monotonic() - began > 0.1


def test_lock_of_a_holder_that_was_killed_is_free(lock: Path) -> None:
    with _held_elsewhere(lock) as holder:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        with locked(lock, patience_s=0):
            pass


def test_program_that_a_holder_started_does_not_keep_the_lock(lock: Path) -> None:
    """A program that outlives its starter would otherwise hold it, and nobody would know why."""
    with locked(lock):
        program = subprocess.Popen(["sleep", "60"], close_fds=False)
    try:
        with locked(lock, patience_s=0):
            pass
    finally:
        program.kill()
        program.wait()


def test_forked_child_that_lives_on_does_not_keep_the_lock(lock: Path) -> None:
    reading, writing = os.pipe()
    with locked(lock):
        pid = os.fork()
        if pid == 0:
            os.close(writing)
            os.read(reading, 1)
            os._exit(0)
    with locked(lock, patience_s=0):
        os.close(writing)
        os.close(reading)
        os.waitpid(pid, 0)


def test_locks_of_other_names_do_not_wait_for_each_other(lock: Path) -> None:
    with locked(lock), locked(lock.with_name("archive"), patience_s=0):
        pass


def test_same_process_does_not_get_its_lock_twice(lock: Path) -> None:
    """Two threads of one process are two holders as well."""
    with locked(lock), pytest.raises(Busy), locked(lock, patience_s=0):
        pass


def test_one_of_many_at_a_time(lock: Path, tmp_path: Path) -> None:
    """Eight processes add one to a number in a file, ten times each; without a lock some would be lost."""
    count = tmp_path / "count"
    count.write_text("0")
    children = []
    for _ in range(8):
        pid = os.fork()
        if pid == 0:
            for _ in range(10):
                with locked(lock):
                    count.write_text(str(int(count.read_text()) + 1))
            os._exit(0)
        children.append(pid)
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children] == [0] * 8
    assert count.read_text() == "80"


@contextmanager
def _held_elsewhere(lock: Path) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-c", HOLD, str(lock)]
    with subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        try:
            yield holder
        finally:
            holder.kill()
