"""Everybody's programs read everything that we serve, without a word of complaint."""

from pathlib import Path

import pytest
from tests.worlds.published import Published
from tests.worlds.readers import PARTIAL, READERS

TARGETS = ("own live", "own frozen", "own tagged", "recorded live", "recorded frozen", "recorded tagged")
AT_NGINX = ("own live at nginx", "own frozen at nginx", "own tagged at nginx", "recorded tagged at nginx")
OFTEN = ("apt", "debmirror", "aptly")  # one of each library for HTTP
CLIENTS = [pytest.param(name, marks=pytest.mark.system) if name == "apt 3" else name for name in READERS]


def is_content(world: Published, reader: str, name: str, folder: Path) -> None:
    target = world.targets[name]
    read = READERS[reader](target, folder)
    assert read.complaints == []
    assert read.binaries == [package for package in target.listed if reader not in PARTIAL or "hello" in package]
    if read.sources is not None:
        assert read.sources == sorted(f"{source} {version}" for source, version in target.sources.items())


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("reader", CLIENTS)
def test_every_client_reads_every_archive_without_a_complaint(
    world: Published, place: Path, reader: str, name: str
) -> None:
    is_content(world, reader, name, place)


@pytest.mark.parametrize("name", AT_NGINX)
@pytest.mark.parametrize("reader", OFTEN)
def test_nginx_serves_the_plain_tree_as_well(world: Published, place: Path, reader: str, name: str) -> None:
    is_content(world, reader, name, place)


@pytest.mark.full
@pytest.mark.system
@pytest.mark.parametrize("name", AT_NGINX)
@pytest.mark.parametrize("reader", [name for name in READERS if name not in OFTEN])
def test_nginx_serves_every_other_client(world: Published, place: Path, reader: str, name: str) -> None:
    is_content(world, reader, name, place)
