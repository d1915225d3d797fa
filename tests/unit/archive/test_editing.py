"""Editing a tree: whatever the edits and their order, the result is the tree that is built from scratch."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distwright.archive.editing import (
    PackageChange,
    StanzaReader,
    diff_trees,
    edit_list,
    edit_tree,
    find_stanzas,
    in_order,
    iter_entries,
    source_of,
    split_leaf,
    stanzas_of_sources,
    version_of,
)
from distwright.archive.tree import (
    EMPTY_ROOT,
    LEAF_BYTES,
    LEAF_MASK,
    Tombstone,
    TreeEntry,
    TreeRoot,
    build_tree,
    ends_leaf,
)
from distwright.errors import BadInput
from distwright.model.versions import DebVersion
from distwright.store.memory import MemoryObjects

AMD64, SOURCE = "main/binary-amd64", "main/source"
Model = dict[str, dict[str, tuple[bytes, ...]]]  # list -> name -> stanzas in order

_ALL = [f"package-{number:04d}" for number in range(4000)]
STRONG = [name for name in _ALL if ends_leaf(name, LEAF_MASK)][:12]  # a leaf ends after these
WEAK = [name for name in _ALL if ends_leaf(name, LEAF_MASK >> 2) and name not in STRONG][
    :14
]  # after these in long leaves
PLAIN = [name for name in _ALL if not ends_leaf(name, 7)][:600:20]
NAMES = sorted({*STRONG, *WEAK, *PLAIN})
LARGE = LEAF_BYTES // 6


def stanza(name: str, version: str, size: int = 0) -> bytes:
    return f"Package: {name}\nVersion: {version}\n{'X: ' + 'y' * size + chr(10) if size else ''}".encode()


def built(model: Model, objects: MemoryObjects) -> TreeRoot:
    return build_tree(
        [
            TreeEntry(list_name, name, version_of(text), text)
            for list_name, names in model.items()
            for name, stanzas in names.items()
            for text in stanzas
        ],
        objects.put,
    )


VERSIONS = st.lists(st.sampled_from(["1", "2", "1:0", "10~rc1"]), max_size=2, unique=True)
SIZES = st.sampled_from([0, 0, 1, LARGE])
EDITS = st.dictionaries(st.sampled_from(NAMES), st.tuples(VERSIONS, SIZES), max_size=12)
HISTORIES = st.lists(st.dictionaries(st.sampled_from([AMD64, SOURCE]), EDITS, max_size=2), min_size=1, max_size=5)


def texts(edits: Mapping[str, tuple[Sequence[str], int]]) -> dict[str, list[bytes]]:
    return {name: [stanza(name, version, size) for version in versions] for name, (versions, size) in edits.items()}


@settings(max_examples=100, deadline=None)
@given(
    begin=st.dictionaries(st.sampled_from(NAMES), SIZES, max_size=len(NAMES)),
    history=HISTORIES,
)
def test_any_history_of_edits_gives_the_tree_built_from_scratch(
    begin: dict[str, int], history: list[dict[str, dict[str, tuple[list[str], int]]]]
) -> None:
    objects = MemoryObjects()
    model: Model = {AMD64: {name: (stanza(name, "1", size),) for name, size in begin.items()}}
    root = built(model, objects)
    for step in history:
        before_root, before = root, {name: dict(rows) for name, rows in model.items()}
        edits = {list_name: texts(rows) for list_name, rows in step.items()}
        root = edit_tree(root, edits, objects.read, objects.put)
        for list_name, rows in edits.items():
            names = model.setdefault(list_name, {})
            for name, stanzas in rows.items():
                names[name] = in_order(stanzas)
                if not stanzas:
                    del names[name]
        assert root == built(model, objects)
        assert list(diff_trees(before_root, root, objects.read)) == differing(before, model)
    assert_reads(root, model, objects)


def differing(before: Model, after: Model) -> list[PackageChange]:
    return [
        PackageChange(list_name, name, old, new)
        for list_name in sorted(before.keys() | after.keys())
        for name in sorted(before.get(list_name, {}).keys() | after.get(list_name, {}).keys())
        for old, new in [(before.get(list_name, {}).get(name, ()), after.get(list_name, {}).get(name, ()))]
        if old != new
    ]


def assert_reads(root: TreeRoot, model: Model, objects: MemoryObjects) -> None:
    for list_name in (AMD64, SOURCE, "main/i18n"):
        expected = {name: model.get(list_name, {}).get(name, ()) for name in NAMES}
        assert find_stanzas(root, list_name, NAMES, objects.read) == expected
        for order in (NAMES, NAMES[::-1]):
            reader = StanzaReader(root, objects.read)
            assert {name: reader.find(list_name, name) for name in order} == expected


def counted(objects: MemoryObjects) -> tuple[list[str], "MemoryObjects"]:
    """Give a store whose reads are counted."""
    asked: list[str] = []

    class Counted(MemoryObjects):
        def read(self, digest: str) -> bytes:
            asked.append(digest)
            return objects.read(digest)  # type: ignore[arg-type]

    return asked, Counted()


def large_tree(objects: MemoryObjects, count: int = 4000) -> TreeRoot:
    return built({AMD64: {name: (stanza(name, "1"),) for name in _ALL[:count]}}, objects)


def test_an_edit_reads_and_writes_the_touched_leaf_and_at_most_its_neighbours() -> None:
    objects = MemoryObjects()
    root = large_tree(objects)
    assert len(root.lists[AMD64]) > 20
    for name, stanzas in ((_ALL[2000], [stanza(_ALL[2000], "2")]), (_ALL[0], []), (_ALL[3999], []), (STRONG[3], [])):
        asked, store = counted(objects)
        kept = set(objects.digests())
        edited = edit_list(root.lists[AMD64], {name: stanzas}, store.read, objects.put)
        assert len(set(asked)) <= 4
        assert len(set(objects.digests()) - kept) <= 2
        assert len(set(edited) - set(root.lists[AMD64])) <= 2


def test_an_edit_of_nothing_reads_nothing() -> None:
    objects = MemoryObjects()
    root = large_tree(objects)
    asked, store = counted(objects)
    assert edit_tree(root, {AMD64: {}}, store.read, objects.put) == root
    assert (asked, list(diff_trees(root, root, store.read))) == ([], [])


def test_a_diff_reads_only_leaves_that_one_side_does_not_have() -> None:
    objects = MemoryObjects()
    root = large_tree(objects)
    other = edit_tree(root, {AMD64: {_ALL[77]: [stanza(_ALL[77], "2")]}}, objects.read, objects.put)
    asked, store = counted(objects)
    assert list(diff_trees(root, other, store.read)) == [
        PackageChange(AMD64, _ALL[77], (stanza(_ALL[77], "1"),), (stanza(_ALL[77], "2"),))
    ]
    assert len(asked) == 2


def test_names_in_order_are_looked_up_with_one_read_for_each_leaf() -> None:
    objects = MemoryObjects()
    root = large_tree(objects)
    asked, store = counted(objects)
    reader = StanzaReader(root, store.read)
    assert all(reader.find(AMD64, name) for name in _ALL)
    assert len(asked) == len(root.lists[AMD64])


def test_a_list_whose_last_package_goes_is_gone() -> None:
    objects = MemoryObjects()
    root = built({AMD64: {"hello": (stanza("hello", "1"),)}, SOURCE: {"hello": (stanza("hello", "1"),)}}, objects)
    left = edit_tree(root, {AMD64: {"hello": []}}, objects.read, objects.put)
    assert list(left.lists) == [SOURCE]
    assert edit_tree(left, {SOURCE: {"hello": []}}, objects.read, objects.put) == EMPTY_ROOT


def test_tombstones_stay_unless_new_ones_are_given() -> None:
    objects = MemoryObjects()
    stone = Tombstone(AMD64, "gone", DebVersion("1"))
    root = TreeRoot({}, (stone,))
    edit = {AMD64: {"hello": [stanza("hello", "1")]}}
    assert edit_tree(root, edit, objects.read, objects.put).tombstones == (stone,)
    assert edit_tree(root, edit, objects.read, objects.put, ()).tombstones == ()


def test_the_same_stanza_twice_is_once() -> None:
    objects = MemoryObjects()
    one = stanza("hello", "1")
    root = edit_tree(EMPTY_ROOT, {AMD64: {"hello": [one, one]}}, objects.read, objects.put)
    assert root == built({AMD64: {"hello": (one,)}}, objects)


def test_a_leaf_that_is_cut_off_or_has_no_name_is_refused() -> None:
    text = stanza("hello", "1") + b"\n" + stanza("world", "1") + b"\n"
    assert split_leaf(text) == [("hello", stanza("hello", "1")), ("world", stanza("world", "1"))]
    for end in range(1, len(text)):
        if text[:end].endswith(b"\n\n"):
            continue
        with pytest.raises(BadInput, match="is cut off"):
            split_leaf(text[:end])
    with pytest.raises(BadInput, match="without a name"):
        split_leaf(b"Version: 1\n\n")


def test_everything_of_a_source_is_found_and_nothing_of_one_with_a_similar_name() -> None:
    rows = {
        "petrel": b"Package: petrel\nVersion: 1\n",
        "petrel-data": b"Package: petrel-data\nSource: petrel\nVersion: 1\n",
        "petrel-old": b"Package: petrel-old\nSource: petrel (0.9)\nVersion: 1\n",
        "petrel-other": b"Package: petrel-other\nSource: petrel-other-source\nVersion: 1\n",
        "petrels": b"Package: petrels\nVersion: 1\n",
        "taken": b"Package: taken\nSource: elsewhere\nVersion: 1\nX: petrel\n",
    }
    objects = MemoryObjects()
    root = built({AMD64: {name: (text,) for name, text in rows.items()}}, objects)
    of_petrel = {name: (rows[name],) for name in ("petrel", "petrel-data", "petrel-old")}
    assert stanzas_of_sources(root, AMD64, ["petrel"], objects.read) == {"petrel": of_petrel}
    assert stanzas_of_sources(root, SOURCE, ["petrel"], objects.read) == {}
    found = stanzas_of_sources(root, AMD64, ["taken", "elsewhere", "petrels", "petrel", "aa", "zz"], objects.read)
    assert found == {
        "petrel": of_petrel, "petrels": {"petrels": (rows["petrels"],)}, "elsewhere": {"taken": (rows["taken"],)},
    }  # fmt: skip
    assert [source_of(text) for text in rows.values()] == [
        "petrel", "petrel", "petrel", "petrel-other-source", "petrels", "elsewhere",
    ]  # fmt: skip


def test_entries_come_back_as_they_were_put_in() -> None:
    objects = MemoryObjects()
    root = large_tree(objects, 300)
    entries = list(iter_entries(root, objects.read))
    assert [entry.name for entry in entries] == _ALL[:300]
    assert all(first.order < second.order for first, second in pairwise(entries))
    assert build_tree(entries, objects.put) == root
