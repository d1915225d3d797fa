"""The line at a glance: for each stage from record to boot, the job that stands for its present state."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from distwright.model import plain
from distwright.model.embargo import ARCHIVE
from distwright.model.records import Attempt, Job
from distwright.store.database import Transaction
from distwright.store.jobs import attempts_of, list_jobs
from distwright.store.paths import StatePaths

STAGES = (
    ("record", "archive.record"),
    ("build", "package.build"),
    ("accept", "upload.accept"),
    ("publish", "suite.publish"),
    ("install", "suite.install"),
    ("image", "image.build"),
    ("layer", "image.layer"),
    ("boot", "image.boot"),
)

_SUBJECTS: Mapping[str, tuple[str, ...]] = {
    "archive.record": ("archive",),
    "package.build": ("repo",),
    "upload.accept": ("archive", "suite"),
    "suite.publish": ("archive", "suite"),
    "suite.install": ("archive", "suite", "packages"),
    "image.build": ("image",),
    "image.layer": ("image",),
    "image.boot": ("image",),
}


@dataclass(frozen=True, slots=True)
class StageRow:
    """One line of the table. seconds: of the last attempt; None if it never ran. files: where its result is."""

    stage: str
    job: Job
    seconds: float | None
    files: str


def line_rows(tx: Transaction, paths: StatePaths, embargoes: Collection[str] | None = None) -> list[StageRow]:
    """Give the newest job of each stage and subject, in the order of the line. embargoes: those that may be seen; None: all."""
    rows = []
    for stage, kind in STAGES:
        newest: dict[str, Job] = {}
        for job in list_jobs(tx, kind=kind, limit=200, embargoes=embargoes):
            newest.setdefault(_subject(job), job)
        for _, job in sorted(newest.items()):
            rows.append(StageRow(stage, job, _seconds(attempts_of(tx, job.id)), _files(job, paths)))
    return rows


def _subject(job: Job) -> str:
    """Say what a job is about: a newer one about the same takes its place in the table, one about something else must not."""
    subject = [str(job.inputs[key]) for key in _SUBJECTS[job.kind]]
    if job.kind == "package.build" and not job.inputs["repo"]:  # of a source that was uploaded
        subject = [str(job.inputs[key]) for key in ("archive", "suite", "source")]
    if job.kind == "upload.accept":
        subject += [name.partition("_")[0] for name in plain.text_map(job.inputs, "files") if name.endswith(".dsc")]
    return "/".join(subject)


def _seconds(attempts: list[Attempt]) -> float | None:
    ended = [attempt for attempt in attempts if attempt.finished_at is not None]
    if not ended or ended[-1].finished_at is None:
        return None
    return (ended[-1].finished_at - ended[-1].started_at).total_seconds()


def _files(job: Job, paths: StatePaths) -> str:
    places: Mapping[str, Path] = {
        "upload.accept": paths.public,
        "suite.publish": paths.public,
        "image.build": paths.public / "images",
        "image.layer": paths.public / "images",
    }
    outputs = job.outputs or {}
    if job.kind == "suite.publish":
        archive = plain.text(job.inputs, "archive")
        root = paths.private if f"{ARCHIVE}/{archive}" in job.embargo.names else paths.public
        return str(root / archive / "dists" / plain.text(job.inputs, "suite"))
    if job.kind in ("image.build", "image.layer") and "name" in outputs:
        return str(places[job.kind] / plain.text(outputs, "name"))
    return str(paths.job_log(job.id, job.fence)) if job.fence else ""


def newest_finish(rows: list[StageRow]) -> datetime | None:
    """Say when the line last got further."""
    return max((row.job.finished_at for row in rows if row.job.finished_at), default=None)
