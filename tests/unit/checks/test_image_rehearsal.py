"""The rehearsal of an image: what it takes from a tag, what it leaves as it was, and which tags it refuses."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from tests.habits.samples import EARLIER, INPUTS, SHELF
from tests.unit.checks.test_rebuild import build_job
from tests.worlds.times import NOW

from distwright.archive.tag_states import state_of_tag
from distwright.archive.tag_trees import TagDocument
from distwright.builds.environment import EnvironmentRecipe
from distwright.checks.image_rehearsal import IMAGE_REHEARSAL, conclude, conclude_failed, rehearsal_order
from distwright.errors import NotFound, Refused
from distwright.images.build import IMAGE_BUILD
from distwright.jobs.step import Failure, ShelfEntry, Step, StepResult
from distwright.model import plain
from distwright.model.digests import Json, Sha256, sha256_of
from distwright.model.outcomes import Outcome
from distwright.model.records import Job, TaggedSnapshot
from distwright.store.memory import MemoryObjects

NAME = "petrel-amd64-1.0"
MANIFEST = sha256_of(b"manifest")
FILES = {
    f"{NAME}.manifest.json": str(MANIFEST),
    f"{NAME}.iso": str(sha256_of(b"iso")),
    f"{NAME}.log": str(sha256_of(b"log")),
}
INPUT = INPUTS["image.rehearsal"]


def image_job(**changed: Any) -> Job:
    job = build_job(kind="image.build", inputs=INPUTS["image.build"], outputs={"name": NAME, "files": FILES})
    return replace(job, **changed)


def tags(objects: MemoryObjects, *archives: str, manifest: Sha256 = MANIFEST) -> Mapping[str, TaggedSnapshot]:
    document = objects.put(TagDocument({}, {}, manifest).to_bytes())
    return {archive: TaggedSnapshot(archive, "1.0", document, "", NOW) for archive in archives}


def steps() -> dict[str, Step]:
    return {step.name: step for step in IMAGE_REHEARSAL.steps if isinstance(step, Step)}


def ended(count: int) -> Mapping[str, StepResult]:
    values: dict[str, Json] = {
        "count": count,
        "files": 2,
        "same": ["a"],
        "differences": ["b differs"][:count],
        "pairs": {},
    }
    return {"compare": StepResult({}, values=values)}


def test_an_order_names_the_state_that_each_tag_is() -> None:
    objects = MemoryObjects()
    order = rehearsal_order(image_job(), "1.0", tags(objects, "debian", "petrel", "other"), objects)
    state = str(state_of_tag(TagDocument({}, {}, MANIFEST), objects))
    assert {key: order.inputs[key] for key in INPUTS["image.build"]} == INPUTS["image.build"]
    assert (order.inputs["tag"], order.inputs["tagged"]) == ("1.0", {"debian": state, "petrel": state})
    assert order.inputs["built"] == {name: FILES[name] for name in FILES if not name.endswith(".log")}


def test_another_image_and_an_archive_without_the_tag_are_refused_by_name() -> None:
    objects = MemoryObjects()
    with pytest.raises(NotFound, match=r"archive petrel has no tagged snapshot 1\.0") as found:
        rehearsal_order(image_job(), "1.0", tags(objects, "debian"), objects)
    assert found.value.hint == f"distwright snapshot tag debian petrel 1.0 --manifest {NAME}.manifest.json"
    others = tags(objects, "debian", "petrel", manifest=sha256_of(b"another"))
    with pytest.raises(Refused, match=r"1\.0 of debian was made of the manifest of another image"):
        rehearsal_order(image_job(), "1.0", others, objects)
    with pytest.raises(Refused, match="job 3 has built nothing"):
        rehearsal_order(image_job(outcome=Outcome.FAILED, outputs=None), "1.0", {}, objects)
    with pytest.raises(Refused, match=r"job 3 has built no image but is a package\.build"):
        rehearsal_order(build_job(), "1.0", {}, objects)


def test_only_the_root_is_planned_otherwise_and_nothing_of_the_archives_is_left_in_its_shelf() -> None:
    made = ShelfEntry("_recipe", "recipe", sha256_of(b"made"), is_own=True)
    recipe = EnvironmentRecipe.from_json(plain.mapping(INPUT, "root"))
    components = {**recipe.components, made.name: ("main",)}
    inputs = {**INPUT, "root": replace(recipe, shelf=(made, *recipe.shelf), components=components).to_json()}
    planned = steps()["root"].plan(inputs, EARLIER)
    states = plain.digest_map(INPUT, "tagged")
    assert planned.shelf == (made, *(ShelfEntry(entry.archive, entry.suite, states[entry.archive]) for entry in SHELF))
    as_built = {step.name: step for step in IMAGE_BUILD.steps if isinstance(step, Step)}
    assert planned.commands == as_built["root"].plan(inputs, EARLIER).commands
    for name in as_built.keys() - {"root"}:
        assert steps()[name].plan(INPUT, EARLIER) == as_built[name].plan(INPUT, EARLIER), name


def test_it_concludes_with_a_verdict() -> None:
    same, another = (conclude(INPUT, ended(count), NOW, 1) for count in (0, 1))
    assert (same.outputs["verdict"], same.message) == (
        "same", f"{NAME}: all 2 files came out the same from 1.0 alone",
    )  # fmt: skip
    assert (another.outputs["verdict"], another.message) == (
        "differs", f"{NAME} is another one from 1.0: b differs",
    )  # fmt: skip
    failed = conclude_failed(INPUT, {}, Failure("root", Outcome.FAILED, "no", {}, ()), NOW, 1)
    assert (failed.outputs, failed.message) == ({"verdict": "unknown"}, "no")
