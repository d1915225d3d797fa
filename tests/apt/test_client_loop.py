"""Clients that never stop asking, over HTTP, while another process publishes one state after the other: none ever fails."""

import multiprocessing
import shutil
from collections.abc import Iterator
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

import pytest
from tests.system.line import state_folder
from tests.worlds.apt import Apt, make_apt
from tests.worlds.archive import make_deb
from tests.worlds.commands import CONFIG, CommandLine, command_line
from tests.worlds.servers import free_port, our_server

FORK = multiprocessing.get_context("fork")


@pytest.fixture
def line() -> Iterator[CommandLine]:
    """Give an installation that state 0 is published of."""
    with state_folder() as folder:
        line = command_line(
            folder, CONFIG.replace('live_key = "petrel.asc"\n', 'live_key = "petrel.asc"\npdiffs = true\n')
        )
        publish_state(line, 0)
        yield line


def publish_state(line: CommandLine, number: int) -> None:
    """Publish two packages that always have the same version: a mixture of two states would show."""
    files = line.files(
        make_deb("hello", f"1.{number}", depends=f"world (= 1.{number})"), make_deb("world", f"1.{number}")
    )
    done = line.run("suite", "add", "devel", files, "--publish")
    assert done.exit_code == 0, done.said
    shutil.rmtree(files)


def publish_many(line: CommandLine, count: int, published: "Synchronized[int]") -> None:
    for number in range(1, count + 1):
        publish_state(line, number)
        published.value = number


def state_of(apt: Apt) -> int:
    """Update, fetch a package, and say which state that was: it must be one that was published, whole."""
    updated = apt.update()
    assert (updated.exit_code, updated.complaints) == (0, [])
    hello, world = apt.candidates()
    number = hello.removeprefix("hello 1.")
    assert world == f"world 1.{number}"
    fetched = apt.run("apt-get", "--yes", "--download-only", "install", "hello")
    assert (fetched.exit_code, fetched.complaints) == (0, [])
    shutil.rmtree(apt.folder / "cache" / "archives")
    (apt.folder / "cache" / "archives" / "partial").mkdir(parents=True)
    return int(number)


def forget_lists(apt: Apt) -> None:
    shutil.rmtree(apt.folder / "state" / "lists")
    (apt.folder / "state" / "lists" / "partial").mkdir(parents=True)


@pytest.mark.parametrize("count", [100, pytest.param(1000, marks=pytest.mark.full)])
def test_clients_that_ask_all_the_time_see_one_published_state_each_and_never_fail(
    line: CommandLine, tmp_path: Path, count: int
) -> None:
    certificate = line.run("archive", "key", "petrel").text.encode()
    published = FORK.Value("i", 0)
    with our_server(line.state, free_port()) as url:
        publisher = FORK.Process(target=publish_many, args=(line, count, published))
        fresh, lasting = (
            make_apt(tmp_path / name, f"{url}/petrel", certificate, sources=False) for name in ("fresh", "lasting")
        )
        publisher.start()
        seen: list[int] = []
        last = 0
        while not seen or publisher.is_alive() or seen[-1] < count:
            for apt in (fresh, lasting):
                before = published.value
                number = state_of(apt)
                assert before <= number <= published.value + 1
                assert number >= last
                last = number
            forget_lists(fresh)
            seen.append(last)
        publisher.join()
    assert publisher.exitcode == 0
    assert published.value == count
    assert len(set(seen)) > count / 50, seen
