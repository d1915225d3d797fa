"""Let a file of the object store count as kept just now."""

import errno
import os
import time
from pathlib import Path


def touch_file(path: Path) -> bool:
    """Make the time of access now, leave the time of change; say whether the file is there.

    That a file on a disk which we may only read cannot be touched is no error: it is not ours to collect.
    """
    try:
        _touch(path, path.stat())
    except FileNotFoundError:
        return False
    return True


def touch_open(descriptor: int, status: os.stat_result) -> None:
    """Do the same to an open file. status: what fstat said of it."""
    _touch(descriptor, status)


def _touch(file: Path | int, status: os.stat_result) -> None:
    try:
        os.utime(file, ns=(time.time_ns(), status.st_mtime_ns))
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EACCES, errno.EROFS):
            raise
