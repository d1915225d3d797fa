"""Whether the disk was full: asked of the file system, for what a program prints about it may be its own invention."""

import os
from collections.abc import Callable
from pathlib import Path

_EMPTY_BYTES = 32 << 20  # more than a program writes between two looks, and less than any build needs
_EMPTY_INODES = 64


class SpaceGauge:
    """Looks several times a second while a program runs: when it has failed, it may have removed what filled the disk."""

    def __init__(self, place: Path, is_cancelled: Callable[[], bool]) -> None:
        """Watch the file system of `place`."""
        self._place = place
        self._is_cancelled = is_cancelled
        self.was_empty = False

    def look(self) -> bool:
        """Look, and pass on whether the job is cancelled: `tools.run` asks that all the time."""
        status = os.statvfs(self._place)
        has_inodes = status.f_files == 0 or status.f_favail >= _EMPTY_INODES  # btrfs counts none
        if status.f_bavail * status.f_frsize < _EMPTY_BYTES or not has_inodes:
            self.was_empty = True
        return self._is_cancelled()
