"""The object store of a machine that works for another: what is kept here is a cache, the server's store is the truth.

Nothing is kept until the server has it: whoever names an object in a row finds it there. What is fetched is verified here.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import BinaryIO, NoReturn, Protocol

from distwright.errors import Refused, Rotten
from distwright.model.digests import Sha256
from distwright.store.adopting import FoundFile
from distwright.store.locks import locked
from distwright.store.objects import FileObjects, ObjectWriter, rotten

_YOUNG_S = 3600.0  # a program may read what was asked for a moment ago by its name


class Home(Protocol):
    """The store of the server, over a network that may be cut: each call waits for it, as long as its maker has patience."""

    def has(self, digest: Sha256) -> bool:
        """Say whether the object is there."""
        ...

    def touch(self, digest: Sha256) -> bool:
        """Say whether the object is there, and if so let it count as kept just now."""
        ...

    def pieces(self, digest: Sha256, offset: int) -> Iterator[bytes]:
        """Give the bytes of an object from an offset on, unverified. Raises Lost, Unreachable."""
        ...

    def send(self, digest: Sha256, path: Path) -> None:
        """Let the server have a file as this object; go on where an earlier try was cut off. Raises Unreachable, OutOfSpace."""
        ...


class HomeObjects(FileObjects):
    """Objects of the server, with a cache in `root`. Whoever collects, repairs or lists objects does it on the server."""

    def __init__(self, root: Path, home: Home) -> None:
        """Use `root` for the cache."""
        super().__init__(root)
        self._cache = FileObjects(root)
        self._fetching = root / "fetching"
        self._home = home

    def put(self, content: bytes) -> Sha256:
        """Keep bytes."""
        return self._sent(self._cache.put(content))

    def take_over(self, descriptor: int, folder: int, name: str) -> Sha256 | None:
        """Keep a file that others are done with, by moving it."""
        digest = self._cache.take_over(descriptor, folder, name)
        return None if digest is None else self._sent(digest)

    def put_file(self, path: Path) -> Sha256:
        """Keep a copy of a file's bytes."""
        return self._sent(self._cache.put_file(path))

    @contextmanager
    def writing(self, expect: Sha256 | None = None) -> Iterator[ObjectWriter]:
        """Keep what is written in the block, unless it raises."""
        with self._cache.writing(expect) as writer:
            yield writer
        self._sent(writer.digest)

    def adopt(self, files: Sequence[FoundFile], *, link: bool) -> None:
        """Keep files that lie elsewhere."""
        self._cache.adopt(files, link=link)
        for file in files:
            self._sent(file.sha256)

    @contextmanager
    def staging(self) -> Iterator[Callable[[bytes], Sha256]]:
        """Give a `put` for many small objects."""
        kept: dict[Sha256, None] = {}
        with self._cache.staging() as put:

            def noted(content: bytes) -> Sha256:
                digest = put(content)
                kept[digest] = None
                return digest

            yield noted
        for digest in kept:
            self._sent(digest)

    def open(self, digest: Sha256) -> BinaryIO:
        """Open for reading."""
        with contextlib.suppress(FileNotFoundError):
            return self.path(digest).open("rb")
        self._fetch(digest)
        return self._cache.open(digest)

    def read(self, digest: Sha256) -> bytes:
        """Give all bytes, checked; what has rotted in the cache is fetched again."""
        try:
            return super().read(digest)
        except Rotten:
            self.path(digest).unlink(missing_ok=True)
            return super().read(digest)

    def has(self, digest: Sha256) -> bool:
        """Say whether the object is in the cache or on the server."""
        return self._cache.has(digest) or self._home.has(digest)

    def touch(self, digest: Sha256) -> bool:
        """Say whether the server has the object, and let it count as kept just now; what only the cache has is sent."""
        is_cached = self._cache.touch(digest)
        if self._home.touch(digest):
            return True
        if is_cached:
            self._home.send(digest, self.path(digest))
        return is_cached

    def touched_at(self, digest: Sha256) -> datetime:
        """Refuse: who asks collects."""
        self._refuse()

    def local_path(self, digest: Sha256) -> Path:
        """Give the object's file in the cache."""
        self._stat(digest)
        return self.path(digest)

    def place(self, digest: Sha256, target: Path) -> None:
        """Make the object appear as a new file."""
        self._stat(digest)
        self._cache.place(digest, target)

    def digests(self) -> Iterator[Sha256]:
        """Refuse: the cache is not what there is."""
        self._refuse()

    def discard(self, digest: Sha256, day: date) -> bool:
        """Refuse."""
        self._refuse()

    def discarded(self) -> Iterator[Sha256]:
        """Refuse."""
        self._refuse()

    def empty_trash(self, before: date) -> tuple[int, int]:
        """Refuse."""
        self._refuse()

    def trim(self, limit_bytes: int) -> int:
        """Drop what was not used for longest until the cache has so many bytes at most; give how many went.

        What was asked for within the last hour stays. Nothing is lost: the server has it, or no row ever named it.
        """
        before = time.time() - _YOUNG_S
        found = []
        for digest in self._cache.digests():
            with contextlib.suppress(FileNotFoundError):
                status = self.path(digest).stat()
                found.append((max(status.st_atime, status.st_mtime), status.st_size, digest))
        left, gone = sum(size for _, size, _ in found), 0
        for used, size, digest in sorted(found):
            if left - gone <= limit_bytes or used > before:
                break
            self.path(digest).unlink(missing_ok=True)
            gone += size
        for partial in self._fetching.glob("*") if self._fetching.exists() else ():
            with contextlib.suppress(FileNotFoundError):
                if partial.stat().st_mtime < before:
                    partial.unlink()
        return gone

    def _stat(self, digest: Sha256) -> os.stat_result:
        """Have it in the cache, and count that as its use."""
        if not self._cache.touch(digest):
            self._fetch(digest)
        return self.path(digest).stat()

    def _sent(self, digest: Sha256) -> Sha256:
        self._home.send(digest, self.path(digest))
        return digest

    def _fetch(self, digest: Sha256) -> None:
        """Fetch an object into the cache, going on where an earlier try was cut off. Raises Lost, Rotten, Unreachable."""
        lock, partial = self._fetching / f"{digest}.lock", self._fetching / digest
        with locked(lock), contextlib.ExitStack() as stack:
            stack.callback(lock.unlink, missing_ok=True)
            if self._cache.touch(digest):
                return
            with partial.open("ab") as file:
                for piece in self._home.pieces(digest, file.tell()):
                    file.write(piece)
            try:
                self._cache.take_in(partial, digest)
            except Refused as error:
                raise rotten(digest) from error

    def _refuse(self) -> NoReturn:
        raise Refused(
            "the objects of this machine are a cache of another's",
            hint="run it on the server that this machine works for",
        )
