"""Have the kernel write to disk what was made: folder by folder, or the file system as a whole where that is cheaper."""

import ctypes
import os
from collections.abc import Collection
from pathlib import Path

_MANY = 64


def settle_folders(folders: Collection[Path]) -> None:
    """Return when the names in these folders are on disk."""
    if len(folders) > _MANY:
        settle_file_system(next(iter(folders)))
        return
    for folder in folders:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def settle_file_system(place: Path) -> None:
    """Return when everything written to the file system of `place` is on disk (syncfs(2)); raise OSError if that failed."""
    descriptor = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.syncfs(descriptor) != 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error), str(place))
    finally:
        os.close(descriptor)
