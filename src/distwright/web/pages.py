"""What each page shows: values for its template, the same as JSON, and the command that gives the same answer."""

from collections.abc import Mapping
from dataclasses import dataclass

from distwright.app import App
from distwright.archive.serving import sources_text
from distwright.config.tables_archive import OwnArchive
from distwright.errors import NotFound, quoted
from distwright.model.digests import Json
from distwright.model.events import OpenEvent
from distwright.model.records import Job
from distwright.site.line import StageRow
from distwright.site.views import job_detail, jobs, overview, snapshots

_JOBS_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Page:
    """One answer in its two forms. command: what to type for the same answer."""

    title: str
    template: str
    command: str
    values: Mapping[str, object]
    document: Json


def front_page(app: App) -> Page:
    """The line, what waits, what is served, what happened last."""
    seen = overview(app.database, app.paths)
    config, commit = app.applied()
    document: Json = {
        "site": config.site.name,
        "commit": commit,
        "line": [_stage(row) for row in seen.line],
        "waiting": [_open(row) for row in seen.waiting],
        "refused": [_open(row) for row in seen.refused],
        "snapshots": [
            {"archive": row.archive, "serial": row.serial, "digest": str(row.digest)} for row in seen.snapshots
        ],
        "suites": [{"archive": row.archive, "suite": row.name, "revision": str(row.revision)} for row in seen.suites],
        "events": [{"number": row.number, "kind": row.event.kind, "subject": row.event.subject} for row in seen.events],
    }
    values = {"seen": seen, "site": config.site, "commit": commit, "archives": config.archives, "images": _images(app)}
    return Page(config.site.name, "front.html", "distwright job list", values, document)


def jobs_page(app: App) -> Page:
    """All jobs, newest first."""
    rows = jobs(app.database, limit=_JOBS_SHOWN)
    return Page("Jobs", "jobs.html", "distwright job list", {"jobs": rows}, [_job(row) for row in rows])


def job_page(app: App, number: int) -> Page:
    """One job with its attempts; its log is a file of its own."""
    detail = job_detail(app.database, app.paths, number)
    document = _job(detail.job) | {"inputs": dict(detail.job.inputs), "outputs": dict(detail.job.outputs or {})}
    return Page(f"Job {number}", "job.html", f"distwright job show {number}", {"detail": detail}, document)


def archive_page(app: App, name: str, base_url: str) -> Page:
    """How to use an archive: sources to paste, its suites or snapshots."""
    archive = app.config().archives.get(name)
    if archive is None:
        raise NotFound(f"there is no archive {quoted(name)}", hint="distwright archive list")
    if isinstance(archive, OwnArchive):
        suites = [suite for suite, table in app.config().suites.items() if table.archive == name]
        signed_by = app.certificate(*archive.credentials).decode()
    else:
        suites, signed_by = list(archive.suites), str(archive.keyring)
    components = tuple(archive.components)
    sources = sources_text(name, base_url, dict.fromkeys(suites, components), signed_by)
    rows = snapshots(app.database, name)
    document: Json = {
        "archive": name,
        "kind": archive.kind,
        "suites": suites,
        "sources": sources,
        "snapshots": [{"serial": row.serial, "digest": str(row.digest)} for row in rows],
    }
    values = {"name": name, "archive": archive, "sources": sources, "snapshots": rows}
    return Page(f"Archive {name}", "archive.html", f"distwright snapshot list {name}", values, document)


def _images(app: App) -> list[str]:
    folder = app.paths.public / "images"
    return (
        sorted(place.name for place in folder.iterdir() if place.is_symlink() and place.is_dir())
        if folder.exists()
        else []
    )


def _stage(row: StageRow) -> dict[str, Json]:
    return {
        "stage": row.stage,
        "job": row.job.id,
        "result": str(row.job.outcome or row.job.state),
        "message": row.job.message,
    }


def _open(row: OpenEvent) -> dict[str, Json]:
    return {"event": row.event.number, "subject": row.event.event.subject, "reason": row.reason}


def _job(job: Job) -> dict[str, Json]:
    return {
        "job": job.id,
        "kind": job.kind,
        "title": job.title,
        "state": str(job.state),
        "outcome": None if job.outcome is None else str(job.outcome),
        "message": job.message,
        "digest": str(job.digest),
    }
