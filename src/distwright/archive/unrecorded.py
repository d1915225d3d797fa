"""What the signed Release of a recorded suite names beyond what was recorded: it comes when somebody asks for it, and then stays.

Contents, AppStream data, descriptions in other languages, lists of other architectures; and the installer's images, whose digests
are in a SHA256SUMS that Release names.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from distwright.archive.snapshots import RecordedIndex, RecordedSuite
from distwright.errors import BadInput, NotFound
from distwright.formats.compression import split_ending
from distwright.formats.release import IndexEntry, parse_release
from distwright.model.digests import Sha256
from distwright.store.objects import ObjectStore

SUMS = "SHA256SUMS"
BY_HASH = "/by-hash/SHA256/"
_DIGEST = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_SUM = re.compile(rb"([0-9a-f]{64}) [ *](?:\./)?([^\n]+)")


@dataclass(frozen=True, slots=True)
class Promised:
    """A file that a signature covers. path: below `dists/SUITE/`. size_bytes: None if only its digest is signed."""

    path: str
    sha256: Sha256
    size_bytes: int | None
    has_by_hash: bool

    def urls(self, base: str, suite: str) -> list[str]:
        """Say where a mirror has it, the address that never means something else first."""
        return index_urls(base, suite, self.path, self.sha256, by_hash=self.has_by_hash)


class Unrecorded:
    """The files that a recorded suite was signed with and that are not in its record."""

    def __init__(self, suite: RecordedSuite, objects: ObjectStore) -> None:
        """Read its Release."""
        release = parse_release(objects.read(suite.release))
        recorded = {index.path for index in suite.indexes}
        self._entries = {path: entry for path, entry in release.indexes.items() if path not in recorded}
        self._all = release.indexes
        self._has_by_hash = release.acquire_by_hash

    def find(self, path: str) -> Promised | None:
        """Find what Release names, by its path or by its hash."""
        folder, by_hash, digest = path.rpartition(BY_HASH)
        if not by_hash:
            entry = self._entries.get(path)
            return None if entry is None else self._promised(entry)
        found = (one for one in self._entries.values() if one.sha256 == digest and _folder(one.path) == folder)
        return next((self._promised(entry) for entry in found), None)

    def all(self) -> Iterator[Promised]:
        """Give everything that Release names."""
        return map(self._promised, self._entries.values())

    def sums_above(self, path: str) -> str | None:
        """Find the SHA256SUMS that says what a file below its folder is: its path, recorded or not."""
        folder = _folder(path)
        while folder:
            if f"{folder}/{SUMS}" in self._all:
                return f"{folder}/{SUMS}"
            folder = _folder(folder)
        return None

    def lists_here(self, objects: ObjectStore) -> Iterator[RecordedIndex]:
        """Give the Packages and Sources that have come since the record: they name pool files too."""
        for entry in self._entries.values():
            stem = split_ending(entry.path)[0]
            plain = self._all.get(stem, entry)
            index = RecordedIndex(entry.path, entry.sha256, entry.size, plain.sha256)
            if stem != entry.path and index.names_pool_files and objects.has(entry.sha256):
                yield index

    def sums_here(self, objects: ObjectStore) -> list[Sha256]:
        """Give the SHA256SUMS of installers that are here."""
        found = {entry.sha256 for path, entry in self._all.items() if path.endswith(f"/{SUMS}")}
        return [digest for digest in sorted(found) if objects.has(digest)]

    def _promised(self, entry: IndexEntry) -> Promised:
        return Promised(entry.path, entry.sha256, entry.size, self._has_by_hash)


def index_urls(base: str, suite: str, path: str, sha256: Sha256, *, by_hash: bool) -> list[str]:
    """Say where a mirror has a file of a suite: by its hash as long as it keeps that, and by its path until that is another."""
    folder = f"{base}/dists/{suite}"
    plain = f"{folder}/{path}"
    return [f"{folder}/{_folder(path)}{BY_HASH}{sha256}", plain] if by_hash else [plain]


def parse_sums(content: bytes, path: str) -> Mapping[str, Sha256]:
    """Read a SHA256SUMS: path below the suite -> digest. path: its own. Raises BadInput if a line is none of sha256sum(1)."""
    folder, found = _folder(path), {}
    for line in content.splitlines():
        match = _SUM.fullmatch(line)
        if match is None:
            raise BadInput(f"{path} has a line that is no checksum", hint="tell the archive's maintainers")
        found[f"{folder}/{match[2].decode(errors='replace')}"] = Sha256(match[1].decode())
    return found


def moved_on(path: str, archive: str, suite: str) -> NotFound:
    """Say that upstream no longer has what nobody asked for in time."""
    return NotFound(
        f"{path} was not recorded with {archive}/{suite}, and upstream has moved on: it no longer has it",
        hint=f"record it from now on (contents, translations, architectures, udebs of [archive.{archive}]): "
        f"distwright archive record {archive}",
    )


def kept_beside(text: bytes, here: Collection[str]) -> set[Sha256]:
    """Give what is here of the files that a Release or a SHA256SUMS names. Cost: one search through its text."""
    return {Sha256(digest) for match in _DIGEST.finditer(text) if (digest := match[0].decode()) in here}


def _folder(path: str) -> str:
    return path.rpartition("/")[0]
