"""The rehearsal of an image: its packages are taken from a tagged snapshot and from nowhere else, and it must be the same image.

A tag that lacks a package, or has one more that apt takes, gives another root; what follows from the same root is known.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from distwright.archive.tag_states import state_of_tag
from distwright.archive.tag_trees import parse_tag
from distwright.builds.environment import EnvironmentRecipe
from distwright.checks.image_difference import judge_look
from distwright.checks.image_rebuild import compare, look_at_both, summed, write_papers
from distwright.checks.rebuild import DIFFERS, SAME, UNKNOWN
from distwright.errors import NotFound, Refused
from distwright.images.build import IMAGE_BUILD
from distwright.images.made_by import KEY as MADE_BY
from distwright.jobs.order import PRIORITY_DAILY, JobOrder
from distwright.jobs.step import Action, Conclusion, Earlier, Failure, Inputs, JobKind, KindName, Plan, Step
from distwright.model import plain
from distwright.model.digests import Json
from distwright.model.outcomes import Outcome
from distwright.model.records import Job, TaggedSnapshot
from distwright.store.holds import Hold
from distwright.store.objects import ObjectStore

KIND = KindName("image.rehearsal", 1)

# inputs: those of image.build, and built: name -> object of each file that its sums name; tag; tagged: archive -> the state that
# its tagged snapshot is.


def tagged_archives(job: Job) -> list[str]:
    """Name the archives that an image is made of; raise Refused for a job that is no image's build, or has built nothing."""
    if job.kind != IMAGE_BUILD.kind.name:
        raise Refused(f"job {job.id} has built no image but is a {job.kind}", hint="distwright image list")
    if job.outcome is not Outcome.OK or job.outputs is None:
        raise Refused(f"job {job.id} has built nothing", hint=f"distwright job show {job.id}")
    recipe = EnvironmentRecipe.from_json(plain.mapping(job.inputs, "root"))
    return sorted({entry.archive for entry in recipe.shelf if not _is_made(entry.archive)})


def rehearsal_order(
    job: Job, tag: str, rows: Mapping[str, TaggedSnapshot], objects: ObjectStore, holds: tuple[Hold, ...] = ()
) -> JobOrder:
    """Order the rehearsal of an image against a tag. rows: archive -> its tagged snapshot. holds: the serials of the image.

    Raises NotFound if an archive of the image is not tagged so, Refused if the tag was made of another image's manifest.
    """
    archives = tagged_archives(job)
    outputs = job.outputs or {}
    files = plain.digest_map(outputs, "files")
    name = plain.text(job.inputs, "name")
    manifest = files[f"{name}.manifest.json"]
    tagged: dict[str, Json] = {}
    for archive in archives:
        if archive not in rows:
            raise NotFound(
                f"archive {archive} has no tagged snapshot {tag}",
                hint=f"distwright snapshot tag {' '.join(archives)} {tag} --manifest {name}.manifest.json",
            )
        document = parse_tag(objects.read(rows[archive].digest))
        if document.manifest != manifest:
            raise Refused(
                f"{tag} of {archive} was made of the manifest of another image than {name}",
                hint=f"distwright image rehearse JOB {tag}, with the job of that image: distwright image list",
            )
        tagged[archive] = str(state_of_tag(document, objects))
    more: dict[str, Json] = {
        "built": {file: str(digest) for file, digest in sorted(summed(files).items())},
        "tag": tag,
        "tagged": tagged,
        **({MADE_BY: outputs[MADE_BY]} if MADE_BY in outputs else {}),
    }
    return JobOrder(KIND, {**job.inputs, **more}, f"rehearse image {name} with {tag}", PRIORITY_DAILY, holds=holds)


def _is_made(archive: str) -> bool:
    """Say whether a suite is the recipe's own (archive/made_suite.py), which is no part of any archive."""
    return archive.startswith("_")


def _of_the_tag(step: Step) -> Step:
    """Let the packages of the root come from the tagged snapshot, suite by suite under the names that they had."""

    def plan(inputs: Inputs, earlier: Earlier) -> Plan:
        states = plain.digest_map(inputs, "tagged")
        recipe = EnvironmentRecipe.from_json(plain.mapping(inputs, "root"))
        shelf = tuple(
            entry
            if _is_made(entry.archive)
            else replace(entry, document=states[entry.archive], is_own=False, fields=(), lists=())
            for entry in recipe.shelf
        )
        return step.plan({**inputs, "root": replace(recipe, shelf=shelf).to_json()}, earlier)

    return replace(step, plan=plan)


def conclude(inputs: Inputs, earlier: Earlier, _now: datetime, _job: int) -> Conclusion:
    """Say whether it is the same image, or what the first difference is."""
    values = earlier["compare"].values
    if plain.number(values, "count") == 0:
        message = f"{inputs['name']}: all {values['files']} files came out the same from {inputs['tag']} alone"
        return Conclusion({"verdict": SAME, "same": values["same"]}, message)
    more = {key: values[key] for key in ("differences", "count", "pairs", "same")}
    first = plain.texts(values, "differences")[0]
    return Conclusion({"verdict": DIFFERS, **more}, f"{inputs['name']} is another one from {inputs['tag']}: {first}")


def conclude_failed(_inputs: Inputs, _earlier: Earlier, failure: Failure, _now: datetime, _job: int) -> Conclusion:
    """Say why it could not be compared."""
    return Conclusion({"verdict": UNKNOWN}, failure.message)


def _rehearsed(step: Step | Action) -> tuple[Step | Action, ...]:
    if isinstance(step, Step):
        return (_of_the_tag(step),) if step.name == "root" else (step,)
    if step.name == "describe":
        return (Action("papers", write_papers), Step("look", look_at_both, judge_look), Action("compare", compare))
    return (step,)


IMAGE_REHEARSAL = JobKind(
    KIND, tuple(other for step in IMAGE_BUILD.steps for other in _rehearsed(step)), conclude, conclude_failed
)
