"""Packing: few files afterwards, and every object that was there, whether a ref leads to it or not."""

import os
import subprocess
import time
from pathlib import Path

import pytest
from tests.worlds.repos import commit

from distwright.errors import ProgramFailed
from distwright.repos.merged import Merged, merged_commit
from distwright.store.paths import StatePaths
from distwright.tools.git import git, refs
from distwright.tools.git_pack import pack_if_many


def objects(repo: Path) -> set[str]:
    listing = git(repo, "cat-file", "--batch-all-objects", "--batch-check=%(objectname)", "--unordered")
    return set(listing.decode().split())


def counts(repo: Path) -> tuple[int, int]:
    rows = dict(line.split(": ") for line in git(repo, "count-objects", "-v").decode().splitlines())
    return int(rows["count"]), int(rows["packs"])


@pytest.fixture
def paths(tmp_path: Path) -> StatePaths:
    """A repo of many small packs and loose objects, some of which no ref leads to any more."""
    paths = StatePaths(tmp_path / "state")
    paths.make()
    commit(paths, "live", {"base": "x"})
    for number in range(12):
        commit(paths, "live", {f"file-{number}": str(number)}, branch=f"b{number}")
    repo = paths.repo("live")
    for number in range(30):
        git(repo, "hash-object", "-w", "--stdin", stdin=str(number).encode())
    git(repo, "update-ref", "-d", "refs/heads/b3")
    return paths


def test_nothing_is_packed_while_there_is_little(paths: StatePaths) -> None:
    repo = paths.repo("live")
    before = counts(repo)
    assert pack_if_many(repo) == []
    assert counts(repo) == before


def test_everything_is_there_afterwards_whether_a_ref_leads_to_it_or_not(paths: StatePaths) -> None:
    repo = paths.repo("live")
    before, known, (loose, packs) = objects(repo), refs(repo), counts(repo)
    assert loose + packs > 10
    assert pack_if_many(repo, loose=10, packs=3) == [f"packed {loose} loose objects and {packs} packs"]
    assert (objects(repo), refs(repo)) == (before, known)
    after = counts(repo)
    assert after[0] == 0
    assert after[1] <= 2
    assert pack_if_many(repo, loose=10, packs=3) == []


def test_a_merge_that_borrows_objects_of_a_commit_without_a_ref_is_readable_afterwards(paths: StatePaths) -> None:
    repo = paths.repo("live")
    one, other = refs(repo)["refs/heads/b1"], refs(repo)["refs/heads/b2"]
    merged = merged_commit(paths, "live", one, other)
    assert isinstance(merged, Merged)
    git(repo, "update-ref", "-d", "refs/heads/b1")
    pack_if_many(repo, loose=0, packs=0)
    listing = git(merged.where, "ls-tree", "-r", "--name-only", merged.commit).decode().split()
    assert {"file-1", "file-2"} <= set(listing)
    for name in listing:
        git(merged.where, "cat-file", "blob", f"{merged.commit}:{name}")


def test_reader_that_began_before_goes_on(paths: StatePaths) -> None:
    """One process of git knows the packs of before, and is asked for objects after they are gone."""
    repo = paths.repo("live")
    wanted = sorted(objects(repo))
    with subprocess.Popen(
        ["git", "-C", str(repo), "cat-file", "--batch-check"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as reader:
        assert reader.stdin is not None
        assert reader.stdout is not None
        print(wanted[0], file=reader.stdin, flush=True)
        assert "missing" not in reader.stdout.readline()
        pack_if_many(repo, loose=0, packs=0)
        for name in wanted:
            print(name, file=reader.stdin, flush=True)
            assert "missing" not in reader.stdout.readline()
        reader.stdin.close()


def test_leftovers_go_a_day_later_and_nothing_else(paths: StatePaths) -> None:
    folder = paths.repo("live") / "objects" / "pack"
    old, young, pack = folder / "tmp_pack_abc", folder / ".tmp-1-pack-abc.pack", next(folder.glob("*.pack"), None)
    for place in (old, young):
        place.write_bytes(b"half")
    os.utime(old, (0, time.time() - 100_000))
    pack_if_many(paths.repo("live"))
    assert (old.exists(), young.exists()) == (False, True)
    assert pack is None or pack.exists()


def test_a_repository_that_is_none_is_an_error_with_a_name(tmp_path: Path) -> None:
    with pytest.raises(ProgramFailed):
        pack_if_many(tmp_path)
