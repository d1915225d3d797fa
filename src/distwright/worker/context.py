"""What actions are given: our own state, the network, signers, the time. Made in the child process of a job."""

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from distwright.archive.shelf import Mirrors, Shelf, no_mirrors
from distwright.config.model import Config
from distwright.errors import Interrupted
from distwright.jobs.lease import fenced_write
from distwright.jobs.limits import NO_LIMITS, Limits, limits_of_machine
from distwright.jobs.step import Earlier, ShelfEntry, StepResult
from distwright.net.fetcher import Fetcher
from distwright.signing.joint import joint_signer
from distwright.signing.named import is_named, named_signer
from distwright.signing.policy import refuse_weak_key
from distwright.signing.signer import Signer
from distwright.store.database import Database, Transaction
from distwright.store.objects import ObjectStore
from distwright.store.paths import StatePaths
from distwright.tools.sandbox import Sandbox
from distwright.worker.builders import Builder

_PROGRESS_EVERY_S = 0.25
_PLAIN_EVERY_S = 15.0


@dataclass(slots=True)
class JobContext:
    """The Context of one attempt; tell: sends progress to the parent process; limits: of programs whose plans say nothing of it.

    log_aside: the step that is made beside others, whose log is apart; "" for the attempt.
    ask: has the server do an action that needs its keys; None on the server itself. clock_behind: how much this machine's clock
    is behind the server's, by which all times in rows are. builders: those that steps of this job may run on; tried: how often
    the job was broken, for then another one has it next.
    """

    database: Database
    objects: ObjectStore
    fetcher: Fetcher
    config: Config
    paths: StatePaths
    sandbox: Sandbox
    job: int
    fence: int
    tell: Callable[[str], None]
    is_cancelled: Callable[[], bool]
    alternates: Sequence[ObjectStore] = ()
    mirrors: Mirrors = no_mirrors
    limits: Limits = NO_LIMITS
    log_aside: str = ""
    last_progress: float = 0.0
    ask: Callable[[str, Earlier], StepResult] | None = None
    clock_behind: timedelta = timedelta(0)
    builders: tuple[Builder, ...] = ()
    tried: int = 0

    def __post_init__(self) -> None:
        """Look at the machine for what is not said."""
        self.limits = self.limits.or_else(limits_here(self.paths.root))

    @property
    def log_path(self) -> Path:
        """The log of this attempt."""
        if self.log_aside:
            return self.paths.work / f"{self.job}-{self.fence}-{self.log_aside}.log"
        return self.paths.job_log(self.job, self.fence)

    def shelf(self, entries: Sequence[ShelfEntry], limit_bytes: int) -> Shelf:
        """Give the archives that a step's programs may read; raise NotFound if one is not here."""
        return Shelf(entries, self, self.paths.cache / "pool", mirrors=self.mirrors, limit_bytes=limit_bytes)

    def write(self) -> AbstractContextManager[Transaction]:
        """Begin a writing transaction; raise LeaseLost if the job is no longer ours."""
        return fenced_write(self.database, self.job, self.fence)

    def now(self) -> datetime:
        """The time, by the server's clock."""
        return datetime.now(UTC) + self.clock_behind

    def log(self, line: str) -> None:
        """Add a line to the job's log."""
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("a", encoding="utf-8") as file:
            file.write(f"{datetime.now(UTC):%H:%M:%S} {line}\n")

    def progress(self, stage: str, done: int, total: int, unit: str) -> None:
        """Say how far a long action is; at most four times a second, and at the end."""
        moment = time.monotonic()
        if done < total and moment - self.last_progress < _PROGRESS_EVERY_S:
            return
        self.last_progress = moment
        self.tell(json.dumps({"progress": [stage, done, total, unit]}))

    def check_cancelled(self) -> None:
        """Raise Interrupted if the job must stop."""
        if self.is_cancelled():
            raise Interrupted(f"job {self.job} was cancelled", hint=f"distwright job retry {self.job}")

    def signer(self, *credentials: str) -> Signer:
        """Give the signer of a role, which signs with all of these keys."""
        return strong_signer(self.paths, credentials, self)


def limits_here(root: Path) -> Limits:
    """Give what this machine lets any program use whose plan says nothing of it. root: of the state."""
    return limits_of_machine(_memory_mb(), _free_mb(root))


def _free_mb(place: Path) -> int:
    disk = os.statvfs(place)
    return disk.f_bavail * disk.f_frsize >> 20


def _memory_mb() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20


def signer_of(paths: StatePaths, credentials: Sequence[str]) -> Signer:
    """Give the signer of a role, from the credentials directory of systemd or from the state's keys."""
    guarded = _credentials_folder()
    return joint_signer([named_signer(credential, paths.keys, guarded) for credential in credentials])


def is_key_there(paths: StatePaths, credential: str) -> bool:
    """Say whether something leads to a key of this name there, good or not."""
    return is_named(credential, paths.keys, _credentials_folder())


def _credentials_folder() -> Path | None:
    given = os.environ.get("CREDENTIALS_DIRECTORY")
    return Path(given) if given else None


def strong_signer(paths: StatePaths, credentials: Sequence[str], context: "JobContext | CommandContext") -> Signer:
    """Give a signer whose signatures apt takes; say what will not be so for long."""
    signer = signer_of(paths, credentials)
    for finding in refuse_weak_key(signer.certificate(), context.now(), f"credential {' and '.join(credentials)}"):
        context.log(f"key {finding.subject} {finding.evidence}")
    return signer


@dataclass(slots=True)
class CommandContext:
    """The Context of a person's command: no job, so no fence; what it has to say goes to stderr, and Ctrl-C ends it."""

    database: Database
    objects: ObjectStore
    fetcher: Fetcher
    config: Config
    paths: StatePaths
    alternates: Sequence[ObjectStore] = ()
    mirrors: Mirrors = no_mirrors
    job: None = None
    fence: int = 0
    last_progress: float = 0.0

    def write(self) -> AbstractContextManager[Transaction]:
        """Begin a writing transaction."""
        return self.database.write()

    def now(self) -> datetime:
        """The time."""
        return datetime.now(UTC)

    def check_cancelled(self) -> None:
        """Do nothing: a person has Ctrl-C."""

    def signer(self, *credentials: str) -> Signer:
        """Give the signer of a role, which signs with all of these keys."""
        return strong_signer(self.paths, credentials, self)

    def log(self, line: str) -> None:
        """Say a line."""
        print(line, file=sys.stderr)  # noqa: T201  # there is no log file: the person is the log

    def progress(self, stage: str, done: int, total: int, unit: str) -> None:
        """Say how far a long action is: now and then, on one line of a terminal."""
        moment = time.monotonic()
        is_terminal = sys.stderr.isatty()
        every_s = _PROGRESS_EVERY_S if is_terminal else _PLAIN_EVERY_S
        if not self.last_progress:
            self.last_progress = moment
        if moment - self.last_progress < every_s and (done < total or not is_terminal):
            return
        self.last_progress = moment
        end = ("\r" if done < total else "\n") if is_terminal else "\n"
        print(f"{stage}: {done} of {total} {unit}", end=end, file=sys.stderr, flush=True)  # noqa: T201  # as above
