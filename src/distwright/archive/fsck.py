"""Check what is served and what is kept, byte for byte.

Each index that a served Release promises must be there, by its path and by its hash; each pool file that the indexes name, too;
each object must still have its name; and whatever a held state, snapshot or publication of ours consists of must be here, served or
not. What is damaged comes back by `repairing`.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from distwright.archive.chosen import parse_chosen
from distwright.archive.indexes import I18N, SOURCE
from distwright.archive.poolindex import PoolFile, pool_files, read_pool_index
from distwright.archive.resigned import parse_resigned
from distwright.archive.served_root import tree_root
from distwright.archive.shelf import recorded_pool
from distwright.archive.snapshots import SnapshotDocument, parse_snapshot
from distwright.archive.tag_trees import TagDocument, parse_tag
from distwright.archive.tree import TreeRoot, parse_root
from distwright.archive.trees import BY_HASH, SNAPSHOTS, ServedTree, is_whole
from distwright.errors import DistwrightError, Lost, Rotten
from distwright.jobs.step import Context
from distwright.model.digests import Sha256
from distwright.model.records import Publication, Snapshot
from distwright.store.archives import list_publications, list_snapshots
from distwright.store.database import damages
from distwright.store.holds import all_holds
from distwright.store.objects import ObjectStore
from distwright.store.signed import find_resigned, list_tags
from distwright.store.suites import list_suites

LOST, UNREADABLE, NOT_SERVED = "it is lost", "it cannot be read", "it is not served"
HELD_AND_LOST = "it is held and lost"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Damage:
    """Something that is not as it must be. digest: the object that it is about. path: where it shows, "" for the object itself."""

    what: str
    digest: Sha256
    path: str = ""


def check_database(context: Context) -> list[str]:
    """Read the whole database; give what it says is not as it must be, in its own words."""
    return damages(context.database, thoroughly=True)


def check_objects(context: Context) -> Iterator[Damage]:
    """Read every object; give those that rotted, and what `check_held` finds."""
    digests = sorted(context.objects.digests())
    rotten = set()
    for number, digest in enumerate(digests, start=1):
        context.progress("read objects", number, len(digests), "objects")
        context.check_cancelled()
        if not context.objects.is_intact(digest):
            rotten.add(digest)
            yield Damage("its bytes have changed", digest)
    yield from (damage for damage in check_held(context) if damage.digest not in rotten)


def check_held(context: Context) -> Iterator[Damage]:
    """Give what is lost of all that is held: earlier states for `undo`, snapshots, publications, whether they are served or not.

    Reads documents and lists, each once, and no package. Not looked into: what recorded archives consist of (`check_recorded`), for
    their files may come later, and the tags (`check_tags`).
    """
    with context.database.read() as tx:
        left = sorted({Sha256(hold.target) for hold in all_holds(tx) if hold.kind == "object"})
    needed: set[Sha256] = set()
    leaves: set[Sha256] = set()
    while left:
        digest = left.pop()
        if digest in needed:
            continue
        needed.add(digest)
        document = _document(digest, context.objects)
        if "tombstones" in document:
            for found in _pool_of(digest, context.objects, leaves):
                if isinstance(found, Damage):
                    yield found
                else:
                    needed.add(found.sha256)
        else:
            left += _parts_of(document)
    for digest in sorted(needed - set(context.objects.digests())):
        if not context.objects.has(digest):
            yield Damage(HELD_AND_LOST, digest)


def is_tree(digest: Sha256, objects: ObjectStore) -> bool:
    """Say whether an object is a package tree; of others that are large, little is read."""
    return "tombstones" in _document(digest, objects)


def _document(digest: Sha256, objects: ObjectStore) -> Mapping[str, object]:
    """Read an object if it is a document; give none if it is something else, or damaged: that is told elsewhere."""
    try:
        with objects.open(digest) as file:
            head = file.read(1)
            document = json.loads(head + file.read()) if head == b"{" else {}
    except (Lost, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def _parts_of(document: Mapping[str, object]) -> list[Sha256]:
    """Give what a snapshot of ours, or a publication, is made of; nothing for other documents."""
    states, files = document.get("own"), document.get("files")
    if isinstance(states, dict):
        return [Sha256(state["revision"]) for state in states.values()]
    if isinstance(files, dict) and "signers" in document:
        indexes = document.get("indexes")
        return [Sha256(name) for name in (*files.values(), *([indexes] if isinstance(indexes, str) else []))]
    return []


def check_archive(context: Context, archive: str) -> Iterator[Damage]:
    """Look at everything that is served of an archive of ours, as a client would, and at the package trees of its suites."""
    tree = ServedTree(tree_root(context.config, context.paths, archive))
    with context.database.read() as tx:
        live = list_publications(tx, archive=archive, state="live")
        states = [row.revision for row in list_suites(tx) if row.archive == archive]
    seen: set[str] = set()
    for row in live:
        yield from _check_publication(tree, row, context.objects)
    for revision in dict.fromkeys(row.revision for row in live):
        for found in _pool_of(revision, context.objects):
            if isinstance(found, Damage):
                yield found
            elif found.path not in seen:
                seen.add(found.path)
                yield from _check_file(tree.root / found.path, found.sha256, context.objects)
    for revision in dict.fromkeys(states):
        if revision not in {row.revision for row in live}:
            yield from (one for one in _pool_of(revision, context.objects) if isinstance(one, Damage))
    yield from check_tags(context, archive)


def check_recorded(context: Context, archive: str) -> Iterator[Damage]:
    """Look at everything that must be here of a recorded archive: lists, what came with its records, what we signed, tags.

    A pool file that comes when it is asked for may be missing.
    """
    with context.database.read() as tx:
        rows = list_snapshots(tx, archive)
    seen: set[Sha256] = set()
    for number, row in enumerate(rows, start=1):
        context.progress(f"look at records of {archive}", number, len(rows), "records")
        context.check_cancelled()
        yield from _check_snapshot(context, row, seen)
    yield from check_tags(context, archive)


def check_tags(context: Context, archive: str) -> Iterator[Damage]:
    """Look at everything that is served of the tagged snapshots of an archive, ours or a recorded one."""
    root = tree_root(context.config, context.paths, archive)
    with context.database.read() as tx:
        rows = list_tags(tx, archive)
    for row in rows:
        document = _read(row.digest, parse_tag, context.objects)
        if isinstance(document, Damage):
            yield document
            continue
        folder = root / SNAPSHOTS / row.tag
        if not folder.is_dir() or not (folder / "pool").is_symlink():
            yield Damage(NOT_SERVED, row.digest, str(folder))
            continue
        yield from _check_tag(root, folder, document, context.objects)


def _check_tag(root: Path, folder: Path, document: TagDocument, objects: ObjectStore) -> Iterator[Damage]:
    for path, digest in document.pool.items():
        yield from _check_file(root / path, digest, objects)
    for name, suite in document.suites.items():
        files = {**suite.signed, **{path: entry.sha256 for path, entry in suite.files.items()}}
        for path, digest in files.items():
            yield from _check_file(folder / "dists" / name / path, digest, objects)
        for path, entry in suite.files.items():
            by_hash = root / BY_HASH / path.rpartition("/")[0] / "SHA256" / entry.sha256
            yield from _check_file(by_hash, entry.sha256, objects)


def _check_snapshot(context: Context, row: Snapshot, seen: set[Sha256]) -> Iterator[Damage]:
    """Look at one record. seen: what was looked at already; most of a record is that of the one before."""
    document = _read(row.digest, parse_snapshot, context.objects)
    if isinstance(document, Damage):
        yield document
        return
    with context.database.read() as tx:
        resigned = find_resigned(tx, row.archive, row.serial)
    wanted = [digest for suite in document.suites.values() for digest in (suite.inrelease, suite.release)]
    wanted += [index.sha256 for suite in document.suites.values() for index in suite.indexes]
    if resigned is not None:
        signed = _read(resigned.document, parse_resigned, context.objects)
        if isinstance(signed, Damage):
            yield signed
        else:
            wanted += [digest for suite in signed.suites.values() for digest in suite.files.values()]
    yield from _check_kept(wanted, seen, context.objects)
    yield from _check_pool(context, document, seen)


def _check_pool(context: Context, document: SnapshotDocument, seen: set[Sha256]) -> Iterator[Damage]:
    """Look at the files that came with a record."""
    if document.pool is None:
        return
    if document.pool.files is not None:
        files = _read(document.pool.files, parse_chosen, context.objects)
        if isinstance(files, Damage):
            yield files
        else:
            yield from _check_kept((file.sha256 for file in files), seen, context.objects)
        return
    for index in (index for suite in document.suites.values() for index in suite.indexes if index.names_pool_files):
        if index.plain in seen:
            continue
        seen.add(index.plain)
        try:
            pool = recorded_pool(context.objects, index, context.paths.cache / "pool")
        except DistwrightError:
            yield Damage(UNREADABLE, index.sha256)
        else:
            yield from _check_kept((file.sha256 for file in read_pool_index(pool)), seen, context.objects)


def _check_kept(digests: Iterable[Sha256], seen: set[Sha256], objects: ObjectStore) -> Iterator[Damage]:
    for digest in digests:
        if digest not in seen:
            seen.add(digest)
            if not objects.has(digest):
                yield Damage(LOST, digest)


def _check_publication(tree: ServedTree, row: Publication, objects: ObjectStore) -> Iterator[Damage]:
    files = _read(row.tree, lambda content: dict(json.loads(content)["files"]), objects)
    if isinstance(files, Damage):
        yield files
        return
    served = tree.link(row.suite, row.serial)
    for path, name in files.items():
        digest = Sha256(name)
        yield from _check_file(served / path, digest, objects)
        folder = path.rpartition("/")[0]
        if folder:
            yield from _check_file(tree.root / BY_HASH / folder / "SHA256" / digest, digest, objects)


def _pool_of(revision: Sha256, objects: ObjectStore, seen: set[Sha256] | None = None) -> Iterator[PoolFile | Damage]:
    """Give the pool files of a package tree, or what of it is damaged. seen: leaves that were looked at already."""
    known: set[Sha256] = set() if seen is None else seen
    root: TreeRoot | Damage = _read(revision, parse_root, objects)
    if isinstance(root, Damage):
        yield root
        return
    for name, leaves in root.lists.items():
        kind = name.rpartition("/")[2]
        index = "Sources" if kind == SOURCE else "Translation" if kind == I18N else "Packages"
        for leaf in leaves:
            if leaf.digest in known:
                continue
            known.add(leaf.digest)
            files = _read(leaf.digest, _lister(index), objects)
            yield from [files] if isinstance(files, Damage) else files


def _lister(index: str) -> Callable[[bytes], list[PoolFile]]:
    return lambda content: list(pool_files(index, content))


def _check_file(file: Path, digest: Sha256, objects: ObjectStore) -> Iterator[Damage]:
    """A served file that is its object's own file is as good as that: `check_objects` reads it."""
    if not file.is_file():
        yield Damage(NOT_SERVED, digest, str(file))
    elif not objects.has(digest):
        yield Damage(LOST, digest, str(file))
    elif not is_whole(file, digest, objects):
        yield Damage("it is served with other bytes", digest, str(file))


def _read(digest: Sha256, parse: Callable[[bytes], T], objects: ObjectStore) -> T | Damage:
    """Read a document; one that is lost or has rotted must not end the check."""
    try:
        return parse(objects.read(digest))
    except Rotten:
        return Damage(UNREADABLE, digest)
    except Lost:
        return Damage(LOST, digest)
    except (DistwrightError, KeyError, TypeError, ValueError):
        return Damage(UNREADABLE, digest)
