"""Fetch what a signature promises, and keep it only if it is that."""

import shutil
from collections.abc import Sequence
from typing import Protocol

from distwright.errors import Refused
from distwright.model.digests import Sha256
from distwright.net.fetcher import Fetcher
from distwright.store.database import Database
from distwright.store.objects import ObjectStore

# We stop at the first piece too many ourselves. Were the fetcher to stop at the signed size, a file that has grown would look
# like a mirror that does not answer: no other mirror would be tried, and no newer InRelease.
_MORE_BYTES = 1 << 20
_UNKNOWN_BYTES = 8 << 30  # the largest file whose size nobody signed: an image of the installer


class Holdings(Protocol):
    """What is kept here, and the way to what is not: enough to serve snapshots whose pool files come lazily."""

    @property
    def database(self) -> Database:
        """Rows."""
        ...

    @property
    def objects(self) -> ObjectStore:
        """Objects."""
        ...

    @property
    def fetcher(self) -> Fetcher:
        """The way out."""
        ...

    @property
    def alternates(self) -> Sequence[ObjectStore]:
        """Object stores of other installations on this machine, to take objects from instead of the network."""
        ...


def fetch_object(holdings: Holdings, url: str, sha256: Sha256, size_bytes: int | None) -> None:
    """Fetch a file whose hash and size a signature promises, and keep it; raise Refused if the bytes are others.

    size_bytes: None if only the hash is promised; then at most 8 GiB are taken.
    """
    for alternate in holdings.alternates:
        if alternate.has(sha256) and alternate.is_intact(sha256):
            with holdings.objects.writing(expect=sha256) as writer, alternate.open(sha256) as file:
                shutil.copyfileobj(file, writer)
            return
    with holdings.objects.writing(expect=sha256) as writer:
        limit = _UNKNOWN_BYTES if size_bytes is None else size_bytes
        for piece in holdings.fetcher.fetch(url, limit_bytes=limit + _MORE_BYTES):
            writer.write(piece)
            if writer.size_bytes > limit:
                raise _other(url, f"is larger than the {limit} bytes that were signed")
        if size_bytes is not None and writer.size_bytes != size_bytes:
            raise _other(url, f"has {writer.size_bytes} bytes, {size_bytes} were signed: cut off, or another version")
        if writer.digest != sha256:
            raise _other(url, f"has SHA-256 {writer.digest}, {sha256} was signed")


def _other(url: str, what: str) -> Refused:
    return Refused(f"{url} {what}", hint="try another mirror")
