"""Chosen packages: stanzas of a recorded suite by their pool path, their sources, and the list of files that a record keeps."""

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Set
from dataclasses import dataclass

from distwright.archive.indexes import ALL, I18N, SOURCE, UDEBS
from distwright.archive.poolindex import PoolFile
from distwright.archive.snapshots import RecordedIndex, RecordedSuite
from distwright.archive.tree import Get, TreeEntry, TreeRoot
from distwright.errors import BadInput
from distwright.formats.compression import decompress, split_ending
from distwright.formats.deb822 import raw_field, raw_stanzas
from distwright.formats.packages import iter_pool_files
from distwright.formats.sources import iter_source_files
from distwright.formats.values import comma_list, source_field
from distwright.model.digests import Sha256, canonical_json
from distwright.model.versions import DebVersion
from distwright.store.objects import ObjectStore

_PLAIN_LIMIT_BYTES = 2 << 30
CHOSEN_FORMAT = 1
_SOURCES = "Sources"
_NO_VERSION = DebVersion("0")  # a description has none


@dataclass(frozen=True, slots=True, order=True)
class SourceName:
    """A source package."""

    name: str
    version: str


def entries_where(
    suite: RecordedSuite,
    objects: ObjectStore,
    is_wanted: Callable[[bytes], bool],
    *,
    sources: bool = False,
    udebs: bool = False,
) -> Iterator[TreeEntry]:
    """Give the packages (or sources) of a recorded suite whose stanza is wanted, each in the list that it belongs to.

    A package for all architectures is in the index of each; it is given once, in the list of `all`. udebs: the installer's too.
    """
    seen: set[bytes] = set()
    for index in suite.indexes:
        folder, _, name = index.path.rpartition("/")
        is_left_out = not udebs and f"/{UDEBS}/" in index.path
        if is_left_out or not name.startswith(_SOURCES if sources else "Packages"):
            continue
        for raw in raw_stanzas(plain_text(index, objects)):
            if is_wanted(raw) and raw not in seen:
                seen.add(raw)
                yield _entry(folder, raw)


def tree_entries_where(
    root: TreeRoot, get: Get, is_wanted: Callable[[bytes], bool], *, sources: bool = False
) -> Iterator[TreeEntry]:
    """Give the packages (or sources) of a suite of ours whose stanza is wanted."""
    for list_name, leaves in root.lists.items():
        kind = list_name.rpartition("/")[2]
        if kind == I18N or (kind == SOURCE) != sources or f"/{UDEBS}/" in list_name:
            continue
        for leaf in leaves:
            for raw in raw_stanzas(get(leaf.digest)):
                if is_wanted(raw):
                    yield _entry(list_name, raw)


def translations_of(chosen: Collection[TreeEntry], suite: RecordedSuite, objects: ObjectStore) -> Iterator[TreeEntry]:
    """Give the descriptions that a recorded suite has of chosen packages, in every language that was recorded."""
    wanted = _described(chosen)
    for index in suite.indexes:
        if not index.is_translation:
            continue
        list_name = translation_list(index)
        for raw in raw_stanzas(plain_text(index, objects)):
            if (_component(list_name), raw_field(raw, b"Package"), raw_field(raw, b"Description-md5")) in wanted:
                yield TreeEntry(list_name, _text(raw, b"Package"), _NO_VERSION, raw.rstrip(b"\n") + b"\n")


def tree_translations_of(chosen: Collection[TreeEntry], root: TreeRoot, get: Get) -> Iterator[TreeEntry]:
    """Give the descriptions that a suite of ours has of chosen packages."""
    wanted = _described(chosen)
    for list_name, leaves in root.lists.items():
        if not list_name.endswith(f"/{I18N}"):
            continue
        for leaf in leaves:
            for raw in raw_stanzas(get(leaf.digest)):
                if (_component(list_name), raw_field(raw, b"Package"), raw_field(raw, b"Description-md5")) in wanted:
                    yield TreeEntry(list_name, _text(raw, b"Package"), _NO_VERSION, raw.rstrip(b"\n") + b"\n")


def translation_list(index: RecordedIndex) -> str:
    """Say to which list of a tree a recorded translation belongs: `main/i18n` for English, `main/i18n-de` for another language."""
    folder, _, name = split_ending(index.path)[0].rpartition("/")
    language = name.partition("-")[2]
    return folder if language == "en" else f"{folder}-{language}"


