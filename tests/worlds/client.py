"""Somebody who reads a published suite as apt does, and insists on one consistent state of it."""

import gzip
import hashlib
import lzma
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import zstandard

from distwright.signing.verify import Keyring

_UNPACK: Mapping[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.decompress,
    ".xz": lzma.decompress,
    ".zst": lambda frames: zstandard.ZstdDecompressor().stream_reader(frames, read_across_frames=True).read(),
}


@dataclass(frozen=True)
class SeenSuite:
    """What a client saw. indexes: uncompressed, by path. pool: path -> content."""

    release: str
    indexes: Mapping[str, bytes]
    pool: Mapping[str, bytes]

    @property
    def packages(self) -> list[str]:
        """Name and version of each binary package, sorted."""
        text = b"".join(self.indexes[path] for path in self.indexes if path.endswith("/Packages")).decode()
        stanzas = [dict(line.split(": ", 1) for line in stanza.splitlines() if not line.startswith(" "))
                   for stanza in text.split("\n\n") if stanza]  # fmt: skip
        return sorted(f"{stanza['Package']} {stanza['Version']}" for stanza in stanzas)


def see_suite(archive: Path, suite: str, certificate: bytes) -> SeenSuite:
    """Read everything that the InRelease of a suite promises; every file must be there, by its name and by its hash."""
    folder = archive / "dists" / suite
    keyring = Keyring(certificate, "the client's")
    release = keyring.verify_clear((folder / "InRelease").read_bytes(), "InRelease").content
    detached = (folder / "Release").read_bytes()
    keyring.verify_detached(detached, (folder / "Release.gpg").read_bytes(), "Release")
    assert detached.strip() == release.strip()
    rows = [line.split() for line in release.decode().partition("SHA256:\n")[2].splitlines() if line.startswith(" ")]
    plain = {path: read_plain(folder, path, digest, int(size), rows) for digest, size, path in rows if is_plain(path)}
    pool = {}
    for path, text in plain.items():
        if path.endswith("/Packages"):
            for name, digest in _files(text.decode()):
                pool[name] = (archive / name).read_bytes()
                assert hashlib.sha256(pool[name]).hexdigest() == digest, name
    return SeenSuite(release.decode(), plain, pool)


def is_plain(path: str) -> bool:
    """Say whether an index is not compressed."""
    return not path.endswith(tuple(_UNPACK))


def read_plain(folder: Path, path: str, digest: str, size: int, rows: Sequence[Sequence[str]]) -> bytes:
    """Read an index in every compression that Release lists; all must unpack to what it says of the plain form."""
    if path.endswith(".diff/Index"):  # never compressed
        return read_index(folder, path, digest, size)
    forms = [(row[2], row[0], int(row[1])) for row in rows if row[2].removeprefix(path) in _UNPACK]
    assert [name.removeprefix(path) for name, _, _ in forms] == list(_UNPACK)
    texts = {_UNPACK[name.removeprefix(path)](read_index(folder, name, known, length)) for name, known, length in forms}
    [text] = texts
    assert (len(text), hashlib.sha256(text).hexdigest()) == (size, digest), path
    return text


def read_index(folder: Path, path: str, digest: str, size: int) -> bytes:
    """Read an index by its path and by its hash."""
    content = (folder / path).read_bytes()
    assert (len(content), hashlib.sha256(content).hexdigest()) == (size, digest), path
    assert (folder / path).parent.joinpath("by-hash", "SHA256", digest).read_bytes() == content
    return content


def _files(packages: str) -> list[tuple[str, str]]:
    found = []
    for stanza in filter(None, packages.split("\n\n")):
        fields = dict(line.split(": ", 1) for line in stanza.splitlines() if not line.startswith(" "))
        found.append((fields["Filename"], fields["SHA256"]))
    return found
