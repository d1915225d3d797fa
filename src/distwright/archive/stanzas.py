"""The stanzas of a suite's lists, recorded or ours: one reader for whoever looks through packages, sources or descriptions."""

from collections.abc import Callable, Collection, Iterator

from distwright.archive.snapshots import RecordedIndex, RecordedSuite, parse_snapshot
from distwright.archive.tree import Get, TreeRoot, parse_root
from distwright.formats.compression import decompress, split_ending
from distwright.formats.deb822 import raw_stanzas
from distwright.jobs.step import ShelfEntry
from distwright.store.objects import ObjectStore

_PLAIN_LIMIT_BYTES = 2 << 30

Listed = tuple[str, bytes]
"""A list (`main/binary-amd64`, `main/source`, `main/i18n`), and one of its stanzas."""


def recorded_stanzas(suite: RecordedSuite, objects: ObjectStore, is_wanted: Callable[[str], bool]) -> Iterator[Listed]:
    """Give the stanzas of those lists of a recorded suite whose names are wanted. In memory is one index.

    A package for all architectures is in the list of each of them, as upstream has it.
    """
    for index in suite.indexes:
        name = list_of(index)
        if name and is_wanted(name):
            yield from ((name, raw) for raw in raw_stanzas(plain_text(index, objects)))


def tree_stanzas(root: TreeRoot, get: Get, is_wanted: Callable[[str], bool]) -> Iterator[Listed]:
    """Give the stanzas of those lists of a suite of ours whose names are wanted. In memory is one leaf."""
    for name, leaves in root.lists.items():
        if is_wanted(name):
            yield from ((name, raw) for leaf in leaves for raw in raw_stanzas(get(leaf.digest)))


def stanzas_at(objects: ObjectStore, entry: ShelfEntry, lists: Collection[str]) -> Iterator[bytes]:
    """Give the stanzas of some lists of a suite in the state that a shelf has of it."""
    document = objects.read(entry.document)
    found = (
        tree_stanzas(parse_root(document), objects.read, lists.__contains__)
        if entry.is_own
        else recorded_stanzas(parse_snapshot(document).suites[entry.suite], objects, lists.__contains__)
    )
    return (raw for _, raw in found)


def list_of(index: RecordedIndex) -> str:
    """Say which list of a tree a recorded index is; "" for one that is none.

    Its folder; of descriptions `main/i18n` for English, `main/i18n-de` for another language.
    """
    folder, _, name = split_ending(index.path)[0].rpartition("/")
    if not index.is_translation:
        return folder if index.names_pool_files else ""
    language = name.partition("-")[2]
    return folder if language == "en" else f"{folder}-{language}"


def plain_text(index: RecordedIndex, objects: ObjectStore) -> bytes:
    """Give an index uncompressed."""
    return decompress(objects.read(index.sha256), split_ending(index.path)[1], limit_bytes=_PLAIN_LIMIT_BYTES)
