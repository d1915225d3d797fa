"""Record an upstream archive: verify what it signed, keep it byte for byte, name it by a serial. Complete or nothing."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from distwright.archive.fetching import fetch_object
from distwright.archive.poolindex import pool_files, write_pool_index
from distwright.archive.snapshots import RecordedIndex, RecordedSuite, SnapshotDocument, parse_snapshot
from distwright.errors import BadInput, Busy, NotFound, Refused, quoted
from distwright.formats.compression import ENDINGS, decompress, split_ending
from distwright.formats.release import IndexEntry, Release, parse_release
from distwright.jobs.step import Context
from distwright.model.digests import Sha256, sha256_of
from distwright.model.events import Event, EventKind
from distwright.model.records import Snapshot
from distwright.model.serials import Serial, next_serial
from distwright.signing.verify import Keyring
from distwright.store.archives import find_snapshot, insert_snapshot, newest_snapshot
from distwright.store.events import append_event
from distwright.store.holds import object_hold, replace_holds

INRELEASE_LIMIT_BYTES = 16 << 20
PLAIN_LIMIT_BYTES = 2 << 30
MOVED_LIMIT = 3  # how often upstream may publish while we record


@dataclass(frozen=True, slots=True)
class RecordRequest:
    """What to record, from where. keyring: the certificates that must have signed. origin, label: "" or what Release must say."""

    archive: str
    suites: tuple[str, ...]
    components: tuple[str, ...]
    architectures: tuple[str, ...]
    has_sources: bool
    translations: tuple[str, ...]
    origin: str
    label: str
    accept_expired: bool
    url: str
    keyring: Keyring


@dataclass(frozen=True, slots=True)
class Recorded:
    """The newest snapshot now. is_new: whether this record made it. notes: what a person should know (accepted expiry)."""

    row: Snapshot
    is_new: bool
    notes: tuple[str, ...]


class _UpstreamMovedError(Exception):
    """An index no longer is what InRelease promised; a newer InRelease will say why."""

    def __init__(self, refusal: Refused | NotFound) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal


def record(request: RecordRequest, context: Context, pool_indexes: Path, serial: Serial | None = None) -> Recorded:
    """Record an archive and give its newest snapshot, a new one only if upstream has changed.

    Raises Refused (signature, expiry, older than what we have, an index that is not what was signed), Unreachable, NotFound, Busy;
    then nothing has changed and the previous serial stays served. What had arrived is kept for the next try.
    """
    with context.database.read() as tx:
        newest = newest_snapshot(tx, request.archive)
        named = None if serial is None else find_snapshot(tx, request.archive, serial)
    if named is not None:
        return Recorded(named, is_new=False, notes=())
    known = None if newest is None else parse_snapshot(context.objects.read(newest.digest))
    for attempt in range(1, MOVED_LIMIT + 1):
        try:
            document, notes, valid_until = _fetch_document(request, context, pool_indexes, known)
            break
        except _UpstreamMovedError as moved:
            context.log(f"upstream is not consistent (try {attempt} of {MOVED_LIMIT}): {moved.refusal}")
            if attempt == MOVED_LIMIT:
                raise moved.refusal from None
    row = _commit(request, context, document, valid_until, serial, newest)
    return Recorded(row, is_new=newest is None or row.serial != newest.serial, notes=notes)


def _fetch_document(
    request: RecordRequest, context: Context, pool_indexes: Path, known: SnapshotDocument | None
) -> tuple[SnapshotDocument, tuple[str, ...], datetime | None]:
    suites: dict[str, RecordedSuite] = {}
    notes: list[str] = []
    ends: list[datetime] = []
    for name in request.suites:
        what = f"{request.archive}/{name}"
        url = f"{request.url}/dists/{name}/InRelease"
        signed = b"".join(context.fetcher.fetch(url, limit_bytes=INRELEASE_LIMIT_BYTES))
        verified = request.keyring.verify_clear(signed, f"InRelease of {what}")
        release = parse_release(verified.content)
        notes += check_release(release, request, name, context.now())
        before = None if known is None else known.suites.get(name)
        if before is not None and release.date < before.date:
            raise Refused(
                f"InRelease of {what} is of {release.date:%Y-%m-%d %H:%M}, the last recorded one of {before.date:%Y-%m-%d %H:%M}",
                hint="try later, or name another mirror in fetch_from: this one lags behind, or replays",
            )
        if release.valid_until is not None:
            ends.append(release.valid_until)
        inrelease = context.objects.put(signed)
        wanted = wanted_indexes(release, request)
        if before is not None and _is_same(before, inrelease, wanted) and _is_whole(before, context):
            suites[name] = before
            continue
        indexes = _fetch_indexes(request, context, pool_indexes, name, wanted, release)
        components = tuple(component for component in request.components)
        suites[name] = RecordedSuite(
            name, inrelease, context.objects.put(verified.content), release.date, components, indexes
        )
    return SnapshotDocument(suites), tuple(notes), min(ends, default=None)


def _is_same(before: RecordedSuite, inrelease: Sha256, wanted: Sequence[IndexEntry]) -> bool:
    return before.inrelease == inrelease and {index.path for index in before.indexes} == {
        entry.path for entry in wanted
    }


def _is_whole(before: RecordedSuite, context: Context) -> bool:
    """Say whether all its indexes are still here; a lost one is fetched again, under the same serial."""
    return all(context.objects.touch(index.sha256) for index in before.indexes)


def check_release(release: Release, request: RecordRequest, suite: str, now: datetime) -> list[str]:
    """Judge a signed Release; give notes for what was accepted by request, raise Refused for what is not acceptable."""
    what = f"{request.archive}/{suite}"
    if suite not in (release.suite, release.codename):
        raise Refused(
            f"Release of {what} calls itself {quoted(release.codename or release.suite or '')}",
            hint="name the right archive in fetch_from",
        )
    for field, expected, found in (("Origin", request.origin, release.origin), ("Label", request.label, release.label)):
        if expected and expected != found:
            raise Refused(
                f"Release of {what} has {field} {quoted(found or '')}, want {quoted(expected)}",
                hint="name the right archive in fetch_from",
            )
    if release.date > now and (release.date - now).total_seconds() > 24 * 3600:
        raise Refused(
            f"Release of {what} is dated {release.date:%Y-%m-%d %H:%M}, in the future",
            hint="set this machine's clock right (date -u), or use another mirror",
        )
    if release.valid_until is None or release.valid_until >= now:
        return []
    expired = f"Release of {what} expired on {release.valid_until:%Y-%m-%d %H:%M} UTC"
    if not request.accept_expired:
        raise Refused(expired, hint="use another mirror in fetch_from; for an old mirror set accept_expired = true")
    return [f"{expired}; accepted, as accept_expired says"]


def wanted_indexes(release: Release, request: RecordRequest) -> list[IndexEntry]:
    """Choose the index files to keep: per component Packages of each architecture and all, Sources, translations.

    Of each the best compression that Release lists. Raises Refused if a Packages file is not listed at all.
    """
    chosen: list[IndexEntry] = []
    for component in request.components:
        stems = [(f"{component}/binary-{name}/Packages", True) for name in request.architectures]
        if "all" in release.architectures:  # otherwise apt never reads it, and debian-security leaves a stale one there
            stems.append((f"{component}/binary-all/Packages", False))
        if request.has_sources:
            stems.append((f"{component}/source/Sources", True))
        stems += [(f"{component}/i18n/Translation-{language}", False) for language in request.translations]
        for stem, is_required in stems:
            listed = [release.indexes[stem + ending] for ending in ENDINGS if stem + ending in release.indexes]
            if listed:
                chosen.append(listed[0])
            elif is_required:
                raise Refused(
                    f"Release of {request.archive} lists no {stem}",
                    hint="look at components and architectures of the archive",
                )
    return chosen


def _fetch_indexes(
    request: RecordRequest,
    context: Context,
    pool_indexes: Path,
    suite: str,
    wanted: Sequence[IndexEntry],
    release: Release,
) -> tuple[RecordedIndex, ...]:
    indexes: list[RecordedIndex] = []
    with ThreadPoolExecutor(max_workers=4) as pool:
        fetched = pool.map(lambda entry: _fetch_index(request, context, pool_indexes, suite, entry, release), wanted)
        for index in fetched:
            context.check_cancelled()
            indexes.append(index)
            context.progress(f"record {request.archive}/{suite}", len(indexes), len(wanted), "indexes")
    return tuple(indexes)


def _fetch_index(
    request: RecordRequest, context: Context, pool_indexes: Path, suite: str, entry: IndexEntry, release: Release
) -> RecordedIndex:
    what = f"{entry.path} of {request.archive}/{suite}"
    if not context.objects.touch(entry.sha256):
        folder = f"{request.url}/dists/{suite}"
        by_hash = f"{folder}/{entry.path.rpartition('/')[0]}/by-hash/SHA256/{entry.sha256}"
        urls = [by_hash, f"{folder}/{entry.path}"] if release.acquire_by_hash else [f"{folder}/{entry.path}"]
        _fetch_first(context, urls, entry)
        context.log(f"fetched {what} ({entry.size} bytes)")
    stem, ending = split_ending(entry.path)
    plain_entry = release.indexes.get(stem)
    limit = PLAIN_LIMIT_BYTES if plain_entry is None else plain_entry.size
    try:
        plain = decompress(context.objects.read(entry.sha256), ending, limit_bytes=limit)
    except BadInput as error:
        raise Refused(f"{what}: {error.message}", hint="tell the archive's maintainers") from error
    digest = sha256_of(plain)
    if plain_entry is not None and plain_entry.sha256 != digest:
        raise Refused(f"{what} unpacks to something else than Release says", hint="tell the archive's maintainers")
    derived = pool_indexes / digest
    if not derived.exists():
        write_pool_index(derived, pool_files(stem, plain))
    return RecordedIndex(entry.path, entry.sha256, entry.size, digest)


def _fetch_first(context: Context, urls: Sequence[str], entry: IndexEntry) -> None:
    for number, url in enumerate(urls, start=1):
        try:
            fetch_object(context, url, entry.sha256, entry.size)
            return
        except (NotFound, Refused) as error:
            if number == len(urls):
                raise _UpstreamMovedError(error) from error


def _commit(
    request: RecordRequest,
    context: Context,
    document: SnapshotDocument,
    valid_until: datetime | None,
    serial: Serial | None,
    before: Snapshot | None,
) -> Snapshot:
    digest = context.objects.put(document.to_bytes())
    with context.write() as tx:
        newest = newest_snapshot(tx, request.archive)
        if newest is not None and newest.digest == digest and serial is None:
            return newest
        if newest != before:  # ours was compared with an older one: it might take the archive back
            raise Busy(
                f"archive {request.archive} was recorded by somebody else meanwhile", hint="distwright job retry JOB"
            )
        if serial is not None and newest is not None and serial < newest.serial:
            raise Refused(
                f"serial {serial} is older than {newest.serial}, the newest of {request.archive}",
                hint=f"distwright snapshot list {request.archive}",
            )
        now = context.now()
        row = Snapshot(
            request.archive,
            serial or next_serial(None if newest is None else newest.serial, now),
            digest,
            now,
            valid_until,
            request.url,
        )
        insert_snapshot(tx, row)
        holder = f"snapshot {row.archive}/{row.serial}"
        replace_holds(tx, holder, [object_hold(holder, digest, "recorded")], now)
        body = {"archive": row.archive, "serial": row.serial, "snapshot": digest}
        append_event(tx, Event(EventKind.SNAPSHOT_RECORDED, now, f"{row.archive}/{row.serial}", body, context.job))
    return row
