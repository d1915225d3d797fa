"""Decisions about two states of suites that random histories (tests/fuzz) do not put into words."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.worlds.archive import make_deb, make_source
from tests.worlds.suite import own_suite

from distwright.archive.merging import plan_pull, plan_removal
from distwright.archive.phasing import plan_phase
from distwright.archive.suites import Who, pull_packages
from distwright.archive.tree import EMPTY_ROOT, TreeEntry, build_tree
from distwright.errors import Refused
from distwright.model.digests import Sha256
from distwright.model.versions import DebVersion
from distwright.store.memory import MemoryObjects

WHO = Who("user ada")
COUNT = 4000
LISTS = ("main/binary-amd64", "main/source")


class Counting:
    """An archive of many sources, each with a library called otherwise; counts the leaves that are read."""

    def __init__(self) -> None:
        """Build it."""
        self._objects = MemoryObjects()
        self.reads = 0
        self.root = build_tree(self._entries(), self._objects.put)
        self.leaves = sum(map(len, self.root.lists.values()))

    def get(self, digest: Sha256) -> bytes:
        self.reads += 1
        return self._objects.read(digest)

    def _entries(self) -> Iterator[TreeEntry]:
        for list_name in LISTS:
            for number in range(COUNT):
                source = f"source{number:05}"
                name = source if list_name == LISTS[1] else f"lib{number:05}"
                says = "" if name == source else f"Source: {source}\n"
                text = f"Package: {name}\n{says}Version: 1\nFilename: pool/x\nDescription: {'x' * 200}\n"
                yield TreeEntry(list_name, name, DebVersion("1"), text.encode())


@pytest.mark.parametrize("act", ["pull", "remove", "phase"])
def test_many_sources_cost_one_look_at_the_lists_and_not_one_each(act: str) -> None:
    world = Counting()
    sources = [f"source{number:05}" for number in range(0, COUNT, COUNT // 100)]
    if act == "pull":
        plan = plan_pull(EMPTY_ROOT, world.root, sources, world.get)
    elif act == "remove":
        plan = plan_removal(world.root, sources, world.get)
    else:
        plan = plan_phase(world.root, sources, 10, world.get)
    names = {f"lib{number:05}" for number in range(0, COUNT, COUNT // 100)}
    wanted = names if act == "phase" else names | set(sources)
    assert {change.name for change in plan.changes} == wanted
    assert world.reads < 4 * world.leaves
    assert world.leaves > 40


def test_pull_refuses_other_content_under_the_version_that_is_here(tmp_path: Path) -> None:
    """Clients that have the one would never get the other: same name means same content, as in a merge."""
    devel = own_suite(tmp_path)
    stable = own_suite(tmp_path, "stable", devel.context)
    devel.hold(make_deb("hello", content={"usr/share/hello": "one"}), make_source("hello"))
    before = stable.hold(make_deb("hello", content={"usr/share/hello": "another"}), make_source("hello"))
    with pytest.raises(Refused) as refused:
        pull_packages(devel.context, "petrel", "stable", "devel", ["hello"], WHO, dry_run=False)
    assert refused.value.message.splitlines()[1:] == ["  hello (main/binary-amd64): 1.0 has other content there"]
    assert stable.state().revision == before


def test_pull_of_what_is_here_already_is_no_change(tmp_path: Path) -> None:
    devel = own_suite(tmp_path)
    stable = own_suite(tmp_path, "stable", devel.context)
    devel.hold(make_deb("hello"), make_source("hello"), make_deb("world"))
    before = stable.hold(make_deb("hello"), make_source("hello"))
    done = pull_packages(devel.context, "petrel", "stable", "devel", ["hello"], WHO, dry_run=False)
    assert (done.after, done.changes) == (before, ())
