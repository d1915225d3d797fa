"""What faces show and ask of findings and reviews."""

from distwright.archive.resolve import Ground
from distwright.checks.review import order_of_build
from distwright.errors import NotFound, Refused, quoted
from distwright.jobs.order import JobOrder, get_job
from distwright.model.outcomes import Outcome
from distwright.model.records import Job, KnownFinding
from distwright.store.database import Database
from distwright.store.findings import list_findings
from distwright.store.jobs import list_jobs
from distwright.store.trials import was_tried

_BUILD = "package.build"
_LOOKED_AT = 1000


def findings(database: Database, *, kind: str | None, subject: str | None, fixed: bool) -> list[KnownFinding]:
    """List findings by kind, subject and key."""
    with database.read() as tx:
        return list_findings(tx, kind=kind, subject=subject, fixed=fixed)


def must_be_known(database: Database, subject: str) -> None:
    """Raise NotFound for what no check was ever asked about: that nothing was found says nothing of it."""
    with database.read() as tx:
        if not was_tried(tx, subject) and not list_findings(tx, subject=subject, fixed=True):
            raise NotFound(f"no check was ever asked about {quoted(subject)}", hint="distwright check list")


def build_named(database: Database, name: str) -> Job:
    """Find a build by its job's number, or the newest good one of a repo; raise NotFound."""
    with database.read() as tx:
        if name.isdecimal():
            return get_job(tx, int(name))
        for job in list_jobs(tx, kind=_BUILD, limit=_LOOKED_AT):
            if job.inputs.get("repo") == name and job.outcome is Outcome.OK:
                return job
    raise NotFound(f"repo {quoted(name)} has built no package", hint=f"distwright package build {name} --tag TAG")


def review_of_build(database: Database, ground: Ground, job: Job) -> JobOrder:
    """Order the review of a build. Raises Refused if the job is none, or left nothing; NotFound if nobody configured checkers."""
    if job.kind != _BUILD or job.outcome is not Outcome.OK:
        raise Refused(f"job {job.id} ({job.title}) has built no package", hint="distwright job list")
    order = order_of_build(database, ground, job)
    if order is None:
        raise NotFound(
            f"the environment of job {job.id} names no checkers", hint='set checkers = "NAME" in its [environment.NAME]'
        )
    return order
