"""What faces ask and show of rebuilds: the order of one, its verdict, and what diffoscope said of it."""

from collections.abc import Mapping
from dataclasses import dataclass

from distwright.archive.resolve import Ground, resolve_suites
from distwright.builds.resolve import environment_recipe, table_from
from distwright.checks.explain import KIND as EXPLAIN
from distwright.checks.explain import explain_order, pairs_of
from distwright.checks.image_rebuild import KIND as IMAGE_REBUILD
from distwright.checks.image_rebuild import QUESTION, image_rebuild_order
from distwright.checks.image_variations import in_words as image_words
from distwright.checks.rebuild import DIFFERS, SAME, UNKNOWN, rebuild_order, verdict_of
from distwright.checks.variations import Variation
from distwright.config.model import Config
from distwright.errors import NotFound, Refused, quoted
from distwright.images.build import KIND as IMAGE_BUILD
from distwright.jobs.order import JobOrder, get_job
from distwright.model import plain
from distwright.model.digests import Sha256
from distwright.model.outcomes import JobState, Outcome
from distwright.model.records import Job
from distwright.store.database import Database
from distwright.store.holds import holds_of
from distwright.store.jobs import list_jobs
from distwright.store.objects import ObjectStore
from distwright.store.trials import list_trials

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
    """Order the rebuild of what a job built, a package or an image; raise NotFound, Refused."""
    with database.read() as tx:
        job = get_job(tx, number)
        is_image = job.kind == IMAGE_BUILD.name
        held = holds_of(tx, f"{'image' if is_image else 'build'} {number}")
    serials = tuple(hold for hold in held if hold.kind == "serial")
    return image_rebuild_order(job, serials) if is_image else rebuild_order(job, serials)


def image_built(database: Database, what: str) -> int:
    """Find the build of an image by its job's number, or the newest one of a name; raise NotFound, Refused for another job."""
    with database.read() as tx:
        if what.isdecimal():
            named = get_job(tx, int(what))
            if named.kind != IMAGE_BUILD.name:
                raise Refused(f"job {what} is no build of an image but a {named.kind}", hint="distwright image list")
            return named.id
        for job in list_jobs(tx, kind=IMAGE_BUILD.name, limit=_LOOKED_AT):
            if job.inputs.get("image") == what and job.outcome is Outcome.OK:
                return job.id
    raise NotFound(f"image {quoted(what)} was not built yet", hint=f"distwright image build {what}")


def image_answers(database: Database) -> dict[str, str]:
    """Say of each image by its full name whether it came out the same when it was last built again, in the words of rebuilds."""
    words = {Outcome.OK: SAME, Outcome.FAILED: DIFFERS}
    with database.read() as tx:
        rows = list_trials(tx, QUESTION, limit=_LOOKED_AT)
    return {row.version: words.get(row.outcome, UNKNOWN) for row in reversed(rows)}


def show_rebuild(database: Database, objects: ObjectStore, config: Config, number: int) -> ShownRebuild:
    """Say how a rebuild ended; raise NotFound, or BadInput for a job that is none."""
    with database.read() as tx:
        job = get_job(tx, number)
    verdict, message = verdict_of(job)
    outputs = job.outputs or {}
    pairs = pairs_of(outputs) if "pairs" in outputs else {}
    variation = Variation.from_json(plain.mapping(job.inputs, "variation"))
    is_image = job.kind == IMAGE_REBUILD.name
    image = config.images.get(str(job.inputs.get("image", "")))
    environment = image.tools if image is not None else _environment_of(config, str(job.inputs.get("repo", "")))
    return ShownRebuild(
        verdict=verdict,
        message=message,
        varied=image_words(variation) if is_image else variation.in_words(),
        differences=plain.texts(outputs, "differences") if "differences" in outputs else (),
        explained=_explanation(database, objects, config, environment, pairs) if pairs else "",
    )


def explanation(
    database: Database, objects: ObjectStore, config: Config, repo: str, pairs: Mapping[str, tuple[Sha256, Sha256]]
) -> str:
    """Give what diffoscope said of pairs of files; where it has said nothing, why, and what helps."""
    return _explanation(database, objects, config, _environment_of(config, repo), pairs)


def _environment_of(config: Config, repo: str) -> str | None:
    table = config.repos.get(repo)
    return None if table is None else table.environment


def _explanation(
    database: Database,
    objects: ObjectStore,
    config: Config,
    environment: str | None,
    pairs: Mapping[str, tuple[Sha256, Sha256]],
) -> str:
    with database.read() as tx:
        asked = list_jobs(tx, kind=EXPLAIN.name, limit=_LOOKED_AT)
    job = next((job for job in asked if pairs_of(job.inputs).items() <= dict(pairs).items()), None)
    if job is not None:
        return _report(objects, job)
    name = environment or "NAME"
    if name in config.environments and config.environments[name].checkers is not None:
        return "diffoscope has not been asked: distwright package compare A B --explain"
    return f'diffoscope does not run: set checkers = "ENVIRONMENT" in [environment.{name}]'


def order_of_explanation(
    database: Database, ground: Ground, repo: str, pairs: Mapping[str, tuple[Sha256, Sha256]]
) -> JobOrder:
    """Order what diffoscope says of pairs of files, with the checkers of a repo; raise Refused if it has none."""
    environment = _environment_of(ground.config, repo)
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
