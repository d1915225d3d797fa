"""Work for tests of the lower rooms: made-up kinds of jobs, and the context that a worker gives their steps."""

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from tests.worlds.archive import UpstreamFetcher
from tests.worlds.installation import config
from tests.worlds.state import COUNT

from distwright.jobs.lease import LEASE_S, Ending
from distwright.jobs.step import (
    Action,
    Conclusion,
    Context,
    Earlier,
    Inputs,
    JobKind,
    Plan,
    PlannedCommand,
    Step,
    StepResult,
)
from distwright.model.digests import Json
from distwright.model.events import Event
from distwright.model.records import Job
from distwright.store.database import Database
from distwright.store.migrations import upgrade
from distwright.store.objects import FileObjects
from distwright.store.paths import StatePaths
from distwright.tools.sandbox import Sandbox
from distwright.worker.context import JobContext
from distwright.worker.loop import Worker

Tell = Callable[[str], None]
IsCancelled = Callable[[], bool]
_NEVER_S = 120.0


@dataclass(slots=True)
class Workshop:
    """A real installation in a folder, and the contexts of jobs in it."""

    paths: StatePaths
    database: Database
    objects: FileObjects
    sandbox: Sandbox
    told: list[str] = field(default_factory=list)
    is_cancelled: IsCancelled = field(default=lambda: False)

    def context(self, job: int = 1, fence: int = 1) -> JobContext:
        """Give the context of an attempt in this process."""
        return self._context(self.database, job, fence, self.told.append, self.is_cancelled)

    def make_context(self, job: Job, tell: Tell, is_cancelled: IsCancelled) -> JobContext:
        """Give the context of an attempt in a forked process, as a worker wants it."""
        database = self.database.reopen(lost_patience_s=LEASE_S)
        return self._context(database, job.id, job.fence, tell, is_cancelled)

    def log(self, job: int = 1, fence: int = 1) -> str:
        """Read the log of an attempt."""
        return self.paths.job_log(job, fence).read_text(errors="replace")

    def _context(self, database: Database, job: int, fence: int, tell: Tell, is_cancelled: IsCancelled) -> JobContext:
        return JobContext(
            database=database,
            objects=self.objects,
            fetcher=UpstreamFetcher({}),
            config=config(),
            paths=self.paths,
            sandbox=self.sandbox,
            job=job,
            fence=fence,
            tell=tell,
            is_cancelled=is_cancelled,
        )


def workshop(folder: Path, sandbox: Sandbox, url: str = "") -> Workshop:
    """Make an installation below a folder. url: of its database, if that is not a file there."""
    paths = StatePaths(folder)
    folder.mkdir(parents=True, exist_ok=True, mode=0o711)
    if url:
        paths.database_place.write_text(url)
    paths.make()
    database = Database(paths.database_url)
    upgrade(database)
    return Workshop(paths, database, FileObjects(paths.objects), sandbox)


def nothing(_context: Context, _inputs: Inputs, _earlier: Earlier) -> StepResult:
    """Do nothing, well."""
    return StepResult({})


def outputs_of(earlier: Earlier) -> dict[str, Json]:
    """Give all outputs of all steps, as `step/name`."""
    return {
        f"{step}/{name}": str(digest) for step, result in earlier.items() for name, digest in result.outputs.items()
    }


def kind_of(
    *steps: Step | Action, events: Callable[[datetime, int], tuple[Event, ...]] = lambda _now, _job: ()
) -> JobKind:
    """Give a kind of job with these steps that ends well with all their outputs."""

    def conclude(_inputs: Inputs, earlier: Earlier, now: datetime, job: int) -> Conclusion:
        return Conclusion(outputs_of(earlier), "counted", events(now, job))

    return JobKind(COUNT, steps, conclude)


class Onlooker:
    """A watcher that remembers what it was told."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.seen: list[tuple[object, ...]] = []

    def began(self, job: Job) -> None:
        """Note it."""
        self.seen.append(("began", job.id))

    def step(self, job: Job, name: str, number: int, total: int) -> None:
        """Note it."""
        self.seen.append(("step", name, number, total))

    def progress(self, job: Job, stage: str, done: int, total: int, unit: str) -> None:
        """Note it."""
        self.seen.append(("progress", stage, done, total, unit))

    def tick(self, job: Job) -> None:
        """Time passes."""

    def waits(self, job: Job) -> None:
        """Note it."""
        self.seen.append(("waits", job.id))

    def ended(self, job: Job, ending: Ending) -> None:
        """Note it."""
        self.seen.append(("ended", job.id, ending.outcome))


def worker_of(
    shop: Workshop, *all_kinds: JobKind, watcher: Onlooker | None = None, may_wait_to_retry: bool = True
) -> Worker:
    """Give a worker of this process that notices a cancel at once and gives little grace."""
    return Worker(
        database=shop.database.reopen(),
        paths=shop.paths,
        sandbox=shop.sandbox,
        kinds={kind.kind.name: kind for kind in all_kinds},
        make_context=shop.make_context,
        pools=["local"],
        watcher=watcher or Onlooker(),
        may_wait_to_retry=may_wait_to_retry,
        renew_every_s=0.05,
        cancel_grace_s=1.0,
    )


def start_worker(
    shop: Workshop,
    *all_kinds: JobKind,
    jobs: int = 1,
    may_wait_to_retry: bool = True,
    watcher: Onlooker | None = None,
) -> int:
    """Fork a worker that cleans up and then runs up to so many jobs; give its process number. Exit 130: interrupted."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        worker = worker_of(shop, *all_kinds, watcher=watcher, may_wait_to_retry=may_wait_to_retry)
        worker.clean_up()
        while jobs and worker.run_one():
            jobs -= 1
        status = 0
    except KeyboardInterrupt:
        status = 130
    finally:
        if status == 1:
            traceback.print_exc()
        os._exit(status)


def ended(pid: int) -> int:
    """Wait for a process that we started; give its exit code, negative for a signal. One that never ends is killed: a failure."""
    deadline = time.monotonic() + _NEVER_S
    while True:
        gone, status = os.waitpid(pid, os.WNOHANG)
        if gone:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise AssertionError(f"process {pid} never ended")
        time.sleep(0.01)


def shell(script: str, timeout_s: int = 60, **more: object) -> PlannedCommand:
    """Plan a shell script."""
    return PlannedCommand(("sh", "-euc", script), timeout_s, **more)  # type: ignore[arg-type]


def step(*scripts: str | PlannedCommand, name: str = "count", repeat: bool = False, **plan: object) -> Step:
    """Give a step of these scripts, one command each."""
    commands = tuple(script if isinstance(script, PlannedCommand) else shell(script) for script in scripts)
    made = Plan(commands, **plan)  # type: ignore[arg-type]
    return Step(name, lambda _inputs, _earlier: made, repeat=repeat)
