"""Locks between processes of one machine: held by an open file, so that they end with their holder and never get stale."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from distwright.errors import Busy

_PATIENCE_S = 600.0
_POLL_S = 0.05


@contextmanager
def locked(path: Path, *, patience_s: float = _PATIENCE_S) -> Iterator[None]:
    """Hold the lock of this name; raise Busy if another process does for longer than patience_s."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _take(descriptor, path, patience_s)
        yield
    finally:
        # Closing alone would not end the lock: a child that was forked meanwhile has the file open as well.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def _take(descriptor: int, path: Path, patience_s: float) -> None:
    until = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                raise Busy(
                    f"{path.name} is held by another process for {patience_s:.0f} s",
                    hint="distwright job list; then try again",
                ) from None
            time.sleep(_POLL_S)
        else:
            return
