"""Chosen packages: stanzas of a recorded suite by their pool path, their sources, and the list of files that a record keeps."""

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Set
from dataclasses import dataclass
from functools import partial

from distwright.archive.indexes import ALL, I18N, SOURCE, UDEBS
from distwright.archive.poolindex import PoolFile
from distwright.archive.snapshots import RecordedSuite
from distwright.archive.stanzas import Listed, recorded_stanzas, tree_stanzas
from distwright.archive.tree import Get, TreeEntry, TreeRoot
from distwright.errors import BadInput
from distwright.formats.deb822 import raw_field
from distwright.formats.packages import iter_pool_files
from distwright.formats.sources import iter_source_files
from distwright.formats.values import comma_list, source_field
from distwright.model.digests import Sha256, canonical_json
from distwright.model.versions import DebVersion
from distwright.store.objects import ObjectStore

CHOSEN_FORMAT = 1
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
    for name, raw in recorded_stanzas(suite, objects, partial(_is_of_pool, sources=sources, udebs=udebs)):
        if is_wanted(raw) and raw not in seen:
            seen.add(raw)
            yield _entry(name, raw)


def tree_entries_where(
    root: TreeRoot, get: Get, is_wanted: Callable[[bytes], bool], *, sources: bool = False
) -> Iterator[TreeEntry]:
    """Give the packages (or sources) of a suite of ours whose stanza is wanted."""
    for name, raw in tree_stanzas(root, get, partial(_is_of_pool, sources=sources, udebs=False)):
        if is_wanted(raw):
            yield _entry(name, raw)


def translations_of(chosen: Collection[TreeEntry], suite: RecordedSuite, objects: ObjectStore) -> Iterator[TreeEntry]:
    """Give the descriptions that a recorded suite has of chosen packages, in every language that was recorded."""
    return _descriptions(chosen, recorded_stanzas(suite, objects, _has_descriptions))


def tree_translations_of(chosen: Collection[TreeEntry], root: TreeRoot, get: Get) -> Iterator[TreeEntry]:
    """Give the descriptions that a suite of ours has of chosen packages."""
    return _descriptions(chosen, tree_stanzas(root, get, lambda name: name.endswith(f"/{I18N}")))


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


def _is_of_pool(name: str, *, sources: bool, udebs: bool) -> bool:
    """Say whether a list is one of packages, or of sources."""
    is_left_out = _has_descriptions(name) or (not udebs and f"/{UDEBS}/" in name)
    return not is_left_out and (name.rpartition("/")[2] == SOURCE) == sources


def _has_descriptions(name: str) -> bool:
    return name.rpartition("/")[2].startswith(I18N)


def _descriptions(chosen: Collection[TreeEntry], listed: Iterable[Listed]) -> Iterator[TreeEntry]:
    """Give those descriptions that chosen packages refer to: of their component, name and digest."""
    wanted = {
        (_component(entry.list_name), entry.name.encode(), raw_field(entry.stanza, b"Description-md5"))
        for entry in chosen
        if not entry.list_name.endswith(f"/{SOURCE}")
    }
    for name, raw in listed:
        if (_component(name), raw_field(raw, b"Package"), raw_field(raw, b"Description-md5")) in wanted:
            yield TreeEntry(name, _text(raw, b"Package"), _NO_VERSION, raw.rstrip(b"\n") + b"\n")


def _component(list_name: str) -> str:
    return list_name.rpartition("/")[0]


def _text(raw: bytes, name: bytes) -> str:
    return (raw_field(raw, name) or b"").decode()
