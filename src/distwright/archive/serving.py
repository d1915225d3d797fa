"""Serve recorded archives to any apt: `ARCHIVE/dists/…` is the newest snapshot, `ARCHIVE/SERIAL/dists/…` a given one.

`ARCHIVE/snapshots/NAME/dists/…` is a given one too, by serial or by tag as in archives of ours: one address for `apt -S`.
Indexes and InRelease are upstream's own bytes; what InRelease names and was not recorded comes when it is asked for. Every
snapshot's `pool/` is the archive's one pool, so that caches hold a file once; but where upstream has made a file anew under its
old name, each snapshot has the one that it promised.
"""

import re
from collections.abc import Callable, Iterable, Set
from datetime import datetime
from functools import partial
from pathlib import Path
from threading import Lock
from typing import BinaryIO

from distwright.archive.fetching import Holdings
from distwright.archive.poolindex import PoolFile
from distwright.archive.resigned import ResignedSuite, parse_resigned
from distwright.archive.shelf import Mirrors, Shelf, find_in_pool, no_mirrors, recorded_pool
from distwright.archive.snapshots import RecordedIndex, parse_snapshot
from distwright.archive.trace import TRACE
from distwright.archive.trees import SNAPSHOTS
from distwright.archive.unrecorded import Unrecorded
from distwright.errors import NotFound
from distwright.jobs.step import ShelfEntry
from distwright.model.digests import Sha256
from distwright.store.archives import find_snapshot, list_snapshots, newest_snapshot
from distwright.store.signed import find_resigned

_SHELVES_KEPT = 32  # snapshots whose documents stay open; each takes about a megabyte
_SERIAL = re.compile(r"(?:snapshots/)?(\d{10})/(.*)", re.DOTALL)


def snapshot_path(path: str) -> tuple[str | None, str]:
    """Split a path of a recorded archive into the serial that it names, if any, and what is below that."""
    found = _SERIAL.fullmatch(path)
    return (found[1], found[2]) if found else (None, path)


