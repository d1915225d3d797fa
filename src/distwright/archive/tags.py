"""Tagged snapshots: exactly the packages that a manifest names, with their sources, signed by us, without an end, for ever."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from distwright.archive.chosen import SourceName, files_of, is_source_among, source_named, sources_of
from distwright.archive.gathering import gather
from distwright.archive.poolindex import PoolFile
from distwright.archive.resigned import UPSTREAM_INRELEASE, partial_release, release_files, render_entries
from distwright.archive.served_root import tree_root
from distwright.archive.shelf import Mirrors, no_mirrors
from distwright.archive.tag_manifest import Manifest, parse_manifest
from distwright.archive.tag_parts import ArchivePart, SuitePart, entries_of, mentioned_entries, parts_of
from distwright.archive.tag_trees import TagDocument, TaggedSuite, parse_tag, serve_tag
from distwright.archive.tree import TreeEntry
from distwright.errors import BadUsage, Lost, Refused, listed, quoted
from distwright.jobs.step import Context
from distwright.model.digests import Sha256, sha256_of
from distwright.model.events import Event, EventKind
from distwright.model.records import TaggedSnapshot
from distwright.store.events import append_event
from distwright.store.holds import object_hold, replace_holds
from distwright.store.locks import locked
from distwright.store.signed import find_tag, insert_tag

_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~-]{0,99}")
_SERIAL = re.compile(r"[0-9]{10}")

Chosen = Mapping[SuitePart, Sequence[TreeEntry]]


@dataclass(frozen=True, slots=True)
class TagRequest:
    """What to tag. manifest: the bytes of an image's manifest. reason: why, for people."""

    archives: tuple[str, ...]
    tag: str
    manifest: bytes
    reason: str = ""


def tag_snapshots(request: TagRequest, context: Context, mirrors: Mirrors = no_mirrors) -> list[TaggedSnapshot]:
    """Make and serve the tagged snapshot of each archive; those that exist already, made of the same manifest, stay as they are.

    Packages are those of the manifest and the newest of each name that it only mentions; sources are closed over Built-Using and
    Static-Built-Using. Fetches what is not here. Raises Refused for a tag that means something else, a package that the archive of
    its own words has not, and sources that none of the archives has; then nothing has changed.
    """
    check_tag(request.tag)
    digest, manifest = sha256_of(request.manifest), parse_manifest(request.manifest)
    present = {name: row for name in request.archives if (row := _existing(request, name, digest, context)) is not None}
    if len(present) < len(request.archives):
        parts = [parts_of(name, manifest, context) for name in request.archives]
        chosen = _choose(request, manifest, parts, context)
        context.objects.put(request.manifest)
        for part in parts:
            if part.archive not in present:
                _bring(part, chosen, context, mirrors)
        made = {
            part.archive: _document(request, part, chosen, digest, context)
            for part in parts
            if part.archive not in present
        }
        present |= _commit(request, made, context)
    for name in request.archives:
        with locked(context.paths.lock(f"archive-{name}")):
            document = parse_tag(context.objects.read(present[name].digest))
            serve_tag(tree_root(context.config, context.paths, name), request.tag, document, context.objects)
    return [present[name] for name in request.archives]


def check_tag(tag: str) -> None:
    """Raise BadUsage for what cannot name a tagged snapshot: it must be a folder, and no serial."""
    if not _TAG.fullmatch(tag) or _SERIAL.fullmatch(tag):
        raise BadUsage(
            f"{quoted(tag)} cannot be a tag",
            hint="use letters, digits and . _ + ~ - only, and not the form of a serial",
        )


def _existing(request: TagRequest, archive: str, manifest: Sha256, context: Context) -> TaggedSnapshot | None:
    with context.database.read() as tx:
        row = find_tag(tx, archive, request.tag)
    if row is not None and parse_tag(context.objects.read(row.digest)).manifest != manifest:
        raise Refused(
            f"{request.tag} of {archive} was made of another manifest on {row.at:%Y-%m-%d}", hint="use another tag"
        )
    return row


