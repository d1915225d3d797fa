"""The worker's loop: claim, fork, watch, renew the lease, write the end. One job at a time per worker."""

import contextlib
import json
import os
import selectors
import signal
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from distwright.errors import Busy, DatabaseLost, DiskFailed, OutOfSpace, ProgramFailed, quoted
from distwright.jobs.lease import (
    HUNG_AFTER_S,
    LEASE_S,
    Ending,
    Retry,
    claim_next,
    end_attempt,
    holder_name,
    reap,
    renew,
    takes_its_place,
)
from distwright.jobs.step import JobKind
from distwright.model.digests import digests_in
from distwright.model.outcomes import Outcome
from distwright.model.records import Job
from distwright.store.database import Database
from distwright.store.jobs import running_jobs, unfinished
from distwright.store.objects import FileObjects
from distwright.store.paths import StatePaths
from distwright.tools.interrupts import Interrupts, interrupts_noted
from distwright.tools.run import become_subreaper, end_descendants
from distwright.tools.sandbox import Sandbox
from distwright.worker.carrying import LogCarrier
from distwright.worker.child import Child, ending_from_report, fork_child
from distwright.worker.context import JobContext
from distwright.worker.runner import ENTERED

_TICK_S = 0.25
_AGAIN_S = 1.0
_CUT_OFF = (Outcome.CANCELLED, Outcome.BROKEN)  # what a stopped attempt says; one that ended otherwise has ended

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

    def waits(self, job: Job) -> None:
        """Nothing is left to do here, but this job is not done: another worker has it, or it is tried again later."""
        ...


def _nobody_waits(_pool: str) -> None:
    """Say it to nobody: this worker is alone."""


