"""Copies by rsync, made as docs/how-to/serve.md says, read by apt: whole at any time, also while states are published."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.apt.test_client_loop import FORK, publish_many, publish_state, state_of
from tests.system.line import ROOT, state_folder
from tests.worlds.apt import make_apt
from tests.worlds.commands import CommandLine, command_line
from tests.worlds.published import Published
from tests.worlds.readers import READERS, debmirror_by_rsync
from tests.worlds.servers import rsync_daemon

PLAIN = ("own live", "own frozen", "own tagged", "recorded tagged")


@pytest.fixture(scope="module")
def daemon(world: Published) -> Iterator[str]:
    with rsync_daemon(world.public, world.folder / "rsyncd") as url:
        yield url


def copy(url: str, folder: Path) -> None:
    """Run what the page says, with other addresses."""
    page = (ROOT / "docs" / "how-to" / "serve.md").read_text(encoding="utf-8")
    [script] = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    script = script.replace("rsync://deb.example.org/petrel", url).replace("/srv/mirror/petrel", str(folder))
    ran = subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout + ran.stderr == ""


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("how", ["links", "no links"])
def test_apt_reads_a_copy_of_every_plain_archive(
    world: Published, daemon: str, tmp_path: Path, name: str, how: str
) -> None:
    target = world.targets[name]
    archive, _, below = target.url.removeprefix(f"{world.url}/").partition("/")
    place = tmp_path / "copy"
    if how == "links":
        copy(f"{daemon}/{archive}", place)
    else:
        subprocess.run(["rsync", "--archive", "--copy-links", f"{daemon}/{archive}/", place], check=True)
        assert not any(path.is_symlink() for path in place.rglob("*"))
    read = READERS["apt"](target.at(f"copy:{place}/{below}", "a copy"), tmp_path)
    assert (read.binaries, read.complaints) == (target.listed, [])


@pytest.mark.parametrize("name", PLAIN)
def test_debmirror_mirrors_by_rsync(world: Published, daemon: str, tmp_path: Path, name: str) -> None:
    target = world.targets[name]
    read = debmirror_by_rsync(target.at(target.url.replace(world.url, daemon), "rsync"), tmp_path)
    assert (read.binaries, read.complaints) == (target.listed, [])


@pytest.fixture
def line() -> Iterator[CommandLine]:
    with state_folder() as folder:
        line = command_line(folder)
        publish_state(line, 0)
        yield line


@pytest.mark.parametrize("count", [30, pytest.param(300, marks=pytest.mark.full)])
def test_a_copy_is_one_published_state_at_any_time(line: CommandLine, tmp_path: Path, count: int) -> None:
    certificate = line.run("archive", "key", "petrel").text.encode()
    states = FORK.Value("i", 0)
    with rsync_daemon(line.state / "public", tmp_path / "rsyncd") as url:
        publisher = FORK.Process(target=publish_many, args=(line, count, states))
        publisher.start()
        place = tmp_path / "copy"
        apt = make_apt(tmp_path / "apt", f"copy:{place}", certificate, sources=False)
        last, seen = 0, set()
        while publisher.is_alive() or last < count:
            before = states.value
            copy(f"{url}/petrel", place)
            number = state_of(apt)
            assert before <= number <= states.value + 1
            assert number >= last
            last = number
            seen.add(number)
        publisher.join()
    assert publisher.exitcode == 0
    assert len(seen) > 2
    assert last == count