def plain_text(index: RecordedIndex, objects: ObjectStore) -> bytes:
    """Give an index uncompressed."""
    return decompress(objects.read(index.sha256), split_ending(index.path)[1], limit_bytes=_PLAIN_LIMIT_BYTES)


def sources_of(stanza: bytes) -> set[SourceName]:
    """Say which sources a binary package was made of: its own, Built-Using and Static-Built-Using (Policy 7.8)."""
    name, version = _text(stanza, b"Package"), _text(stanza, b"Version")
    written = raw_field(stanza, b"Source")
    source, source_version = source_field(written.decode()) if written else (name, None)
    found = {SourceName(source, source_version or version)}
    for field in (b"Built-Using", b"Static-Built-Using"):
        for member in comma_list((raw_field(stanza, field) or b"").decode()):
            built, _, relation = member.partition(" ")
            found.add(SourceName(built, relation.strip(" ()").removeprefix("=").strip()))
    return found


def is_source_among(wanted: Collection[SourceName]) -> Callable[[bytes], bool]:
    """Give a test of stanzas of Sources: is it one of these?"""
    names = {source.name.encode() for source in wanted}

    def is_wanted(raw: bytes) -> bool:
        name = raw_field(raw, b"Package")
        return name in names and source_named(raw) in wanted

    return is_wanted


def source_named(stanza: bytes) -> SourceName:
    """Say which source a stanza of Sources is."""
    return SourceName(_text(stanza, b"Package"), _text(stanza, b"Version"))


def files_of(entries: Iterable[TreeEntry]) -> Iterator[PoolFile]:
    """Give the pool files of packages and sources."""
    for entry in entries:
        is_source = entry.list_name.endswith("/source")
        for path, sha256, size in (iter_source_files if is_source else iter_pool_files)(entry.stanza):
            yield PoolFile(path, sha256, size)


def write_chosen(files: Iterable[PoolFile]) -> bytes:
    """Write the list of the files that belong to a record; it names their objects, so who holds it holds them."""
    rows = sorted({(file.path, file.sha256, file.size_bytes) for file in files})
    return canonical_json({"format": CHOSEN_FORMAT, "files": [list(row) for row in rows]})


def parse_chosen(content: bytes) -> list[PoolFile]:
    """Read what `write_chosen` wrote; raise BadInput for another format."""
    document = json.loads(content)
    if document.get("format") != CHOSEN_FORMAT:
        raise BadInput(f"list has format {document.get('format')!r}", hint="install the distwright that wrote it")
    return [PoolFile(path, Sha256(digest), size) for path, digest, size in document["files"]]


def in_names_of(paths: Set[str]) -> tuple[Callable[[bytes], bool], Callable[[bytes], bool]]:
    """Give two tests by pool path: of stanzas of Packages, and of Sources (all files of a source are chosen, or none)."""
    wanted = {path.encode() for path in paths}

    def has_files(raw: bytes) -> bool:
        return all(path in paths for path, _, _ in iter_source_files(raw))

    return (lambda raw: raw_field(raw, b"Filename") in wanted), has_files


def _entry(folder: str, raw: bytes) -> TreeEntry:
    component, _, _ = folder.rpartition("/")
    is_all = raw_field(raw, b"Architecture") == b"all" and not folder.endswith("/source")
    list_name = f"{component}/{ALL}" if is_all else folder
    stanza = raw.rstrip(b"\n") + b"\n"
    return TreeEntry(list_name, _text(raw, b"Package"), DebVersion(_text(raw, b"Version")), stanza)


def _described(chosen: Collection[TreeEntry]) -> set[tuple[str, bytes | None, bytes | None]]:
    """Say which descriptions packages refer to: component, name and digest."""
    return {
        (_component(entry.list_name), entry.name.encode(), raw_field(entry.stanza, b"Description-md5"))
        for entry in chosen
        if not entry.list_name.endswith(f"/{SOURCE}")
    }


def _component(list_name: str) -> str:
    return list_name.rpartition("/")[0]


def _text(raw: bytes, name: bytes) -> str:
    return (raw_field(raw, name) or b"").decode()
