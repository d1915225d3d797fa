"""The shelf: what a job may read of archives, by digest. Pool files come lazily from upstream and are verified on arrival.

Releases are served unsigned: signatures were verified when the snapshot was recorded, and everything here is known by hash.
"""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import BinaryIO
from weakref import WeakValueDictionary

from distwright.archive.fetching import Holdings, fetch_object
from distwright.archive.indexes import entries_of_texts, index_files, pool_of, release_of
from distwright.archive.poolindex import PoolFile, find_in_pool_index, pool_files, write_pool_index
from distwright.archive.snapshots import RecordedIndex, parse_snapshot
from distwright.archive.tree import parse_root
from distwright.archive.unrecorded import Promised, Unrecorded, moved_on, parse_sums
from distwright.errors import BadInput, DistwrightError, Lost, NotFound, Refused, Unreachable, quoted
from distwright.formats.compression import decompress, split_ending
from distwright.formats.release import write_release
from distwright.jobs.step import Fetched, ShelfEntry
from distwright.model.digests import Sha256, sha256_of
from distwright.store.archives import find_snapshot_by_digest
from distwright.store.objects import ObjectStore

_PLAIN_LIMIT_BYTES = 2 << 30

Mirrors = Callable[[str], Sequence[str]]
"""Gives the base URLs that this machine fetches an archive from now, the best first."""


@dataclass(frozen=True, slots=True)
class _Suite:
    entry: ShelfEntry
    files: Mapping[str, Sha256 | bytes]
    pools: list[Callable[[], Path]]
    url: str | None
    unrecorded: Callable[[], Unrecorded] | None = None  # read when asked for: a Release of Debian names 1,500 files


def no_mirrors(_archive: str) -> Sequence[str]:
    """Know no mirror but the one that a snapshot was recorded from."""
    return ()


def recorded_pool(objects: ObjectStore, index: RecordedIndex, pool_indexes: Path) -> Path:
    """Give the pool index of a recorded index, made anew if it is gone from the cache; raise BadInput if the object has rotted."""
    derived = pool_indexes / index.plain
    if not derived.exists():
        stem, ending = split_ending(index.path)
        plain = decompress(objects.read(index.sha256), ending, limit_bytes=_PLAIN_LIMIT_BYTES)
        if sha256_of(plain) != index.plain:
            raise BadInput(
                f"object {index.sha256} has rotted", hint="remove its file, then: distwright archive record ARCHIVE"
            )
        write_pool_index(derived, pool_files(stem, plain))
    return derived


