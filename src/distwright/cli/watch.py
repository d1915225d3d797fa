"""Follow a worker on stderr: a status line on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from distwright.errors import quoted, visible
from distwright.formats.log_text import HarmlessText
from distwright.jobs.lease import Ending
from distwright.jobs.order import DEFAULT_POOL
from distwright.model.outcomes import Outcome
from distwright.model.records import Job

_PLAIN_EVERY_S = 15.0
_TAIL_BYTES = 4096


class TerminalWatcher:
    """Shows which step runs, how far it is, and the newest line of its log; `follow` prints the whole log instead."""

    def __init__(self, log_of: Callable[[int, int], Path], *, follow: bool, is_alone: bool = True) -> None:
        """Write to stderr. log_of: gives the log of a job and fence. is_alone: no other worker writes there too."""
        self._log_of = log_of
        self._follow = follow
        self._console = Console(stderr=True, highlight=False)
        self._is_terminal = self._console.is_terminal and not follow and is_alone
        self._harmless = HarmlessText() if self._console.is_terminal else None
        self._is_alone = is_alone
        self._of_job = ""
        self._began = time.monotonic()
        self._step_began = self._began
        self._step = ""
        self._far = ""
        self._offset = 0
        self._last_plain = 0.0
        self._waits_for = 0

    def began(self, job: Job) -> None:
        """A job begins."""
        self._began = self._step_began = time.monotonic()
        self._offset, self._step, self._far = 0, "", ""
        self._of_job = "" if self._is_alone else f"[{job.id}] "
        self._line(f"▶ {job.title} (job {job.id})")

    def step(self, job: Job, name: str, number: int, total: int) -> None:
        """A step begins."""
        self._step_began = self._last_plain = time.monotonic()
        self._step, self._far = f"{name} ({number}/{total})", ""
        self._line(f"  {self._step}")

    def progress(self, job: Job, stage: str, done: int, total: int, unit: str) -> None:
        """A long action is this far."""
        took = max(time.monotonic() - self._step_began, 0.001)
        left = f", {took / done * (total - done):.0f} s left" if 0 < done < total else ""
        self._far = f"{stage}: {done} of {total} {unit}, {done / took:.1f}/s{left}"
        self.tick(job)

    def tick(self, job: Job) -> None:
        """Time passes."""
        log = self._log_of(job.id, job.fence)
        if self._follow:
            self._print_new(log)
            return
        seconds = time.monotonic() - self._step_began
        if self._is_terminal:
            text = f"  {self._step} {seconds:.0f} s  {self._far or _last_line(log)}"
            width = max(20, self._console.width - 1)
            sys.stderr.write(f"\r\x1b[2K{text[:width]}")
            sys.stderr.flush()
        elif time.monotonic() - self._last_plain > _PLAIN_EVERY_S:
            self._last_plain = time.monotonic()
            self._line(f"    … {self._step} {seconds:.0f} s  {self._far or _last_line(log)}")

    def ended(self, job: Job, ending: Ending) -> None:
        """The attempt is over."""
        if self._follow:
            self._print_new(self._log_of(job.id, job.fence))
            sys.stderr.write("" if self._harmless is None else self._harmless.rest())
        sign = "✔" if ending.outcome is Outcome.OK else "✘"
        self._line(f"{sign} {ending.message} ({time.monotonic() - self._began:.0f} s)")
        if ending.outcome is not Outcome.OK:
            self._line(f"  the log: distwright job log {job.id}")

    def waits(self, job: Job) -> None:
        """Another worker has the job."""
        if self._waits_for != job.id:
            self._waits_for = job.id
            where = "" if job.pool == DEFAULT_POOL else f" of pool {job.pool}"
            self._line(
                f"… waiting for {job.title} (job {job.id}{where}): another worker has it, or it is tried again later"
            )

    def _line(self, text: str) -> None:
        if self._is_terminal:
            sys.stderr.write("\r\x1b[2K")
        sys.stderr.write(f"{self._of_job}{visible(text)}\n")
        sys.stderr.flush()

    def _print_new(self, log: Path) -> None:
        if not log.exists():
            return
        with log.open("rb") as file:
            file.seek(self._offset)
            content = file.read()
        self._offset += len(content)
        sys.stderr.write(content.decode(errors="replace") if self._harmless is None else self._harmless.feed(content))
        sys.stderr.flush()


def _last_line(log: Path) -> str:
    try:
        with log.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _TAIL_BYTES))
            lines = file.read().decode(errors="replace").strip().splitlines()
    except FileNotFoundError:
        return ""
    return quoted(lines[-1], 200)[1:-1] if lines else ""
