"""The package tree: equal states have equal roots, a change touches one leaf, and leaves joined are the index."""

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distwright.archive.editing import iter_entries, split_leaf
from distwright.archive.tree import (
    EMPTY_ROOT,
    LEAF_BYTES,
    LEAF_MASK,
    Leaf,
    Tombstone,
    TreeEntry,
    TreeRoot,
    build_tree,
    ends_leaf,
    list_text,
    parse_root,
)
from distwright.errors import BadInput
from distwright.model.digests import sha256_of
from distwright.model.versions import DebVersion
from distwright.store.memory import MemoryObjects

AMD64 = "main/binary-amd64"


def entry(name: str, version: str = "1.0", list_name: str = AMD64, more: str = "") -> TreeEntry:
    stanza = f"Package: {name}\nVersion: {version}\n{more}".encode()
    return TreeEntry(list_name, name, DebVersion(version), stanza)


def names(count: int) -> list[str]:
    return [f"package-{number:04d}" for number in range(count)]


def weak_names(count: int, mask: int) -> list[str]:
    """Names after which no leaf ends by this mask."""
    return [name for name in names(count * 2) if not ends_leaf(name, mask)][:count]


def test_empty_tree_has_the_root_that_every_new_suite_has() -> None:
    assert EMPTY_ROOT.to_bytes() == b'{"format":1,"lists":{},"tombstones":[]}\n'
    assert build_tree([], MemoryObjects().put) == EMPTY_ROOT


def test_root_is_the_digest_of_its_canonical_form() -> None:
    root = build_tree([entry("hello")], MemoryObjects().put)
    leaf = Leaf(sha256_of(b"Package: hello\nVersion: 1.0\n\n"), 29, 1, "hello")
    assert root == TreeRoot({AMD64: (leaf,)})
    text = f'{{"format":1,"lists":{{"main/binary-amd64":[["{leaf.digest}",29,1,"hello"]]}},"tombstones":[]}}\n'
    assert (root.to_bytes(), root.revision) == (text.encode(), sha256_of(text.encode()))


@given(st.lists(st.tuples(st.sampled_from(names(40)), st.sampled_from(["1", "1.0", "2~rc1", "1:0"]),
                          st.sampled_from([AMD64, "main/source", "contrib/binary-all"])), unique=True), st.randoms())  # fmt: skip
def test_root_does_not_depend_on_order_or_history(members: list[tuple[str, str, str]], chance: random.Random) -> None:
    objects = MemoryObjects()
    entries = [entry(*member) for member in members]
    shuffled = list(entries)
    chance.shuffle(shuffled)
    root = build_tree(entries, objects.put)
    assert build_tree(shuffled, objects.put) == root
    grown = build_tree(
        [*iter_entries(build_tree(shuffled[::2], objects.put), objects.read), *shuffled[1::2]], objects.put
    )
    assert grown == root
    assert sorted(iter_entries(root, objects.read), key=lambda e: e.order) == sorted(entries, key=lambda e: e.order)


@given(st.lists(st.tuples(st.sampled_from(names(9)), st.sampled_from(["1", "2~rc1", "1:0"])), unique=True))
def test_parse_gives_back_what_was_written(members: list[tuple[str, str]]) -> None:
    stones = tuple(Tombstone("main/source", name, DebVersion(version)) for name, version in sorted(members))
    root = build_tree([entry(*member) for member in members], MemoryObjects().put, stones)
    assert parse_root(root.to_bytes()).to_bytes() == root.to_bytes()
    assert parse_root(root.to_bytes()).revision == root.revision
    assert parse_root(root.to_bytes()).lists == root.lists


def test_tombstones_are_part_of_the_identity_in_whatever_order_they_come() -> None:
    stones = (Tombstone(AMD64, "b", DebVersion("1")), Tombstone(AMD64, "a", DebVersion("1.10")),
              Tombstone(AMD64, "a", DebVersion("1.9")))  # fmt: skip
    assert TreeRoot({}, stones).revision == TreeRoot({}, tuple(reversed(stones))).revision != EMPTY_ROOT.revision
    assert [stone.version for stone in parse_root(TreeRoot({}, stones).to_bytes()).tombstones] == ["1.9", "1.10", "1"]


def test_a_tree_of_another_format_is_refused_by_its_number() -> None:
    with pytest.raises(BadInput, match="package tree has format 2") as caught:
        parse_root(b'{"format":2}')
    assert caught.value.hint == "install the distwright that wrote it"


