"""How a root is cut for an upgrade kit: all of it, within bounds, each piece beside the old files that it comes from."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.worlds.kits import Node, Tree, tree_tar

from distwright.errors import BadInput
from distwright.images.kit_cutting import (
    Bounds,
    Member,
    Piece,
    cut,
    listed_files,
    old_files,
    piece_lines,
    read_members,
)

LISTING = """\
drwxr-xr-x 0/0                     106 2026-09-21 14:13 squashfs-root
lrwxrwxrwx 0/0                       7 2025-05-20 00:00 squashfs-root/bin -> usr/bin
-rw-r--r-- 0/0                      83 2026-07-02 13:50 squashfs-root/boot/System.map-6.1.0-50-amd64
-rwsr-xr-x 1000/65534           259569 2026-07-02 13:50 squashfs-root/usr/bin/su
-rw-r--r-- 0/0                       0 2026-07-02 13:50 squashfs-root/empty
-rw-r--r-- 0/0                       9 2026-07-02 13:50 squashfs-root/with blank
-rw-r--r-- 0/0                       9 2026-07-02 13:50 squashfs-root/[
-rw-r--r-- 0/0                       9 2026-07-02 13:50 squashfs-root/-f
crw-rw-rw- 0/0                  1,   3 2026-07-02 13:50 squashfs-root/dev/null
"""
BOUNDS = Bounds(piece=1000, old=2000)


def member(path: str, start: int, end: int) -> Member:
    return Member(path, start, end)


def test_plain_files_with_plain_names_can_be_asked_for() -> None:
    assert listed_files(LISTING) == {"boot/System.map-6.1.0-50-amd64": 83, "usr/bin/su": 259569}


def test_members_are_where_the_tar_has_them_and_only_files_with_content_have_a_path() -> None:
    tree: Tree = {
        "a": Node(content=b"x" * 700), "b": Node(), "c": Node(content=b"y", attributes={"user.long": "z" * 600}),
    }  # fmt: skip
    content = tree_tar(tree)
    found = read_members(io.BytesIO(content), len(content))
    assert [(one.path, one.start) for one in found] == [("a", 0), ("", 1536), ("c", 2048)]
    assert [one.end for one in found] == [1536, 2048, len(content)]
    with pytest.raises(BadInput, match="the root of the image is no tar"):
        read_members(io.BytesIO(b"no tar" * 200), 1200)


def test_a_file_is_described_by_its_path_else_its_shape_else_its_name() -> None:
    old = dict.fromkeys(["same", "modules/6.1-50/net.ko", "lib/libz.so.1.2", "old/place/moved", "stays"], 9)
    new = ["same", "modules/6.1-57/net.ko", "lib/libz.so.1.3", "new/place/moved", "really/new", "stays"]
    assert old_files(new, old) == {
        "same": "same", "stays": "stays", "modules/6.1-57/net.ko": "modules/6.1-50/net.ko",
        "lib/libz.so.1.3": "lib/libz.so.1.2", "new/place/moved": "old/place/moved",
    }  # fmt: skip


def test_members_that_fit_are_one_piece_with_each_old_file_once() -> None:
    members = [member("a", 0, 300), member("", 300, 400), member("b1", 400, 700), member("b2", 700, 1100)]
    assert cut(members, {"a": 5, "b0": 7}, BOUNDS) == [
        Piece(0, 700, ("a", "b0"), 0, 2000), Piece(700, 1100, ("b0",), 0, 2000),
    ]  # fmt: skip


def test_a_large_file_is_cut_and_described_by_the_old_one_around_the_same_place() -> None:
    members = [member("small", 0, 100), member("large", 100, 3600), member("last", 3600, 3700)]
    pieces = cut(members, {"large": 3300}, BOUNDS)
    assert pieces == [
        Piece(0, 100, (), 0, 2000), Piece(100, 1100, ("large",), 0, 2000), Piece(1100, 2100, ("large",), 500, 2000),
        Piece(2100, 3100, ("large",), 1300, 2000), Piece(3100, 3600, ("large",), 1300, 2000), Piece(3600, 3700, (), 0, 2000),
    ]  # fmt: skip
    assert piece_lines(pieces[1:3]) == "00000 100 1000 0 2000\n00001 1100 1000 500 2000\n"


def test_a_small_file_is_not_described_by_one_that_is_too_large() -> None:
    assert cut([member("a", 0, 100)], {"a": 2001}, BOUNDS) == [Piece(0, 100, (), 0, 2000)]


@given(
    st.lists(st.tuples(st.sampled_from(["", "a", "b1", "b2", "c"]), st.integers(1, 2500)), max_size=30),
    st.dictionaries(st.sampled_from(["a", "b1", "b0", "c"]), st.integers(1, 5000)),
)
def test_pieces_are_all_of_the_tar_in_order_and_within_bounds(
    sizes: list[tuple[str, int]], old: dict[str, int]
) -> None:
    members, at = [], 0
    for path, size in sizes:
        members.append(member(path, at, at + size))
        at += size
    pieces = cut(members, old, BOUNDS)
    assert [piece.start for piece in pieces] == [0, *(piece.end for piece in pieces[:-1])][: len(pieces)]
    assert (pieces[-1].end if pieces else 0) == at
    for piece in pieces:
        assert 0 < piece.end - piece.start <= BOUNDS.piece
        held = sum(old[path] for path in piece.old)
        assert min(held - piece.skip, piece.take) <= BOUNDS.old
        assert piece.take == BOUNDS.old
        assert held <= BOUNDS.old or len(piece.old) == 1
