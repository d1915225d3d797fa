"""Package builds: the order names everything by digest, the plans follow from it, the .changes is signed outside."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.archive.requests import record_request
from tests.worlds.archive import DATE, MIRROR, Upstream, UpstreamFetcher, make_deb, make_source, make_upload, signer
from tests.worlds.installation import WorldContext, make_context
from tests.worlds.repos import changelog, commit

from distwright.archive.record import record
from distwright.archive.resolve import NotReadyError, resolve_suites
from distwright.builds.environment import (
    MMDEBSTRAP_PROGRAMS,
    EnvironmentRecipe,
    environment_plan,
    environment_step,
    judge_environment,
)
from distwright.builds.limiting_builds import limits_of_builds
from distwright.builds.package import PACKAGE_BUILD, SBUILD_PROGRAMS, conclude, plan_build, sign_changes
from distwright.builds.resolve import build_order, environment_recipe
from distwright.builds.source_step import plan_source
from distwright.builds.versions_of_commits import tag_of_version
from distwright.errors import BadInput, NotFound, WorkFailed
from distwright.jobs.order import JobOrder
from distwright.jobs.step import CommandEnd, Plan, ShelfEntry, StepEnd, StepResult
from distwright.model.digests import Json, Sha256, digest_of, sha256_of
from distwright.model.events import Event, EventKind
from distwright.model.outcomes import Outcome
from distwright.model.versions import DebVersion
from distwright.signing.verify import Keyring
from distwright.store.holds import serial_hold
from distwright.tools.git import write_tree_tar

ROOT, TREE = sha256_of(b"root"), sha256_of(b"tree")
ENTRY = ShelfEntry("debian", "stable", sha256_of(b"snapshot"))
OURS = ShelfEntry(
    "petrel", "devel", sha256_of(b"state"), is_own=True, fields=(("Suite", "devel"),), lists=("main/source",)
)
RECIPE = EnvironmentRecipe(
    shelf=(ENTRY, OURS),
    components={"debian/stable": ("main", "contrib"), "petrel/devel": ("main",)},
    variant="buildd",
    include=("debhelper", "fakeroot"),
    architecture="amd64",
    epoch=1704888000,
)
INPUTS: dict[str, Json] = {
    "repo": "greeter", "tag": "1.0", "commit": "0" * 40, "tree": TREE, "source": "greeter", "version": "1.0",
    "epoch": 1704888000, "suite": "devel", "archive": "petrel", "environment": RECIPE.to_json(),
}  # fmt: skip
DSC = sha256_of(b"dsc")
EARLIER = {
    "environment": StepResult({"root": ROOT}),
    "source": StepResult({"source/greeter_1.0.dsc": DSC, "tar/greeter_1.0.tar.xz": TREE}),
}


def test_an_environment_recipe_comes_back_from_json() -> None:
    assert EnvironmentRecipe.from_json(RECIPE.to_json()) == RECIPE  # type: ignore[arg-type]


def test_the_sources_of_an_environment_are_the_shelf_alone() -> None:
    assert RECIPE.source_lines() == [
        "deb [trusted=yes] {shelf:debian/stable} stable main contrib",
        "deb [trusted=yes] {shelf:petrel/devel} devel main",
    ]


def test_an_environment_is_bootstrapped_from_the_shelf_as_one_plan() -> None:
    plan = environment_plan(RECIPE)
    [command] = plan.commands
    assert command.argv[:4] == ("mmdebstrap", "--mode=unshare", "--architectures", "amd64")
    assert command.argv[-4:] == ("stable", "root.tar", *RECIPE.source_lines())
    assert "--include" in command.argv
    assert command.argv[command.argv.index("--include") + 1] == "debhelper,fakeroot"
    assert dict(command.environment)["SOURCE_DATE_EPOCH"] == "1704888000"
    assert (plan.shelf, plan.collect, plan.programs) == (RECIPE.shelf, {"root": "root.tar"}, MMDEBSTRAP_PROGRAMS)
    assert "--include" not in environment_plan(replace(RECIPE, include=())).commands[0].argv
    assert environment_step("environment", "environment").plan(INPUTS, {}) == plan


def test_the_plan_of_an_environment_depends_on_states_and_not_on_serials() -> None:
    other = replace(RECIPE, shelf=(replace(ENTRY, document=sha256_of(b"another")), OURS))
    plans = [environment_plan(recipe) for recipe in (RECIPE, RECIPE, other)]
    digests = [digest_of(plan.to_json()) for plan in plans]
    assert digests[0] == digests[1] != digests[2]


def test_the_source_package_is_made_inside_the_environment() -> None:
    plan = plan_source(INPUTS, EARLIER)
    assert plan.commands[0].argv[-1] == "greeter-1.0"
    assert (plan.commands[0].root, plan.commands[0].reads_shelf) == (ROOT, False)
    assert (plan.place, plan.collect) == ({"tree.tar": TREE}, {"source": "*.dsc", "tar": "*.tar.*"})


def test_a_version_with_an_epoch_is_built_from_the_folder_that_the_order_made() -> None:
    assert plan_source({**INPUTS, "version": "2:1.0"}, EARLIER).commands[0].argv[-1] == "greeter-1.0"


def test_the_build_reads_the_shelf_and_is_told_nothing_else_of_any_network() -> None:
    plan = plan_build(INPUTS, EARLIER)
    [command] = plan.commands
    argv = command.argv
    assert (argv[0], argv[-1]) == ("./sbuild", "{work}/in/greeter_1.0.dsc")
    lines = "\\n".join(RECIPE.source_lines())
    assert f"--chroot-setup-commands=printf '{lines}\\n' > /etc/apt/sources.list" in argv
    assert {"--dist=devel", "--arch=amd64", "--chroot-mode=unshare", "--chroot={work}/root.tar"} <= set(argv)
    assert plan.place == {"in/greeter_1.0.dsc": DSC, "in/greeter_1.0.tar.xz": TREE, "root.tar": ROOT}
    assert "://" not in " ".join(argv)
    assert (plan.shelf, plan.programs) == (RECIPE.shelf, SBUILD_PROGRAMS)
    assert {"apt", "dpkg", "tar", "libsbuild-perl", "sbuild"} <= set(plan.programs)


UPLOADED: dict[str, Json] = {
    **{key: INPUTS[key] for key in ("source", "version", "suite", "archive", "environment")},
    "repo": "",
    "source_files": {"greeter_1.0.dsc": DSC, "greeter_1.0.tar.xz": TREE},
}


def test_an_uploaded_source_is_unpacked_to_see_that_it_can_be() -> None:
    plan = plan_source(UPLOADED, EARLIER)
    assert plan.commands[0].argv == ("dpkg-source", "--no-check", "--extract", "in/greeter_1.0.dsc", "tree")
    assert (plan.commands[0].root, plan.collect) == (ROOT, {})
    assert plan.place == {"in/greeter_1.0.dsc": DSC, "in/greeter_1.0.tar.xz": TREE}


def test_what_is_built_of_an_uploaded_source_comes_without_it() -> None:
    """The archive has the source as its uploader signed it; another .dsc of that name would be refused."""
    earlier = {"environment": EARLIER["environment"], "source": StepResult({})}
    plan = plan_build(UPLOADED, earlier)
    argv = plan.commands[0].argv
    assert {"--no-source", "--arch-all", "--arch-any"} <= set(argv)
    assert not {"--source", "--force-orig-source"} & set(argv)
    assert argv[-1] == "{work}/in/greeter_1.0.dsc"
    assert (set(plan.collect), plan.place["in/greeter_1.0.dsc"]) == ({"changes", "deb", "buildinfo"}, DSC)
    built = {"build": StepResult({"deb/greeter_1.0_amd64.deb": ROOT}), "sign": StepResult({"changes/x.changes": TREE})}
    (event,) = conclude(UPLOADED, built, DATE, 1).events
    assert (event.body["repo"], event.body["suite"], event.body["files"]) == (
        "",
        "devel",
        {"greeter_1.0_amd64.deb": ROOT},
    )


def test_plans_name_no_place_of_this_machine_outside_of_what_debian_has() -> None:
    for plan in (environment_plan(RECIPE), plan_source(INPUTS, EARLIER), plan_build(INPUTS, EARLIER)):
        words = [word for command in plan.commands for word in command.argv]
        places = [word for word in words if word.startswith("/") and not word.startswith(("/usr/", "/build/", "/etc/"))]
        assert places == []
        assert isinstance(plan, Plan)


@pytest.fixture
def context(tmp_path: Path) -> WorldContext:
    return make_context(tmp_path)


def built(context: WorldContext, *names: str) -> dict[str, StepResult]:
    upload = make_upload(make_source("greeter"), make_deb("greeter"))
    unsigned = upload.changes.partition(b"\n\n")[2].partition(b"\n-----BEGIN")[0] + b"\n"
    outputs = {f"changes/{name}": context.objects.put(unsigned) for name in names}
    return {"build": StepResult({**outputs, "deb/greeter_1.0_amd64.deb": ROOT, "source/greeter_1.0.dsc": DSC})}


def test_the_changes_file_is_signed_by_the_builder_and_says_the_same(context: WorldContext) -> None:
    earlier = built(context, "greeter_1.0_amd64.changes")
    result = sign_changes(context, INPUTS, earlier)
    [(name, digest)] = result.outputs.items()
    keyring = Keyring(signer("builder").certificate(), "the builder")
    verified = keyring.verify_clear(context.objects.read(digest), ".changes")
    assert name == "changes/greeter_1.0_amd64.changes"
    assert verified.content == context.objects.read(earlier["build"].outputs[name])
    assert context.lines == ["signed greeter_1.0_amd64.changes"]


@pytest.mark.parametrize("names", [(), ("a.changes", "b.changes")])
def test_a_build_that_left_none_or_several_changes_files_has_failed(
    context: WorldContext, names: tuple[str, ...]
) -> None:
    with pytest.raises(WorkFailed, match=rf"the build left {len(names)} \.changes files, want one"):
        sign_changes(context, INPUTS, built(context, *names))


def test_a_build_announces_its_files_by_name_and_the_signed_changes(context: WorldContext) -> None:
    earlier = built(context, "greeter_1.0_amd64.changes") | {
        "sign": StepResult({"changes/greeter_1.0_amd64.changes": TREE})
    }
    ended = conclude(INPUTS, earlier, DATE, 3)
    files: dict[str, Json] = {"greeter_1.0_amd64.deb": ROOT, "greeter_1.0.dsc": DSC}
    assert ended.outputs == {"changes": TREE, "changes_name": "greeter_1.0_amd64.changes", "files": files}
    body: dict[str, Json] = {
        "repo": "greeter", "tag": "1.0", "commit": "0" * 40, "archive": "petrel", "suite": "devel", "source": "greeter",
        "version": "1.0", "changes": TREE, "files": files,
    }  # fmt: skip
    assert list(ended.events) == [Event(EventKind.BUILD_FINISHED, DATE, "greeter 1.0", body, 3)]
    assert [step.name for step in PACKAGE_BUILD.steps] == ["environment", "source", "build", "sign"]


@pytest.mark.parametrize(("version", "tag"), [("1.0", "1.0"), ("1:2.0~rc1-1", "1%2.0_rc1-1"), ("2.0+b1", "2.0+b1")])
def test_a_tag_is_its_version_as_dep_14_writes_it(version: str, tag: str) -> None:
    assert tag_of_version(DebVersion(version)) == tag


def recorded(context: WorldContext) -> WorldContext:
    upstream = Upstream()
    upstream.add(make_deb("hello"))
    upstream.publish()
    context.fetcher = UpstreamFetcher({MIRROR: upstream})
    record(record_request(), context, context.paths.cache / "pool")
    return context


def order(context: WorldContext, tag: str, repo: str = "greeter") -> JobOrder:
    return build_order(context.database, context.ground(), repo=repo, tag=tag)


def test_an_order_names_commit_tree_and_states_by_digest(context: WorldContext) -> None:
    recorded(context)
    files = {"debian/changelog": changelog("greeter", "1:2.0~rc1"), "src/x.c": "int x;\n"}
    head = commit(context.paths, "greeter", files, tag="1%2.0_rc1")
    made = order(context, "1%2.0_rc1")
    with io.BytesIO() as out:
        write_tree_tar(context.paths.repo("greeter"), head, out, prefix="greeter-2.0~rc1/", mtime=int(DATE.timestamp()))
        tree = out.getvalue()
    with context.database.read() as tx:
        resolved = resolve_suites(tx, context.ground(), ("debian/stable",))
    recipe = environment_recipe(context.config, "build", resolved)
    assert made.inputs == {
        "form": 2, "repo": "greeter", "tag": "1%2.0_rc1", "commit": head, "tree": sha256_of(tree), "source": "greeter",
        "version": "1:2.0~rc1", "epoch": int(DATE.timestamp()), "suite": "devel", "archive": "petrel",
        "environment": recipe.to_json(), "limits": limits_of_builds(context.config.environments["build"]),
    }  # fmt: skip
    assert context.objects.read(Sha256(str(made.inputs["tree"]))) == tree
    assert (recipe.epoch, recipe.include, recipe.variant) == (int(DATE.timestamp()), ("debhelper",), "buildd")
    assert made.holds == (serial_hold("", "debian", "2024011001", "debian/stable"),)
    assert made.title == "build greeter 1:2.0~rc1"


def test_a_tag_that_names_another_version_is_refused_with_the_right_tag(context: WorldContext) -> None:
    recorded(context)
    commit(context.paths, "greeter", {"debian/changelog": changelog("greeter", "1.1")}, tag="1.0")
    with pytest.raises(BadInput, match=r"tag 1\.0 of greeter holds version 1\.1 of greeter") as caught:
        order(context, "1.0")
    assert caught.value.hint.startswith("git tag 1.1")


def test_what_is_no_package_is_not_built(context: WorldContext) -> None:
    commit(context.paths, "greeter", {"README": "x"}, tag="1.0")
    with pytest.raises(NotFound, match=r"tag 1\.0 of greeter has no debian/changelog"):
        order(context, "1.0")
    with pytest.raises(NotFound, match=r"'refs/tags/2\.0' is not in repo greeter"):
        order(context, "2.0")
    with pytest.raises(BadInput, match="repo live is not a package") as caught:
        order(context, "1.0", repo="live")
    assert caught.value.hint == "set package = true in [repo.live]"


def test_a_build_waits_for_the_snapshot_that_its_environment_needs(context: WorldContext) -> None:
    commit(context.paths, "greeter", {"debian/changelog": changelog("greeter", "1.0")}, tag="1.0")
    with pytest.raises(NotReadyError, match="archive debian has no snapshot yet"):
        order(context, "1.0")


def test_an_environment_without_an_upstream_suite_is_refused(context: WorldContext) -> None:
    with context.database.read() as tx:
        nothing = resolve_suites(tx, context.ground(), ())
    with pytest.raises(BadInput, match="environment build names no upstream suite"):
        environment_recipe(context.config, "build", nothing)


@pytest.mark.parametrize(
    ("ordered", "problem"),
    [
        ({"source": "other"}, "it has Source 'greeter' instead of other"),
        ({"version": "2.0"}, "it has Version '1.0' instead of 2.0"),
        ({"suite": "stable"}, "it has Distribution 'devel' instead of stable"),
        (
            {"source": "other", "version": "2.0", "suite": "stable"},
            "it has Source 'greeter' instead of other, Version '1.0' instead of 2.0, Distribution 'devel' instead of stable",
        ),
    ],
)
def test_a_changes_file_of_something_else_than_was_ordered_is_not_signed(
    context: WorldContext, ordered: dict[str, str], problem: str
) -> None:
    with pytest.raises(WorkFailed, match=f"the .changes of the build is not what was ordered: {problem}"):
        sign_changes(context, {**INPUTS, **ordered}, built(context, "greeter_1.0_amd64.changes"))


def test_what_cannot_be_read_is_not_signed(context: WorldContext) -> None:
    earlier = {"build": StepResult({"changes/a.changes": context.objects.put(b"Source: greeter\n")})}
    with pytest.raises(WorkFailed, match=r"the \.changes of the build cannot be read"):
        sign_changes(context, INPUTS, earlier)


def test_an_environment_that_was_not_made_in_time_is_not_the_packages_fault() -> None:
    cut = CommandEnd(-15, "time limit of 1800 s", ())
    verdict = judge_environment(StepEnd(environment_plan(RECIPE), (cut,), {}, ()))
    assert verdict.outcome is Outcome.BROKEN
