"""Everybody's programs read everything that we serve, without a word of complaint."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.worlds.published import Published, published
from tests.worlds.readers import PARTIAL, READERS

TARGETS = ("own live", "own frozen", "own tagged", "recorded live", "recorded frozen", "recorded tagged")


@pytest.fixture(scope="module")
def world() -> Iterator[Published]:
    with published() as world:
        yield world


@pytest.fixture
def place(world: Published) -> Path:
    """Give a new folder that every user can look into, as programs that step down to another want it."""
    folder = Path(tempfile.mkdtemp(dir=world.folder))
    folder.chmod(0o755)
    return folder


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("reader", READERS)
def test_every_client_reads_every_archive_without_a_complaint(
    world: Published, place: Path, reader: str, name: str
) -> None:
    target = world.targets[name]
    read = READERS[reader](target, place)
    assert read.complaints == []
    wanted = [package for package in target.listed if reader not in PARTIAL or "hello" in package]
    assert read.binaries == wanted
    if read.sources is not None:
        assert read.sources == sorted(f"{source} {version}" for source, version in target.sources.items())
