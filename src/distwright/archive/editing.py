"""Change package trees at the cost of the change: read the leaves that are touched, cut them anew, keep all others.

The rules of cutting are those of `tree`; whatever the order of edits, the same content gives the same root.
"""

import heapq
import re
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from distwright.archive.tree import (
    LEAF_MASK,
    Get,
    Group,
    Leaf,
    Put,
    Stanzas,
    Tombstone,
    TreeEntry,
    TreeRoot,
    cut_into_leaves,
    ends_leaf,
)
from distwright.errors import BadInput
from distwright.formats.deb822 import raw_field
from distwright.model.versions import DebVersion

Edits = Mapping[str, Mapping[str, Sequence[bytes]]]  # list -> package -> all its stanzas from now on; none: it is gone

_NAME = re.compile(rb"Package: ([^\n]+)\n")
_SOURCE = re.compile(rb"\nSource: ([^ \n]+)")


@dataclass(frozen=True, slots=True)
class PackageChange:
    """What differs in one name of one list: its stanzas before and after, each in the order of versions; () is none."""

    list_name: str
    name: str
    old: Stanzas
    new: Stanzas


def split_leaf(text: bytes) -> list[tuple[str, bytes]]:
    """Take a leaf apart: name and stanza of each package, in order; raise BadInput if it is no leaf."""
    parts = text.split(b"\n\n")
    if parts.pop() != b"":
        raise BadInput("a leaf of a package tree is cut off", hint="distwright archive fsck")
    found = []
    for part in parts:
        match = _NAME.match(part)
        if match is None:
            raise BadInput("a leaf of a package tree has a stanza without a name", hint="distwright archive fsck")
        found.append((match[1].decode(), part + b"\n"))
    return found


def version_of(stanza: bytes) -> DebVersion:
    """Read the version of a stanza; translations have none, which counts as 0."""
    return DebVersion((raw_field(stanza, b"Version") or b"0").decode())


def in_order(stanzas: Sequence[bytes]) -> Stanzas:
    """Put the stanzas of one name into the order of the tree: by version, then by content."""
    if len(stanzas) < 2:
        return tuple(stanzas)
    return tuple(sorted(set(stanzas), key=lambda stanza: (version_of(stanza).sort_key(), stanza)))


def edit_list(leaves: Sequence[Leaf], replace: Mapping[str, Sequence[bytes]], get: Get, put: Put) -> tuple[Leaf, ...]:
    """Give the leaves of a list in which each name of `replace` has exactly these stanzas (none: it is gone).

    Reads and writes the touched leaves and at most their neighbours.
    """
    if not replace:
        return tuple(leaves)
    firsts = [leaf.first for leaf in leaves]
    names = sorted(replace)
    result: list[Leaf] = []
    at, position = 0, 0
    while position < len(names):
        run = _Run(leaves, firsts, names, position, replace, get)
        result += leaves[at : run.begin]
        result += cut_into_leaves(run.groups(), put)
        at, position = run.end, run.position
    result += leaves[at:]
    return tuple(result)


class _Run:
    """Leaves that must be cut anew together: from one boundary of the rule to the next that is still one after the edit."""

    def __init__(
        self,
        leaves: Sequence[Leaf],
        firsts: Sequence[str],
        names: Sequence[str],
        position: int,
        replace: Mapping[str, Sequence[bytes]],
        get: Get,
    ) -> None:
        """Begin where names[position] is or belongs; `end` and `position` are final when all groups were taken."""
        self._leaves, self._firsts, self._names, self._replace, self._get = leaves, firsts, names, replace, get
        self.begin, self.end = _segment(leaves, firsts, names[position], get)
        self.position = position

    def groups(self) -> Iterator[Group]:
        """Give the packages of these leaves as they are after the edit, in order; only one segment is in memory at a time."""
        begin, last = self.begin, None
        while True:
            limit = self._firsts[self.end] if self.end < len(self._leaves) else None
            after = len(self._names) if limit is None else bisect_left(self._names, limit, self.position)
            edited_names = self._names[self.position : after]
            self.position = after
            for name, stanzas in self._merged(_groups(self._leaves[begin : self.end], self._get), edited_names):
                last = name
                yield name, stanzas
            if limit is None or (last is not None and ends_leaf(last, LEAF_MASK)):
                return
            begin, self.end = self.end, _segment_end(self._leaves, self.end, self._get)

    def _merged(self, present: Mapping[str, Stanzas], edited_names: Sequence[str]) -> Iterator[Group]:
        edited_set = set(edited_names)
        untouched = (name for name in sorted(present) if name not in edited_set)
        for name in heapq.merge(untouched, edited_names):
            stanzas = in_order(self._replace[name]) if name in edited_set else present[name]
            if stanzas:
                yield name, stanzas


def edit_tree(
    root: TreeRoot,
    replace: Edits,
    get: Get,
    put: Put,
    tombstones: Sequence[Tombstone] | None = None,
) -> TreeRoot:
    """Edit several lists: list -> name -> stanzas. tombstones: the new ones (default: as they were)."""
    lists = dict(root.lists)
    for list_name, names in replace.items():
        lists[list_name] = edit_list(lists.get(list_name, ()), names, get, put)
    stones = root.tombstones if tombstones is None else tuple(tombstones)
    return TreeRoot({name: leaves for name, leaves in lists.items() if leaves}, stones)


def iter_entries(root: TreeRoot, get: Get) -> Iterator[TreeEntry]:
    """Give everything in a tree, list by list."""
    for list_name, leaves in root.lists.items():
        for leaf in leaves:
            for name, stanza in split_leaf(get(leaf.digest)):
                yield TreeEntry(list_name, name, version_of(stanza), stanza)


