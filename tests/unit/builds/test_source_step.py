"""The step that makes the source package: what its plan says for each kind of inputs."""

from dataclasses import replace

import pytest
from tests.unit.builds.test_package import DSC, EARLIER, INPUTS, RECIPE, ROOT, TREE

from distwright.builds.package import PACKAGE_BUILD, SOURCE_STEP, plan_build
from distwright.builds.source_step import plan_source
from distwright.errors import BadInput
from distwright.jobs.limits import NO_LIMITS, Limits
from distwright.jobs.step import Plan, StepResult
from distwright.model.digests import Json, sha256_of

DELTA, CONTENT, ORIG, CHANGELOG = (sha256_of(word) for word in (b"delta", b"content", b"orig", b"changelog"))
NAME = "greeter_1.0.orig.tar.gz"


def plan(**more: Json) -> Plan:
    return plan_source({**INPUTS, **more}, EARLIER)


def test_a_changelog_of_its_own_takes_the_place_of_the_trees() -> None:
    made = plan(changelog=CHANGELOG)
    (command,) = made.commands
    assert (command.argv, command.root, command.reads_shelf) == (("./assemble", "greeter-1.0"), ROOT, False)
    assert command.environment == (("SOURCE_DATE_EPOCH", "1704888000"),)
    assert made.place == {"tree.tar": TREE, "changelog": CHANGELOG}
    assert (made.shelf, made.collect) == ((), {"source": "*.dsc", "tar": "*.tar.*", "diff": "*.diff.gz"})


def test_tarballs_at_hand_lie_beside_the_tree() -> None:
    made = plan(origs={NAME: ORIG, f"{NAME}.asc": DSC})
    assert [command.argv for command in made.commands] == [("./assemble", "greeter-1.0")]
    assert made.place == {"tree.tar": TREE, f"origs/{NAME}": ORIG, f"origs/{NAME}.asc": DSC}


def test_upstreams_tree_is_packed_in_the_environment() -> None:
    made = plan(upstream=[{"name": NAME, "tree": CONTENT}])
    assert [command.argv for command in made.commands] == [("./assemble", "greeter-1.0", NAME)]
    assert made.place == {"tree.tar": TREE, f"upstream/{NAME}.tree": CONTENT}
    assert made.shelf == ()


def test_pristine_tar_comes_from_the_shelf_into_a_root_that_nothing_else_sees() -> None:
    made = plan(upstream=[{"name": NAME, "tree": CONTENT, "delta": DELTA}])
    generate, assemble = made.commands
    assert (generate.argv, generate.root, generate.reads_shelf) == (("./generate", NAME), ROOT, True)
    assert (assemble.argv, assemble.root, assemble.reads_shelf) == (("./assemble", "greeter-1.0"), ROOT, False)
    assert made.place == {"tree.tar": TREE, f"upstream/{NAME}.tree": CONTENT, f"upstream/{NAME}.delta": DELTA}
    assert (made.shelf, made.templates["sources.list"]) == (
        RECIPE.shelf,
        "".join(f"{line}\n" for line in RECIPE.source_lines()),
    )
    assert made.programs == (), "nothing of the machine"


def test_what_unpacks_the_source_has_the_limits_of_its_build_and_a_time_of_its_own() -> None:
    upstream: list[Json] = [{"name": NAME, "tree": CONTENT, "delta": DELTA}]
    for more in ({"upstream": upstream}, {"source_files": {"greeter_1.0.dsc": DSC}}, {}):
        inputs = {**INPUTS, **more}
        before = SOURCE_STEP.plan(inputs, EARLIER)
        limited = SOURCE_STEP.plan({**inputs, "limits": {"hours": 9, "memory_mb": 500, "disk_mb": 70}}, EARLIER)
        assert {command.limits for command in before.commands} == {NO_LIMITS}
        assert limited.commands == tuple(
            replace(command, limits=Limits(memory_mb=500, disk_mb=70)) for command in before.commands
        )


@pytest.mark.parametrize("name", ["../x.tar.gz", "a/b.tar.gz", ".x", "x y"])
def test_a_tarball_with_a_name_that_leads_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(BadInput):
        plan(upstream=[{"name": name, "tree": CONTENT}])


def test_a_difference_of_the_old_format_goes_with_the_source() -> None:
    earlier = {
        **EARLIER,
        "source": StepResult(
            {"source/greeter_1.0-1.dsc": DSC, f"tar/{NAME}": ORIG, "diff/greeter_1.0-1.diff.gz": DELTA}
        ),
    }
    made = plan_build(INPUTS, earlier)
    assert made.place["in/greeter_1.0-1.diff.gz"] == DELTA
    assert made.collect["diff"] == "out/*.diff.gz"
    assert "diff" not in plan_build(INPUTS, EARLIER).collect


def test_the_steps_of_a_build_are_these() -> None:
    assert [step.name for step in PACKAGE_BUILD.steps] == ["environment", "source", "build", "sign"]
