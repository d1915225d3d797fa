"""Serve recorded archives to any apt: `ARCHIVE/dists/…` is the newest snapshot, `ARCHIVE/SERIAL/dists/…` a given one.

Indexes and InRelease are upstream's own bytes. Every snapshot's `pool/` is the archive's one pool, so that caches hold a file once.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import BinaryIO

from distwright.archive.fetching import Holdings
from distwright.archive.shelf import Shelf
from distwright.archive.snapshots import parse_snapshot
from distwright.errors import NotFound
from distwright.jobs.step import ShelfEntry
from distwright.model.digests import Sha256
from distwright.store.archives import find_snapshot, list_snapshots, newest_snapshot

_SERIAL = re.compile(r"\d{10}")


class RecordedServing:
    """Answers paths below one recorded archive. Thread-safe; keeps the documents of snapshots it was asked for."""

    def __init__(self, archive: str, holdings: Holdings, pool_indexes: Path) -> None:
        """Serve `archive`."""
        self._archive = archive
        self._holdings = holdings
        self._pool_indexes = pool_indexes
        self._shelves: dict[Sha256, Shelf] = {}
        self._lock = Lock()

    def find(self, path: str) -> tuple[BinaryIO, int]:
        """Open a file; raise NotFound, or Refused and Unreachable if upstream does not give what it signed."""
        first, _, rest = path.partition("/")
        serial, below = (first, rest) if _SERIAL.fullmatch(first) else (None, path)
        if below.startswith("pool/"):
            return self._in_any_snapshot(below)
        with self._holdings.database.read() as tx:
            found = newest_snapshot(tx, self._archive) if serial is None else find_snapshot(tx, self._archive, serial)
        if found is None:
            raise NotFound(f"archive {self._archive} has no snapshot {serial or ''}", hint="distwright snapshot list")
        return self._shelf(found.digest).find(f"{self._archive}/{below}")

    def _in_any_snapshot(self, path: str) -> tuple[BinaryIO, int]:
        with self._holdings.database.read() as tx:
            snapshots = list_snapshots(tx, self._archive)
        for digest in dict.fromkeys(snapshot.digest for snapshot in snapshots):
            try:
                return self._shelf(digest).find(f"{self._archive}/{path}")
            except NotFound:
                continue
        raise NotFound(f"{path} is in no snapshot of {self._archive}", hint=f"distwright snapshot list {self._archive}")

    def _shelf(self, digest: Sha256) -> Shelf:
        with self._lock:
            if digest not in self._shelves:
                document = parse_snapshot(self._holdings.objects.read(digest))
                entries = [ShelfEntry(self._archive, suite, digest) for suite in document.suites]
                self._shelves[digest] = Shelf(entries, self._holdings, self._pool_indexes, signed=True)
            return self._shelves[digest]


def sources_text(archive: str, url: str, suites: Mapping[str, tuple[str, ...]], signed_by: str) -> str:
    """Give deb822 sources to paste: one stanza per suite. suites: name -> components. signed_by: a path, or an armoured key."""
    key = (
        signed_by
        if signed_by.startswith("/")
        else "\n" + "\n".join(f" {line or '.'}" for line in signed_by.splitlines())
    )
    return "\n".join(
        f"Types: deb\nURIs: {url}/{archive}\nSuites: {suite}\nComponents: {' '.join(components)}\nSigned-By: {key}\n"
        for suite, components in suites.items()
    )
