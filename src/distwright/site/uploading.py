"""The upload queue: whatever way an upload comes, it becomes a job; and what became of it is told where it came from."""

import contextlib
import hmac
import json
import os
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from distwright.archive import incoming
from distwright.archive.access import Grant
from distwright.archive.incoming import Arrival, IncompleteError
from distwright.archive.resolve import ACCEPT_KIND, accept_order
from distwright.config.embargo import is_private_archive
from distwright.config.model import Config
from distwright.errors import BadInput, Busy, DistwrightError, NotAllowed, NotFound, Refused, quoted
from distwright.formats.values import words
from distwright.jobs.order import get_job, place_order
from distwright.model import plain
from distwright.model.digests import Json, Sha256
from distwright.model.outcomes import JobState, Outcome
from distwright.model.records import Job, UploadVerdict
from distwright.site.readers import Viewer
from distwright.site.tokens import token_of
from distwright.site.views import suite_named
from distwright.store.database import Database
from distwright.store.jobs import list_jobs
from distwright.store.locks import locked
from distwright.store.objects import ObjectStore
from distwright.store.paths import StatePaths
from distwright.store.uploads import upload_of_job

_TOLD_AT_MOST = 1000  # strangers choose the names of what they drop
_UNTOLD = (
    Outcome.BROKEN,
    Outcome.CANCELLED,
    Outcome.TIMED_OUT,
)  # nothing is said of the upload: somebody may try the job again


def _say_nothing(_text: str) -> None:
    """Nobody listens."""


def once(told: set[str], tell: Callable[[str], None]) -> Callable[[str], None]:
    """Tell what is odd unless it was told before: the same is found at every look."""

    def tell_once(text: str) -> None:
        if text not in told and len(told) < _TOLD_AT_MOST:
            told.add(text)
            tell(text)

    return tell_once