@dataclass(slots=True)
class Worker:
    """Leases and runs jobs of some pools; a process of its own, for it ends every process that descends from it.

    may_wait_to_retry: put BROKEN jobs back for later (a server does, a command does not). renew_every_s: how often the lease is
    renewed, and a cancel noticed. cancel_grace_s: how long an attempt may take to stop before it is killed. hint: says to who waits
    that a pool has work. patience_s: how long the end of an attempt is kept while the database cannot be reached. host: what this
    machine is called if it works for another; carrier_of: gives who carries the log of an attempt there. every_kind: those of
    other workers too, for who makes way for a job that this one does not know; None: its own.
    """

    database: Database
    paths: StatePaths
    sandbox: Sandbox
    kinds: Mapping[str, JobKind]
    make_context: MakeContext
    pools: Sequence[str]
    watcher: Watcher
    may_wait_to_retry: bool = True
    renew_every_s: float = LEASE_S / 12
    cancel_grace_s: float = 20.0
    hint: Callable[[str], None] = _nobody_waits
    patience_s: float = HUNG_AFTER_S
    host: str = ""
    carrier_of: Callable[[Job], LogCarrier] | None = None
    every_kind: Mapping[str, JobKind] | None = None

    def clean_up(self) -> None:
        """Give back what dead workers on this machine held, and remove what they left. Call once before `run_one`."""
        become_subreaper()
        for _job in reap(self.database, self.database.now(), self.host):
            pass
        # Folders before leases: one that is made in between belongs to a job that has its lease already.
        self.paths.make()  # run/ may be a tmpfs, and cache/ be removed at any time
        folders = list(self.paths.work.iterdir())
        with_lease = self._leased()
        for folder in folders:
            if "-".join(folder.name.split("-")[:2]) not in with_lease and not _is_entered(folder):
                self._remove(folder)
        for fresh in self.paths.roots.glob("new-*-*"):
            if not Path(f"/proc/{fresh.name.split('-')[1]}").exists():
                self._remove(fresh)
        objects = FileObjects(self.paths.objects)
        # Unpacked roots are large, and go when the packed ones are in the trash: a job holds those that its programs run in.
        unpacked = [digest for root in self.paths.roots.iterdir() for _, digest in digests_in(root.name)]
        for digest in unpacked:
            if not objects.path(digest).exists():
                self._remove(self.paths.roots / digest)
        objects.drop_leftovers()

    def _remove(self, folder: Path) -> None:
        """Remove what somebody left; what takes longer than rm(1) may take is begun again by the next worker."""
        with contextlib.suppress(ProgramFailed):
            self.sandbox.remove(folder)

    def run_one(self, only: Collection[int] | None = None) -> bool:
        """Run the next job to its end; say whether there was one. only: of these jobs; None is all.

        Ctrl-C and SIGTERM cancel the attempt, then KeyboardInterrupt is raised.
        """
        with interrupts_noted() as noted:
            return self._run_next(noted, only)

    def _run_next(self, noted: Interrupts, only: Collection[int] | None) -> bool:
        now = self.database.now()
        reap(self.database, now, self.host)
        kinds = [kind.kind for kind in self.kinds.values()]
        job = claim_next(self.database, self.pools, holder_name(host=self.host), now, kinds, only)
        if job is None:
            return False
        self.hint(job.pool)  # where there was work there may be more: who waits looks, too
        self.watcher.began(job)
        child = fork_child(self.kinds[job.kind], job, self.make_context)
        carrier = None if self.carrier_of is None else self.carrier_of(job)
        if carrier is not None:
            carrier.begin()  # a thread: after the fork, and over before the next one
        ousters: list[Job] = []
        try:
            reported = self._watch(child, job, noted, ousters)
        except BaseException as error:
            self._stop(child)
            interrupted = Ending(Outcome.BROKEN, "interrupted by Ctrl-C or SIGTERM")
            if isinstance(error, KeyboardInterrupt):
                self._write_end(job, _carried(carrier, interrupted), Retry.AT_ONCE)
            raise
        status = self._bury(child)
        killed = f"the job's process was killed (status {status}): out of memory?"
        ending = reported or Ending(Outcome.BROKEN, killed)
        if ousters and ending.outcome in _CUT_OFF:
            said = f"made way for job {ousters[0].id}, {quoted(ousters[0].title)}; it runs again after that"
            made_way = Ending(Outcome.CANCELLED, said, evidence=ending.evidence)
            self._write_end(job, _carried(carrier, made_way), Retry.MADE_WAY)
        else:
            self._write_end(job, _carried(carrier, ending))
        if carrier is not None:
            carrier.tidy()
        return True

    def unfinished(self, wanted: Collection[int] = ()) -> list[Job]:
        """List what is ready in its pools, what another worker runs there, and the `wanted` jobs that are not done."""
        kinds = [(kind.kind.name, kind.kind.version) for kind in self.kinds.values()]
        now = self.database.now()
        with self.database.read() as tx:
            return unfinished(tx, self.pools, now, kinds, wanted)

    def _watch(self, child: Child, job: Job, noted: Interrupts, ousters: list[Job]) -> Ending | None:
        """Follow an attempt until its process has ended; None if that came before its report. Raises KeyboardInterrupt if noted.

        ousters: takes the job of a release for which this one is stopped.
        """
        ending: Ending | None = None
        buffer = b""
        renewed = time.monotonic()
        cancelled_at: float | None = None
        with selectors.DefaultSelector() as selector:
            selector.register(child.reports, selectors.EVENT_READ)
            while True:
                if noted:
                    raise KeyboardInterrupt
                if selector.select(_TICK_S):
                    content = os.read(child.reports, 1 << 16)
                    if not content:
                        break
                    *lines, buffer = (buffer + content).split(b"\n")
                    for line in lines:
                        ending = self._report(job, json.loads(line)) or ending
                self.watcher.tick(job)
                if time.monotonic() - renewed > self.renew_every_s:
                    renewed = time.monotonic()
                    if cancelled_at is None and (self._must_stop(job) or self._makes_way(job, ousters)):
                        cancelled_at = renewed
                        os.kill(child.pid, signal.SIGTERM)
                if cancelled_at is not None and time.monotonic() - cancelled_at > self.cancel_grace_s:
                    os.kill(child.pid, signal.SIGKILL)
        return ending

    def _must_stop(self, job: Job) -> bool:
        """Renew the lease; say whether it is lost, or the job cancelled."""
        try:
            current = renew(self.database, job, self.database.now())
        except (
            Busy,
            OutOfSpace,
            DiskFailed,
        ):  # a bad moment ends no attempt (its own files may fill the disk); the fence decides in the end
            return False
        return current is None or current.is_cancelled

    def _makes_way(self, job: Job, ousters: list[Job]) -> bool:
        """Say whether a job of a release is to have this worker; a bad moment of the database is no reason to stop."""
        every = (self.every_kind or self.kinds).values()
        kinds, portable = [kind.kind for kind in every], [kind.kind for kind in every if kind.is_portable]
        with contextlib.suppress(Busy, OutOfSpace, DiskFailed):
            found = takes_its_place(self.database, job, self.pools, kinds, self.database.now(), portable)
            ousters += [] if found is None else [found]
        return bool(ousters)

    def _bury(self, child: Child) -> int:
        os.close(child.reports)
        _, status = os.waitpid(child.pid, 0)
        end_descendants()
        return os.waitstatus_to_exitcode(status)

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
        deadline = time.monotonic() + self.cancel_grace_s
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
        """Write the end, if the fence is still ours. A server of a database that is away is waited for, for a while."""
        retry = retry or (Retry.LATER if self.may_wait_to_retry else Retry.NEVER)
        until = time.monotonic() + self.patience_s
        while True:
            try:
                end_attempt(self.database, job, ending, self.database.now(), retry=retry)
            except DatabaseLost:
                if time.monotonic() > until:
                    raise
                time.sleep(_AGAIN_S)
            else:
                break
        self.watcher.ended(job, ending)

    def _leased(self) -> set[str]:
        with self.database.read() as tx:
            return {f"{job.id}-{job.fence}" for job in running_jobs(tx)}


def _carried(carrier: LogCarrier | None, ending: Ending) -> Ending:
    """Have the log carried to its end before the row says that the attempt is over, and say how long it is."""
    return ending if carrier is None else replace(ending, log_bytes=carrier.finish())


def _is_entered(folder: Path) -> bool:
    """Say whether a person is in this work folder."""
    word, _, pid = folder.name.partition("-")
    return word == ENTERED and Path(f"/proc/{pid}").exists()