class RecordedServing:
    """Answers paths below one recorded archive. Thread-safe; keeps what it has read of the snapshots that it was asked for last."""

    def __init__(
        self,
        archive: str,
        holdings: Holdings,
        pool_indexes: Path,
        now: Callable[[], datetime],
        mirrors: Mirrors = no_mirrors,
        public: Path | None = None,
    ) -> None:
        """Serve `archive`. mirrors: where this machine fetches an archive now. public: where its tagged snapshots lie.

        now: decides whether what upstream signed has ended, and what we signed takes its place.
        """
        self._now = now
        self._public = None if public is None else (public / archive).resolve()
        self._mirrors = mirrors
        self._read_documents: set[Sha256] = set()
        self._pools: dict[Sha256, tuple[RecordedIndex, Sha256]] = {}
        self._late: dict[Sha256, list[RecordedIndex]] = {}
        self._archive = archive
        self._holdings = holdings
        self._pool_indexes = pool_indexes
        self._shelves: dict[Sha256, Shelf] = {}
        self._lock = Lock()

    def find(self, path: str) -> tuple[BinaryIO, int]:
        """Open a file; raise NotFound, or Refused and Unreachable if upstream does not give what it signed."""
        serial, below = snapshot_path(path)
        if serial is None and path.startswith((f"{SNAPSHOTS}/", f"{TRACE}/")):
            return self._laid_out(path)
        if below.startswith("pool/"):
            return self._promising(serial, below)[0].find(f"{self._archive}/{below}")
        with self._holdings.database.read() as tx:
            found = newest_snapshot(tx, self._archive) if serial is None else find_snapshot(tx, self._archive, serial)
        if found is None:
            raise NotFound(f"archive {self._archive} has no snapshot {serial or ''}", hint="distwright snapshot list")
        ours = self._resigned(found.serial, below)
        if ours is not None:
            return self._holdings.objects.open(ours), self._holdings.objects.size(ours)
        with self._lock:
            self._late.pop(found.digest, None)  # this may bring a list that names pool files
        return self._shelf(found.digest).find(f"{self._archive}/{below}")

    def address(self, path: str) -> str:
        """Say below which path caches should hold a file: the one pool's for a snapshot's, unless it is another by that name."""
        serial, below = snapshot_path(path)
        if serial is None or not below.startswith("pool/"):
            return path
        own, shared = (self._promising(wanted, below)[1] for wanted in (serial, None))
        return below if own.sha256 == shared.sha256 else path

    def _laid_out(self, path: str) -> tuple[BinaryIO, int]:
        """Open a file of a tagged snapshot or the trace, which lie ready."""
        if self._public is not None:
            file = (self._public / path).resolve()
            if file.is_relative_to(self._public) and file.is_file():
                return file.open("rb"), file.stat().st_size
        raise NotFound(f"{path} is not in archive {self._archive}", hint=f"distwright snapshot list {self._archive}")

    def _resigned(self, serial: str, path: str) -> Sha256 | None:
        """Give the object that is served at a path with our signature; None if it is upstream's. Raises NotFound."""
        with self._holdings.database.read() as tx:
            row = find_resigned(tx, self._archive, serial)
        if row is None:
            return None
        for name, suite in parse_resigned(self._holdings.objects.read(row.document)).suites.items():
            if path.startswith(f"dists/{name}/") and suite.is_served(self._now()):
                return _in_suite(suite, path.removeprefix(f"dists/{name}/"))
        return None

    def _promising(self, serial: str | None, path: str) -> tuple[Shelf, PoolFile]:
        """Find who promises a pool file: the snapshot of that serial; else, or without one, the newest that has it."""
        if serial is not None:
            with self._holdings.database.read() as tx:
                row = find_snapshot(tx, self._archive, serial)
            shelf = None if row is None else self._shelf(row.digest)
            file = None if shelf is None else shelf.promised(f"{self._archive}/{path}")
            if shelf is not None and file is not None:
                return shelf, file
        return self._in_any_snapshot(path)

    def _in_any_snapshot(self, path: str) -> tuple[Shelf, PoolFile]:
        """Look into each distinct index once, however many snapshots share it, and open only the snapshot that has the file."""
        for lists in (self._distinct_pools, self._late_lists):
            for index, digest in lists():
                pool = partial(recorded_pool, self._holdings.objects, index, self._pool_indexes)
                if (file := find_in_pool(pool, path)) is not None:
                    return self._shelf(digest), file
        raise NotFound(f"{path} is in no snapshot of {self._archive}", hint=f"distwright snapshot list {self._archive}")

    def _distinct_pools(self) -> Iterable[tuple[RecordedIndex, Sha256]]:
        """List the indexes that name pool files, each with the newest snapshot that has it; those of newer snapshots first."""
        with self._holdings.database.read() as tx:
            digests = [snapshot.digest for snapshot in list_snapshots(tx, self._archive)]
        with self._lock:
            self._forget_all_but(set(digests))
            for digest in reversed(digests):
                if digest in self._read_documents:
                    continue
                document = parse_snapshot(self._holdings.objects.read(digest))
                for index in (index for suite in document.suites.values() for index in suite.indexes):
                    if index.names_pool_files:
                        self._pools.pop(index.plain, None)
                        self._pools[index.plain] = (index, digest)
                self._read_documents.add(digest)
            return list(reversed(self._pools.values()))

    def _forget_all_but(self, digests: Set[Sha256]) -> None:
        """Forget dropped snapshots: an index that they shared with others is to be found in one that is there."""
        if not self._read_documents <= digests:
            self._pools.clear()
            self._read_documents.clear()
        for gone in (self._shelves.keys() | self._late.keys()) - digests:
            self._shelves.pop(gone, None)
            self._late.pop(gone, None)

    def _late_lists(self) -> Iterable[tuple[RecordedIndex, Sha256]]:
        """Give the lists that came after their record, those of newer snapshots first; each Release is read once."""
        objects = self._holdings.objects
        with self._holdings.database.read() as tx:
            digests = list(dict.fromkeys(snapshot.digest for snapshot in list_snapshots(tx, self._archive)))
        for digest in digests:
            with self._lock:
                known = self._late.get(digest)
            if known is None:
                suites = parse_snapshot(objects.read(digest)).suites.values()
                known = [index for suite in suites for index in Unrecorded(suite, objects).lists_here(objects)]
                with self._lock:
                    self._late[digest] = known
            yield from ((index, digest) for index in known)

    def _shelf(self, digest: Sha256) -> Shelf:
        with self._lock:
            shelf = self._shelves.pop(digest, None)
            if shelf is None:
                document = parse_snapshot(self._holdings.objects.read(digest))
                entries = [ShelfEntry(self._archive, suite, digest) for suite in document.suites]
                shelf = Shelf(entries, self._holdings, self._pool_indexes, signed=True, mirrors=self._mirrors)
            self._shelves[digest] = shelf  # the last of them: what was asked for least recently goes first
            while len(self._shelves) > _SHELVES_KEPT:
                del self._shelves[next(iter(self._shelves))]
            return shelf


def _in_suite(suite: ResignedSuite, path: str) -> Sha256 | None:
    wanted = path.rpartition("/")[2]
    if path in suite.files:
        return suite.files[path]
    if "/by-hash/SHA256/" in path and wanted in suite.files.values():
        return Sha256(wanted)
    if suite.is_whole:
        raise NotFound(f"{path} is not in the filtered suite", hint="distwright snapshot list")
    return None
