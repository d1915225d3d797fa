"""What faces show of checks: trials with the serials that people know, findings, and inquiries with their jobs."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from distwright.checks.filing import BUILDS
from distwright.checks.findings import FAILS
from distwright.checks.inquiries import get_inquiry, placed_jobs, stop
from distwright.checks.lines import recipe_of
from distwright.model.digests import Sha256
from distwright.model.outcomes import JobState
from distwright.model.records import Inquiry, InquiryState, Job, KnownFinding, Trial
from distwright.store.archives import find_snapshot_by_digest
from distwright.store.database import Database, Transaction
from distwright.store.findings import list_findings
from distwright.store.inquiries import list_inquiries
from distwright.store.jobs import find_job
from distwright.store.trials import list_trials


@dataclass(frozen=True, slots=True)
class ShownTrial:
    """A trial. serials: archive -> the serial that its state has here; a state of ours, or one that is gone, by its digest.

    architecture: of its environment, "" if its job is gone.
    """

    trial: Trial
    serials: Mapping[str, str]
    architecture: str


@dataclass(frozen=True, slots=True)
class ShownInquiry:
    """An inquiry, and the jobs that it has asked for."""

    inquiry: Inquiry
    jobs: tuple[Job, ...]


def serials_of(tx: Transaction, states: Mapping[str, Sha256]) -> dict[str, str]:
    """Name states (`archive/suite` -> document) as people do: archive -> serial; others by `archive/suite` and short digest."""
    named: dict[str, str] = {}
    for name, document in states.items():
        archive = name.partition("/")[0]
        row = find_snapshot_by_digest(tx, archive, document)
        if row is None:
            named[name] = document.short
        else:
            named[archive] = row.serial
    return named


def trials(database: Database, source: str | None, limit: int) -> list[ShownTrial]:
    """List the trials of builds, newest first."""
    with database.read() as tx:
        rows = [(row, find_job(tx, row.job)) for row in list_trials(tx, BUILDS, source, limit=limit)]
        return [
            ShownTrial(row, serials_of(tx, row.states), "" if job is None else recipe_of(job.inputs).architecture)
            for row, job in rows
        ]


def inquiries(database: Database, limit: int) -> list[Inquiry]:
    """List inquiries, newest first."""
    with database.read() as tx:
        return list_inquiries(tx, limit=limit)


def inquiry_named(database: Database, number: int) -> ShownInquiry:
    """Find an inquiry; raise NotFound."""
    with database.read() as tx:
        row = get_inquiry(tx, number)
        jobs = [find_job(tx, job) for job in placed_jobs(row)]
    return ShownInquiry(row, tuple(job for job in jobs if job is not None))


def left_jobs(database: Database, number: int) -> list[Job]:
    """List what an open inquiry still waits for."""
    row = inquiry_named(database, number)
    is_open = row.inquiry.state is InquiryState.OPEN
    return [job for job in row.jobs if is_open and job.state is not JobState.DONE]


def stop_inquiry(database: Database, number: int, actor: str, now: datetime) -> None:
    """End an inquiry without an answer; raise NotFound, Refused."""
    with database.write() as tx:
        stop(tx, number, actor, now)


def findings_about(database: Database, source: str | None) -> list[KnownFinding]:
    """List what does not build now: one package, or all."""
    with database.read() as tx:
        return list_findings(tx, kind=FAILS, subject=source)
