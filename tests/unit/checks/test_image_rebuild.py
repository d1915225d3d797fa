"""The second build of an image: its order, its plans, its comparison, and what it concludes."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from tests.habits.samples import EARLIER, INPUTS, ROOT, TREE
from tests.unit.checks.test_rebuild import Seen, build_job
from tests.worlds.installation import config
from tests.worlds.times import NOW

from distwright.checks.image_rebuild import (
    IMAGE_REBUILD,
    KIND,
    compare,
    conclude,
    conclude_failed,
    image_rebuild_order,
    order_of,
    summed,
)
from distwright.checks.image_variations import image_variation, in_words, varied
from distwright.errors import BadInput, Refused
from distwright.images.build import IMAGE_BUILD
from distwright.images.forms import form_inputs
from distwright.jobs.step import Action, Failure, Plan, Step, StepResult
from distwright.model.digests import Json, Sha256, sha256_of
from distwright.model.outcomes import Outcome
from distwright.model.records import Job

NAME = "petrel-amd64-1.0"
FILES = {
    f"{NAME}.{ending}": str(sha256_of(ending.encode()))
    for ending in ("iso", "manifest.json", "packages", "torrent", "log", "bundle")
} | {"SHA256SUMS": str(sha256_of(b"sums")), "SHA256SUMS.asc": str(sha256_of(b"signature"))}
VARIATION = image_variation(sha256_of(b"order"), "petrel")
BUILD: Mapping[str, Json] = {
    **INPUTS["image.build"], **form_inputs(config(), "petrel", "1.0"), "outputs": ["iso", "usb"],
}  # fmt: skip
REBUILD = {**BUILD, "built": {}, "variation": VARIATION.to_json()}


def image_job(**changed: Any) -> Job:
    return build_job(
        kind="image.build", inputs=INPUTS["image.build"], outputs={"name": NAME, "files": FILES}, **changed
    )


def steps_of(steps: tuple[Step | Action, ...]) -> dict[str, Step]:
    return {step.name: step for step in steps if isinstance(step, Step)}


def test_an_order_has_the_inputs_of_the_build_and_what_its_sums_name() -> None:
    order = image_rebuild_order(image_job())
    assert order.kind == KIND
    assert {key: order.inputs[key] for key in INPUTS["image.build"]} == INPUTS["image.build"]
    assert order.inputs["built"] == {
        name: FILES[name] for name in FILES if not name.startswith("SHA") and not name.endswith((".log", ".bundle"))
    }
    assert order.inputs["variation"] == VARIATION.to_json()
    assert image_rebuild_order(image_job()).digest == order.digest
    assert summed({name: Sha256(digest) for name, digest in FILES.items()}) == order.inputs["built"]


def test_an_order_says_what_made_the_first_root_if_the_build_said_it() -> None:
    job = image_job()
    told = replace(job, outputs={**(job.outputs or {}), "made_by": {"apt": "2.6.1"}})
    assert image_rebuild_order(told).inputs["made_by"] == {"apt": "2.6.1"}
    assert "made_by" not in image_rebuild_order(job).inputs


def test_what_has_built_no_image_is_not_rebuilt() -> None:
    with pytest.raises(Refused, match=r"job 3 has built no image but is a package\.build"):
        image_rebuild_order(build_job())
    with pytest.raises(Refused, match="job 3 has built nothing"):
        image_rebuild_order(replace(image_job(), outcome=Outcome.FAILED, outputs=None))


def test_every_step_that_makes_something_is_made_anew_and_the_tools_may_be_known() -> None:
    steps = steps_of(IMAGE_REBUILD.steps)
    made = [name for name in steps_of(IMAGE_BUILD.steps) if name != "tools"]
    assert [name for name, step in steps.items() if step.repeat] == made
    assert [step.name for step in IMAGE_REBUILD.steps][-3:] == ["papers", "look", "compare"]
    assert steps["tools"].plan(REBUILD, EARLIER) == steps_of(IMAGE_BUILD.steps)["tools"].plan(BUILD, EARLIER)


def test_only_the_circumstances_are_planned_otherwise() -> None:
    for name, step in steps_of(IMAGE_BUILD.steps).items():
        if name == "tools":
            continue
        plan, other = step.plan(BUILD, EARLIER), steps_of(IMAGE_REBUILD.steps)[name].plan(REBUILD, EARLIER)
        assert (other != plan) == bool(plan.commands), name
        if not plan.commands:
            continue
        assert set(other.place) - set(plan.place) == {"circumstances.tar"}
        assert replace(other, commands=plan.commands, place=plan.place, write=plan.write) == plan
        assert {key: other.write[key] for key in plan.write} == plan.write
        for before, after in zip(plan.commands, other.commands, strict=True):
            assert after.argv[:2] == ("./start.sh", before.argv[0])
            assert after.argv[len(after.argv) - len(before.argv) + 1 :] == before.argv[1:]
            assert dict(before.environment).items() <= dict(after.environment).items(), "what a step sets itself stays"
            assert replace(after, argv=before.argv, environment=before.environment) == before


def test_hooks_see_another_clock_from_the_first_to_the_last() -> None:
    plan = steps_of(IMAGE_REBUILD.steps)["customise"].plan(REBUILD, EARLIER)
    names = sorted(name for name in {*plan.place, *plan.write} if name.endswith(".hook.chroot"))
    assert [name.removeprefix("recipe/hooks/") for name in names] == [
        "!clock.hook.chroot", "0100-a.hook.chroot", "~clock.hook.chroot",
    ]  # fmt: skip


def test_everything_that_is_varied_is_told_to_each_step() -> None:
    words = ("locale", "user", "hostname", "home")
    for name, step in steps_of(IMAGE_REBUILD.steps).items():
        plan = step.plan(REBUILD, EARLIER)
        if not step.repeat or not plan.commands:
            continue
        for command in plan.commands:
            told = "".join((*command.argv, *map("=".join, command.environment), plan.write["start.sh"]))
            missing = [word for word in words if str(getattr(VARIATION, word)) not in told]
            assert missing == (["home"] if name == "root" else []), "packages write down where they are at home"
        assert {dict(command.environment)["LANGUAGE"] for command in plan.commands} == {"C"}, "tar says where nodes are"
        zones = {dict(command.environment).get("TZ") for command in plan.commands}
        assert zones == {None if name in ("iso", "usb") else VARIATION.timezone}, "FAT has local time"
        assert "umask 0077\n" in plan.write["start.sh"]
        moved = "ld.so.preload" in "".join((*plan.commands[0].argv, *plan.write.values()))
        assert moved == (name != "initrd")
        assert ("--uname-2.6" in plan.write["start.sh"]) == (name not in ("root", "customise"))
    assert set(in_words(VARIATION)) == {
        "clock", "locale", "time zone", "umask", "CPUs", "host name", "HOME", "user", "kernel",
    }  # fmt: skip


def test_the_clock_is_made_from_the_archives_of_the_tools() -> None:
    steps = steps_of(IMAGE_REBUILD.steps)
    compiler = steps["compiler"].plan(REBUILD, EARLIER)
    tools = steps["tools"].plan(REBUILD, EARLIER)
    assert compiler.shelf == tools.shelf
    assert "gcc,libc6-dev,locales" in compiler.commands[0].argv
    made = steps["circumstances"].plan(REBUILD, EARLIER)
    assert made.commands[0].root == ROOT
    assert f"-DAHEAD={VARIATION.clock_ahead_s}L" in made.write["make.sh"]


def test_a_plan_that_does_nothing_stays_so_and_one_of_another_build_is_refused() -> None:
    assert varied("usb", Plan(()), VARIATION, TREE) == Plan(())
    plan = steps_of(IMAGE_BUILD.steps)["iso"].plan(BUILD, EARLIER)
    with pytest.raises(BadInput, match="not that of an image"):
        varied("iso", replace(plan, place={"circumstances.tar": TREE}), VARIATION, TREE)
    with pytest.raises(BadInput, match="not that of an image"):
        varied("iso", plan, replace(VARIATION, cpus=2), TREE)


def test_isos_are_looked_into_only_if_they_differ_and_are_here() -> None:
    look = steps_of(IMAGE_REBUILD.steps)["look"]
    inputs = INPUTS["image.rebuild"]
    assert look.plan(inputs, EARLIER).place.keys() == {"first.iso", "second.iso"}
    same = {**EARLIER, "papers": StepResult({f"{NAME}.iso": Sha256(str(inputs["built"][f"{NAME}.iso"]))})}  # type: ignore[index,call-overload]  # as the order has it
    assert look.plan(inputs, same) == Plan(())
    assert look.plan({**inputs, "elsewhere": True}, EARLIER) == Plan(())


def compared(
    first: Mapping[str, bytes], second: Mapping[str, bytes], **more: Json
) -> tuple[dict[str, Json], StepResult, Seen]:
    seen = Seen()
    built: dict[str, Json] = {f"{NAME}.{name}": str(seen.objects.put(data)) for name, data in first.items()}
    inputs: dict[str, Json] = {**INPUTS["image.build"], "built": built, "variation": VARIATION.to_json(), **more}
    papers = StepResult({f"{NAME}.{name}": seen.objects.put(data) for name, data in second.items()})
    result = compare(seen, inputs, {"papers": papers, "look": StepResult({})})  # type: ignore[arg-type]  # all that it uses
    return inputs, result, seen


def test_all_that_comes_out_the_same_is_the_same() -> None:
    inputs, result, seen = compared({"iso": b"a", "packages": b"b"}, {"iso": b"a", "packages": b"b"})
    done = conclude(inputs, {"compare": result}, NOW, 9)
    assert done.outputs == {"verdict": "same", "same": [f"{NAME}.iso", f"{NAME}.packages"]}
    assert (done.message, done.heir) == (f"{NAME}: all 2 files came out the same", "")
    [event] = done.events
    assert (event.kind, event.subject, event.body["verdict"], event.job) == ("image.compared", NAME, "same", 9)
    assert event.body["varied"] == in_words(VARIATION)
    assert seen.held() == set()


def test_what_went_in_is_told_before_the_iso_and_that_before_what_follows_from_it() -> None:
    first = {"torrent": b"1", "iso": b"one", "packages": b"hello\t1\n"}
    second = {"torrent": b"2", "iso": b"two", "packages": b"hello\t2\n"}
    inputs, result, seen = compared(first, second)
    done = conclude(inputs, {"compare": result}, NOW, 9)
    said = [text.partition(":")[0] for text in done.outputs["differences"]]  # type: ignore[union-attr]  # as the order has it
    assert said == [f"{NAME}.packages", f"{NAME}.iso", f"{NAME}.torrent"]
    assert done.message.startswith(f"{NAME} is not reproducible: {NAME}.packages: the content differs at byte 6: ")
    assert done.outputs["count"] == 3
    contents = [*first.values(), *second.values()]
    assert seen.held() == {("comparison 9", sha256_of(content)) for content in contents}, "what differs is kept"


def test_of_files_that_are_elsewhere_the_sums_are_told() -> None:
    inputs, result, seen = compared({"iso": b"one"}, {"iso": b"two", "usb.img": b"x"}, elsewhere=True)
    done = conclude(inputs, {"compare": result}, NOW, 9)
    assert done.outputs["differences"] == [
        f"{NAME}.iso: the content differs: sha256 {sha256_of(b'one')} against {sha256_of(b'two')}",
        f"{NAME}.usb.img: only in the second build",
    ]
    assert (done.outputs["pairs"], done.outputs["same"], seen.held()) == ({}, [], set())


def test_a_build_that_fails_is_unknown_and_says_why() -> None:
    failure = Failure("squashfs", Outcome.FAILED, "squashfs: ./start.sh ended with exit 1", {}, ())
    done = conclude_failed(INPUTS["image.rebuild"], {}, failure, NOW, 9)
    assert done.outputs == {"verdict": "unknown"}
    [event] = done.events
    assert (event.body["verdict"], event.body["message"]) == ("unknown", failure.message)


def test_the_same_order_has_the_same_second_build_wherever_it_is_ordered() -> None:
    built = {"a": sha256_of(b"a")}
    one, other = (
        order_of(INPUTS["image.build"], sha256_of(b"order"), built, elsewhere=there) for there in (False, True)
    )
    assert one.inputs["variation"] == other.inputs["variation"]
    assert one.digest != other.digest
