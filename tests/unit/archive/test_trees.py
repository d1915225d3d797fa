"""The served tree: only new names, one pointer, snapshots that are forgotten whole or not at all."""

import os
from pathlib import Path

import pytest

from distwright.archive.trees import ServedTree
from distwright.errors import Refused
from distwright.formats.release import IndexEntry
from distwright.model.digests import sha256_of
from distwright.store.objects import FileObjects

INDEX = "main/binary-amd64/Packages.xz"


@pytest.fixture
def objects(tmp_path: Path) -> FileObjects:
    """Give an empty store."""
    return FileObjects(tmp_path / "objects")


def publication(tree: ServedTree, objects: FileObjects, number: int, text: bytes) -> None:
    document = sha256_of(b"set of " + text)
    entry = IndexEntry(INDEX, len(text), objects.put(text))
    tree.add_indexes(document, {INDEX: entry}, objects)
    tree.add_publication("devel", number, {"InRelease": objects.put(b"signed " + text)}, objects, document)


def read(tree: ServedTree, below: str = "") -> tuple[bytes, bytes]:
    dists = tree.root / below / "dists" / "devel"
    return (dists / "InRelease").read_bytes(), (dists / INDEX).read_bytes()


def test_what_is_added_is_seen_when_it_is_served(tmp_path: Path, objects: FileObjects) -> None:
    tree = ServedTree(tmp_path / "petrel")
    for number, text in ((1, b"one"), (2, b"two")):
        publication(tree, objects, number, text)
        assert tree.served("devel") == (None if number == 1 else 1)
        tree.serve("devel", number)
        assert (tree.served("devel"), read(tree)) == (number, (b"signed " + text, text))
    by_hash = tree.root / "dists" / "devel" / "main" / "binary-amd64" / "by-hash" / "SHA256"
    assert sorted(path.name for path in by_hash.iterdir()) == sorted([sha256_of(b"one"), sha256_of(b"two")])


def test_adding_again_changes_nothing(tmp_path: Path, objects: FileObjects) -> None:
    tree = ServedTree(tmp_path / "petrel")
    for _ in range(2):
        publication(tree, objects, 1, b"one")
        tree.serve("devel", 1)
    assert read(tree) == (b"signed one", b"one")
    pool = [("pool/main/h/hello.deb", objects.put(b"deb"))]
    assert [tree.add_pool(pool, objects), tree.add_pool(pool, objects)] == [1, 0]


def test_a_pool_path_never_gets_other_content(tmp_path: Path, objects: FileObjects) -> None:
    tree = ServedTree(tmp_path / "petrel")
    path = "pool/main/h/hello.deb"
    tree.add_pool([(path, objects.put(b"deb"))], objects)
    with pytest.raises(Refused, match=r"hello\.deb is published with other content"):
        tree.add_pool([(path, objects.put(b"other"))], objects)
    assert (tree.root / path).read_bytes() == b"deb"


def test_second_name_follows_its_suite_and_yields_to_a_suite_of_that_name(tmp_path: Path, objects: FileObjects) -> None:
    tree = ServedTree(tmp_path / "petrel")
    publication(tree, objects, 1, b"one")
    tree.serve("devel", 1)
    for _ in range(2):
        tree.serve_codename("devel", "petrel-2")
    tree.serve_codename("devel", "devel")
    publication(tree, objects, 2, b"two")
    tree.serve("devel", 2)
    assert (tree.root / "dists/petrel-2/InRelease").read_bytes() == b"signed two"
    assert (tree.served("devel"), tree.served("petrel-2")) == (2, None)
    tree.refuse_codename("stable", "petrel-2")
    with pytest.raises(Refused, match="devel is a suite of its own, so it cannot be the codename of stable"):
        tree.refuse_codename("stable", "devel")
    tree.serve_codename("stable", "petrel-2")
    assert (tree.root / "dists/petrel-2").readlink() == Path("stable")
    assert [tree.forget_codenames({"petrel-2": name}) for name in ("stable", "devel", "devel")] == [0, 1, 0]
    tree.serve_codename("devel", "petrel-2")
    tree.add_publication("petrel-2", 3, {"InRelease": objects.put(b"its own")}, objects, sha256_of(b"set of two"))
    tree.serve("petrel-2", 3)
    assert (tree.served("petrel-2"), tree.forget_codenames({})) == (3, 0)
    tree.refuse_codename("petrel-2", "petrel-2")


def test_a_snapshot_has_the_pool_of_all_and_is_forgotten_whole(tmp_path: Path, objects: FileObjects) -> None:
    tree = ServedTree(tmp_path / "petrel")
    tree.add_pool([("pool/hello.deb", objects.put(b"deb"))], objects)
    publication(tree, objects, 1, b"one")
    tree.serve("devel", 1, "2030010101")
    folder = tree.root / "snapshots" / "2030010101"
    assert ((folder / "pool" / "hello.deb").read_bytes(), read(tree, "snapshots/2030010101")) == (
        b"deb",
        (b"signed one", b"one"),
    )
    assert (tree.served("devel"), tree.served("devel", "2030010101")) == (None, 1)
    assert [tree.has_snapshot(serial) for serial in ("2030010101", "2030010102")] == [True, False]
    tree.forget_snapshot("2030010101")
    tree.forget_snapshot("2030010101")
    assert (tree.has_snapshot("2030010101"), (tree.root / "pool" / "hello.deb").read_bytes()) == (False, b"deb")


def test_a_forgetting_that_was_cut_off_is_seen_and_finished(tmp_path: Path) -> None:
    tree = ServedTree(tmp_path / "petrel")
    (tree.root / "snapshots" / ".gone-2030010101" / "dists").mkdir(parents=True)
    assert tree.has_snapshot("2030010101")
    tree.forget_snapshot("2030010101")
    assert list((tree.root / "snapshots").iterdir()) == []


def test_nothing_is_served_of_a_suite_that_was_never_published(tmp_path: Path) -> None:
    tree = ServedTree(tmp_path / "petrel")
    assert (tree.served("devel"), tree.link("devel")) == (None, tree.root / "dists" / "devel")


def test_release_files_that_are_served_next_are_later_by_a_second_whatever_the_clock_says(
    tmp_path: Path, objects: FileObjects
) -> None:
    tree = ServedTree(tmp_path / "petrel")
    times = []
    for number in (1, 2, 3):
        publication(tree, objects, number, b"%d" % number)
        if number == 3:  # the clock was set back by a day
            file = tree.publication("devel", number) / "InRelease"
            os.utime(file, (0, file.stat().st_mtime - 86400))
        tree.serve("devel", number)
        times.append(int((tree.link("devel") / "InRelease").stat().st_mtime))
    assert times == [times[0], times[0] + 1, times[0] + 2]
    publication(tree, objects, 4, b"3")
    tree.serve("devel", 4)
    assert int((tree.link("devel") / "InRelease").stat().st_mtime) == times[2]  # the very same file
