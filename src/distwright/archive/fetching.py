"""Fetch what a signature promises, and keep it only if it is that."""

from collections.abc import Sequence
from typing import Protocol

from distwright.errors import Refused, Unreachable
from distwright.model.digests import Sha256
from distwright.net.fetch import Fetcher
from distwright.store.database import Database
from distwright.store.objects import FileObjects, ObjectStore


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
    def alternates(self) -> Sequence[FileObjects]:
        """Object stores of other installations on this machine, to take objects from instead of the network."""
        ...


def fetch_object(holdings: Holdings, url: str, sha256: Sha256, size_bytes: int) -> None:
    """Fetch a file whose hash and size a signature promises, and keep it; raise Refused if the bytes are others."""
    for alternate in holdings.alternates:
        if alternate.has(sha256) and alternate.is_intact(sha256):
            holdings.objects.put_file(alternate.path(sha256))
            return
    with holdings.objects.writing(expect=sha256) as writer:
        try:
            for piece in holdings.fetcher.fetch(url, limit_bytes=size_bytes):
                writer.write(piece)
        except Unreachable as error:
            if writer.size_bytes >= size_bytes:
                raise Refused(
                    f"{url} is larger than the {size_bytes} bytes that were signed", hint="try another mirror"
                ) from error
            raise
        if writer.size_bytes != size_bytes:
            raise Refused(
                f"{url} has {writer.size_bytes} bytes, {size_bytes} were signed: cut off, or another version",
                hint="try another mirror",
            )
