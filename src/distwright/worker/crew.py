"""Several workers on one machine, each a process of its own: a worker ends every process that descends from it."""

import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_PR_SET_PDEATHSIG = 1
_BREATH_S = 1.0  # a worker that is killed as soon as it begins is not begun again all the time


class _StopError(Exception):
    """Somebody wants the crew to stop."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def become_one_of(count: int, tell: Callable[[str], None]) -> int | None:
    """Fork `count` workers; return None in each of them, who then works as if alone, and the exit code of all in the first process.

    One that is killed is replaced. One that ends with an error ends the others, with its exit code. Ctrl-C and SIGTERM are
    passed on as Ctrl-C, once: each gives its job back. They do not outlive the first process, however it ends.
    Call it where no thread and no database is open: neither survives a fork.
    """
    first = os.getpid()
    crew: set[int] = set()
    code = 0
    try:
        with _signals_raised():
            while len(crew) < count:
                if _began(crew, first):
                    return None
            while crew:
                ended = _next_end(crew)
                if ended > 0 and not code:
                    code = ended
                    _stop(crew)
                elif ended < 0 and not code:
                    tell(f"a worker was killed by signal {-ended}: another takes its place")
                    time.sleep(_BREATH_S)
                    if _began(crew, first):
                        return None
    except _StopError as stop:
        _stop(crew)
        code = 128 + stop.number
        while crew:
            _next_end(crew)
    return code


def _began(crew: set[int], first: int) -> bool:
    """Fork a worker; say whether this is it."""
    sys.stdout.flush()
    sys.stderr.flush()
    held = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    pid = os.fork()
    if pid:
        crew.add(pid)
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
        return False
    os.setpgid(0, 0)  # Ctrl-C at the terminal is for the first process alone, which passes it on
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, held)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGINT, 0, 0, 0)
    if os.getppid() != first:
        os._exit(1)
    return True


def _next_end(crew: set[int]) -> int:
    """Wait until one has ended; give its exit code, negative for a signal."""
    pid, status = os.waitpid(-1, 0)
    crew.discard(pid)
    return os.waitstatus_to_exitcode(status)


def _stop(crew: set[int]) -> None:
    for pid in crew:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGINT)


@contextmanager
def _signals_raised() -> Iterator[None]:
    """Have the first Ctrl-C or SIGTERM raise; a second one changes nothing."""

    def stop(number: int, _frame: FrameType | None) -> None:
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.SIG_IGN)
        raise _StopError(number)

    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, stop)
    yield
