"""Small files that a power cut leaves as they were, or as they shall be."""

import os
from pathlib import Path

from distwright.store.paths import half_made


def write_durably(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Write a file whole: beside its place, synced, renamed, and its name synced."""
    partial = half_made(path)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
