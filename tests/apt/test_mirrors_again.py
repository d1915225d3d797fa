"""Mirrors that come again after more was published: they follow, by patches where they know these."""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.worlds.packages import make_deb
from tests.worlds.published import Published, Target, packages, published, record_version
from tests.worlds.readers import READERS, debmirror_talking

MIRRORS = ["apt", pytest.param("apt 3", marks=pytest.mark.system), "debmirror", "aptly", "reprepro"]
MANY = 40  # beside which a change of three is small


@pytest.fixture(scope="module")
def moving() -> Iterator[Published]:
    """Give a world that these tests move on, version by version."""
    with published() as world:
        yield world


@pytest.fixture
def own(moving: Published) -> Path:
    """Give a new folder."""
    return Path(tempfile.mkdtemp(dir=moving.folder))


def move_on(world: Published, *, times: int) -> Target:
    """Publish so many states more; give the live suite as it is then."""
    for _ in range(times):
        present = world.line.versions("petrel/devel")["hello"]
        version = f"{float(present) + 1}"
        many = [make_deb(f"many-{number}") for number in range(MANY)]
        done = world.line.run("suite", "add", "devel", world.line.files(*packages(version), *many), "--publish")
        assert done.exit_code == 0, done.said
    return at_version(world.targets["own live"], version)


def upstream_moves_on(world: Published, *, times: int) -> Target:
    """Record so many states more of upstream, whose Release names patches that are not recorded."""
    for _ in range(times):
        [present] = [deb.version for deb in world.upstream.packages() if deb.name == "hello"]
        number = int(float(present)) + 1
        assert "new" in record_version(
            world.line, world.upstream, number, *(make_deb(f"many-{at}") for at in range(MANY))
        )
    return at_version(world.targets["recorded live"], f"{number}.0")


def at_version(target: Target, version: str) -> Target:
    new = {"hello": version, "libhello": version, "world": "1.0", **{f"many-{number}": "1.0" for number in range(MANY)}}
    return replace(target, binaries=new, sources={"hello": version, "world": "1.0"})


@pytest.mark.parametrize(
    "move", [pytest.param(move_on, id="own"), pytest.param(upstream_moves_on, id="recorded", marks=pytest.mark.full)]
)
@pytest.mark.parametrize("reader", MIRRORS)
def test_a_mirror_follows(moving: Published, own: Path, reader: str, move: Callable[..., Target]) -> None:
    for times in (1, 3, 1):
        target = move(moving, times=times)
        read = READERS[reader](target, own)
        assert read.complaints == []
        assert read.binaries == target.listed
        if read.sources is not None:
            assert read.sources == sorted(f"{name} {version}" for name, version in target.sources.items())


def test_debmirror_takes_patches_instead_of_whole_lists(moving: Published, own: Path) -> None:
    debmirror_talking(move_on(moving, times=1), own)
    said = debmirror_talking(move_on(moving, times=3), own)
    assert said.count("dists/devel/main/binary-amd64/Packages patched with") == 3
    assert "failed" not in said
