"""What faces ask and show of rebuilds: the order of one, its verdict, and what diffoscope said of it."""

from collections.abc import Mapping
from dataclasses import dataclass

from distwright.archive.resolve import Ground, resolve_suites
from distwright.builds.resolve import environment_recipe, table_from
from distwright.checks.explain import KIND as EXPLAIN
from distwright.checks.explain import explain_order, pairs_of
from distwright.checks.rebuild import SAME, rebuild_order, verdict_of
from distwright.checks.variations import Variation
from distwright.config.model import Config
from distwright.errors import Refused
from distwright.jobs.order import JobOrder, get_job
from distwright.model import plain
from distwright.model.digests import Sha256
from distwright.model.outcomes import JobState, Outcome
from distwright.model.records import Job
from distwright.store.database import Database
from distwright.store.holds import holds_of
from distwright.store.jobs import list_jobs
from distwright.store.objects import ObjectStore

_LOOKED_AT = 10_000


@dataclass(frozen=True, slots=True)
class ShownRebuild:
    """A rebuild as people see it. differences: the most telling first. explained: what diffoscope said, or why it has not."""

    verdict: str
    message: str
    varied: Mapping[str, str]
    differences: tuple[str, ...]
    explained: str

    @property
    def is_same(self) -> bool:
        """Say whether all came out the same."""
        return self.verdict == SAME


def order_of_rebuild(database: Database, number: int) -> JobOrder:
    """Order the rebuild of what a job built; raise NotFound, Refused."""
    with database.read() as tx:
        job = get_job(tx, number)
        held = holds_of(tx, f"build {number}")
    return rebuild_order(job, tuple(hold for hold in held if hold.kind == "serial"))


def show_rebuild(database: Database, objects: ObjectStore, config: Config, number: int) -> ShownRebuild:
    """Say how a rebuild ended; raise NotFound, or BadInput for a job that is none."""
    with database.read() as tx:
        job = get_job(tx, number)
    verdict, message = verdict_of(job)
    outputs = job.outputs or {}
    pairs = pairs_of(outputs) if "pairs" in outputs else {}
    return ShownRebuild(
        verdict=verdict,
        message=message,
        varied=Variation.from_json(plain.mapping(job.inputs, "variation")).in_words(),
        differences=plain.texts(outputs, "differences") if "differences" in outputs else (),
        explained=explanation(database, objects, config, plain.text(job.inputs, "repo"), pairs) if pairs else "",
    )


def explanation(
    database: Database, objects: ObjectStore, config: Config, repo: str, pairs: Mapping[str, tuple[Sha256, Sha256]]
) -> str:
    """Give what diffoscope said of pairs of files; where it has said nothing, why, and what helps."""
    with database.read() as tx:
        asked = list_jobs(tx, kind=EXPLAIN.name, limit=_LOOKED_AT)
    job = next((job for job in asked if pairs_of(job.inputs).items() <= dict(pairs).items()), None)
    if job is not None:
        return _report(objects, job)
    table = config.repos.get(repo)
    name = "NAME" if table is None or table.environment is None else table.environment
    if name in config.environments and config.environments[name].checkers is not None:
        return "diffoscope has not been asked: distwright package compare A B --explain"
    return f'diffoscope does not run: set checkers = "ENVIRONMENT" in [environment.{name}]'


def order_of_explanation(
    database: Database, ground: Ground, repo: str, pairs: Mapping[str, tuple[Sha256, Sha256]]
) -> JobOrder:
    """Order what diffoscope says of pairs of files, with the checkers of a repo; raise Refused if it has none."""
    table = ground.config.repos.get(repo)
    environment = None if table is None or table.environment is None else table.environment
    checkers = None if environment is None else ground.config.environments[environment].checkers
    if checkers is None:
        raise Refused(
            "no environment of checkers is configured: diffoscope does not run",
            hint=f'set checkers = "ENVIRONMENT" in [environment.{environment or "NAME"}]',
        )
    with database.read() as tx:
        resolved = resolve_suites(tx, ground, table_from(ground.config, checkers))
    recipe = environment_recipe(ground.config, checkers, resolved)
    return explain_order(recipe, pairs, ", ".join(pairs), resolved.holds)


def _report(objects: ObjectStore, job: Job) -> str:
    if job.state is not JobState.DONE:
        return f"diffoscope is still looking: distwright job show {job.id}"
    if job.outcome is not Outcome.OK or job.outputs is None:
        return f"{job.message}: distwright job log {job.id}"
    report = plain.digest(job.outputs, "report")
    if not objects.has(report):
        return f"what diffoscope said is no longer kept: distwright job retry {job.id}"
    return objects.read(report).decode(errors="replace")