class StanzaReader:
    """Looks names up in a tree; made for names that come in order: each leaf is then read once."""

    def __init__(self, root: TreeRoot, get: Get) -> None:
        """Read from a state. get: gives the leaves."""
        self._root = root
        self._get = get
        self._firsts = {name: [leaf.first for leaf in leaves] for name, leaves in root.lists.items()}
        self._open: dict[str, tuple[int, dict[str, Stanzas]]] = {}

    def find(self, list_name: str, name: str) -> Stanzas:
        """Give the stanzas of a name in a list; () if there is none."""
        index = bisect_right(self._firsts.get(list_name, ()), name) - 1
        if index < 0:
            return ()
        at, groups = self._open.get(list_name, (-1, {}))
        if at != index:
            groups = _groups(self._root.lists[list_name][index : index + 1], self._get)
            self._open[list_name] = (index, groups)
        return groups.get(name, ())


def stanzas_of_sources(
    root: TreeRoot, list_name: str, sources: Collection[str], get: Get
) -> dict[str, dict[str, Stanzas]]:
    """Find what a binary list has of source packages: source -> name -> stanzas, sources without any left out.

    Cost: one search through the text of the list, however many sources there are; only leaves that have some are taken apart.
    """
    leaves = root.lists.get(list_name, ())
    firsts = [leaf.first for leaf in leaves]
    wanted = set(sources)
    own = {bisect_right(firsts, source) - 1 for source in wanted}  # a package that is called as its source names none
    marks = {source.encode() for source in wanted}
    found: dict[str, dict[str, Stanzas]] = {}
    for index, leaf in enumerate(leaves):
        text = get(leaf.digest)
        if index not in own and marks.isdisjoint(_SOURCE.findall(text)):
            continue
        for name, stanza in split_leaf(text):
            if (source := source_of(stanza)) in wanted:
                names = found.setdefault(source, {})
                names[name] = (*names.get(name, ()), stanza)
    return found


def source_of(stanza: bytes) -> str:
    """Say which source package a stanza of a binary list was built from."""
    written = raw_field(stanza, b"Source") or raw_field(stanza, b"Package") or b""
    return written.partition(b" ")[0].decode()


def find_stanzas(root: TreeRoot, list_name: str, names: Sequence[str], get: Get) -> dict[str, Stanzas]:
    """Look names up in a list; cost: one leaf for each, read once."""
    leaves = root.lists.get(list_name, ())
    firsts = [leaf.first for leaf in leaves]
    wanted: dict[int, list[str]] = {}
    for name in names:
        index = bisect_right(firsts, name) - 1
        if index >= 0:
            wanted.setdefault(index, []).append(name)
    found: dict[str, Stanzas] = dict.fromkeys(names, ())
    for index, here in wanted.items():
        groups = _groups(leaves[index : index + 1], get)
        found |= {name: groups.get(name, ()) for name in here}
    return found


def diff_lists(old: Sequence[Leaf], new: Sequence[Leaf], list_name: str, get: Get) -> Iterator[PackageChange]:
    """Give what differs between two states of a list, by name; reads only leaves that one side does not have."""
    shared = {leaf.digest for leaf in old} & {leaf.digest for leaf in new}
    before = _groups([leaf for leaf in old if leaf.digest not in shared], get)
    after = _groups([leaf for leaf in new if leaf.digest not in shared], get)
    for name in sorted(before.keys() | after.keys()):
        was, now = before.get(name, ()), after.get(name, ())
        if was != now:
            yield PackageChange(list_name, name, was, now)


def diff_trees(old: TreeRoot, new: TreeRoot, get: Get) -> Iterator[PackageChange]:
    """Give what differs between two trees, by list and name."""
    for list_name in sorted(old.lists.keys() | new.lists.keys()):
        before, after = old.lists.get(list_name, ()), new.lists.get(list_name, ())
        if before != after:
            yield from diff_lists(before, after, list_name, get)


def _segment(leaves: Sequence[Leaf], firsts: Sequence[str], name: str, get: Get) -> tuple[int, int]:
    """Give the range of leaves between two boundaries of the rule in which `name` is or would be."""
    if not leaves:
        return 0, 0
    begin = max(bisect_right(firsts, name) - 1, 0)
    while begin > 0 and not _is_boundary(leaves[begin - 1], get):
        begin -= 1
    # A name after the last one of a leaf that ends at a boundary belongs to what follows.
    if name > firsts[begin] and _is_after(leaves, firsts, begin, name, get):
        begin = min(bisect_right(firsts, name), len(leaves))
    return begin, _segment_end(leaves, begin, get)


def _is_after(leaves: Sequence[Leaf], firsts: Sequence[str], begin: int, name: str, get: Get) -> bool:
    index = bisect_right(firsts, name) - 1
    last = _last_name(leaves[index], get)
    return index >= begin and name > last and ends_leaf(last, LEAF_MASK)


def _segment_end(leaves: Sequence[Leaf], begin: int, get: Get) -> int:
    end = begin
    while end < len(leaves):
        end += 1
        if _is_boundary(leaves[end - 1], get):
            break
    return end


def _is_boundary(leaf: Leaf, get: Get) -> bool:
    return ends_leaf(_last_name(leaf, get), LEAF_MASK)


def _last_name(leaf: Leaf, get: Get) -> str:
    if leaf.count == 1:
        return leaf.first
    text = get(leaf.digest)
    start = text.rfind(b"\n\nPackage: ") + 2
    return text[start + 9 : text.index(b"\n", start)].decode()


def _groups(leaves: Sequence[Leaf], get: Get) -> dict[str, Stanzas]:
    groups: dict[str, Stanzas] = {}
    for leaf in leaves:
        for name, stanza in split_leaf(get(leaf.digest)):
            groups[name] = (*groups[name], stanza) if name in groups else (stanza,)
    return groups
