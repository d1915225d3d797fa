"""Is there room for what is to be written? Asked before anything is, with all folders of one file system together."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from distwright.errors import OutOfSpace


@dataclass(frozen=True, slots=True)
class Wanted:
    """Room that something takes. folder: where; it is there. what: in words."""

    folder: Path
    size_bytes: int
    what: str


def want_room(wanted: Sequence[Wanted]) -> None:
    """Raise OutOfSpace if a file system has less room than all that goes there; what is set aside for root does not count."""
    disks: dict[int, list[Wanted]] = {}
    for one in wanted:
        disks.setdefault(one.folder.stat().st_dev, []).append(one)
    for members in disks.values():
        disk = os.statvfs(members[0].folder)
        free, size = disk.f_bavail * disk.f_frsize, sum(one.size_bytes for one in members)
        if size > free:
            parts = " and ".join(f"{_megabytes(one.size_bytes)} for {one.what} in {one.folder}" for one in members)
            raise OutOfSpace(
                f"{parts} are wanted, and {free // 1_000_000} MB are free: nothing was changed",
                hint="free some space, or set TMPDIR to a folder that has it for what is temporary",
            )


def _megabytes(size_bytes: int) -> str:
    return f"{-(-size_bytes // 1_000_000)} MB"