@dataclass(frozen=True, slots=True)
class UploadQueue:
    """The queue of an installation. keyring: gives the object of a keyring that the configuration names; hint: wakes workers."""

    database: Database
    objects: ObjectStore
    paths: StatePaths
    config: Config
    commit: str
    keyring: Callable[[str], Sha256]
    hint: Callable[[str], None]
    now: Callable[[], datetime]
    tell: Callable[[str], None] = _say_nothing

    @property
    def drop_folder(self) -> Path:
        """Where uploads are dropped."""
        return Path(self.config.site.incoming) if self.config.site.incoming else self.paths.incoming

    def grants(self) -> list[Grant]:
        """Give what the configuration grants; raise Busy if a keyring is gone: our fault, for which no upload is rejected."""
        try:
            return self._grants()
        except NotFound as error:
            raise Busy(f"uploads wait: {error.message}", hint="add the file that [upload.NAME] names") from error

    def _grants(self) -> list[Grant]:
        return [
            Grant(
                name,
                self.keyring(table.keyring),
                keys=table.keys,
                suites=table.suites,
                sources=table.sources,
                new=table.new,
                binaries=table.binaries,
                architectures=table.architectures,
                take_over=table.take_over,
                max_age_days=table.max_age_days,
            )
            for name, table in self.config.uploads.items()
        ]

    def from_file(self, place: Path, suite: str) -> Job:
        """Queue a .changes with the files beside it. suite: "" is what its Distribution says. Raises NotFound, Refused."""
        return self._take(place.parent, place.name, "command", "", suite)[0]

    def from_session(self, user: str, name: str) -> Job:
        """Queue what a user has put into their folder by HTTP; raise IncompleteError, BadInput, NotFound, Refused."""
        folder = self.session(user)
        with locked(self.paths.lock(f"upload-{user}")):
            job, arrival = self._take(folder, name, "http", user, "")
            incoming.set_aside(folder, job.id, arrival)
        return job

    def session(self, user: str) -> Path:
        """Give the folder where a user's files wait for their .changes; users are names of [upload.NAME] tables."""
        folder = self.paths.uploads / user
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return folder

    def user_of(self, name: str, token: str) -> str:
        """Say who opens HTTP uploads with a token; raise NotAllowed. Takes as long for a wrong name as for a wrong token."""
        table = self.config.uploads.get(name)
        wanted = token_of(self.paths, table.token.credential) if table is not None and table.token is not None else ""
        if not hmac.compare_digest(token.encode(), (wanted or "\0").encode()) or not wanted:
            raise NotAllowed("no [upload.NAME] table has this name and token", hint="distwright upload token NAME")
        return name

    def take_in(self, tell: Callable[[str], None] | None = None) -> int:
        """Look once at the drop folder and at what waits of HTTP uploads; say how many uploads became jobs.

        tell: hears what is wrong with a folder or a name, in which strangers have a say; the others are looked at all the same.
        """
        count, tell = 0, tell or self.tell
        folders = [(self.drop_folder, "drop", "")]
        if self.paths.uploads.is_dir():
            folders += [(place, "http", place.name) for place in sorted(self.paths.uploads.iterdir()) if place.is_dir()]
        for folder, way, by in folders:
            if folder.is_dir() and (way == "drop" or _is_anything(folder)):
                with _contained(str(folder), tell), locked(self.paths.lock(f"upload-{by or 'drop'}"), patience_s=0):
                    count += self._look_at(folder, way, by, tell)
        return count

    def _look_at(self, folder: Path, way: str, by: str, tell: Callable[[str], None]) -> int:
        count = 0
        if way == "drop":
            with _contained(str(folder), tell):
                incoming.claim(folder)
        with incoming.taken_folder(folder) as taken:
            for name in incoming.waiting_changes(folder):
                with _contained(str(folder / name), tell):
                    count += self._look(folder, name, way, by)
            for job, marker in incoming.taken_jobs(taken):
                with _contained(str(folder / incoming.TAKEN / marker.name), tell):
                    self._tell(folder, job, marker, is_shown=way == "drop")
        incoming.drop_leftovers(folder, self.now().timestamp())
        return count

    def status(self, number: int, viewer: Viewer | None = None) -> dict[str, Json]:
        """Say what became of an upload, by the number of its job, to viewer, or whoever has this machine; raise NotFound."""
        with self.database.read() as tx:
            job = get_job(tx, number) if viewer is None else viewer.job(tx, number)
            verdict = upload_of_job(tx, number)
        if job.kind != ACCEPT_KIND.name:
            raise NotFound(f"job {number} is no upload", hint="distwright upload list")
        return upload_status(job, verdict)

    def _look(self, folder: Path, name: str, way: str, by: str) -> bool:
        now_s = self.now().timestamp()
        try:
            job, arrival = self._take(folder, name, way, by, "")
        except IncompleteError as error:
            if incoming.is_late(folder, name, now_s, incoming.PATIENCE_S):
                self._refuse(folder, name, error, is_shown=way == "drop")
            return False
        except (BadInput, NotFound, Refused) as error:
            if incoming.is_late(folder, name, now_s, incoming.SETTLE_S):
                self._refuse(folder, name, error, is_shown=way == "drop")
            return False
        incoming.set_aside(folder, job.id, arrival)
        return True

    def _take(self, folder: Path, name: str, way: str, by: str, suite: str) -> tuple[Job, Arrival]:
        """Place the job of an upload that is whole. What cannot be ordered is told before any large file is read."""
        named = words(incoming.read_announced(folder, name).distribution)
        if not suite and len(named) != 1:
            raise Refused(f"{name} is for {len(named)} suites, want one", hint="build it again for one suite")
        # From outside nothing comes to a private archive, and no answer says which suites it has: pushes do.
        hidden = (
            () if way == "command" else [name for name in self.config.archives if is_private_archive(self.config, name)]
        )
        row, grants = suite_named(self.database, suite or named[0], hidden), self.grants()
        arrival = incoming.collect(self.objects, folder, name)
        order = accept_order(
            self.config,
            row.name,
            archive=row.archive,
            changes=arrival.digest,
            files=arrival.files,
            source=arrival.changes.source,
            version=str(arrival.changes.version),
            grants=grants,
            came=incoming.came(way, by, arrival),
        )
        with self.database.write() as tx:
            job = place_order(tx, order, self.now(), config_commit=self.commit, objects=self.objects)
        self.hint(job.pool)
        return job, arrival

    def _tell(self, folder: Path, number: int, marker: Path, *, is_shown: bool) -> None:
        try:
            with self.database.read() as tx:
                job, verdict = get_job(tx, number), upload_of_job(tx, number)
        except NotFound:
            marker.unlink(missing_ok=True)
            return
        if job.state is not JobState.DONE or job.outcome in _UNTOLD:
            return
        name = marker.name.partition("-")[2]
        status = _shown(upload_status(job, verdict))
        if is_shown and verdict is not None and verdict.is_accepted:
            incoming.show_accepted(folder, name, status)
        elif is_shown:
            files = {} if verdict is None else {**verdict.files, name: verdict.changes}
            incoming.show_rejected(folder, name, status, files, self.objects, mark=str(number))
        incoming.forget(folder, marker, self.objects)

    def _refuse(self, folder: Path, name: str, error: DistwrightError, *, is_shown: bool) -> None:
        """Put away an upload that cannot even become a job, with the files of it that are there."""
        files = incoming.announced_files(folder, name)
        if is_shown:
            status: dict[str, Json] = {"name": name, "result": "rejected", "problems": [error.message]}
            mark = str(int(os.lstat(folder / name).st_mtime))
            kept = incoming.remains(self.objects, folder, name, files)
            incoming.show_rejected(folder, name, _shown(status), kept, self.objects, mark=mark)
        incoming.remove(folder, name, files)


