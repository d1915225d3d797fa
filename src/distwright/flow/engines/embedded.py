"""The embedded engine: processes of one machine, no server. A hint is one more byte in a file per pool.

Not its time: before Linux 6.13 the clock of a file system stands still for some milliseconds, and a second hint is lost.
"""

import contextlib
import time
from pathlib import Path

from distwright.model.names import our_name

_POLL_S = 0.05


class EmbeddedEngine:
    """Hints through files below `run/hints`; a waiter that has not seen a pool's newest hint wakes at once."""

    def __init__(self, folder: Path) -> None:
        """Use `folder`, made if missing."""
        self._folder = folder
        self._folder.mkdir(parents=True, exist_ok=True)
        self._seen: dict[str, int] = {}

    def hint(self, pool: str) -> None:
        """Say that `pool` has work. A full disk loses the hint, not the work that is in the job table."""
        file = self._file(pool)
        with contextlib.suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            with file.open("ab", buffering=0) as opened:
                opened.write(b".")

    def wait(self, pools: tuple[str, ...], timeout_s: float) -> bool:
        """Wait for a hint."""
        deadline = time.monotonic() + timeout_s
        while True:
            sizes = {pool: self._size(pool) for pool in pools}
            fresh = {pool: size for pool, size in sizes.items() if size != self._seen.get(pool, 0)}
            self._seen |= fresh
            if fresh or time.monotonic() >= deadline:
                return bool(fresh)
            time.sleep(min(_POLL_S, max(0.0, deadline - time.monotonic())))

    def _size(self, pool: str) -> int:
        try:
            return self._file(pool).stat().st_size
        except FileNotFoundError:
            return 0

    def _file(self, pool: str) -> Path:
        return self._folder / our_name(pool, "pool")