def test_versions_of_one_package_stand_in_the_order_of_dpkg() -> None:
    objects = MemoryObjects()
    root = build_tree([entry("hello", version) for version in ("1.10", "1.9", "1:0", "1.10~rc1")], objects.put)
    versions = [line for line in list_text(root, AMD64, objects.read).decode().splitlines() if "Version" in line]
    assert versions == ["Version: 1.9", "Version: 1.10~rc1", "Version: 1.10", "Version: 1:0"]


def test_leaves_joined_are_the_text_of_the_list() -> None:
    objects = MemoryObjects()
    root = build_tree([entry(name) for name in reversed(names(900))], objects.put)
    assert len(root.lists[AMD64]) > 2
    expected = "".join(f"Package: {name}\nVersion: 1.0\n\n" for name in names(900)).encode()
    assert list_text(root, AMD64, objects.read) == expected
    assert list_text(root, "main/source", objects.read) == b""


def test_a_leaf_ends_exactly_after_the_names_whose_hash_says_so() -> None:
    objects = MemoryObjects()
    root = build_tree([entry(name) for name in names(2000)], objects.put)
    leaves = root.lists[AMD64]
    lasts = [split_leaf(objects.read(leaf.digest))[-1][0] for leaf in leaves]
    assert lasts[:-1] == [name for name in names(2000) if ends_leaf(name, LEAF_MASK)]
    assert sum(leaf.count for leaf in leaves) == 2000
    assert [leaf.size_bytes for leaf in leaves] == [len(objects.read(leaf.digest)) for leaf in leaves]


def test_versions_of_one_name_are_never_parted() -> None:
    name = next(name for name in names(2000) if ends_leaf(name, LEAF_MASK))
    root = build_tree([entry(name, f"{number}") for number in range(300)] + [entry("zz")], MemoryObjects().put)
    assert [(leaf.first, leaf.count) for leaf in root.lists[AMD64]] == [(name, 300), ("zz", 1)]


def test_a_change_touches_one_leaf_of_two_thousand_names() -> None:
    before_objects = MemoryObjects()
    entries = [entry(name) for name in names(2000)]
    before = build_tree(entries, before_objects.put)
    for name in ("package-0000", "package-0777", "package-1999"):
        objects = MemoryObjects()
        after = build_tree([replace(e, version=DebVersion("2"), stanza=e.stanza.replace(b"1.0", b"2.0"))
                            if e.name == name else e for e in entries], objects.put)  # fmt: skip
        new = set(objects.digests()) - set(before_objects.digests())
        assert len(new) == 1, name
        assert len(set(after.lists[AMD64]) - set(before.lists[AMD64])) == 1


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 1999))
def test_adding_or_removing_a_name_touches_at_most_two_leaves(number: int) -> None:
    entries = [entry(name) for name in names(2000)]
    full = build_tree(entries, sha256_of)
    less = build_tree(entries[:number] + entries[number + 1 :], sha256_of)
    touched = set(full.lists[AMD64]) ^ set(less.lists[AMD64])
    assert len(touched) <= 3  # its leaf before and after; or two leaves that become one
    assert full.lists.keys() == less.lists.keys()


def test_a_leaf_over_the_byte_cap_is_cut_again_at_weaker_names() -> None:
    objects = MemoryObjects()
    members = weak_names(400, LEAF_MASK)
    root = build_tree([entry(name, more="X: " + "y" * 3000 + "\n") for name in members], objects.put)
    leaves = root.lists[AMD64]
    lasts = [split_leaf(objects.read(leaf.digest))[-1][0] for leaf in leaves]
    assert len(leaves) > 4
    assert set(filter(lambda name: ends_leaf(name, LEAF_MASK >> 1), members)) - {members[-1]} <= set(lasts)
    assert max(leaf.size_bytes for leaf in leaves) <= LEAF_BYTES
    assert list_text(root, AMD64, objects.read).count(b"Package: ") == 400


def test_a_change_of_size_far_from_a_cut_leaf_changes_no_other_leaf() -> None:
    long = "X: " + "y" * 3000 + "\n"
    entries = [entry(name, more=long) for name in names(1000)]
    before = build_tree(entries, sha256_of).lists[AMD64]
    after = build_tree([entry(entries[0].name, more=long + "Z: z\n"), *entries[1:]], sha256_of).lists[AMD64]
    assert set(after) - set(before) == {after[0]}


def test_one_name_may_be_longer_than_the_cap() -> None:
    huge = entry("hello", more="X: " + "y" * (2 * LEAF_BYTES) + "\n")
    root = build_tree([huge, entry("world")], MemoryObjects().put)
    assert sum(leaf.count for leaf in root.lists[AMD64]) == 2
