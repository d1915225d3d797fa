"""A folder of ours inside of one that strangers write to: whatever lies in its place and is none, is never followed or filled."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from distwright.errors import Refused, quoted


@contextlib.contextmanager
def own_folder(place: Path, mode: int) -> Iterator[Path]:
    """Give a folder that only we write to, made if it is missing: by a path that leads to it, whatever `place` becomes meanwhile.

    Raises Refused for a link, a file, and a folder of somebody else.
    """
    try:
        with contextlib.suppress(FileExistsError):
            place.mkdir(mode=mode)
        descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise _not_ours(place, error.strerror or "") from error
    try:
        if os.fstat(descriptor).st_uid != os.geteuid():
            raise _not_ours(place, "it belongs to somebody else")
        os.fchmod(descriptor, mode)  # the umask has its say when a folder is made
        yield Path(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


def write_anew(place: Path, content: bytes) -> None:
    """Write a file that everybody may read, by one rename, in a folder of ours."""
    fresh = place.with_name(f".{place.name}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, 0o644)
        file.write(content)
    fresh.rename(place)


def _not_ours(place: Path, why: str) -> Refused:
    return Refused(
        f"{quoted(str(place))} is no folder of ours: {why}",
        hint="remove it, or move it elsewhere; the folder is made when it is needed",
    )
