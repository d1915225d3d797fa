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
    ordered = sorted(entries, key=lambda entry: entry.order)
    for list_name, members in groupby(ordered, key=lambda entry: entry.list_name):
        lists[list_name] = tuple(_leaf(part, put) for part in _cut(list(members), LEAF_MASK))
    return TreeRoot(lists, tuple(tombstones))


def leaf_entries(list_name: str, text: bytes, key_of: Callable[[bytes], tuple[str, DebVersion]]) -> Iterator[TreeEntry]:
    """Take a leaf apart again; key_of reads name and version of a stanza."""
    for stanza in text.split(b"\n\n"):
        if stanza:
            name, version = key_of(stanza)
            yield TreeEntry(list_name, name, version, stanza.rstrip(b"\n") + b"\n")


def list_text(root: TreeRoot, list_name: str, get: Get) -> bytes:
    """Give the text of one list."""
    return b"".join(get(leaf.digest) for leaf in root.lists.get(list_name, ()))


def ends_leaf(name: str, mask: int) -> bool:
    """Say whether a leaf ends after the packages of this name."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big") & mask == 0


def _cut(members: list[TreeEntry], mask: int) -> Iterator[list[TreeEntry]]:
    part: list[TreeEntry] = []
    size = 0
    for name, versions in groupby(members, key=lambda entry: entry.name):
        for entry in versions:
            part.append(entry)
            size += len(entry.stanza) + 1
        if ends_leaf(name, mask):
            yield from _cut_large(part, size, mask)
            part, size = [], 0
    if part:
        yield from _cut_large(part, size, mask)


def _cut_large(part: list[TreeEntry], size: int, mask: int) -> Iterator[list[TreeEntry]]:
    if size > LEAF_BYTES and mask:
        yield from _cut(part, mask >> 1)
    else:
        yield part


def _leaf(part: Sequence[TreeEntry], put: Put) -> Leaf:
    text = b"".join(entry.stanza + b"\n" for entry in part)
    return Leaf(put(text), len(text), len(part), part[0].name)
