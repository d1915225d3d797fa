"""Readers of package files are processes: they answer in order, and when one is ended, that is said and nothing hangs."""

import os
import signal
from pathlib import Path

import pytest
from tests.worlds.archive import make_deb, make_source
from tests.worlds.processes import wait_until

from distwright.archive.intake import TakenDeb
from distwright.archive.taking import take_file, take_files
from distwright.errors import ProgramFailed

COUNT = 300


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Give many packages, a source among them, and some that are none, in no particular order of kinds."""
    deb, source = make_deb("hello"), make_source("hello", "1.0")
    for name, content in source.files.items():
        (tmp_path / name).write_bytes(content)
    paths = []
    for number in range(COUNT):
        path = tmp_path / f"{number}.deb"
        path.write_bytes(deb.content if number % 7 else b"no package")
        paths.append(str(path))
    paths[100] = str(tmp_path / source.dsc_name)
    paths[200] = str(tmp_path / "missing.deb")
    return paths


def children() -> list[int]:
    return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]


def test_many_readers_answer_what_one_does_in_the_same_order(files: list[str]) -> None:
    alone = [take_file(path) for path in files]
    assert "cannot be read: No such file" in str(alone[200])
    assert sum(isinstance(answer, TakenDeb) for answer in alone) > COUNT / 2
    for readers in (2, 3):
        assert list(take_files(files, readers=readers)) == alone


def test_readers_are_gone_when_nobody_asks_any_more(files: list[str]) -> None:
    before = children()
    answers = take_files(files, readers=2)
    next(answers)
    assert len(children()) == len(before) + 2
    del answers
    assert children() == before


def test_a_reader_that_is_killed_is_said(files: list[str]) -> None:
    before = children()
    answers = take_files(files * 40, readers=2)
    next(answers)
    victim = (set(children()) - set(before)).pop()
    os.kill(victim, signal.SIGKILL)
    with pytest.raises(ProgramFailed, match="ended from outside"):
        list(answers)
    assert children() == before


def test_readers_end_when_who_asked_is_killed(files: list[str]) -> None:
    reading, writing = os.pipe()
    asking = os.fork()
    if asking == 0:
        os.close(reading)
        answers = take_files(files * 40, readers=2)
        next(answers)
        os.write(writing, " ".join(map(str, children())).encode())
        signal.pause()
    os.close(writing)
    with os.fdopen(reading) as said:
        os.set_blocking(said.fileno(), True)
        readers = [int(pid) for pid in os.read(said.fileno(), 100).split()]
    os.kill(asking, signal.SIGKILL)
    os.waitpid(asking, 0)
    assert len(readers) == 2
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in readers), "the readers end")
