"""Whether the disk was full, and what a job has of it: asked of the file system, for what a program prints may be its invention."""

import contextlib
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from distwright.errors import DistwrightError, ProgramFailed
from distwright.jobs.limits import words_of
from distwright.tools.du import Taken
from distwright.worker.watchdog import tree_of

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


_INODE_BYTES = 4096  # what one counts for: files without content fill a file system too
_EVERY_S, _SHARE = 10.0, 100
_SOONER, _MOST_FAILURES = 1 / 2, 3
_CLOSE_S = 10.0
# Walks a folder; ends early with Interrupted when the function that it is given says so. Raises ProgramFailed.
Walk = Callable[[Callable[[], bool]], Taken]


@dataclass(frozen=True, slots=True)
class Free:
    """What a file system has left."""

    size_bytes: int
    inodes: int


def may_have_passed(before: Taken, free_before: Free, free: Free, most_bytes: int) -> bool:
    """Say whether a folder may hold more than so much by now: it cannot have grown by more than the file system lost."""
    grown = Taken(free_before.size_bytes - free.size_bytes, free_before.inodes - free.inodes)
    return has_passed(Taken(before.size_bytes + grown.size_bytes, before.inodes + grown.inodes), most_bytes)


def has_passed(use: Taken, most_bytes: int) -> bool:
    """Say whether this is more than so much: of bytes, or of inodes."""
    return use.size_bytes > most_bytes or use.inodes * _INODE_BYTES > most_bytes


class DiskGauge:
    """Looks at what a work folder really takes. It is walked in a thread of its own, and only when it can have grown too much.

    That is so when the file system has lost enough since the last walk; and every ten seconds, or a hundred times what a walk
    takes, for somebody else may have freed meanwhile what was written here. So a big tree costs little, and what others write
    ends nobody's job. A walk that fails is tried again soon: a limit that nobody can keep is no limit, so after some failures
    there is an error.
    """

    def __init__(self, place: Path, disk_mb: int, walk: Walk, every_s: float = _EVERY_S) -> None:
        """Begin with what is in `place` now: that is not the program's. walk: says what is; every_s: how often, at least."""
        self._place, self._disk_mb, self._walk_once, self._every_s = place, disk_mb, walk, every_s
        self._closing = threading.Event()
        self._first = walk(self._closing.is_set)
        self._last, self._free = Taken(0, 0), _free(place)
        self._walked, self._pause_s = time.monotonic(), 0.0
        self._walk: threading.Thread | None = None
        self._is_over = False
        self._failures: list[DistwrightError | OSError] = []  # since the last walk that did well

    def look(self, pid: int) -> str:
        """Say that the limit is passed, once a walk has found so; begin one if it may be.

        Raises ProgramFailed if walks fail, so that it cannot be told.
        """
        if self._is_over:
            return words_of("disk", self._disk_mb)
        if self._walk is not None and self._walk.is_alive():
            return ""
        if len(self._failures) >= _MOST_FAILURES:
            raise ProgramFailed(
                f"nobody can say what {self._place} takes, so its disk limit cannot be kept: {self._failures[-1]}",
                hint="look at the disk: df -h; dmesg",
            )
        if self._is_due():
            self._walk = threading.Thread(target=self._measure, args=(pid,), daemon=True)
            self._walk.start()
        return ""

    def close(self) -> None:
        """End a walk that is under way; one that the kernel does not let end (a disk that hangs) ends with this process."""
        self._closing.set()
        if self._walk is not None:
            self._walk.join(timeout=_CLOSE_S)

    def _is_due(self) -> bool:
        waited_s = time.monotonic() - self._walked
        if self._failures:
            return waited_s > self._every_s * _SOONER
        may_be = may_have_passed(self._last, self._free, _free(self._place), self._disk_mb << 20)
        return waited_s > max(self._every_s, self._pause_s) or (may_be and waited_s > self._pause_s / 10)

    def _measure(self, pid: int) -> None:
        began = time.monotonic()
        try:
            free = _free(self._place)
            now = self._walk_once(self._closing.is_set)
            held = sum(_held_bytes(pid, self._place))
        except (DistwrightError, OSError) as error:
            self._failures.append(error)
        else:
            self._failures.clear()
            self._last = Taken(now.size_bytes - self._first.size_bytes + held, now.inodes - self._first.inodes)
            self._free = free
            self._is_over = has_passed(self._last, self._disk_mb << 20)
        self._walked = time.monotonic()
        self._pause_s = (self._walked - began) * _SHARE


def _free(place: Path) -> Free:
    status = os.statvfs(place)
    return Free(status.f_bfree * status.f_frsize, status.f_ffree)


def _held_bytes(pid: int, place: Path) -> Iterator[int]:
    """Give the sizes of files that have no name any more and are open in a process that descends from `pid`, each once.

    Those of a program's root, an overlay of its own, too: what is written there is below `place` as well.
    """
    devices, seen = {place.stat().st_dev}, set()
    for one in tree_of(pid)[0]:
        with contextlib.suppress(OSError):
            devices.add(os.stat(f"/proc/{one}/root").st_dev)  # noqa: PTH116  # as in watchdog.py
            for name in os.listdir(f"/proc/{one}/fd"):  # noqa: PTH208  # as in watchdog.py
                with contextlib.suppress(OSError):
                    status = os.stat(f"/proc/{one}/fd/{name}")  # noqa: PTH116  # as above
                    is_held = stat.S_ISREG(status.st_mode) and status.st_nlink == 0 and status.st_dev in devices
                    if is_held and (status.st_dev, status.st_ino) not in seen:
                        seen.add((status.st_dev, status.st_ino))
                        yield status.st_blocks * 512
