"""The images that were built and are kept, as lists of them show them."""

from distwright.images.forms import MAKING
from distwright.images.upgrades import described
from distwright.model import plain
from distwright.model.digests import Json
from distwright.model.records import Job
from distwright.site.comparing import image_answers
from distwright.store.jobs import list_jobs
from distwright.worker.context import CommandContext

_LOOKED_AT = 10_000


def image_rows(context: CommandContext, *, with_private: bool = True) -> list[dict[str, Json]]:
    """List the images that are shown, newest first, by their full names.

    with_private: also those whose job is under an embargo. One that was made twice, as a layer and in full, has two rows.
    """
    with context.database.read() as tx:
        built = [job for kind in MAKING for job in list_jobs(tx, kind=kind, limit=_LOOKED_AT)]
    shown = [job for job in built if _is_shown(context, job)]
    answers = image_answers(context.database) if shown else {}
    newest_first = sorted(shown, key=lambda job: job.id, reverse=True)
    return [_row(context, job, answers) for job in newest_first if with_private or not job.embargo]


def _is_shown(context: CommandContext, job: Job) -> bool:
    return bool(job.outputs) and (context.paths.public / "images" / _name(job)).is_dir()


def _name(job: Job) -> str:
    return plain.text(job.outputs or {}, "name")


def _row(context: CommandContext, job: Job, answers: dict[str, str]) -> dict[str, Json]:
    name, description = _name(job), described(context, _name(job))
    upgrades: list[Json] = [upgrade.target.name for upgrade in description.upgrades] if description else []
    return {
        "image": plain.text(job.inputs, "image"),
        "name": name,
        "upgrades": upgrades,
        "built": "" if job.finished_at is None else f"{job.finished_at:%Y-%m-%d %H:%M:%S}",
        "built again": answers.get(name, ""),
        "layer on": plain.text(plain.mapping(job.inputs, "base"), "name") if "base" in job.inputs else "",
        "iso sha256": plain.text(job.outputs or {}, "iso"),
        "files": str(context.paths.public / "images" / name),
    }
