"""Publish a suite's revision: complete tree first, then one rename. Clients see the old state or the new one, nothing between."""

import gzip
import lzma
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from distwright.archive.indexes import index_files, release_of
from distwright.archive.poolindex import pool_files
from distwright.archive.tree import parse_root
from distwright.errors import Refused
from distwright.formats.release import IndexEntry, write_release
from distwright.jobs.step import Context
from distwright.model.digests import Json, Sha256, canonical_json, sha256_of
from distwright.model.events import Event, EventKind
from distwright.model.records import Publication
from distwright.signing.signer import Signer
from distwright.store.archives import insert_publication, list_publications, live_publication, set_publication_state
from distwright.store.events import append_event
from distwright.store.holds import object_hold, replace_holds
from distwright.store.objects import ObjectStore
from distwright.store.suites import find_suite


@dataclass(frozen=True, slots=True)
class PublishRequest:
    """A revision to serve. lists: indexes that must exist even if empty. fields: Release fields but Date.

    added: binary packages that the upload behind the revision brought; the event repeats them.
    """

    archive: str
    suite: str
    revision: Sha256
    lists: tuple[str, ...]
    fields: Mapping[str, str]
    added: tuple[str, ...] = ()


def publish(request: PublishRequest, context: Context, signer: Signer, public: Path) -> Publication:
    """Make a revision the served state of its suite and give the publication; nothing happens if it is that already.

    Nothing happens either if the suite has moved on and its present state is served: a job that is retried, or runs twice after
    its worker was lost, must not take the suite back.

    Order: index objects, row `building`, pool links and by-hash names (only new ones), tree, one rename, row `live` with its
    event. Cut anywhere, the previous state stays served and a repetition ends in the same state.
    """
    reconcile(request, context, public)
    with context.database.read() as tx:
        live = live_publication(tx, request.archive, request.suite)
        present = find_suite(tx, request.archive, request.suite)
    if live is not None and live.revision == request.revision:
        return live
    if live is not None and present is not None and live.revision == present.revision:
        name = f"{request.archive}/{request.suite}"
        context.log(f"{name} has moved on to {live.revision.short}; {request.revision.short} is not published any more")
        return live
    root = parse_root(context.objects.read(request.revision))
    plain = index_files(root, context.objects.read, request.lists)
    tree = _render(request, context, plain, signer)
    files = {path: context.objects.put(content) for path, content in tree.items()}
    document = context.objects.put(
        canonical_json({"format": 1, "files": {path: str(name) for path, name in files.items()}})
    )
    now = context.now()
    row = Publication(0, request.archive, request.suite, request.revision, document, "building", now)
    with context.database.write() as tx:
        number = insert_publication(tx, row)
        holder = f"publication {number}"
        kept = [object_hold(holder, digest, path) for path, digest in files.items()]
        replace_holds(
            tx,
            holder,
            [*kept, object_hold(holder, document, "tree"), object_hold(holder, request.revision, "state")],
            now,
        )
    archive_root = public / request.archive
    for path, text in plain.items():
        for file in pool_files(path, text):
            _link(context.objects, file.sha256, archive_root / file.path)
    _lay_tree(archive_root, request.suite, number, files, context.objects)
    _switch(archive_root, request.suite, number)
    return _set_live(number, request, context)


def reconcile(request: PublishRequest, context: Context, public: Path) -> None:
    """Finish or discard publications of this suite that were cut off: what is served (the symlink) is the truth."""
    with context.database.read() as tx:
        building = list_publications(tx, state="building")
    for row in building:
        if (row.archive, row.suite) != (request.archive, request.suite):
            continue
        if _served(public / row.archive, row.suite) == row.id:
            _set_live(row.id, request, context)
        else:
            with context.database.write() as tx:
                set_publication_state(tx, row.id, "discarded")
                replace_holds(tx, f"publication {row.id}", [], context.now())


def _set_live(number: int, request: PublishRequest, context: Context) -> Publication:
    now = context.now()
    with context.database.write() as tx:
        row = next(row for row in list_publications(tx) if row.id == number)
        before = live_publication(tx, row.archive, row.suite)
        if before is not None:
            set_publication_state(tx, before.id, "retired")
            replace_holds(tx, f"publication {before.id}", [], now)
        set_publication_state(tx, number, "live")
        body: dict[str, Json] = {
            "archive": row.archive,
            "suite": row.suite,
            "revision": row.revision,
            "publication": number,
            "tree": row.tree,
            "added": list(request.added) if row.revision == request.revision else [],
        }
        append_event(tx, Event(EventKind.SUITE_PUBLISHED, now, f"{row.archive}/{row.suite}", body))
        return next(row for row in list_publications(tx) if row.id == number)


def _render(request: PublishRequest, context: Context, plain: Mapping[str, bytes], signer: Signer) -> dict[str, bytes]:
    tree: dict[str, bytes] = {}
    for path, text in plain.items():
        tree[path] = text
        tree[f"{path}.gz"] = gzip.compress(text, 9, mtime=0)
        tree[f"{path}.xz"] = lzma.compress(text, preset=6)
    entries = {path: IndexEntry(path, len(content), sha256_of(content), None) for path, content in tree.items()}
    fields = {**request.fields, "Date": context.now().replace(microsecond=0).isoformat()}
    described = release_of(fields, plain)
    release = write_release(replace(described, indexes=entries))
    tree["Release"] = release
    tree["InRelease"] = signer.sign_clear(release)
    tree["Release.gpg"] = signer.sign_detached(release)
    return tree


def _link(objects: ObjectStore, digest: Sha256, target: Path) -> None:
    if target.exists():
        if sha256_of(target.read_bytes()) != digest:
            raise Refused(f"{target} is published with other content", hint="upload it as a new version: dch -i")
        return
    objects.place(digest, target)


def _lay_tree(archive_root: Path, suite: str, number: int, files: Mapping[str, Sha256], objects: ObjectStore) -> None:
    final = archive_root / "dists" / ".rev" / suite / str(number)
    shared = archive_root / "dists" / ".by-hash" / suite
    for path, digest in files.items():
        if not (final / path).exists():
            objects.place(digest, final / path)
        folder, _, _ = path.rpartition("/")
        if not folder:
            continue
        named = shared / folder / "SHA256" / digest
        if not named.exists():
            objects.place(digest, named)
        by_hash = final / folder / "by-hash"
        if not by_hash.is_symlink():
            by_hash.symlink_to(os.path.relpath(shared / folder, final / folder))
    for laid in sorted({(final / path).parent for path in files} | {final.parent}):
        _fsync(laid)


def _switch(archive_root: Path, suite: str, number: int) -> None:
    """Let `dists/<suite>` name the new tree: a new symlink renamed over the old one."""
    link = archive_root / "dists" / suite
    fresh = archive_root / "dists" / f".new-{suite.replace('/', '-')}"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(Path(".rev") / suite / str(number))
    fresh.rename(link)
    _fsync(link.parent)


def _served(archive_root: Path, suite: str) -> int | None:
    link = archive_root / "dists" / suite
    return int(link.readlink().name) if link.is_symlink() else None


def _fsync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
