"""What each page shows: values for its template, the same as JSON, and the command that gives the same answer."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from distwright.app import App
from distwright.config.tables_archive import Archive, OwnArchive
from distwright.errors import NotFound, quoted
from distwright.images.testing import REPORT
from distwright.model.digests import Json
from distwright.model.events import OpenEvent
from distwright.model.records import Job
from distwright.site.hosts import host_json, host_rows
from distwright.site.line import StageRow
from distwright.site.readers import Viewer
from distwright.site.uploading import upload_list
from distwright.site.views import overview, seen_job, seen_jobs, snapshots, suites, tagged_snapshots
from distwright.site.waiting import why_it_waits

_JOBS_SHOWN = 200
_UPLOADS_SHOWN = 20
_UPLOAD_KEYS = ("upload", "suite", "source", "version", "result", "problems")
_SERIAL = re.compile(r"\d{10}")


@dataclass(frozen=True, slots=True)
class Page:
    """One answer in its two forms. command: what to type for the same answer."""

    title: str
    template: str
    command: str
    values: Mapping[str, object]
    document: Json


def front_page(app: App, viewer: Viewer, base_url: str) -> Page:
    """The line, what waits, what is served, what happened last."""
    seen = overview(app.database, app.paths, viewer)
    config, commit = app.applied()
    clones = [f"{base_url}/repo/{name}.git" for name, repo in config.repos.items() if repo.public]
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
        "repos": list(clones),
        "events": [{"number": row.number, "kind": row.event.kind, "subject": row.event.subject} for row in seen.events],
    }
    values = {
        "seen": seen,
        "site": config.site,
        "commit": commit,
        "archives": {name: table for name in config.archives if (table := viewer.archive(name)) is not None},
        "images": _images(app),
        "clones": clones,
    }
    return Page(config.site.name, "front.html", "distwright job list", values, document)


def jobs_page(app: App, viewer: Viewer) -> Page:
    """The newest jobs, newest first."""
    rows = seen_jobs(app.database, viewer, limit=_JOBS_SHOWN)
    return Page("Jobs", "jobs.html", "distwright job list", {"jobs": rows}, [_job(row) for row in rows])


def job_page(app: App, viewer: Viewer, number: int) -> Page:
    """One job with its attempts; its log is a file of its own."""
    detail = seen_job(app.database, app.paths, viewer, number)
    document = _job(detail.job) | {"inputs": dict(detail.job.inputs), "outputs": dict(detail.job.outputs or {})}
    document["embargo"] = sorted(detail.job.embargo.names)
    document["waits"] = waits = why_it_waits(app.database, viewer.config, detail.job, app.database.now())
    return Page(
        f"Job {number}", "job.html", f"distwright job show {number}", {"detail": detail, "waits": waits}, document
    )


def hosts_page(app: App, _viewer: Viewer) -> Page:
    """Other machines that work for this one, and how they are."""
    rows = [host_json(row) for row in host_rows(app.database, app.config(), app.database.now())]
    return Page("Hosts", "hosts.html", "distwright host list", {"rows": rows}, list(rows))


def archive_page(app: App, viewer: Viewer, name: str, base_url: str) -> Page:
    """How to use an archive: sources to paste, its suites, snapshots and tags, and what was uploaded."""
    archive = _archive(viewer, name)
    handout = app.handout()
    served = [row.name for row, live in suites(app.database) if row.archive == name and live]
    names = served or handout.suites(name)
    sources = "\n".join(handout.sources(name, suite, f"{base_url}/{name}") for suite in names)
    is_own = isinstance(archive, OwnArchive)
    shown = app.database, name
    seen = handout.served_serials(name) if is_own else None
    rows = [row for row in snapshots(*shown) if seen is None or row.serial in seen]
    tags = tagged_snapshots(*shown)
    uploads = [
        row for row in upload_list(app.database, _JOBS_SHOWN, viewer) if str(row["suite"]).startswith(f"{name}/")
    ]
    document: Json = {
        "archive": name,
        "kind": archive.kind,
        "suites": names,
        "sources": sources,
        "snapshots": [{"serial": row.serial, "digest": str(row.digest)} for row in rows],
        "tags": [{"tag": row.tag, "reason": row.reason, "digest": str(row.digest)} for row in tags],
        "uploads": [{key: row[key] for key in _UPLOAD_KEYS} for row in uploads[:_UPLOADS_SHOWN]],
    }
    values = {
        "name": name,
        "archive": archive,
        "suites": names,
        "sources": sources,
        "snapshots": rows,
        "below": "snapshots/" if is_own else "",
        "tags": tags,
        "uploads": uploads[:_UPLOADS_SHOWN],
    }
    return Page(f"Archive {name}", "archive.html", f"distwright snapshot list {name}", values, document)


def state_sources(app: App, viewer: Viewer, name: str, state: str, base_url: str) -> str:
    """Give the sources of all suites of a snapshot, by serial or tag."""
    _archive(viewer, name)
    handout = app.handout()
    serial, tag = (state, "") if _SERIAL.fullmatch(state) else ("", state)
    names = handout.suites(name, serial=serial, tag=tag)
    return "\n".join(handout.sources(name, suite, f"{base_url}/{name}", serial=serial, tag=tag) for suite in names)


def _archive(viewer: Viewer, name: str) -> Archive:
    """Find an archive; raise NotFound, in the same words for one that they may not see."""
    archive = viewer.archive(name)
    if archive is None:
        raise NotFound(f"there is no archive {quoted(name)}", hint="distwright archive list")
    return archive


def _images(app: App) -> dict[str, list[str]]:
    """Give the images that are shown, each with its files; beside each may be reports of its tests."""
    folder = app.paths.public / "images"
    found = sorted(folder.iterdir()) if folder.exists() else []
    shown = [place for place in found if place.is_symlink() and place.is_dir() and not (place / REPORT).exists()]
    return {place.name: sorted(file.name for file in place.iterdir()) for place in shown}


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
