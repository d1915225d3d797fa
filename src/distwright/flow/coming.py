"""Packages of a topic that are on their way: its image waits for them, or it would be built once without and once with them."""

from collections.abc import Collection, Sequence
from datetime import timedelta

from distwright.archive.branching import suites_of_topic
from distwright.archive.resolve import ACCEPT_KIND, PUBLISH_KIND, NotReadyError
from distwright.archive.tree import EMPTY_ROOT
from distwright.builds.destinations import BUILD_KIND
from distwright.flow.view import FLOW, View
from distwright.images.branch_sources import own_sources
from distwright.model import plain
from distwright.model.events import EventKind, StoredEvent
from distwright.model.outcomes import JobState
from distwright.model.records import Job
from distwright.repos.branches import short
from distwright.repos.spool import NOTHING
from distwright.store.database import Database
from distwright.store.events import cursor_of, events_after
from distwright.store.jobs import list_jobs

AGAIN = timedelta(minutes=5)  # at the latest: a job may be cancelled, of which no event tells
_LOOKED_AT = 1000
_OPEN = (JobState.QUEUED, JobState.RUNNING)


def wait_for_packages(database: Database, view: View, images: Sequence[str], ref: str) -> None:
    """Raise NotReadyError while packages of a topic are built or published, or their push is known and not dealt with yet.

    images: those of one repo, whose topic `ref` is. Of each kind, as many jobs are looked at as matter for a topic's turn.
    """
    archives = {archive for name in images for archive in own_sources(view.config, view.config.images[name])}
    with database.read() as tx:
        overlays = set(suites_of_topic(tx, archives, short(ref)))
        pushed = events_after(tx, cursor_of(tx, FLOW)) if overlays else []
        jobs = [
            job
            for kind in (BUILD_KIND, ACCEPT_KIND, PUBLISH_KIND)
            for job in (list_jobs(tx, kind=kind.name, states=_OPEN, limit=_LOOKED_AT) if overlays else ())
        ]
    ready_at = view.ground.now + AGAIN
    for job in jobs:
        if _brings_packages(job, overlays):
            raise NotReadyError(
                f"job {job.id} ({job.title}) comes first", hint=f"distwright job show {job.id}", ready_at=ready_at
            )
    for stored in pushed:
        if _is_of_package(view, stored, ref):
            what = f"the push of {stored.event.subject} comes first"
            raise NotReadyError(what, hint="distwright job list", ready_at=ready_at)


def _brings_packages(job: Job, overlays: Collection[str]) -> bool:
    name = f"{plain.text(job.inputs, 'archive')}/{plain.text(job.inputs, 'suite')}"
    return name in overlays and job.inputs.get("revision") != str(EMPTY_ROOT.revision)


def _is_of_package(view: View, stored: StoredEvent, ref: str) -> bool:
    if stored.event.kind is not EventKind.REPO_PUSHED:
        return False
    body = stored.event.body
    table = view.config.repos.get(plain.text(body, "repo"))
    return table is not None and table.package and body["ref"] == ref and body["new"] != NOTHING
