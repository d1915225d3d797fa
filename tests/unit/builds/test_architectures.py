"""Builds for other architectures: what their plans say, and what comes out of a second build of one source."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.builds.test_package import EARLIER, INPUTS, RECIPE, UPLOADED, order, recorded
from tests.worlds.installation import WorldContext, make_context
from tests.worlds.repos import changelog, commit

from distwright.builds.architectures import order_elsewhere
from distwright.builds.environment import environment_plan
from distwright.builds.install import SUITE_INSTALL
from distwright.builds.package import PACKAGE_BUILD, plan_build
from distwright.builds.trying import PACKAGE_TRY
from distwright.config.model import Config
from distwright.config.tables_archive import OwnArchive
from distwright.errors import NotFound, Refused
from distwright.jobs.step import Plan, Step
from distwright.model.digests import Json

FOREIGN = replace(RECIPE, architecture="arm64")


def test_an_environment_of_another_architecture_needs_no_check_and_no_emulator_of_mmdebstrap() -> None:
    """So its plan is the same where it is native, and nothing of an emulator comes into the root."""
    plan = environment_plan(FOREIGN)
    assert plan.architecture == "arm64"
    assert "--skip=check/qemu" in plan.commands[0].argv
    assert Plan.from_json(plan.to_json()) == plan


def test_plans_for_amd64_are_what_they_were_before_they_said_an_architecture() -> None:
    plan = environment_plan(RECIPE)
    assert "architecture" not in plan.to_json()  # type: ignore[operator]
    assert "--skip=check/qemu" not in plan.commands[0].argv


@pytest.mark.parametrize("kind", [PACKAGE_BUILD, PACKAGE_TRY, SUITE_INSTALL], ids=lambda kind: kind.kind.name)
def test_every_step_in_a_foreign_root_says_what_the_machine_must_run(kind: object) -> None:
    from tests.habits import samples

    name = kind.kind.name  # type: ignore[attr-defined]
    inputs: dict[str, Json] = {**samples.INPUTS[name], "environment": FOREIGN.to_json()}
    steps = [step for step in kind.steps if isinstance(step, Step)]  # type: ignore[attr-defined]
    assert {step.name: step.plan(inputs, samples.EARLIER).architecture for step in steps} == {
        step.name: "arm64" for step in steps
    }


@pytest.mark.parametrize("inputs", [INPUTS, UPLOADED], ids=["of a tag", "of an uploaded source"])
def test_a_binary_only_build_leaves_source_and_packages_for_all_to_the_other(inputs: dict[str, Json]) -> None:
    plan = plan_build({**inputs, "binary_only": True, "environment": FOREIGN.to_json()}, EARLIER)
    argv = plan.commands[0].argv
    assert {"--arch=arm64", "--no-source", "--no-arch-all", "--arch-any"} <= set(argv)
    assert not {"--source", "--force-orig-source", "--arch-all"} & set(argv)
    assert set(plan.collect) == {"changes", "deb", "buildinfo"}


@pytest.fixture
def context(tmp_path: Path) -> WorldContext:
    context = recorded(make_context(tmp_path))
    commit(context.paths, "greeter", {"debian/changelog": changelog("greeter", "1.0")}, tag="1.0")
    return context


def with_environment(config: Config, architecture: str, *, archive_has_it: bool) -> Config:
    """Give a configuration with environment `other`, and the archive the architecture."""
    environments = {
        **config.environments,
        "other": config.environments["build"].model_copy(update={"architecture": architecture}),
    }
    petrel = config.archives["petrel"]
    assert isinstance(petrel, OwnArchive)
    more = ("amd64", architecture) if archive_has_it else ("amd64",)
    archives = {**config.archives, "petrel": petrel.model_copy(update={"architectures": more})}
    return replace(config, environments=environments, archives=archives)


def test_another_architecture_is_built_binary_only(context: WorldContext) -> None:
    context.config = with_environment(context.config, "arm64", archive_has_it=True)
    usual = order(context, "1.0")
    other = order_elsewhere(context.database, context.ground(), usual, "other")
    assert other.inputs["binary_only"] is True
    assert other.inputs["environment"]["architecture"] == "arm64"  # type: ignore[index,call-overload]
    assert {key: value for key, value in other.inputs.items() if key not in ("binary_only", "environment")} == {
        key: value for key, value in usual.inputs.items() if key != "environment"
    }
    assert other.title == "build greeter 1.0 for arm64"


def test_another_environment_of_the_same_architecture_builds_everything(context: WorldContext) -> None:
    context.config = with_environment(context.config, "amd64", archive_has_it=True)
    other = order_elsewhere(context.database, context.ground(), order(context, "1.0"), "other")
    assert "binary_only" not in other.inputs
    assert other.title == "build greeter 1.0"


def test_an_architecture_that_the_archive_does_not_have_is_refused_before_it_is_built(context: WorldContext) -> None:
    context.config = with_environment(context.config, "arm64", archive_has_it=False)
    with pytest.raises(
        Refused, match="archive petrel has no architecture arm64, which environment other is of"
    ) as caught:
        order_elsewhere(context.database, context.ground(), order(context, "1.0"), "other")
    assert caught.value.hint == 'set architectures = ["amd64", "arm64"] in [archive.petrel]'


def test_an_environment_that_nobody_configured_is_named(context: WorldContext) -> None:
    with pytest.raises(NotFound, match="environment 'nowhere' is not configured"):
        order_elsewhere(context.database, context.ground(), order(context, "1.0"), "nowhere")
