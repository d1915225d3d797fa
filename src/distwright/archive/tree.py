"""The package tree: a suite's state as a Merkle tree whose root hash is its revision.

A list (`main/binary-amd64`, `main/source`) is the sorted sequence of its stanzas, cut into leaves at names whose hash says so;
a leaf is exactly the text that the index of that list shows. So equal states have equal roots whatever their history, a change
touches one leaf, and rendering an index is joining leaves. The rules are fixed in docs/design/0001; changing one changes every
identity.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from distwright.errors import BadInput
from distwright.model.digests import Json, Sha256, canonical_json, sha256_of
from distwright.model.versions import DebVersion

TREE_FORMAT = 1
LEAF_MASK = 0x7F  # a leaf ends at one name in 128
LEAF_BYTES = 256 * 1024  # a longer leaf is cut again at weaker names

Put = Callable[[bytes], Sha256]
Get = Callable[[Sha256], bytes]
Stanzas = tuple[bytes, ...]  # of one name, in the order of versions, then content
Group = tuple[str, Stanzas]


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """One package in one list. stanza: the paragraph as the index shows it, ending in one newline, without the blank line."""

    list_name: str
    name: str
    version: DebVersion
    stanza: bytes

    @property
    def order(self) -> tuple[str, str, bytes, bytes]:
        """The place in the tree: list, name, version, content."""
        return (self.list_name, self.name, self.version.sort_key(), self.stanza)


@dataclass(frozen=True, slots=True)
class Leaf:
    """One piece of a list's text. first: name of its first package."""

    digest: Sha256
    size_bytes: int
    count: int
    first: str


@dataclass(frozen=True, slots=True)
class Tombstone:
    """A removal that must survive a merge: this package, up to this version, is not wanted."""

    list_name: str
    name: str
    version: DebVersion


@dataclass(frozen=True, slots=True)
class TreeRoot:
    """The whole of a suite's state: leaves by list, and removals."""

    lists: Mapping[str, tuple[Leaf, ...]]
    tombstones: tuple[Tombstone, ...] = field(default=())

    def to_bytes(self) -> bytes:
        """Give the canonical form; its SHA-256 is the revision."""
        lists: dict[str, Json] = {
            name: [[leaf.digest, leaf.size_bytes, leaf.count, leaf.first] for leaf in leaves]
            for name, leaves in self.lists.items()
            if leaves
        }
        tombstones: list[Json] = [
            [stone.list_name, stone.name, stone.version]
            for stone in sorted(
                self.tombstones, key=lambda stone: (stone.list_name, stone.name, stone.version.sort_key())
            )
        ]
        return canonical_json({"format": TREE_FORMAT, "lists": lists, "tombstones": tombstones})

    @property
    def revision(self) -> Sha256:
        """The identity of the state."""
        return sha256_of(self.to_bytes())


EMPTY_ROOT = TreeRoot({})


def parse_root(content: bytes) -> TreeRoot:
    """Read what `to_bytes` wrote; raise BadInput for another format."""
    document = json.loads(content)
    if document.get("format") != TREE_FORMAT:
        raise BadInput(
            f"package tree has format {document.get('format')!r}", hint="install the distwright that wrote it"
        )
    lists = {
        name: tuple(Leaf(Sha256(digest), size, count, first) for digest, size, count, first in leaves)
        for name, leaves in document["lists"].items()
    }
    stones = tuple(Tombstone(where, name, DebVersion(version)) for where, name, version in document["tombstones"])
    return TreeRoot(lists, stones)


def build_tree(entries: Iterable[TreeEntry], put: Put, tombstones: Sequence[Tombstone] = ()) -> TreeRoot:
    """Cut entries (in any order) into leaves, keep each by `put`, and give the root. The root itself is not put."""
    lists: dict[str, tuple[Leaf, ...]] = {}
    ordered = sorted(set(entries), key=lambda entry: entry.order)
    for list_name, members in groupby(ordered, key=lambda entry: entry.list_name):
        groups = [
            (name, tuple(entry.stanza for entry in same))
            for name, same in groupby(members, key=lambda entry: entry.name)
        ]
        lists[list_name] = tuple(cut_into_leaves(groups, put))
    return TreeRoot(lists, tuple(tombstones))


def cut_into_leaves(groups: Iterable[Group], put: Put) -> Iterator[Leaf]:
    """Cut packages into leaves and keep each by `put`. groups: by name, in order, none without a stanza."""
    for part in _cut(groups, LEAF_MASK):
        text = b"".join([stanza + b"\n" for _, stanzas in part for stanza in stanzas])
        yield Leaf(put(text), len(text), sum(len(stanzas) for _, stanzas in part), part[0][0])


def list_text(root: TreeRoot, list_name: str, get: Get) -> bytes:
    """Give the text of one list."""
    return b"".join(get(leaf.digest) for leaf in root.lists.get(list_name, ()))


def ends_leaf(name: str, mask: int) -> bool:
    """Say whether a leaf ends after the packages of this name."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big") & mask == 0


def _cut(groups: Iterable[Group], mask: int) -> Iterator[list[Group]]:
    part: list[Group] = []
    size = 0
    for group in groups:
        part.append(group)
        size += sum(len(stanza) + 1 for stanza in group[1])
        if ends_leaf(group[0], mask):
            yield from _cut_large(part, size, mask)
            part, size = [], 0
    if part:
        yield from _cut_large(part, size, mask)


def _cut_large(part: list[Group], size: int, mask: int) -> Iterator[list[Group]]:
    if size > LEAF_BYTES and mask:
        yield from _cut(part, mask >> 1)
    else:
        yield part
