"""From words to the question of an impact: which candidate, in which state, looked at by which checkers."""

from collections.abc import Sequence
from pathlib import Path

from distwright.archive.resolve import Ground, resolve_suites
from distwright.builds.environment import EnvironmentRecipe
from distwright.builds.limiting_builds import limits_of_builds
from distwright.builds.resolve import environment_recipe, table_from
from distwright.checks import impact
from distwright.checks.candidates import Candidate, candidate_of_files, candidate_of_job, candidate_of_suite
from distwright.checks.impact import Question
from distwright.checks.inquiries import ask, get_inquiry, placed_jobs
from distwright.config.model import Config
from distwright.config.tables_archive import OwnArchive
from distwright.errors import BadUsage, NotFound, Refused, quoted
from distwright.model.names import package_name
from distwright.model.outcomes import JobState
from distwright.model.records import Inquiry, InquiryState, Job
from distwright.store.archives import live_publication
from distwright.store.database import Database
from distwright.store.inquiries import list_inquiries
from distwright.store.jobs import find_job
from distwright.store.suites import list_suites


def ask_impact(
    database: Database, ground: Ground, source: str, named: Sequence[str], *, suite: str | None, depth: int, limit: int,
    actor: str,
) -> int:  # fmt: skip
    """Open the inquiry, unless the same is asked already; give its number. named: a suite, a job's number, or files.

    suite: of ours, where the candidate shall go.

    Raises NotFound, BadUsage, Refused for what cannot be asked; NotReadyError while an archive has no snapshot.
    """
    package_name(source)
    environment, place = environment_for(ground.config, source, suite)
    reference = _reference(database, ground, environment, place)
    candidate = _candidate(database, ground, source, named, reference)
    if candidate.entry.name in {entry.name for entry in reference.shelf}:
        raise Refused(
            f"suite {candidate.entry.name} is in the reference as well: there would be no difference",
            hint="name the job or the .deb files as candidate",
        )
    name = ground.config.environments[environment].checkers
    checkers = None
    if name is not None:
        with database.read() as tx:
            resolved = resolve_suites(tx, ground, table_from(ground.config, name))
        checkers = environment_recipe(ground.config, name, resolved)
    limits = limits_of_builds(ground.config.environments[environment])
    asked = Question(candidate, reference, checkers, depth, limit, limits).to_json()
    with database.read() as tx:
        for row in list_inquiries(tx, kind=impact.KIND, only_open=True):
            if row.asked == asked:  # it was interrupted, or somebody else waits for it
                return row.id
    return ask(database, impact.KIND, candidate.name, asked, actor, ground.now)


def environment_for(config: Config, source: str, suite: str | None) -> tuple[str, str | None]:
    """Say in which environment a candidate is tried, and the `archive/suite` of ours that it is for (pure).

    suite: as the caller said; else that of the source's own repo, else of all repos if they agree. Raises NotFound, BadUsage.
    """
    if suite is None:
        repo = config.repos.get(source)
        packages = (
            [repo] if repo is not None and repo.package else [one for one in config.repos.values() if one.package]
        )
        named = sorted({(one.suite, one.environment) for one in packages if one.suite and one.environment})
        if len(named) != 1:
            known = ", ".join(str(name) for name, _ in named) or "none"
            raise BadUsage(f"it is not clear which suite {source} is for ({known})", hint="add --suite SUITE")
        wanted, environment = named[0]
        return str(environment), f"{config.suites[str(wanted)].archive}/{wanted}"
    archive, _, name = suite.rpartition("/")
    table = config.suites.get(name)
    if table is None or archive not in ("", table.archive):
        raise NotFound(f"suite {quoted(suite)} is not configured", hint="distwright suite list")
    suite = name
    environments = [repo.environment for repo in config.repos.values() if repo.suite == suite and repo.environment]
    found = table.environment or next(iter(environments), None)
    if found is None:
        raise NotFound(f"nothing is built for suite {suite}", hint=f'set environment = "NAME" in [suite.{suite}]')
    return found, f"{table.archive}/{suite}"


def _reference(database: Database, ground: Ground, environment: str, place: str | None) -> EnvironmentRecipe:
    """Give the state without the candidate: what the environment reads, and the suite of ours, if it has something already."""
    names = table_from(ground.config, environment)
    with database.read() as tx:
        if place is not None and place not in names:
            archive, _, suite = place.partition("/")
            names = (*names, place) if live_publication(tx, archive, suite) is not None else names
        resolved = resolve_suites(tx, ground, names)
    return environment_recipe(ground.config, environment, resolved)


def _candidate(
    database: Database, ground: Ground, source: str, named: Sequence[str], reference: EnvironmentRecipe
) -> Candidate:
    if len(named) == 1 and named[0].isdecimal():
        return candidate_of_job(database, ground.objects, int(named[0]), source, reference.architecture)
    if len(named) == 1 and not named[0].endswith((".deb", ".dsc")):
        archive, suite = _suite_named(database, ground.config, named[0])
        return candidate_of_suite(database, ground, archive, suite, source)
    return candidate_of_files(ground.objects, [Path(name) for name in named], source, reference.architecture)


def _suite_named(database: Database, config: Config, name: str) -> tuple[str, str]:
    """Find a suite of ours by its name, or ARCHIVE/SUITE; raise NotFound, BadUsage."""
    with database.read() as tx:
        rows = list_suites(tx)
    found = [row for row in rows if name in (row.name, f"{row.archive}/{row.name}")]
    own = [row for row in found if isinstance(config.archives.get(row.archive), OwnArchive)]
    if not own:
        raise NotFound(
            f"{quoted(name)} is no suite of ours, no job and no file", hint="distwright suite list; distwright job list"
        )
    if len(own) > 1:
        raise BadUsage(f"{len(own)} archives have a suite {name}", hint=f"write it as {own[0].archive}/{name}")
    return own[0].archive, own[0].name


def inquiry(database: Database, number: int) -> Inquiry:
    """Find an inquiry; raise NotFound."""
    with database.read() as tx:
        return get_inquiry(tx, number)


def unfinished_jobs(database: Database, number: int) -> list[Job]:
    """List the jobs that an open inquiry waits for."""
    with database.read() as tx:
        row = get_inquiry(tx, number)
        jobs = [find_job(tx, job) for job in placed_jobs(row)] if row.state is InquiryState.OPEN else []
    return [job for job in jobs if job is not None and job.state is not JobState.DONE]
