"""Locks between processes: one holder at a time, never stale."""

import os
import signal
from pathlib import Path

import pytest

from distwright.errors import Busy
from distwright.store.locks import locked
from distwright.store.settle import settle_file_system, settle_folders


def test_a_lock_is_held_by_one_and_free_when_its_block_ends_or_raises(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "lock"

    def take_and_raise() -> None:
        with locked(path):
            raise KeyError("no")

    with locked(path), pytest.raises(Busy, match="lock is held by another process for 0 s"), locked(path, patience_s=0):
        pass
    with pytest.raises(KeyError, match="no"):
        take_and_raise()
    with locked(path, patience_s=0):
        pass


def test_a_lock_ends_with_its_holder_however_that_ends(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        with locked(tmp_path / "lock"):
            os.write(writing, b"x")
            signal.pause()
            os._exit(0)
    assert os.read(reading, 1) == b"x"
    with pytest.raises(Busy), locked(tmp_path / "lock", patience_s=0):
        pass
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(reading)
    os.close(writing)
    with locked(tmp_path / "lock", patience_s=0):
        pass


def test_folders_are_settled_few_or_many_and_none_is_nothing(tmp_path: Path) -> None:
    folders = {tmp_path / str(number) for number in range(100)}
    for folder in folders:
        folder.mkdir()
    settle_folders(set())
    settle_folders({tmp_path})
    settle_folders(folders)
    settle_file_system(tmp_path)
    with pytest.raises(FileNotFoundError):
        settle_file_system(tmp_path / "nothing")
