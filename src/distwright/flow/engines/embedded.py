"""The embedded engine: processes of one machine, no server. A hint is the time stamp of an empty file per pool."""

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
        """Say that `pool` has work."""
        self._file(pool).touch()

    def wait(self, pools: tuple[str, ...], timeout_s: float) -> bool:
        """Wait for a hint."""
        deadline = time.monotonic() + timeout_s
        while True:
            fresh = [pool for pool in pools if self._stamp(pool) != self._seen.get(pool, 0)]
            for pool in fresh:
                self._seen[pool] = self._stamp(pool)
            if fresh or time.monotonic() >= deadline:
                return bool(fresh)
            time.sleep(min(_POLL_S, max(0.0, deadline - time.monotonic())))

    def _stamp(self, pool: str) -> int:
        try:
            return self._file(pool).stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    def _file(self, pool: str) -> Path:
        return self._folder / our_name(pool, "pool")
