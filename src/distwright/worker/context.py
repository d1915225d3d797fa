"""What actions are given: our own state, the network, signers, the time. Made in the child process of a job."""

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from distwright.config.model import Config
from distwright.errors import Interrupted
from distwright.net.fetch import Fetcher
from distwright.signing.signer import SequoiaSigner, Signer
from distwright.store.database import Database
from distwright.store.objects import FileObjects
from distwright.store.paths import StatePaths
from distwright.tools.sandbox import Sandbox

_PROGRESS_EVERY_S = 0.25


@dataclass(slots=True)
class JobContext:
    """The Context of one attempt; tell: sends progress to the parent process."""

    database: Database
    objects: FileObjects
    fetcher: Fetcher
    config: Config
    paths: StatePaths
    sandbox: Sandbox
    job: int
    fence: int
    tell: Callable[[str], None]
    is_cancelled: Callable[[], bool]
    alternates: Sequence[FileObjects] = ()
    last_progress: float = 0.0

    @property
    def log_path(self) -> Path:
        """The log of this attempt."""
        return self.paths.job_log(self.job, self.fence)

    def now(self) -> datetime:
        """The time."""
        return datetime.now(UTC)

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

    def signer(self, credential: str) -> Signer:
        """Give the signer of a role, from the credentials directory of systemd or from the state's keys."""
        given = os.environ.get("CREDENTIALS_DIRECTORY")
        if given and (Path(given) / credential).exists():
            return SequoiaSigner(Path(given) / credential, is_guarded=True)
        return SequoiaSigner(self.paths.key(credential))
