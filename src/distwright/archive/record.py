"""Record an upstream archive: verify what it signed, keep it byte for byte, name it by a serial. Complete or nothing."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from distwright.archive.choosing import choose_pool
from distwright.archive.chosen import parse_chosen, write_chosen
from distwright.archive.fetching import fetch_object
from distwright.archive.filtering import filtered
from distwright.archive.gathering import gather
from distwright.archive.inrelease import fetch_inrelease
from distwright.archive.installer import fetch_images, is_image
from distwright.archive.judging import RecordRequest, check_release, wanted_copies, wanted_indexes
from distwright.archive.poolindex import pool_files, write_pool_index
from distwright.archive.prolonging import keep_resigned_document, prolong_due
from distwright.archive.snapshots import (
    RecordedIndex,
    RecordedPool,
    RecordedSuite,
    SnapshotDocument,
    parse_snapshot,
)
from distwright.archive.trace import write_trace
from distwright.archive.unrecorded import index_urls
from distwright.errors import BadInput, Busy, DistwrightError, NotFound, Refused, Unreachable
from distwright.formats.compression import decompress, split_ending
from distwright.formats.release import IndexEntry, Release, parse_release
from distwright.jobs.step import Context
from distwright.model.digests import Sha256, sha256_of
from distwright.model.events import Event, EventKind
from distwright.model.records import Snapshot
from distwright.model.serials import Serial, next_serial
from distwright.store.archives import find_snapshot, insert_snapshot, newest_serial, newest_snapshot
from distwright.store.events import append_event
from distwright.store.holds import object_hold, replace_holds

PLAIN_LIMIT_BYTES = 2 << 30
MOVED_LIMIT = 3  # how often upstream may publish while we record


@dataclass(frozen=True, slots=True)
class Recorded:
    """The newest snapshot now. is_new: whether this record made it. notes: what a person should know (accepted expiry)."""

    row: Snapshot
    is_new: bool
    notes: tuple[str, ...]


class _UpstreamMovedError(Exception):
    """An index no longer is what InRelease promised; a newer InRelease will say why."""

    def __init__(self, refusal: Refused | NotFound, suites: Mapping[str, RecordedSuite] | None = None) -> None:
        """Keep what to say if it stays so. suites: whose pool file it was, if it was one."""
        super().__init__(str(refusal))
        self.refusal = refusal
        self.suites = suites


def record(request: RecordRequest, context: Context, pool_indexes: Path, serial: Serial | None = None) -> Recorded:
    """Record an archive and give its newest snapshot, a new one only if upstream has changed.

    Raises Refused (signature, expiry, older than what we have, an index that is not what was signed), Unreachable, NotFound, Busy;
    then nothing is recorded and the previous serial stays served. What had arrived is kept for the next try. Serials that are
    needed and end soon are prolonged either way: what upstream does is nothing to them.
    """
    try:
        recorded = _record(request, context, pool_indexes, serial)
    except (Busy, NotFound, Refused, Unreachable):
        try:
            _prolong(request, context)
        except DistwrightError as error:
            context.log(f"{request.archive} is not prolonged: {error.message} ({error.hint})")
        raise
    _prolong(request, context)
    write_trace(context, request.archive)
    return recorded


def _prolong(request: RecordRequest, context: Context) -> None:
    if request.credential:
        prolong_due(context, request.archive, request.credential)


def _record(request: RecordRequest, context: Context, pool_indexes: Path, serial: Serial | None) -> Recorded:
    with context.database.read() as tx:
        newest = newest_snapshot(tx, request.archive)
        named = None if serial is None else find_snapshot(tx, request.archive, serial)
    if named is not None:
        return Recorded(named, is_new=False, notes=())
    known = None if newest is None else parse_snapshot(context.objects.read(newest.digest))
    lacked: _UpstreamMovedError | None = None
    for attempt in range(1, MOVED_LIMIT + 1):
        try:
            document, notes, valid_until = _fetch_document(request, context, pool_indexes, known, lacked)
            break
        except _UpstreamMovedError as moved:
            lacked = moved
            context.log(f"upstream is not consistent (try {attempt} of {MOVED_LIMIT}): {moved.refusal}")
            if attempt == MOVED_LIMIT:
                raise moved.refusal from None
    if newest is not None and serial is None and newest.digest == document.digest:
        row = newest
    else:
        row = _commit(request, context, document, valid_until, serial, newest)
    return Recorded(row, is_new=newest is None or row.serial != newest.serial, notes=notes)


def _fetch_document(
    request: RecordRequest,
    context: Context,
    pool_indexes: Path,
    known: SnapshotDocument | None,
    lacked: _UpstreamMovedError | None,
) -> tuple[SnapshotDocument, tuple[str, ...], datetime | None]:
    suites: dict[str, RecordedSuite] = {}
    notes: list[str] = []
    ends: list[datetime] = []
    for name in request.suites:
        what = f"{request.archive}/{name}"
        before = None if known is None else known.suites.get(name)
        url = f"{request.url}/dists/{name}/InRelease"
        signed = fetch_inrelease(url, None if before is None else before.inrelease, context)
        verified = request.keyring.verify_clear(signed, f"InRelease of {what}")
        release = parse_release(verified.content)
        notes += check_release(release, request, name, context.now())
        if before is not None and release.date < before.date:
            raise Refused(
                f"InRelease of {what} is of {release.date:%Y-%m-%d %H:%M}, the last recorded one of {before.date:%Y-%m-%d %H:%M}",
                hint="try later, or name another mirror in fetch_from: this one lags behind, or replays",
            )
        if release.valid_until is not None:
            ends.append(release.valid_until)
        inrelease = sha256_of(signed)
        wanted = wanted_indexes(release, request)
        copies = wanted_copies(release, request, wanted)
        if before is not None and _is_same(before, inrelease, [*wanted, *copies]) and _is_whole(before, context):
            suites[name] = before
            continue
        indexes = _fetch_indexes(request, context, pool_indexes, name, wanted, release)
        indexes = (*indexes, *_fetch_images(request, context, name, indexes))
        others = _fetch_copies(request, context, name, copies, release)
        components = tuple(component for component in request.components)
        suites[name] = RecordedSuite(
            name,
            inrelease,
            context.objects.put(verified.content),
            release.date,
            components,
            indexes,
            others,
        )
    if lacked is not None and lacked.suites == suites:  # it has not moved: this mirror lacks a file
        raise lacked.refusal
    pool = _fetch_pool(request, context, pool_indexes, suites, known)
    return SnapshotDocument(suites, pool), tuple(notes), min(ends, default=None)


def _fetch_pool(
    request: RecordRequest,
    context: Context,
    pool_indexes: Path,
    suites: Mapping[str, RecordedSuite],
    known: SnapshotDocument | None,
) -> RecordedPool | None:
    """Fetch what comes with the record; nothing is looked at if the last record had the same and no other archive counts."""
    if request.pool is None:
        return None
    is_known = known is not None and known.suites == suites and not request.together
    if is_known and known is not None and known.pool is not None and known.pool.choice == request.pool:
        return known.pool
    files = choose_pool(request, suites, context, pool_indexes)
    try:
        gather(files, [request.url], context, f"record {request.archive}")
    except (NotFound, Refused) as error:
        raise _UpstreamMovedError(error, suites) from error
    is_full = request.pool.is_full
    return RecordedPool(request.pool, None if is_full else context.objects.put(write_chosen(files)))


def _is_same(before: RecordedSuite, inrelease: Sha256, wanted: Sequence[IndexEntry]) -> bool:
    kept = {index.path for index in (*before.indexes, *before.copies) if not is_image(index.path)}
    return before.inrelease == inrelease and kept == {entry.path for entry in wanted}


def _is_whole(before: RecordedSuite, context: Context) -> bool:
    """Say whether all its indexes are still here; a lost one is fetched again, under the same serial."""
    return all(context.objects.has(index.sha256) for index in (*before.indexes, *before.copies))


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


def _fetch_images(
    request: RecordRequest, context: Context, suite: str, indexes: tuple[RecordedIndex, ...]
) -> list[RecordedIndex]:
    try:
        return list(fetch_images(request, context, suite, indexes))
    except (NotFound, Refused) as error:
        raise _UpstreamMovedError(error) from error


def _fetch_index(
    request: RecordRequest, context: Context, pool_indexes: Path, suite: str, entry: IndexEntry, release: Release
) -> RecordedIndex:
    what = f"{entry.path} of {request.archive}/{suite}"
    _fetch_bytes(request, context, suite, entry, release)
    stem, ending = split_ending(entry.path)
    plain_entry = release.indexes.get(stem)
    if stem.rpartition("/")[2].startswith("Contents-") and plain_entry is not None:  # a gigabyte that nobody here reads
        return RecordedIndex(entry.path, entry.sha256, entry.size, plain_entry.sha256)
    if plain_entry is not None and (pool_indexes / plain_entry.sha256).exists():  # unpacked and read before
        return RecordedIndex(entry.path, entry.sha256, entry.size, plain_entry.sha256)
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


def _fetch_copies(
    request: RecordRequest, context: Context, suite: str, wanted: Sequence[IndexEntry], release: Release
) -> tuple[RecordedIndex, ...]:
    """Fetch what is served and never read here."""
    with ThreadPoolExecutor(max_workers=4) as pool:
        for _ in pool.map(lambda entry: _fetch_bytes(request, context, suite, entry, release), wanted):
            context.check_cancelled()
    plain = ((entry, release.indexes.get(split_ending(entry.path)[0], entry)) for entry in wanted)
    return tuple(RecordedIndex(entry.path, entry.sha256, entry.size, stem.sha256) for entry, stem in plain)


def _fetch_bytes(request: RecordRequest, context: Context, suite: str, entry: IndexEntry, release: Release) -> None:
    """Have a file that Release lists, as it signs it."""
    if context.objects.touch(entry.sha256):
        return
    urls = index_urls(request.url, suite, entry.path, entry.sha256, by_hash=release.acquire_by_hash)
    _fetch_first(context, urls, entry)
    context.log(f"fetched {entry.path} of {request.archive}/{suite} ({entry.size} bytes)")


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
    resigned = _resigned(request, context, document, before)
    for index in (index for suite in document.suites.values() for index in (*suite.indexes, *suite.copies)):
        context.objects.touch(index.sha256)
    with context.write() as tx:
        newest = newest_snapshot(tx, request.archive)
        if newest is not None and newest.digest == digest and serial is None:
            return newest
        if newest != before:  # ours was compared with an older one: it might take the archive back
            raise Busy(
                f"archive {request.archive} was recorded by somebody else meanwhile", hint="distwright job retry JOB"
            )
        given = newest_serial(tx, request.archive)
        if serial is not None and given is not None and serial <= given:
            raise Refused(
                f"serial {serial} is not later than {given}, the newest that {request.archive} has had",
                hint=f"distwright snapshot list {request.archive}",
            )
        now = context.now()
        row = Snapshot(
            request.archive,
            serial or next_serial(given, now),
            digest,
            now,
            valid_until,
            request.url,
        )
        insert_snapshot(tx, row)
        holder = f"snapshot {row.archive}/{row.serial}"
        replace_holds(tx, holder, [object_hold(holder, digest, "recorded")], now)
        if resigned is not None:
            keep_resigned_document(tx, row, resigned, now)
        body = {"archive": row.archive, "serial": row.serial, "snapshot": digest}
        append_event(tx, Event(EventKind.SNAPSHOT_RECORDED, now, f"{row.archive}/{row.serial}", body, context.job))
    return row


def _resigned(
    request: RecordRequest, context: Context, document: SnapshotDocument, before: Snapshot | None
) -> Sha256 | None:
    """Keep what clients see of a filtered record that is new."""
    pool = document.pool
    if pool is None or not pool.choice.is_filtered or pool.files is None:
        return None
    files = parse_chosen(context.objects.read(pool.files))
    return context.objects.put(filtered(request, document, files, context).to_bytes())
