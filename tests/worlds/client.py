"""Somebody who reads a published suite as apt does, and insists on one consistent state of it."""

import gzip
import hashlib
import lzma
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from distwright.signing.verify import Keyring

_UNPACK: Mapping[str, Callable[[bytes], bytes]] = {
    "": lambda text: text,
    ".gz": gzip.decompress,
    ".xz": lzma.decompress,
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
    indexes = {path: read_index(folder, path, digest, int(size)) for digest, size, path in rows}
    for path, content in indexes.items():
        for ending, unpack in _UNPACK.items():
            if ending and path.endswith(ending):
                assert unpack(content) == indexes[path.removesuffix(ending)], path
    pool = {}
    for path, text in indexes.items():
        if path.endswith("/Packages"):
            for name, digest in _files(text.decode()):
                pool[name] = (archive / name).read_bytes()
                assert hashlib.sha256(pool[name]).hexdigest() == digest, name
    plain = {path: text for path, text in indexes.items() if not path.endswith((".gz", ".xz"))}
    return SeenSuite(release.decode(), plain, pool)


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
