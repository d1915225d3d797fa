"""Collect what nobody needs: mark from every hold, let the rest wait in the trash for some days, then delete.

Roots are the rows of `holds`, nothing else. What an object names in turn is read from it: documents of ours are canonical JSON, a
leaf of a package tree is text, and both name objects by their SHA-256 in full. That may keep a little too much, never too little.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from distwright.archive.indexes import pool_of
from distwright.archive.publish import pieces_of
from distwright.archive.shelf import recorded_pool
from distwright.archive.snapshots import parse_snapshot
from distwright.archive.tag_trees import TagDocument, parse_tag
from distwright.archive.tree import parse_root
from distwright.archive.trees import ServedTree
from distwright.errors import BadInput, Lost
from distwright.jobs.step import Context
from distwright.model.digests import Sha256, sha256_of
from distwright.model.records import Publication
from distwright.store.archives import list_publications, list_snapshots, set_publication_state
from distwright.store.holds import all_holds, replace_holds
from distwright.store.leftovers import drop_partials_below
from distwright.store.locks import locked
from distwright.store.objects import ObjectStore, rotten
from distwright.store.signed import list_tags

GRACE = timedelta(days=7)
FRESH = timedelta(days=1)  # what was kept or touched so short a while ago may be about to be named in a row
_DIGEST = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_HEAD_BYTES = 16
_CONTAINERS = (b"{", b"Package: ")  # a document of ours; a leaf of a package tree


@dataclass(slots=True)
class Collected:
    """What went, or would go. publications: served trees that are no longer laid out. pool: published names that went."""

    objects: int = 0
    size_bytes: int = 0
    publications: int = 0
    pool: int = 0
    deleted: int = 0
    deleted_bytes: int = 0
    kept: int = 0
    archives: list[str] = field(default_factory=list)


def collect(context: Context, archives: Iterable[str], *, grace: timedelta = GRACE, really: bool) -> Collected:
    """Let go of what nobody holds. archives: our own, whose served trees are looked after.

    really: do it; otherwise only count. Retired publications stay served by hash for `grace`, and discarded objects stay in the
    trash for as long; whoever names one again has it back. Raises Rotten, before any object goes, if one that names others has
    changed: what it names now may not be what it must keep.
    """
    now, done = context.now(), Collected()
    for archive in archives:
        done.archives.append(archive)
        with locked(context.paths.lock(f"archive-{archive}")):
            _retire(context, archive, now - grace, done, really=really)
    with context.database.read() as tx:
        roots = [Sha256(hold.target) for hold in all_holds(tx) if hold.kind == "object"]
        recorded = {row.digest for row in list_snapshots(tx)}
    marked = mark(roots, context.objects)
    wanted = _pool_files_of(recorded & marked, context)
    for digest in list(context.objects.digests()):
        if digest in marked or digest in wanted or context.objects.touched_at(digest) > now - FRESH:
            done.kept += 1
            continue
        done.objects += 1
        done.size_bytes += context.objects.size(digest)
        if really:
            context.objects.discard(digest, now.date())
    if really:
        pieces_of(context).forget(lambda digest: digest in marked)
        _drop_leftovers(context)
        done.deleted, done.deleted_bytes = context.objects.empty_trash((now - grace).date())
    return done


def _drop_leftovers(context: Context) -> None:
    """Remove the partial files of what was killed."""
    context.objects.drop_leftovers()
    drop_partials_below(context.paths.cache / "contents", "*/??/*")
    drop_partials_below(context.paths.cache / "contents", "merge-*")
    drop_partials_below(context.paths.cache / "pool", "*")


def mark(roots: Iterable[Sha256], objects: ObjectStore) -> set[Sha256]:
    """Give everything that is reachable: the roots, what they name, and so on. Each object is read once, large files not at all."""
    marked: set[Sha256] = set()
    left = list(roots)
    while left:
        digest = left.pop()
        if digest in marked:
            continue
        marked.add(digest)
        left += [name for name in names_in(digest, objects) if name not in marked]
    return marked


def names_in(digest: Sha256, objects: ObjectStore) -> list[Sha256]:
    """Give what an object names, if it is of a kind that names others; nothing for one that is not here. Raises Rotten."""
    try:
        with objects.open(digest) as file:
            head = file.read(_HEAD_BYTES)
            if not head.startswith(_CONTAINERS):
                return []
            content = head + file.read()
    except Lost:
        return []
    if sha256_of(content) != digest:  # what it names now may not be what it must keep
        raise rotten(digest)
    return [Sha256(name.decode()) for name in dict.fromkeys(_DIGEST.findall(content))]


def _pool_files_of(documents: Iterable[Sha256], context: Context) -> set[Sha256]:
    """Give the pool files that recorded snapshots promise: their compressed indexes name them."""
    wanted: set[Sha256] = set()
    seen: set[Sha256] = set()
    for document in documents:
        try:
            suites = parse_snapshot(context.objects.read(document)).suites.values()
        except (BadInput, KeyError):  # a snapshot of ours: its trees were marked
            continue
        for index in (index for suite in suites for index in suite.indexes if index.names_pool_files):
            if index.plain not in seen:
                seen.add(index.plain)
                wanted |= _digests_of(recorded_pool(context.objects, index, context.paths.cache / "pool"))
    return wanted


def _digests_of(pool_index: Path) -> set[Sha256]:
    with pool_index.open(encoding="utf-8") as rows:
        return {Sha256(row.split("\t", 2)[1]) for row in rows}


def _retire(context: Context, archive: str, before: datetime, done: Collected, *, really: bool) -> None:
    """Take away the trees of publications that were retired long ago, and published files that no state within grace names."""
    with context.database.read() as tx:
        rows = list_publications(tx, archive=archive)
    gone = [row for row in rows if row.state in ("retired", "discarded") and row.at < before]
    stays = [row for row in rows if row.state in ("live", "building", "retired") and row not in gone]
    tree = ServedTree(context.paths.public / archive)
    tags = _tags_of(archive, context)
    surplus = list(_surplus(tree, stays, tags, context))
    done.publications += sum(tree.publication(row.suite, row.id).exists() for row in gone)
    done.pool += len(surplus)
    if not really:
        return
    for row in gone:
        tree.forget_publication(row.suite, row.id)
        with context.write() as tx:
            set_publication_state(tx, row.id, "collected")
            replace_holds(tx, f"publication {row.id}", [], context.now())
    for path in surplus:
        path.unlink()
    tagged = {name for tag in tags for suite in tag.suites.values() for name in (suite.indexes, *suite.digests)}
    tree.drop_leftovers()
    tree.forget_indexes(_index_sets(stays, context) | tagged, before)


def _tags_of(archive: str, context: Context) -> list[TagDocument]:
    """Give the tagged snapshots of an archive: they are served for ever, from the same pool and index sets."""
    with context.database.read() as tx:
        rows = list_tags(tx, archive)
    return [parse_tag(context.objects.read(row.digest)) for row in rows]


def _surplus(
    tree: ServedTree, stays: list[Publication], tags: Iterable[TagDocument], context: Context
) -> Iterator[Path]:
    """List published pool files that nothing which stays names."""
    wanted: set[str] = {path for tag in tags for path in tag.pool}
    for revision in {row.revision for row in stays}:
        root = parse_root(context.objects.read(revision))
        wanted |= {file.path for file in pool_of(root, context.objects.read)}
    for path in (tree.root / "pool").rglob("*"):
        if path.is_file() and str(path.relative_to(tree.root)) not in wanted:
            yield path


def _index_sets(stays: list[Publication], context: Context) -> set[str]:
    return {name for row in stays for name in names_in(row.tree, context.objects)}
