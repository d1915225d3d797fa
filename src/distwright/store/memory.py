"""The object store in memory: for tests, and for values that need no disk."""

import hashlib
import io
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import BinaryIO

from distwright.errors import Refused
from distwright.model.digests import Sha256
from distwright.store.adopting import FoundFile, open_found
from distwright.store.objects import ObjectWriter, missing, refuse_large


class MemoryObjects:
    """Objects in memory: for tests and for values that need no disk."""

    def __init__(self) -> None:
        """Begin empty."""
        self._content: dict[Sha256, bytes] = {}
        self._touched: dict[Sha256, datetime] = {}

    def put(self, content: bytes) -> Sha256:
        """Keep bytes."""
        digest = Sha256(hashlib.sha256(content).hexdigest())
        self._content[digest] = content
        self.touch(digest)
        return digest

    def take_over(self, descriptor: int, folder: int, name: str) -> Sha256 | None:
        """Leave it to be copied."""

    def put_file(self, path: Path) -> Sha256:
        """Keep a copy of a file's bytes."""
        return self.put(path.read_bytes())

    @contextmanager
    def writing(self, expect: Sha256 | None = None) -> Iterator[ObjectWriter]:
        """Keep what is written in the block, unless it raises."""
        file = io.BytesIO()
        writer = ObjectWriter(file)
        yield writer
        if expect is not None and writer.digest != expect:
            raise Refused(f"content has SHA-256 {writer.digest}, {expect} was promised", hint="fetch it again")
        self.put(file.getvalue())

    @contextmanager
    def staging(self) -> Iterator[Callable[[bytes], Sha256]]:
        """Give `put`."""
        yield self.put

    def adopt(self, files: Sequence[FoundFile], *, link: bool) -> None:
        """Keep copies."""
        for file in files:
            with self.writing(expect=file.sha256) as writer, os.fdopen(open_found(file), "rb") as source:
                writer.write(source.read())

    def open(self, digest: Sha256) -> BinaryIO:
        """Open for reading."""
        return io.BytesIO(self._of(digest))

    def read(self, digest: Sha256) -> bytes:
        """Give all bytes."""
        refuse_large(digest, len(self._of(digest)))
        return self._of(digest)

    def _of(self, digest: Sha256) -> bytes:
        if digest not in self._content:
            raise missing(digest)
        return self._content[digest]

    def has(self, digest: Sha256) -> bool:
        """Say whether the object is here."""
        return digest in self._content

    def touch(self, digest: Sha256) -> bool:
        """Say whether the object is here, and note the time."""
        if digest not in self._content:
            return False
        self._touched[digest] = datetime.now(UTC)
        return True

    def touched_at(self, digest: Sha256) -> datetime:
        """Give the time that was noted."""
        self.read(digest)
        return self._touched[digest]

    def size(self, digest: Sha256) -> int:
        """Say the size in bytes."""
        return len(self.read(digest))

    def local_path(self, digest: Sha256) -> Path:
        """Refuse: what is in memory is no file."""
        self.read(digest)
        raise Refused(f"object {digest} is in memory only", hint="put it into a store of files")

    def place(self, digest: Sha256, target: Path) -> None:
        """Write the object to `target`."""
        content = self.read(digest)
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            file.write(content)
        target.chmod(0o444)

    def is_placed(self, digest: Sha256, target: Path) -> bool:
        """Say no: what was placed is a copy."""
        return False

    def digests(self) -> Iterator[Sha256]:
        """List all objects."""
        yield from list(self._content)

    def discard(self, digest: Sha256, day: date) -> bool:
        """Let the object go."""
        return self._content.pop(digest, None) is not None

    def discarded(self) -> Iterator[Sha256]:
        """Nothing waits here."""
        yield from ()

    def empty_trash(self, before: date) -> tuple[int, int]:
        """Nothing waits here."""
        return 0, 0

    def drop_leftovers(self) -> int:
        """Nothing is left here."""
        return 0

    def is_intact(self, digest: Sha256) -> bool:
        """Say yes for what is here: memory does not rot."""
        return bool(self.read(digest) is not None)