class Shelf:
    """Answers `archive/dists/…` and `archive/pool/…` for the suites of one plan, and remembers which pool files it gave."""

    def __init__(
        self,
        entries: Sequence[ShelfEntry],
        holdings: Holdings,
        pool_indexes: Path,
        *,
        signed: bool = False,
        mirrors: Mirrors = no_mirrors,
        limit_bytes: int = 0,
    ) -> None:
        """Open the documents of all entries; raise NotFound if one is not in the object store.

        limit_bytes: of all different pool files that it gives, 0 for no limit: a program could ask for a whole archive.

        signed: serve upstream's own InRelease too, for clients that have no other way to trust us, and all that it names: what was
        not recorded is fetched as pool files are. mirrors: where this machine
        fetches an archive now; asked before the mirror that a snapshot was recorded from, which may be gone.
        """
        self._mirrors = mirrors
        self._silent: set[str] = set()
        self._holdings = holdings
        self._signed = signed
        self._pool_indexes = pool_indexes
        self._lock = threading.Lock()
        self._fetching: WeakValueDictionary[Sha256, threading.Lock] = WeakValueDictionary()
        self._fetched: dict[tuple[str, str], Fetched] = {}
        self._limit_bytes, self._given_bytes, self.passed_limit = limit_bytes, 0, False
        self._counted: set[tuple[str, str]] = set()
        self._suites = [self._own(entry) if entry.is_own else self._recorded(entry) for entry in entries]

    @property
    def fetched(self) -> tuple[Fetched, ...]:
        """The pool files given so far, sorted; a shelf that is `signed` does not keep them."""
        return tuple(sorted(self._fetched.values(), key=lambda file: (file.archive, file.path)))

    def find(self, path: str) -> tuple[BinaryIO, int]:
        """Open a file by its path; raise NotFound, Lost, Refused (wrong bytes from upstream) or Unreachable."""
        # No name of an archive; half a surrogate, from a builder's JSON, could not even be looked up.
        if not path.isprintable():
            raise NotFound(f"{quoted(path)} is not on the shelf", hint="distwright snapshot list")
        archive, _, below = path.partition("/")
        for suite in self._suites:
            if suite.entry.folder != archive:
                continue
            prefix = f"dists/{suite.entry.suite}/"
            if below.startswith(prefix):
                return self._index(suite, below.removeprefix(prefix))
        found = self._promised(archive, below)
        if found is None:
            raise NotFound(f"{path} is not on the shelf", hint="distwright snapshot list")
        return self._pool_file(*found)

    def promised(self, path: str) -> PoolFile | None:
        """Say which file the indexes promise at a path of a pool, here or not; None if there is none."""
        archive, _, below = path.partition("/")
        found = self._promised(archive, below)
        return None if found is None else found[1]

    def _promised(self, archive: str, path: str) -> tuple[_Suite, PoolFile] | None:
        """Find a pool file in the lists of the record, then in those that came after it."""
        suites = [suite for suite in self._suites if suite.entry.folder == archive and path.startswith("pool/")]
        for suite in suites:
            if (file := self._in_pool(suite.pools, path)) is not None:
                return suite, file
        for suite in suites:
            if suite.unrecorded is not None:
                late = suite.unrecorded().lists_here(self._holdings.objects)
                if (file := self._in_pool(self._pools_of(late), path)) is not None:
                    return suite, file
        return None

    def _index(self, suite: _Suite, path: str) -> tuple[BinaryIO, int]:
        content = suite.files.get(path)
        if content is None and "/by-hash/SHA256/" in path:
            wanted = path.rpartition("/")[2]
            content = next((digest for digest in suite.files.values() if _has_digest(digest, wanted)), None)
        if content is None and suite.unrecorded is not None:
            return self._come_late(suite, suite.unrecorded(), path)
        if content is None:
            raise NotFound(f"{path} is not recorded of {suite.entry.name}", hint="distwright snapshot list")
        if isinstance(content, bytes):
            return BytesIO(content), len(content)
        return self._holdings.objects.open(content), self._holdings.objects.size(content)

    def _come_late(self, suite: _Suite, unrecorded: Unrecorded, path: str) -> tuple[BinaryIO, int]:
        """Open what upstream signed and was not recorded; fetch it if it is not here yet."""
        promised = unrecorded.find(path)
        sums = None if promised else unrecorded.sums_above(path)
        if sums is not None:
            with self._index(suite, sums)[0] as file:
                digest = parse_sums(file.read(), sums).get(path)
            promised = None if digest is None else Promised(path, digest, None, has_by_hash=False)
        if promised is None:
            raise NotFound(f"{path} is not in Release of {suite.entry.name}", hint="distwright snapshot list")
        objects = self._holdings.objects
        with self._lock_of(promised.sha256):
            if not objects.touch(promised.sha256):
                self._fetch_late(suite, promised)
        return objects.open(promised.sha256), objects.size(promised.sha256)

    def _fetch_late(self, suite: _Suite, promised: Promised) -> None:
        """Fetch a file from the first mirror that still has it; raise NotFound if all have moved on."""
        entry = suite.entry
        failure: DistwrightError | None = None
        for base in self._bases(suite):
            for url in promised.urls(base, entry.suite):
                try:
                    fetch_object(self._holdings, url, promised.sha256, promised.size_bytes)
                except (NotFound, Refused):  # gone, or by now another
                    continue
                except Unreachable as error:
                    self._silent.add(base)
                    failure = error
                    break
                else:
                    return
        raise failure or moved_on(promised.path, entry.archive, entry.suite)

    def _in_pool(self, pools: Iterable[Callable[[], Path]], path: str) -> PoolFile | None:
        return next((file for pool in pools if (file := find_in_pool(pool, path))), None)

    def _pools_of(self, indexes: Iterable[RecordedIndex]) -> list[Callable[[], Path]]:
        return [
            partial(recorded_pool, self._holdings.objects, index, self._pool_indexes)
            for index in indexes
            if index.names_pool_files
        ]

    def _lock_of(self, digest: Sha256) -> threading.Lock:
        """Give the lock under which a file is fetched, once."""
        with self._lock:
            return self._fetching.setdefault(digest, threading.Lock())

    def _pool_file(self, suite: _Suite, file: PoolFile) -> tuple[BinaryIO, int]:
        self._count(suite, file)
        with self._lock_of(file.sha256):
            if not self._holdings.objects.has(file.sha256):
                self._fetch(suite, file)
        name = suite.entry
        if not self._signed:  # clients are many, and live long; a job is asked what it took
            with self._lock:
                self._fetched[(name.archive, file.path)] = Fetched(
                    name.archive, name.suite, file.path, file.sha256, file.size_bytes
                )
        return self._holdings.objects.open(file.sha256), file.size_bytes

    def _count(self, suite: _Suite, file: PoolFile) -> None:
        """Count a file the first time that it is asked for. Raises Refused past the limit."""
        with self._lock:
            if not self._limit_bytes or (suite.entry.archive, file.path) in self._counted:
                return
            if self._given_bytes + file.size_bytes > self._limit_bytes:
                self.passed_limit = True
                raise Refused(
                    f"{file.path} would be more than the {self._limit_bytes} bytes that may be asked for",
                    hint="look at distwright job log JOB for what wants so much",
                )
            self._counted.add((suite.entry.archive, file.path))
            self._given_bytes += file.size_bytes

    def _fetch(self, suite: _Suite, file: PoolFile) -> None:
        """Fetch a file from the first mirror that gives what was signed; one that did not answer before is asked last."""
        if suite.entry.is_own:
            raise Lost(f"{file.path} of {suite.entry.name} is lost", hint="restore objects/ from a backup")
        failure: DistwrightError = NotFound(
            f"archive {suite.entry.archive} has no mirror", hint=f"set fetch_from in [archive.{suite.entry.archive}]"
        )
        for base in self._bases(suite):
            url = f"{base}/{file.path}"
            try:
                fetch_object(self._holdings, url, file.sha256, file.size_bytes)
            except NotFound:  # a signed index promises it: that it is gone is no answer, but trouble
                failure = Unreachable(
                    f"upstream no longer has {quoted(url)}", hint="name a mirror that keeps old files in fetch_from"
                )
            except (Unreachable, Refused) as error:
                self._silent.add(base)
                failure = error
            else:
                return
        raise failure

    def _bases(self, suite: _Suite) -> list[str]:
        """Say which mirrors to ask, those that did not answer before last."""
        known = (*self._mirrors(suite.entry.archive), *([] if suite.url is None else [suite.url]))
        return sorted(dict.fromkeys(known), key=self._silent.__contains__)

    def _recorded(self, entry: ShelfEntry) -> _Suite:
        document = parse_snapshot(self._holdings.objects.read(entry.document))
        recorded = document.suites.get(entry.suite)
        if recorded is None:
            raise NotFound(
                f"snapshot {entry.document.short} of {entry.archive} has no suite {entry.suite}",
                hint=f"distwright snapshot list {entry.archive}",
            )
        with self._holdings.database.read() as tx:
            row = find_snapshot_by_digest(tx, entry.archive, entry.document)
        files: dict[str, Sha256 | bytes] = {index.path: index.sha256 for index in (*recorded.indexes, *recorded.copies)}
        files["Release"] = recorded.release
        if self._signed:
            files["InRelease"] = recorded.inrelease
        pools = self._pools_of(recorded.indexes)
        for pool in pools:
            pool()
        unrecorded = partial(Unrecorded, recorded, self._holdings.objects) if self._signed else None
        return _Suite(entry, files, pools, None if row is None else row.fetched_from, unrecorded)

    def _own(self, entry: ShelfEntry) -> _Suite:
        root = parse_root(self._holdings.objects.read(entry.document))
        plain = index_files(root, self._holdings.objects.read, entry.lists)
        files: dict[str, Sha256 | bytes] = dict(plain)
        files["Release"] = write_release(release_of(dict(entry.fields), entries_of_texts(plain)))

        def own_pool() -> Path:
            derived = self._pool_indexes / entry.document
            if not derived.exists():
                write_pool_index(derived, pool_of(root, self._holdings.objects.read))
            return derived

        own_pool()
        return _Suite(entry, files, [own_pool], None)


def find_in_pool(pool: Callable[[], Path], path: str) -> PoolFile | None:
    """Find a path in a pool index, even if the cache is being removed meanwhile."""
    try:
        return find_in_pool_index(pool(), path)
    except FileNotFoundError:
        return find_in_pool_index(pool(), path)


def _has_digest(content: Sha256 | bytes, wanted: str) -> bool:
    return (sha256_of(content) if isinstance(content, bytes) else content) == wanted
