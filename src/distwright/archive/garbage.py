"""Collect what nobody needs: mark from every hold, let the rest wait in the trash for some days, then delete.

Roots are the rows of `holds`, nothing else. What an object names in turn is read from it: documents of ours are canonical JSON, a
leaf of a package tree is text, and both name objects by their SHA-256 in full. That may keep a little too much, never too little.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from distwright.archive.derived import forget_derived
from distwright.archive.indexes import pool_of
from distwright.archive.publish import codenames, pieces_of
from distwright.archive.served_root import tree_root
from distwright.archive.shelf import recorded_pool
from distwright.archive.snapshots import parse_snapshot
from distwright.archive.tag_trees import TagDocument, parse_tag
from distwright.archive.tree import TreeRoot, parse_root
from distwright.archive.trees import ServedTree
from distwright.archive.unrecorded import Unrecorded, kept_beside
from distwright.errors import BadInput, Lost
from distwright.jobs.step import Context
from distwright.model.digests import Sha256, sha256_of
from distwright.model.records import Publication
from distwright.store.archives import list_publications, list_snapshots, set_publication_states
from distwright.store.holds import all_holds, drop_holds
from distwright.store.leftovers import drop_partials_below
from distwright.store.locks import locked
from distwright.store.objects import ObjectStore, rotten
from distwright.store.signed import list_tags

GRACE = timedelta(days=7)
FRESH = timedelta(days=1)  # what was kept or touched so short a while ago may be about to be named in a row
_DIGEST = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_HEAD_BYTES = 16
_DOCUMENT, _LEAF = b"{", b"Package: "  # what the objects that name others begin with
_OF_SOURCES = b"\nChecksums-Sha256:"


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


def collect(
    context: Context, archives: Iterable[str], *, grace: timedelta = GRACE, deep: bool = False, really: bool
) -> Collected:
    """Let go of what nobody holds. archives: our own, whose served trees are looked after.

    really: do it; otherwise only count. deep: look at every published pool file, not only at those of publications that go.
    Publications stay served by hash for `grace` after they were replaced, and discarded objects stay in the trash for as long;
    whoever names one again has it back. Raises Rotten, before any object goes, if one that names others has changed: what it names
    now may not be what it must keep.
    """
    now, done = context.now(), Collected()
    for archive in archives:
        done.archives.append(archive)
        with locked(context.paths.lock(f"archive-{archive}")):
            _retire(context, archive, now - grace, done, deep=deep, really=really)
    with context.database.read() as tx:
        holds = [hold for hold in all_holds(tx) if hold.until is None or hold.until > now]
        roots = [Sha256(hold.target) for hold in holds if hold.kind == "object"]
        recorded = {row.digest for row in list_snapshots(tx)}
    marked = mark(roots, context.objects)
    digests = set(context.objects.digests())
    discarded = set(context.objects.discarded())
    wanted, read = _files_of_records(recorded & marked, digests | discarded, context)
    if really:
        _revive(discarded, marked, wanted, context.objects)
    for digest in digests:
        if digest in marked or digest in wanted or context.objects.touched_at(digest) > now - FRESH:
            done.kept += 1
            continue
        done.objects += 1
        done.size_bytes += context.objects.size(digest)
        if really:
            context.objects.discard(digest, now.date())
    if really:
        pieces_of(context).forget(marked.__contains__)
        forget_derived(context.paths.cache, lambda digest: digest in marked or digest in read, now - FRESH)
        _drop_leftovers(context)
        done.deleted, done.deleted_bytes = context.objects.empty_trash((now - grace).date())
    return done


def _revive(discarded: Iterable[Sha256], marked: Set[Sha256], wanted: Set[Sha256], objects: ObjectStore) -> None:
    """Take out of the trash what somebody came to need meanwhile: who named it again may not have asked for its bytes."""
    for digest in discarded:
        if digest in marked or digest in wanted:
            objects.has(digest)


def _drop_leftovers(context: Context) -> None:
    """Remove the partial files of what was killed."""
    context.objects.drop_leftovers()
    drop_partials_below(context.paths.cache / "contents", "*/??/*")
    drop_partials_below(context.paths.cache / "contents", "merge-*")
    drop_partials_below(context.paths.cache / "pool", "*")


def mark(roots: Iterable[Sha256], objects: ObjectStore) -> set[Sha256]:
    """Give everything that is reachable: the roots, what they name, and so on. Each object is read once, pool files not at all."""
    marked: set[Sha256] = set()
    left = list(roots)
    while left:
        digest = left.pop()
        if digest in marked:
            continue
        marked.add(digest)
        content = _container(digest, objects)
        if content.startswith(_LEAF):
            marked.update(_pool_digests(content))  # package files name nothing
        else:
            left += [name for name in _names(content) if name not in marked]
    return marked


def names_in(digest: Sha256, objects: ObjectStore) -> list[Sha256]:
    """Give what an object names, if it is of a kind that names others; nothing for one that is not here. Raises Rotten."""
    content = _container(digest, objects)
    return _pool_digests(content) if content.startswith(_LEAF) else _names(content)


def _container(digest: Sha256, objects: ObjectStore) -> bytes:
    """Read an object if it is of a kind that names others; b"" if it is not, or not here. Raises Rotten."""
    try:
        with objects.open(digest) as file:
            head = file.read(_HEAD_BYTES)
            content = head + file.read() if head.startswith((_DOCUMENT, _LEAF)) else b""
    except Lost:
        return b""
    if content and sha256_of(content) != digest:  # what it names now may not be what it must keep
        raise rotten(digest)
    return content


def _pool_digests(leaf: bytes) -> list[Sha256]:
    """Give what a leaf names. Of binary packages there is one line each, which is found ten times as fast as any digest is."""
    if _OF_SOURCES in leaf:
        return _names(leaf)
    return [Sha256.known(text[:64].decode()) for text in leaf.split(b"\nSHA256: ")[1:]]


def _names(content: bytes) -> list[Sha256]:
    return [Sha256.known(name.decode()) for name in dict.fromkeys(_DIGEST.findall(content))]


def _files_of_records(
    documents: Iterable[Sha256], here: Set[Sha256], context: Context
) -> tuple[set[Sha256], set[Sha256]]:
    """Give what recorded snapshots promise and does not stand in their documents: pool files, and what came after the record.

    Gives too what was read for that: the digests of plain lists. here: all objects. The compressed indexes name the first, the
    Release files (and SHA256SUMS of the installer) the others.
    """
    wanted: set[Sha256] = set()
    seen: set[Sha256] = set()
    for document in documents:
        try:
            suites = parse_snapshot(context.objects.read(document)).suites.values()
        except (BadInput, KeyError):  # a snapshot of ours: its trees were marked
            continue
        for suite in suites:
            indexes = list(suite.indexes)
            if suite.release not in seen and suite.release in here:
                seen.add(suite.release)
                late = kept_beside(context.objects.read(suite.release), here)
                wanted |= late
                if late - {index.sha256 for index in indexes}:
                    unrecorded = Unrecorded(suite, context.objects)
                    indexes += unrecorded.lists_here(context.objects)
                    for sums in unrecorded.sums_here(context.objects):
                        wanted |= kept_beside(context.objects.read(sums), here)
            for index in indexes:
                if index.names_pool_files and index.plain not in seen:
                    seen.add(index.plain)
                    wanted |= _digests_of(recorded_pool(context.objects, index, context.paths.cache / "pool"))
    return wanted, seen


def _digests_of(pool_index: Path) -> set[Sha256]:
    with pool_index.open(encoding="utf-8") as rows:
        return {Sha256(row.split("\t", 2)[1]) for row in rows}


def _retire(context: Context, archive: str, before: datetime, done: Collected, *, deep: bool, really: bool) -> None:
    """Take away the trees of publications that were replaced long ago, and published files that no state within grace names."""
    with context.database.read() as tx:
        rows = list_publications(tx, archive=archive)
    gone = [row for row in rows if row.state in ("retired", "discarded") and (row.retired_at or row.at) < before]
    numbers = {row.id for row in gone}
    stays = [row for row in rows if row.state in ("live", "building", "retired") and row.id not in numbers]
    tree = ServedTree(tree_root(context.config, context.paths, archive))
    tags = _tags_of(archive, context)
    surplus = _surplus(tree, gone, stays, tags, context, deep=deep)
    done.publications += sum(tree.publication(row.suite, row.id).exists() for row in gone)
    done.pool += len(surplus)
    if not really:
        return
    for row in gone:
        tree.forget_publication(row.suite, row.id)
    for path in surplus:
        path.unlink(missing_ok=True)
    with context.write() as tx:
        set_publication_states(tx, numbers, "collected")
        drop_holds(tx, [f"publication {number}" for number in numbers])
    tree.forget_codenames(codenames(context, archive))
    tagged = {name for tag in tags for suite in tag.suites.values() for name in (suite.indexes, *suite.digests)}
    tree.drop_leftovers()
    tree.forget_indexes(_index_sets(stays, context) | tagged, before)


def _tags_of(archive: str, context: Context) -> list[TagDocument]:
    """Give the tagged snapshots of an archive: they are served for ever, from the same pool and index sets."""
    with context.database.read() as tx:
        rows = list_tags(tx, archive)
    return [parse_tag(context.objects.read(row.digest)) for row in rows]


def _surplus(
    tree: ServedTree,
    gone: Sequence[Publication],
    stays: Sequence[Publication],
    tags: Iterable[TagDocument],
    context: Context,
    *,
    deep: bool,
) -> list[Path]:
    """List published pool files that nothing which stays names: of the publications that go, or (deep) whatever is there.

    Cost: what differs between those that go and those that stay; deep, all of it.
    """
    kept = _leaves_of(stays, context)
    if deep:
        paths = {str(path.relative_to(tree.root)) for path in (tree.root / "pool").rglob("*") if path.is_file()}
    else:
        old = {place: leaf for place, leaf in _leaves_of(gone, context).items() if place not in kept}
        paths = {path for path in _paths_of(old, context) if (tree.root / path).is_file()}
    if paths:
        paths -= set(_paths_of(kept, context))
        paths -= {path for tag in tags for path in tag.pool}
    return [tree.root / path for path in sorted(paths)]


def _leaves_of(rows: Sequence[Publication], context: Context) -> dict[tuple[str, Sha256], TreeRoot]:
    """Give the leaves of states, each once: list and digest, and a tree that is made of it alone."""
    found: dict[tuple[str, Sha256], TreeRoot] = {}
    for revision in {row.revision for row in rows}:
        for name, leaves in parse_root(context.objects.read(revision)).lists.items():
            found |= {
                (name, leaf.digest): TreeRoot({name: (leaf,)}) for leaf in leaves if (name, leaf.digest) not in found
            }
    return found


def _paths_of(leaves: Mapping[tuple[str, Sha256], TreeRoot], context: Context) -> Iterator[str]:
    for root in leaves.values():
        yield from (file.path for file in pool_of(root, context.objects.read))


def _index_sets(stays: Sequence[Publication], context: Context) -> set[str]:
    return {name for row in stays for name in names_in(row.tree, context.objects)}