def _choose(request: TagRequest, manifest: Manifest, parts: Sequence[ArchivePart], context: Context) -> Chosen:
    suites = [suite for part in parts for suite in part.suites]
    wanted = {package.sha256.encode() for package in manifest.packages}
    packages = {suite: entries_of(suite, wanted, context) for suite in suites}
    for part in parts:
        found = {file.sha256 for suite in part.suites for file in files_of(packages[suite])}
        _refuse_missing(part.archive, manifest, found)
    for part in parts:
        for suite, more in mentioned_entries(part, manifest.mentioned, context).items():
            packages[suite] = sorted({*packages[suite], *more}, key=lambda entry: entry.order)
    sources = {
        source
        for suite in suites
        if suite.has_sources
        for entry in packages[suite]
        for source in sources_of(entry.stanza)
    }
    found_sources = {suite: suite.entries(is_source_among(sources), context, sources=True) for suite in suites}
    _refuse_missing_sources(sources, found_sources)
    return {suite: [*packages[suite], *found_sources[suite]] for suite in suites}


def _refuse_missing(archive: str, manifest: Manifest, found: set[Sha256]) -> None:
    missing = [
        package.shown for package in manifest.packages if archive in package.archives and package.sha256 not in found
    ]
    if missing:
        raise Refused(
            f"archive {archive} has not what the manifest says it gave:\n{listed(missing)}",
            hint="give the manifest of an image that was made here, of archives that still have its snapshot",
        )


def _refuse_missing_sources(wanted: set[SourceName], found: Mapping[SuitePart, Sequence[TreeEntry]]) -> None:
    there = {source_named(entry.stanza) for entries in found.values() for entry in entries}
    missing = [f"{source.name} {source.version}" for source in sorted(wanted - there)]
    if missing:
        raise Refused(
            f"these sources are in none of the archives:\n{listed(missing)}",
            hint="name the archive that has them too",
        )


def _bring(part: ArchivePart, chosen: Chosen, context: Context, mirrors: Mirrors) -> None:
    files = [file for suite in part.suites for file in files_of(chosen[suite])]
    urls = tuple(dict.fromkeys((*mirrors(part.archive), *([part.url] if part.url else []))))
    missing = [file.path for file in files if not context.objects.touch(file.sha256)]
    if missing and not urls:
        raise Lost(f"{missing[0]} of {part.archive} is lost", hint="restore objects/ from a backup")
    gather(files, urls, context, f"tag {part.archive}")


def _document(
    request: TagRequest, part: ArchivePart, chosen: Chosen, manifest: Sha256, context: Context
) -> TagDocument:
    suites = {}
    files: dict[str, PoolFile] = {}
    now = context.now().replace(microsecond=0)
    signer = context.signer(part.credential)
    for suite in part.suites:
        files |= {file.path: file for file in files_of(chosen[suite])}
        entries = [*chosen[suite], *suite.translations(chosen[suite], context)]
        indexes = render_entries(entries, suite.lists, context)
        base = replace(suite.release, date=now, valid_until=None)
        release = partial_release(base, indexes, ("X-Tagged", request.tag))
        signed = release_files(release, manifest, signer, context.objects)
        del signed[UPSTREAM_INRELEASE]  # upstream signed something else
        suites[suite.name] = TaggedSuite(signed, context.objects.put(indexes.to_bytes()), indexes.files)
    pool = {path: files[path].sha256 for path in sorted(files)}
    return TagDocument(suites, pool, manifest)


def _commit(request: TagRequest, made: Mapping[str, TagDocument], context: Context) -> dict[str, TaggedSnapshot]:
    now: datetime = context.now()
    rows = {
        name: TaggedSnapshot(name, request.tag, context.objects.put(document.to_bytes()), request.reason, now)
        for name, document in made.items()
    }
    with context.write() as tx:
        for row in rows.values():
            insert_tag(tx, row)
            holder = f"tag {row.archive}/{row.tag}"
            replace_holds(tx, holder, [object_hold(holder, row.digest, request.reason or "tagged")], now)
            body = {"archive": row.archive, "tag": row.tag, "snapshot": str(row.digest)}
            append_event(tx, Event(EventKind.SNAPSHOT_TAGGED, now, f"{row.archive}/{row.tag}", body, context.job))
    return rows
