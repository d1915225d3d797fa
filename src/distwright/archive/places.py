"""Where objects show: the paths that archives have them at, below their base address. To find copies, and words for damage."""

import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import TypeVar

from distwright.archive.fsck import is_tree
from distwright.archive.indexes import pool_of
from distwright.archive.poolindex import read_pool_index
from distwright.archive.shelf import recorded_pool
from distwright.archive.snapshots import RecordedIndex, RecordedSuite, parse_snapshot
from distwright.archive.tag_trees import parse_tag
from distwright.archive.tree import EMPTY_ROOT, parse_root
from distwright.archive.trees import SNAPSHOTS
from distwright.archive.unrecorded import BY_HASH, Unrecorded
from distwright.errors import DistwrightError
from distwright.jobs.step import Context
from distwright.model.digests import Sha256
from distwright.model.records import Publication, Snapshot, TaggedSnapshot
from distwright.store.archives import list_publications, list_snapshots
from distwright.store.holds import all_holds
from distwright.store.signed import list_tags
from distwright.store.suites import list_suites, pool_paths_of


@dataclass(frozen=True, slots=True)
class Place:
    """A path of an archive. size_bytes: None if it is not known. suite: of ours, that made it; "" for others."""

    archive: str
    path: str
    size_bytes: int | None = None
    suite: str = ""

    @property
    def name(self) -> str:
        """How people call it."""
        return f"{self.path} of {self.archive}"


Row = TypeVar("Row")
Found = Iterator[tuple[Sha256, Place]]


def places_of(context: Context, digests: Collection[Sha256]) -> dict[Sha256, list[Place]]:
    """Say where archives have these objects; what cannot be read itself names nothing. Cost: a look at everything there is."""
    found: dict[Sha256, list[Place]] = {}
    if not digests:
        return found
    wanted = set(digests)
    with context.database.read() as tx:
        for archive, path, digest in pool_paths_of(tx, wanted):
            found.setdefault(digest, []).append(Place(archive, path))
        snapshots, tags, live = list_snapshots(tx), list_tags(tx), list_publications(tx, state="live")
    readings: list[Callable[[], Found]] = [
        *(_reading(_in_snapshot, row, context) for row in snapshots),
        *(_reading(_in_publication, row, context) for row in live),
        *(_reading(_in_tag, row, context) for row in tags),
    ]
    for reading in readings:
        for digest, place in _as_far_as_it_goes(reading):
            if digest in wanted and place not in found.setdefault(digest, []):
                found[digest].append(place)
    return found


def leaves_of(context: Context, digests: Collection[Sha256]) -> dict[Sha256, str]:
    """Say of which suites these objects are package trees, or parts of them, or of earlier states that somebody holds."""
    found: dict[Sha256, str] = {}
    if not digests:
        return found
    with context.database.read() as tx:
        present = {row.revision: f"{row.archive}/{row.name}" for row in list_suites(tx)}
        held = {
            Sha256(hold.target): f"{hold.reason} of {hold.holder}" for hold in all_holds(tx) if hold.kind == "object"
        }
    for revision, name in {**held, **present}.items():
        if revision in digests and revision in present:
            found[revision] = f"the package tree of {name}"
        try:
            root = parse_root(context.objects.read(revision)) if is_tree(revision, context.objects) else EMPTY_ROOT
        except (DistwrightError, KeyError, TypeError, ValueError):
            continue
        for list_name, leaves in root.lists.items():
            parts = {leaf.digest: f"packages from {leaf.first} on of {list_name} of {name}" for leaf in leaves}
            found |= {digest: text for digest, text in parts.items() if digest in digests}
    return found


def _reading(read: Callable[[Row, Context], Found], row: Row, context: Context) -> Callable[[], Found]:
    return lambda: read(row, context)


def _as_far_as_it_goes(reading: Callable[[], Found]) -> Found:
    """Give what can be read: documents may have rotted too."""
    try:
        yield from reading()
    except (DistwrightError, KeyError, TypeError, ValueError):
        return


def _in_snapshot(row: Snapshot, context: Context) -> Found:
    for suite in parse_snapshot(context.objects.read(row.digest)).suites.values():
        folder = f"dists/{suite.name}"
        yield suite.inrelease, Place(row.archive, f"{folder}/InRelease")
        yield suite.release, Place(row.archive, f"{folder}/Release")
        for index in suite.indexes:
            yield index.sha256, Place(row.archive, _by_hash(folder, index.path, index.sha256), index.size_bytes)
            yield index.sha256, Place(row.archive, f"{folder}/{index.path}", index.size_bytes)
        yield from _as_far_as_it_goes(_reading(_left_out, (row.archive, suite), context))
        for index in suite.indexes:
            if index.names_pool_files:
                yield from _as_far_as_it_goes(_reading(_in_pool, (row.archive, index), context))


def _in_pool(of: tuple[str, RecordedIndex], context: Context) -> Found:
    archive, index = of
    for file in read_pool_index(recorded_pool(context.objects, index, context.paths.cache / "pool")):
        yield file.sha256, Place(archive, file.path, file.size_bytes)


def _left_out(of: tuple[str, RecordedSuite], context: Context) -> Found:
    archive, suite = of
    folder = f"dists/{suite.name}"
    for promised in Unrecorded(suite, context.objects).all():
        yield promised.sha256, Place(archive, _by_hash(folder, promised.path, promised.sha256), promised.size_bytes)
        yield promised.sha256, Place(archive, f"{folder}/{promised.path}", promised.size_bytes)


def _in_publication(row: Publication, context: Context) -> Found:
    below = f"{SNAPSHOTS}/{row.serial}/" if row.serial else ""
    folder = f"{below}dists/{row.suite}"
    for path, name in json.loads(context.objects.read(row.tree))["files"].items():
        if "/" in path:
            yield Sha256(name), Place(row.archive, _by_hash(folder, path, Sha256(name)), suite=row.suite)
        yield Sha256(name), Place(row.archive, f"{folder}/{path}", suite=row.suite)
    for file in pool_of(parse_root(context.objects.read(row.revision)), context.objects.read):
        yield file.sha256, Place(row.archive, file.path, file.size_bytes)


def _in_tag(row: TaggedSnapshot, context: Context) -> Found:
    document = parse_tag(context.objects.read(row.digest))
    for path, digest in document.pool.items():
        yield digest, Place(row.archive, path)
    for name, suite in document.suites.items():
        folder = f"{SNAPSHOTS}/{row.tag}/dists/{name}"
        for path, digest in suite.signed.items():
            yield digest, Place(row.archive, f"{folder}/{path}")
        for path, entry in suite.files.items():
            yield entry.sha256, Place(row.archive, f"{folder}/{path}", entry.size)


def _by_hash(folder: str, path: str, digest: Sha256) -> str:
    return f"{folder}/{path.rpartition('/')[0]}{BY_HASH}{digest}"
