"""What faces show: short reads of the installation as plain values. Nothing here changes anything."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from distwright.archive.needs import needed_by, needed_serials
from distwright.archive.own_snapshots import parse_own_snapshot
from distwright.archive.pins import LATEST
from distwright.archive.snapshots import parse_snapshot
from distwright.errors import BadInput, BadUsage, NotFound, quoted
from distwright.flow.advance import unanswered
from distwright.jobs.lease import host_of
from distwright.jobs.order import get_job
from distwright.model.digests import Sha256
from distwright.model.events import EventKind, OpenEvent, StoredEvent
from distwright.model.outcomes import JobState
from distwright.model.records import (
    Attempt,
    FreezeException,
    Job,
    Publication,
    Revision,
    Snapshot,
    SuiteState,
    TaggedSnapshot,
    UploadVerdict,
)
from distwright.model.serials import Serial
from distwright.site.line import StageRow, line_rows
from distwright.site.readers import Viewer
from distwright.store.archives import find_snapshot, list_publications, list_snapshots, newest_snapshot
from distwright.store.database import Database
from distwright.store.events import newest_events
from distwright.store.exceptions import list_exceptions
from distwright.store.holds import Hold
from distwright.store.jobs import attempts_of, list_jobs
from distwright.store.logs import log_size
from distwright.store.objects import ObjectStore
from distwright.store.paths import StatePaths
from distwright.store.signed import find_resigned, list_tags
from distwright.store.suites import list_revisions, list_suites
from distwright.store.tallies import count_by_state
from distwright.store.uploads import list_uploads
from distwright.tools.git import refs, unreadable_refs
from distwright.worker.kinds import KINDS

_OF_REPOS = (EventKind.REPO_PUSHED, EventKind.BRANCH_READY, EventKind.BRANCH_STATUS_CHANGED)


@dataclass(frozen=True, slots=True)
class Overview:
    """The front page."""

    line: list[StageRow]
    waiting: list[OpenEvent]
    refused: list[OpenEvent]
    events: list[StoredEvent]
    snapshots: list[Snapshot]
    suites: list[SuiteState]
    live: dict[str, Publication]
    counts: dict[JobState, int]


@dataclass(frozen=True, slots=True)
class SnapshotDetail:
    """One snapshot. suites: each with its Date (of upstream) or revision (of ours). needed_by: who, and why. is_resigned: by us."""

    row: Snapshot
    suites: dict[str, str]
    needed_by: list[Hold]
    is_resigned: bool


@dataclass(frozen=True, slots=True)
class JobDetail:
    """One job with its attempts and the log of the newest one."""

    job: Job
    attempts: list[Attempt]
    log: Path

    @property
    def missing_log(self) -> str:
        """Say what of the log is not here; "" if all is, or the attempt is not over."""
        newest = self.attempts[-1] if self.attempts else None
        if newest is None or newest.log_bytes is None or (here := log_size(self.log)) >= newest.log_bytes:
            return ""
        host = host_of(newest.holder)
        return f"the last {newest.log_bytes - here} bytes of this log are on host {host} still: its worker sends them"


def overview(database: Database, paths: StatePaths, viewer: Viewer, *, events: int = 20) -> Overview:
    """Read everything for the front page that somebody may see, in one consistent view.

    Events of repos that the configuration does not have any more are left out: they may have been private.
    """

    def is_shown(stored: StoredEvent) -> bool:
        is_gone = stored.event.kind in _OF_REPOS and stored.event.body["repo"] not in viewer.config.repos
        return viewer.sees(stored.embargo) and not is_gone

    with database.read() as tx:
        embargoes = viewer.embargoes(tx)
        still_open = [row for row in unanswered(tx) if is_shown(row.event)]
        live = list_publications(tx, state="live")
        return Overview(
            line=line_rows(tx, paths, embargoes),
            waiting=[row for row in still_open if not row.is_refused],
            refused=[row for row in still_open if row.is_refused],
            events=[row for row in newest_events(tx, events, embargoes=embargoes) if is_shown(row)],
            snapshots=[row for row in list_snapshots(tx) if viewer.sees_archive(row.archive)],
            suites=[row for row in list_suites(tx) if viewer.sees_archive(row.archive)],
            live={f"{row.archive}/{row.suite}": row for row in live if viewer.sees_archive(row.archive)},
            counts=count_by_state(tx, embargoes),
        )


def line(database: Database, paths: StatePaths) -> list[StageRow]:
    """Read the line from record to boot."""
    with database.read() as tx:
        return line_rows(tx, paths)


def jobs(database: Database, *, limit: int) -> list[Job]:
    """List all jobs, newest first: for who has this machine."""
    with database.read() as tx:
        return list_jobs(tx, limit=limit)


def seen_jobs(database: Database, viewer: Viewer, *, limit: int) -> list[Job]:
    """List the jobs that somebody may see, newest first."""
    with database.read() as tx:
        return list_jobs(tx, limit=limit, embargoes=viewer.embargoes(tx))


def open_events(database: Database) -> list[OpenEvent]:
    """List the events that not everything has followed from yet."""
    with database.read() as tx:
        return unanswered(tx)


def unknown_kind(job: Job) -> str:
    """Say why no worker of this version runs a queued job; "" if one does."""
    known = KINDS.get(job.kind)
    if job.state is not JobState.QUEUED or (known is not None and known.kind.version == job.version):
        return ""
    return (
        f"this version of distwright does not know {job.kind} {job.version}: "
        f"it waits for one that does, or for distwright job cancel {job.id}"
    )


def job_detail(database: Database, paths: StatePaths, job_id: int) -> JobDetail:
    """Read one job: for who has this machine. Raises NotFound."""
    with database.read() as tx:
        job = get_job(tx, job_id)
        return JobDetail(job, attempts_of(tx, job_id), paths.job_log(job.id, job.fence))


def seen_job(database: Database, paths: StatePaths, viewer: Viewer, job_id: int) -> JobDetail:
    """Read one job; raise NotFound, for one that they may not see as for one that is not there."""
    with database.read() as tx:
        job = viewer.job(tx, job_id)
        return JobDetail(job, attempts_of(tx, job_id), paths.job_log(job.id, job.fence))


def snapshots(database: Database, archive: str | None = None) -> list[Snapshot]:
    """List snapshots, newest serial first."""
    with database.read() as tx:
        return list_snapshots(tx, archive)


def serial_named(database: Database, archive: str, name: str) -> Snapshot:
    """Find the snapshot that a serial means, or `latest`, once: a face shows the serial from then on. Raises NotFound, BadInput."""
    with database.read() as tx:
        row = newest_snapshot(tx, archive) if name == LATEST else find_snapshot(tx, archive, Serial(name))
    if row is None:
        what = "snapshot" if name == LATEST else f"snapshot {name}"
        raise NotFound(f"archive {archive} has no {what}", hint=f"distwright snapshot list {archive}")
    return row


def snapshot_detail(database: Database, objects: ObjectStore, row: Snapshot, now: datetime) -> SnapshotDetail:
    """Read what a snapshot is, and who needs it."""
    with database.read() as tx:
        needed, is_resigned = needed_by(tx, row.archive, row.serial, now), find_resigned(tx, row.archive, row.serial)
    content = objects.read(row.digest)
    try:
        suites = {name: revision.short for name, (revision, _) in parse_own_snapshot(content).suites.items()}
    except BadInput:
        recorded = parse_snapshot(content).suites.items()
        suites = {name: f"{suite.date:%Y-%m-%d %H:%M:%S}" for name, suite in recorded}
    return SnapshotDetail(row, suites, needed, is_resigned is not None)


def serial_holds(database: Database, archive: str | None, now: datetime) -> list[Hold]:
    """List who needs which snapshot, by archive and serial."""
    with database.read() as tx:
        found = needed_serials(tx, now, archive)
    return [hold for place in sorted(found) for hold in found[place]]


def tagged_snapshots(database: Database, archive: str | None = None) -> list[TaggedSnapshot]:
    """List tagged snapshots by archive and tag."""
    with database.read() as tx:
        return list_tags(tx, archive)


def suites(database: Database) -> list[tuple[SuiteState, Publication | None]]:
    """List suites, each with what is served of it."""
    with database.read() as tx:
        live = {(row.archive, row.suite): row for row in list_publications(tx, state="live")}
        return [(row, live.get((row.archive, row.name))) for row in list_suites(tx)]


def suite_named(database: Database, name: str, hidden: Collection[str] = ()) -> SuiteState:
    """Find a suite by `SUITE` or `ARCHIVE/SUITE`; raise NotFound, BadUsage if two archives have one of that name.

    hidden: archives that are passed over.
    """
    with database.read() as tx:
        rows = [row for row in list_suites(tx) if row.archive not in hidden]
        found = [row for row in rows if name in (row.name, f"{row.archive}/{row.name}")]
    if not found:
        raise NotFound(f"there is no suite {quoted(name)}", hint="distwright suite list")
    if len(found) > 1:
        names = ", ".join(f"{row.archive}/{row.name}" for row in found)
        raise BadUsage(f"{quoted(name)} may mean {names}", hint="name the archive too: ARCHIVE/SUITE")
    return found[0]


def state_named(database: Database, name: str) -> Sha256:
    """Give the revision that `SUITE` or `SUITE@NUMBER` means; raise NotFound, BadUsage."""
    suite, at, number = name.partition("@")
    row = suite_named(database, suite)
    if not at:
        return row.revision
    for step in suite_revisions(database, row, limit=100_000):
        if str(step.number) == number:
            return step.after
    raise NotFound(
        f"{row.archive}/{row.name} has no revision {quoted(number)}",
        hint=f"distwright suite history {row.archive}/{row.name}",
    )


def suite_revisions(database: Database, row: SuiteState, limit: int) -> list[Revision]:
    """List how a suite came to be what it is, newest first."""
    with database.read() as tx:
        return list_revisions(tx, row.archive, row.name, limit)


def freeze_exceptions(database: Database, row: SuiteState, *, ended: bool) -> list[FreezeException]:
    """List the exceptions of a suite, the oldest first; ended: those that are over as well."""
    with database.read() as tx:
        return list_exceptions(tx, row.archive, row.name, ended=ended)


def uploads(database: Database, *, limit: int) -> list[UploadVerdict]:
    """List uploads, newest first."""
    with database.read() as tx:
        return list_uploads(tx, limit)


def repo_refs(paths: StatePaths, name: str) -> dict[str, str]:
    """List the branches and tags of a hosted repo."""
    path = paths.repo(name)
    return refs(path) if path.exists() else {}


def unreadable_refs_of(paths: StatePaths, name: str) -> list[str]:
    """Name the branches and tags of a hosted repo that are passed over, because their names are not UTF-8."""
    path = paths.repo(name)
    return unreadable_refs(path) if path.exists() else []
