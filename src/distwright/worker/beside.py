"""What is done beside the step whose turn it is: another step, made ahead of its turn, and folders that are removed.

A process of its own makes the step, and leaves what it gave where known results are. So nothing but time depends on it: if it
fails, or is killed, the step is performed in its turn, and says then what is wrong. A folder of 12,000 files takes seconds to go.
"""

import contextlib
import ctypes
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NoReturn

from distwright.errors import DistwrightError
from distwright.net.fetcher import LateFetcher
from distwright.tools.run import kill_tree
from distwright.worker.context import JobContext

_PR_SET_PDEATHSIG = 1
_POLL_S = 0.1

Perform = Callable[[JobContext], object]


@dataclass(slots=True)
class Beside:
    """The steps of one attempt that are made ahead of their turn. context: of the attempt."""

    context: JobContext
    _running: dict[str, int] = field(default_factory=dict)
    _removing: list[int] = field(default_factory=list)

    def begin(self, step: str, perform: Perform) -> None:
        """Begin to perform a step in a process of its own, with a log of its own. perform: leaves its result among the known."""
        self._running[step] = _forked(self._aside(step), perform)

    def remove(self, folder: Path) -> None:
        """Begin to remove a work folder that nobody looks at any more."""
        self._removing.append(_forked(self.context, lambda context: context.sandbox.remove(folder)))

    def join(self, step: str) -> bool:
        """Wait for a step whose turn has come, with its log in ours; say whether it was made here. Raises Interrupted."""
        pid = self._running.get(step)
        if pid is None:
            return False
        ended, status = 0, 0
        log = self._aside(step).log_path
        log.touch()
        with log.open("rb") as file, self.context.log_path.open("ab", buffering=0) as ours:
            while not ended:
                self.context.check_cancelled()
                ended, status = os.waitpid(pid, os.WNOHANG)
                shutil.copyfileobj(file, ours)
                time.sleep(0 if ended else _POLL_S)
        del self._running[step]
        log.unlink()
        if status:
            self.context.log(f"{step} is performed once more, in its turn")
        return status == 0

    def end(self) -> None:
        """Kill what is still made, and its programs with it, and wait until all folders are gone."""
        for step, pid in self._running.items():
            kill_tree(pid)
            os.waitpid(pid, 0)
            aside = self._aside(step)
            aside.log_path.unlink(missing_ok=True)
            with contextlib.suppress(DistwrightError):
                self.context.sandbox.remove(aside.paths.work / f"{aside.job}-{aside.fence}-{step}")
        for pid in self._removing:
            os.waitpid(pid, 0)
        self._running.clear()
        self._removing.clear()

    def _aside(self, step: str) -> JobContext:
        return replace(self.context, log_aside=step)


def _forked(context: JobContext, perform: Perform) -> int:
    """Perform something in a process that dies with this one; give its number."""
    parent = os.getpid()
    sys.stdout.flush()
    sys.stderr.flush()
    return os.fork() or _be_beside(context, perform, parent)


def _be_beside(context: JobContext, perform: Perform, parent: int) -> NoReturn:
    exit_code = 1
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        fetcher = context.fetcher
        perform(
            replace(
                context,
                database=context.database.reopen(),  # neither a database nor a server of files can be asked from two processes
                fetcher=fetcher.again() if isinstance(fetcher, LateFetcher) else fetcher,
                tell=_nobody_reads,
                is_cancelled=_is_killed_instead,
            )
        )
        exit_code = 0
    except (
        BaseException
    ) as error:  # a step is performed in its turn, and says it then; a folder is left for the next worker
        context.log(f"not done beside: {error}")
    finally:
        os._exit(exit_code)


def _nobody_reads(_line: str) -> None:
    pass


def _is_killed_instead() -> bool:
    return False
