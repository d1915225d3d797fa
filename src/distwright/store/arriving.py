"""Objects that come in pieces from other machines: partial files, one for each host and digest, until they are whole."""

import contextlib
import fcntl
import os
import time
from pathlib import Path

from distwright.errors import Busy, Refused, disk_error
from distwright.model.digests import Sha256
from distwright.model.names import our_name
from distwright.store.objects import FileObjects

OBJECT_LIMIT_BYTES = 64 << 30
HOST_LIMIT_FILES = 256
_STALE_S = 2 * 86400.0


class Arrivals:
    """Partial files below `<objects>/arriving/HOST`. What is cut off goes on where it ended, also after a crash of ours."""

    def __init__(self, objects: FileObjects, root: Path) -> None:
        """Make objects of `objects`, whose folder is `root`."""
        self._objects = objects
        self._root = root / "arriving"

    def offset(self, host: str, digest: Sha256) -> int | None:
        """Say from where on a host shall send an object; None if it is here, which counts as kept just now."""
        if self._objects.touch(digest):
            return None
        try:
            return self._place(host, digest).stat().st_size
        except FileNotFoundError:
            return 0

    def append(self, host: str, digest: Sha256, offset: int, content: bytes, size: int) -> int | None:
        """Take a piece of an object of `size` bytes; say from where on to send more, None if it is here now.

        A piece that does not begin where the last one ended changes nothing. Raises Refused for what is too large or was not what
        the digest says (it is begun anew then), Busy while another connection sends the same, OutOfSpace.
        """
        if size > OBJECT_LIMIT_BYTES or offset + len(content) > size:
            raise Refused(f"object {digest} is larger than was said, or may be", hint="send less")
        if self._objects.touch(digest):
            return None
        place = self._place(host, digest)
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.exists():
            self._refuse_many(host, place.parent)
        try:
            return self._append(place, digest, offset, content, size)
        except OSError as error:
            named = disk_error(error, str(self._root))
            if named is None:
                raise
            raise named from error

    def _append(self, place: Path, digest: Sha256, offset: int, content: bytes, size: int) -> int | None:
        descriptor = os.open(place, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "ab", buffering=0) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise _taken(digest) from None
            # Who had the lock before us may have made it an object, which nobody may write to any more.
            if not _is_at(place, file.fileno()):
                raise _taken(digest)
            have = os.fstat(file.fileno()).st_size
            if have == offset and have < size:
                left = memoryview(content)
                while left:
                    left = left[file.write(left) :]
                have = offset + len(content)
            if have > size:  # an earlier try said another size
                file.truncate(0)
                have = 0
            if have < size:
                return have
            self._objects.take_in(place, digest)
            return None

    def drop_stale(self) -> int:
        """Remove what nobody went on with for two days; say how many."""
        before, gone = time.time() - _STALE_S, 0
        for partial in self._root.glob("*/*"):
            with contextlib.suppress(FileNotFoundError):
                if partial.stat().st_mtime < before:
                    partial.unlink()
                    gone += 1
        return gone

    def _refuse_many(self, host: str, folder: Path) -> None:
        if len(os.listdir(folder)) >= HOST_LIMIT_FILES:  # noqa: PTH208  # only counted
            self.drop_stale()
            if len(os.listdir(folder)) >= HOST_LIMIT_FILES:  # noqa: PTH208  # only counted
                raise Refused(
                    f"host {host} has begun to send {HOST_LIMIT_FILES} objects",
                    hint="send the rest of one of them first",
                )

    def _place(self, host: str, digest: Sha256) -> Path:
        return self._root / our_name(host, "host") / Sha256(digest)


def _is_at(place: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(place.stat(follow_symlinks=False), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _taken(digest: Sha256) -> Busy:
    return Busy(f"object {digest} is being sent already", hint="try again in a moment")
