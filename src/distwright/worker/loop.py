"""The worker's loop: claim, fork, watch, renew the lease, write the end. One job at a time per worker."""

import json
import os
import selectors
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from distwright.jobs.lease import LEASE_S, Ending, Retry, claim_next, end_attempt, holder_name, reap, renew
from distwright.jobs.step import JobKind
from distwright.model.outcomes import Outcome
from distwright.model.records import Job
from distwright.store.database import Database
from distwright.store.jobs import running_jobs
from distwright.store.paths import StatePaths
from distwright.tools.run import become_subreaper, end_descendants
from distwright.tools.sandbox import Sandbox
from distwright.worker.child import Child, ending_from_report, fork_child
from distwright.worker.context import JobContext

_TICK_S = 0.25
_CANCEL_GRACE_S = 20.0

MakeContext = Callable[[Job, Callable[[str], None], Callable[[], bool]], JobContext]


class Watcher(Protocol):
    """Somebody who follows a worker: the terminal, or nobody."""

    def began(self, job: Job) -> None:
        """A job begins."""
        ...

    def step(self, job: Job, name: str, number: int, total: int) -> None:
        """A step of the job begins."""
        ...

    def progress(self, job: Job, stage: str, done: int, total: int, unit: str) -> None:
        """A long action is this far."""
        ...

    def tick(self, job: Job) -> None:
        """Time passes: the log may have grown."""
        ...

    def ended(self, job: Job, ending: Ending) -> None:
        """The attempt is over."""
        ...


@dataclass(slots=True)
class Worker:
    """Leases and runs jobs of some pools. may_wait_to_retry: put BROKEN jobs back for later (a server does, a command does not)."""

    database: Database
    paths: StatePaths
    sandbox: Sandbox
    kinds: Mapping[str, JobKind]
    make_context: MakeContext
    pools: Sequence[str]
    watcher: Watcher
    may_wait_to_retry: bool = True

    def clean_up(self) -> None:
        """Give back what dead workers on this machine held, and remove what they left. Call once before `run_one`."""
        become_subreaper()
        for _job in reap(self.database, _now()):
            pass
        with_lease = self._leased()
        for folder in self.paths.work.iterdir():
            if folder.name.rpartition("-")[0] not in with_lease:
                self.sandbox.remove(folder)

    def run_one(self) -> bool:
        """Run the next job to its end; say whether there was one. KeyboardInterrupt cancels the attempt, then is raised again."""
        reap(self.database, _now())
        job = claim_next(self.database, self.pools, holder_name(), _now())
        if job is None:
            return False
        self.watcher.began(job)
        kind = self.kinds.get(job.kind)
        if kind is None:
            ending = Ending(Outcome.FAILED, f"this version of distwright knows no job of kind {job.kind}")
            self._write_end(job, ending)
            return True
        child = fork_child(kind, job, self.make_context)
        try:
            ending = self._watch(child, job)
        except KeyboardInterrupt:
            self._stop(child)
            self._write_end(job, Ending(Outcome.BROKEN, "interrupted at the terminal"), Retry.AT_ONCE)
            raise
        except BaseException:
            self._stop(child)  # our own trouble (a full disk): the lease stays, and the next worker gives the job back
            raise
        self._write_end(job, ending)
        return True

    def _watch(self, child: Child, job: Job) -> Ending:
        ending: Ending | None = None
        buffer = b""
        renewed = time.monotonic()
        cancelled_at: float | None = None
        with selectors.DefaultSelector() as selector:
            selector.register(child.reports, selectors.EVENT_READ)
            while True:
                if selector.select(_TICK_S):
                    content = os.read(child.reports, 1 << 16)
                    if not content:
                        break
                    *lines, buffer = (buffer + content).split(b"\n")
                    for line in lines:
                        ending = self._report(job, json.loads(line)) or ending
                self.watcher.tick(job)
                if time.monotonic() - renewed > LEASE_S / 12:
                    renewed = time.monotonic()
                    current = renew(self.database, job, _now())
                    if (current is None or current.is_cancelled) and cancelled_at is None:
                        cancelled_at = renewed
                        os.kill(child.pid, signal.SIGTERM)
                if cancelled_at is not None and time.monotonic() - cancelled_at > _CANCEL_GRACE_S:
                    os.kill(child.pid, signal.SIGKILL)
        os.close(child.reports)
        _, status = os.waitpid(child.pid, 0)
        end_descendants()
        if ending is None:
            reason = os.waitstatus_to_exitcode(status)
            return Ending(Outcome.BROKEN, f"the job's process was killed (status {reason}): out of memory?")
        return ending

    def _report(self, job: Job, report: dict[str, object]) -> Ending | None:
        match report:
            case {"step": [str(name), int(number), int(total)]}:
                self.watcher.step(job, name, number, total)
            case {"progress": [str(stage), int(done), int(total), str(unit)]}:
                self.watcher.progress(job, stage, done, total, unit)
            case {"end": dict(document)}:
                return ending_from_report(document)
        return None

    def _stop(self, child: Child) -> None:
        os.kill(child.pid, signal.SIGTERM)
        deadline = time.monotonic() + _CANCEL_GRACE_S
        while time.monotonic() < deadline:
            pid, _ = os.waitpid(child.pid, os.WNOHANG)
            if pid:
                break
            time.sleep(0.05)
        else:
            os.kill(child.pid, signal.SIGKILL)
            os.waitpid(child.pid, 0)
        os.close(child.reports)
        end_descendants()

    def _write_end(self, job: Job, ending: Ending, retry: Retry | None = None) -> None:
        retry = retry or (Retry.LATER if self.may_wait_to_retry else Retry.NEVER)
        end_attempt(self.database, job, ending, _now(), retry=retry)
        self.watcher.ended(job, ending)

    def _leased(self) -> set[str]:
        with self.database.read() as tx:
            return {f"{job.id}-{job.fence}" for job in running_jobs(tx)}


def _now() -> datetime:
    return datetime.now(UTC)