def upload_status(job: Job, verdict: UploadVerdict | None) -> dict[str, Json]:
    """Give the machine-readable status: waiting, accepted, rejected (with every problem), or broken (ours, may be retried)."""
    if verdict is not None and (job.state is JobState.DONE or verdict.is_accepted):
        result = "accepted" if verdict.is_accepted else "rejected"
    elif job.state is JobState.DONE:
        result = str(job.outcome)
    else:
        result = "waiting"
    came = plain.mapping(job.inputs, "came") if "came" in job.inputs else {}
    return {
        "upload": job.id,
        "suite": f"{job.inputs['archive']}/{job.inputs['suite']}",
        "name": came.get("name", ""),
        "way": came.get("way", "build"),
        "by": came.get("by", ""),
        "result": result,
        "source": "" if verdict is None else verdict.source,
        "version": "" if verdict is None else verdict.version,
        "signer": "" if verdict is None else verdict.signer or "",
        "problems": [] if verdict is None else list(verdict.problems),
        "message": job.message,
        "changes": str(job.inputs["changes"]),
        "files": dict(plain.mapping(job.inputs, "files")),
        "came at": job.created_at.isoformat(),
        "judged at": None if verdict is None else verdict.at.isoformat(),
    }


def upload_list(database: Database, limit: int, viewer: Viewer | None = None) -> list[dict[str, Json]]:
    """List uploads with what became of them, newest first: those that viewer may see, or all, for who has this machine."""
    with database.read() as tx:
        embargoes = None if viewer is None else viewer.embargoes(tx)
        jobs = list_jobs(tx, kind=ACCEPT_KIND.name, limit=limit, embargoes=embargoes)
        return [upload_status(job, upload_of_job(tx, job.id)) for job in jobs]


@contextlib.contextmanager
def _contained(what: str, tell: Callable[[str], None]) -> Iterator[None]:
    """Tell of whatever goes wrong with one thing that strangers have put here, and go on with the next."""
    try:
        yield
    except Busy:  # ours, or somebody else looks at it: next time
        pass
    except DistwrightError as error:
        tell(f"{quoted(what)}: {error.message}")
    except OSError as error:
        tell(f"{quoted(what)}: {error.strerror or error}")
    except Exception:  # a bug of ours that one name brings out must not keep all others waiting
        tell(f"{quoted(what)}: {traceback.format_exc()}")


def _is_anything(folder: Path) -> bool:
    with os.scandir(folder) as entries:
        return any(True for _ in entries)


def _shown(status: dict[str, Json]) -> bytes:
    return (json.dumps(status, indent=2, ensure_ascii=False) + "\n").encode()
