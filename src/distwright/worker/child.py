"""One attempt in a process of its own: forked by the worker, dies with it, and takes along whatever it started.

When the worker is killed, the kernel tells the attempt by a signal of its own, and not by KILL: it first ends its programs, which
nobody else could find any more.
"""

import contextlib
import ctypes
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import NoReturn

from distwright.errors import DistwrightError, disk_error
from distwright.jobs.lease import Ending
from distwright.jobs.step import JobKind
from distwright.model import plain
from distwright.model.events import Event, EventKind
from distwright.model.outcomes import Outcome
from distwright.model.records import Job
from distwright.tools.run import become_subreaper, end_descendants
from distwright.worker.context import JobContext
from distwright.worker.execute import execute

_PR_SET_PDEATHSIG = 1
# No other signal: those of Ctrl-C and cancelling are noted, and come to nothing for a while.
_WORKER_IS_GONE = signal.SIGUSR1


@dataclass(slots=True)
class Child:
    """The parent's view. reports: the reading end of the pipe, JSON lines, the last one `{"end": …}`."""

    pid: int
    reports: int


def fork_child(
    kind: JobKind, job: Job, make_context: Callable[[Job, Callable[[str], None], Callable[[], bool]], JobContext]
) -> Child:
    """Fork the process that executes `job`. make_context is called in the child: database connections do not survive a fork."""
    reading, writing = os.pipe()
    parent = os.getpid()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _be_the_child(kind, job, make_context, writing, parent)
    os.close(writing)
    return Child(pid, reading)


def _be_the_child(
    kind: JobKind,
    job: Job,
    make_context: Callable[[Job, Callable[[str], None], Callable[[], bool]], JobContext],
    writing: int,
    parent: int,
) -> NoReturn:
    exit_code = 1
    stop: list[int] = []
    try:
        os.setsid()
        become_subreaper()
        signal.signal(_WORKER_IS_GONE, _end_at_once)
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, _WORKER_IS_GONE, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda number, _frame: stop.append(number))

        def tell(line: str) -> None:
            left = memoryview(line.encode() + b"\n")
            while left:  # a signal may cut a long write short
                left = left[os.write(writing, left) :]

        report = _ending_to_line(_attempt(kind, job, lambda: make_context(job, tell, lambda: bool(stop))))
        with contextlib.suppress(DistwrightError):
            end_descendants()
        tell(report)
        exit_code = 0
    finally:
        os._exit(exit_code)


def _end_at_once(_number: int, _frame: object) -> NoReturn:
    """End, with all that descends from this process: the worker is gone, and whoever has the job next begins anew."""
    try:
        with contextlib.suppress(DistwrightError):  # what cannot be killed now (ps: D) ends as soon as it can
            end_descendants()
    finally:
        os._exit(1)


def _attempt(kind: JobKind, job: Job, make_context: Callable[[], JobContext]) -> Ending:
    """Execute the job and say how it ended, whatever happens."""
    log: Callable[[str], object] = sys.stderr.write  # until there is a log
    try:
        context = make_context()
        log = context.log
        ending = execute(kind, job.inputs, context)
        _ending_to_line(ending)
    except DistwrightError as error:
        return Ending(Outcome.BROKEN, f"{error.message} ({error.hint})")
    except OSError as error:
        named = disk_error(error, error.filename or "the state")
        return _broken_by_bug(job, log) if named is None else Ending(Outcome.BROKEN, f"{named.message} ({named.hint})")
    except Exception:
        return _broken_by_bug(job, log)
    return ending


def _broken_by_bug(job: Job, log: Callable[[str], object]) -> Ending:
    """Put the traceback of a bug of ours into the job's log; the job is BROKEN."""
    with contextlib.suppress(OSError):  # the disk may be full
        log(traceback.format_exc())
    last = traceback.format_exc().strip().splitlines()[-1]
    return Ending(Outcome.BROKEN, f"a bug of distwright: {last}; see distwright job log {job.id}")


def _ending_to_line(ending: Ending) -> str:
    events = [
        {"kind": event.kind, "at": event.at.isoformat(), "subject": event.subject, "body": event.body, "job": event.job}
        for event in ending.events
    ]
    document = {
        "outcome": ending.outcome,
        "message": ending.message,
        "outputs": ending.outputs,
        "events": events,
        "heir": ending.heir,
        "evidence": dict(ending.evidence),
    }
    return json.dumps({"end": document})


def ending_from_report(document: plain.Plain) -> Ending:
    """Read the last line that a child reported; raise BadInput for another."""
    events = [plain.mapping({"event": event}, "event") for event in plain.members(document, "events")]
    return Ending(
        Outcome(plain.text(document, "outcome")),
        plain.text(document, "message"),
        None if document["outputs"] is None else plain.mapping(document, "outputs"),
        [_event(event) for event in events],
        heir=plain.text(document, "heir"),
        evidence=plain.digest_map(document, "evidence"),
    )


def _event(event: plain.Plain) -> Event:
    return Event(
        EventKind(plain.text(event, "kind")),
        datetime.fromisoformat(plain.text(event, "at")),
        plain.text(event, "subject"),
        plain.mapping(event, "body"),
        None if event["job"] is None else plain.number(event, "job"),
    )
