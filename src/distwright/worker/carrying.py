"""Carry the log of an attempt to the server while it grows, and greet while it does not.

A thread beside the attempt, begun after its process was forked.

What the server does not have when the attempt ends stays a file here, and is carried later.
"""

import contextlib
import threading
import time
from pathlib import Path
from typing import Protocol

from distwright.errors import DistwrightError, NotFound, Refused
from distwright.store.logs import log_size

_EVERY_S = 0.5
_AGAIN_S = 1.0
GREET_EVERY_S = 15.0  # where nothing is said: who is not heard of for as long as a lease lasts is called silent
_PIECE_BYTES = 1 << 20
PATIENCE_S = 15.0


class LogSink(Protocol):
    """Who takes pieces of logs, and says how long the log is by now."""

    def send_log(self, job: int, fence: int, offset: int, content: bytes) -> int:
        """Take a piece; one that is known changes nothing, one behind the end neither. Raises DistwrightError."""
        ...

    def greet(self) -> None:
        """Hear that this machine lives. Raises DistwrightError."""
        ...


class LogCarrier:
    """Carries one log, from `begin` until `finish`."""

    def __init__(self, sink: LogSink, job: int, fence: int, log: Path, *, greet_every_s: float = GREET_EVERY_S) -> None:
        """sink: of this carrier alone. log: the file of the attempt, which may not be there yet."""
        self._sink, self._job, self._fence, self._log = sink, job, fence, log
        self._sent, self._greet_every_s = 0, greet_every_s
        self._is_whole = False
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._carry_on, daemon=True)

    def begin(self) -> None:
        """Carry from now on."""
        self._thread.start()

    def finish(self, patience_s: float = PATIENCE_S) -> int:
        """Carry what is left, for a while; say how long the log is."""
        self._ending.set()
        self._thread.join()
        with contextlib.suppress(DistwrightError):
            carry(self._sink, self._job, self._fence, self._log, self._sent, time.monotonic() + patience_s)
            self._is_whole = True
        return log_size(self._log)

    def tidy(self) -> None:
        """Remove the log here, if all of it arrived: what stays is carried later."""
        if self._is_whole:
            self._log.unlink(missing_ok=True)

    def _carry_on(self) -> None:
        spoke = time.monotonic()
        while not self._ending.wait(_EVERY_S):
            has_more = log_size(self._log) > self._sent
            if not has_more and time.monotonic() - spoke < self._greet_every_s:
                continue
            try:
                if has_more:
                    self._sent = _carry_piece(self._sink, self._job, self._fence, self._log, self._sent)
                else:
                    self._sink.greet()
                spoke = time.monotonic()
            except DistwrightError:  # the end is where it matters
                self._ending.wait(_AGAIN_S)


def carry(sink: LogSink, job: int, fence: int, log: Path, sent: int = 0, until: float = 0.0) -> None:
    """Carry the rest of a log that grows no more.

    until: of time.monotonic(), when to give up where nobody answers; once is tried in any case. Raises DistwrightError.
    """
    while True:
        try:
            while sent < log_size(log):
                sent = _carry_piece(sink, job, fence, log, sent)
            return
        except (NotFound, Refused):
            raise
        except DistwrightError:
            if time.monotonic() >= until:
                raise
            time.sleep(_AGAIN_S)


def late_logs(folder: Path, before: float) -> list[tuple[int, int, Path]]:
    """List the logs (job, fence, file) that are still here and were not written to since `before`, of time.time().

    Ask after this which attempts run: a log that is here belongs to an attempt that had its lease already.
    """
    found = []
    for log in sorted(folder.glob("*/*-*.log")):
        job, _, fence = log.stem.partition("-")
        with contextlib.suppress(FileNotFoundError):  # another worker has just carried it
            if job.isdigit() and fence.isdigit() and log.stat().st_mtime <= before:
                found.append((int(job), int(fence), log))
    return found


def _carry_piece(sink: LogSink, job: int, fence: int, log: Path, sent: int) -> int:
    with log.open("rb") as file:
        file.seek(sent)
        content = file.read(_PIECE_BYTES)
    return sink.send_log(job, fence, sent, content)
