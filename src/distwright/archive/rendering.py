"""Render the indexes of a revision by joining ready pieces: what has not changed is copied, never compressed again."""

import hashlib
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import astuple, dataclass, field

from distwright.archive.contents import Contents
from distwright.archive.indexes import contents_path, index_leaves
from distwright.archive.pieces import Pieces, empty_zstd
from distwright.archive.tree import Leaf, TreeRoot
from distwright.errors import BadInput
from distwright.formats.joining import GZIP_START, XzStream, gzip_end
from distwright.formats.release import IndexEntry
from distwright.model.digests import Json, Sha256, canonical_json
from distwright.store.objects import ObjectStore

INDEX_SET_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Patch:
    """How an index of an earlier publication becomes the next one's (pdiffs). before: the earlier index; packed: its gzip form.

    The SHA-1 of the earlier index, the next one and the patch are for old readers; "" in what an older distwright wrote.
    """

    name: str
    before: Sha256
    before_size: int
    plain: Sha256
    plain_size: int
    packed: Sha256
    packed_size: int
    before_sha1: str = ""
    after_sha1: str = ""
    plain_sha1: str = ""


@dataclass(frozen=True, slots=True)
class IndexSet:
    """All indexes of a revision. files: those that are served, objects. plain: what Release says of their uncompressed forms.

    lists: the lists that were asked for besides those of the tree; with the revision and has_contents they decide everything
    here but history, the patches from earlier publications by index, oldest first. hidden: files that Release does not list.
    """

    lists: tuple[str, ...]
    files: Mapping[str, IndexEntry]
    plain: Mapping[str, IndexEntry]
    has_contents: bool = False
    hidden: frozenset[str] = frozenset()
    history: Mapping[str, tuple[Patch, ...]] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """Give the canonical form."""
        document: dict[str, Json] = {
            "format": INDEX_SET_FORMAT,
            "lists": list(self.lists),
            "files": _to_json(self.files),
            "plain": _to_json(self.plain),
            "contents": self.has_contents,
            "hidden": sorted(self.hidden),
            "history": {path: [list(astuple(patch)) for patch in made] for path, made in self.history.items()},
        }
        return canonical_json(document)

    @property
    def entries(self) -> dict[str, IndexEntry]:
        """What a Release lists."""
        return {path: entry for path, entry in {**self.files, **self.plain}.items() if path not in self.hidden}

    @property
    def without_patches(self) -> "IndexSet":
        """What the revision alone decides."""
        files = {path: entry for path, entry in self.files.items() if ".diff/" not in path}
        return IndexSet(self.lists, files, self.plain, self.has_contents)


def parse_index_set(content: bytes) -> IndexSet:
    """Read what `to_bytes` wrote; raise BadInput for another format."""
    document = json.loads(content)
    if document.get("format") != INDEX_SET_FORMAT:
        raise BadInput(f"index set has format {document.get('format')!r}", hint="install the distwright that wrote it")
    return IndexSet(
        tuple(document["lists"]),
        _from_json(document["files"]),
        _from_json(document["plain"]),
        document.get("contents", False),
        frozenset(document.get("hidden", ())),
        {path: tuple(Patch(*patch) for patch in made) for path, made in document.get("history", {}).items()},
    )


def render(
    root: TreeRoot, lists: Sequence[str], pieces: Pieces, objects: ObjectStore, contents: Contents | None = None
) -> IndexSet:
    """Make all index files of a state, as objects. Cost: compressing what is new, joining and hashing the rest.

    contents: makes Contents files too.
    """
    files: dict[str, IndexEntry] = {}
    plain: dict[str, IndexEntry] = {}
    by_path = index_leaves(root, lists)
    pieces.make_ready({leaf.digest: leaf for leaves in by_path.values() for leaf in leaves}.values(), objects.read)
    for path, leaves in by_path.items():
        texts = ((leaf, objects.read(leaf.digest)) for leaf in leaves)
        plain[path], made = _render_index(path, texts, pieces, objects)
        files |= {entry.path: entry for entry in made}
        place = contents_path(path)
        if contents is not None and place:
            plain[place], made = _render_index(place, contents.pieces(leaves), pieces, objects)
            files |= {entry.path: entry for entry in made}
    return IndexSet(tuple(lists), files, plain, contents is not None)


def _render_index(
    path: str, texts: Iterable[tuple[Leaf, bytes]], pieces: Pieces, objects: ObjectStore
) -> tuple[IndexEntry, list[IndexEntry]]:
    """Write .xz, .gz and .zst side by side: each piece is read once and none is kept in memory."""
    whole, crc, size, stream = hashlib.sha256(), 0, 0, XzStream()
    with ExitStack() as stack:
        xz, gz, zst = (stack.enter_context(objects.writing()) for _ in range(3))
        xz.write(stream.start())
        gz.write(GZIP_START)
        for leaf, text in texts:
            piece = pieces.of_leaf(leaf, text)
            whole.update(text)
            crc, size = zlib.crc32(text, crc), size + len(text)
            xz.write(stream.add(piece.xz))
            gz.write(piece.deflate)
            zst.write(piece.zstd)
        xz.write(stream.end())
        gz.write(gzip_end(crc=crc, size=size))
        if not size:
            zst.write(empty_zstd())
    made = [
        IndexEntry(f"{path}{ending}", writer.size_bytes, writer.digest)
        for ending, writer in ((".gz", gz), (".xz", xz), (".zst", zst))
    ]
    return IndexEntry(path, size, Sha256(whole.hexdigest())), made


def _to_json(entries: Mapping[str, IndexEntry]) -> Json:
    return {path: [str(entry.sha256), entry.size] for path, entry in entries.items()}


def _from_json(value: Mapping[str, tuple[str, int]]) -> dict[str, IndexEntry]:
    return {path: IndexEntry(path, size, Sha256(digest)) for path, (digest, size) in sorted(value.items())}
