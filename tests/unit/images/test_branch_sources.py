"""Where an image of a branch or tag takes its packages from: the base's suite, the branch's own, overlays; or a tag's alone."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.images.test_resolve import FILES, installation
from tests.worlds.archive import make_deb
from tests.worlds.installation import WorldContext
from tests.worlds.repos import Files, commit
from tests.worlds.suite import OwnSuite

from distwright.archive.branching import SuitesOfBranches
from distwright.archive.configured import apply_change
from distwright.archive.pins import pin_path
from distwright.archive.resolve import NotReadyError, publish_request
from distwright.archive.suites import Who, branch_suite, publish_suite
from distwright.archive.tree import EMPTY_ROOT
from distwright.config.difference import Change
from distwright.errors import BadInput, NotFound, Refused
from distwright.images.branch_sources import Choices, Subject, base_of, is_release, overlay_names
from distwright.images.resolve import image_order
from distwright.jobs.order import JobOrder
from distwright.model.digests import canonical_json
from distwright.repos.branches import BASE_BRANCH
from distwright.repos.pushes import take_in_pushes
from distwright.store.suites import get_suite

OVERLAYS = "config/APT_overlays.d"
WHO = Who("user ada")


@pytest.fixture
def context(tmp_path: Path) -> WorldContext:
    """Both upstreams are recorded, devel is published; the image's repo has main and stable, which is protected."""
    context = installation(tmp_path)
    live = context.config.repos["live"].model_copy(update={"protected": ("stable",)})
    context.config = replace(context.config, repos={**context.config.repos, "live": live})
    commit(context.paths, "live", FILES)
    commit(context.paths, "live", {**FILES, BASE_BRANCH: "stable\n"}, branch="stable")
    take_in(context)
    return context


def take_in(context: WorldContext) -> None:
    """Know what was pushed, and publish every suite."""
    settling = SuitesOfBranches(context.database, context.objects, context.paths, context.config)
    before = len(context.events())
    take_in_pushes(context.database, context.paths, ["greeter", "live"], context.clock, settling=settling)
    for event in context.events()[before:]:
        if event.kind == "suite.changed":
            publish(context, str(event.body["suite"]))


def publish(context: WorldContext, name: str) -> None:
    with context.database.read() as tx:
        row = get_suite(tx, "petrel", name)
    publish_suite(context, publish_request(context.config, row))


def topic(context: WorldContext, files: Files, branch: str = "feature/x", tag: str | None = None) -> str:
    head = commit(context.paths, "live", {**FILES, **files}, branch=branch, tag=tag)
    take_in(context)
    return head


def order(context: WorldContext, **subject: str) -> JobOrder:
    return image_order(context.database, context.ground(), "petrel", subject=Subject(**subject))


def sources(context: WorldContext, **subject: str) -> list[str]:
    """Give the suites of ours that an order uses, and see that the image is told the same."""
    inputs = order(context, **subject).inputs
    states, files = inputs["states"], inputs["files"]
    assert isinstance(states, dict)
    assert isinstance(files, dict)
    assert [name for name in states if not name.startswith("petrel/")] == ["debian/stable", "security/stable-security"]
    own = [name.partition("/")[2] for name in states if name.startswith("petrel/")]
    told = [line.removeprefix("Suites: ") for line in str(files["live.sources"]).splitlines() if "Suites: " in line]
    assert told == ["stable", "stable-security", *own]
    return own


def fill(context: WorldContext, *names: str) -> None:
    """Let suites have a package, and publish them."""
    for name in names:
        OwnSuite(context, name).hold(make_deb("mended"))
        publish(context, name)


def test_the_default_branch_is_ordered_as_it_always_was(context: WorldContext) -> None:
    assert sources(context, branch="main") == ["devel"]
    assert order(context, branch="main").inputs == image_order(context.database, context.ground(), "petrel").inputs
    assert "base_branch" not in order(context, branch="main").inputs


def test_a_topic_has_the_suite_of_its_base_its_own_and_overlays(context: WorldContext) -> None:
    branch_suite(context, "petrel", "bugfix-1", "devel", "overlay", WHO)
    topic(context, {f"{OVERLAYS}/bugfix-1": "anything\n", f"{OVERLAYS}/README": "why", f"{OVERLAYS}/.placeholder": ""})
    fill(context, "bugfix-1", "feature-x")
    assert sources(context, branch="feature/x") == ["devel", "feature-x", "bugfix-1"]
    made = order(context, branch="feature/x").inputs
    assert (made["branch"], made["base_branch"]) == ("feature/x", "main")
    assert str(made["name"]).startswith("petrel-amd64-2.0~rc1-feature-x-")
    assert "DISTWRIGHT_BRANCH=feature/x\n" in canonical_json(made["files"]).decode().replace("\\n", "\n")


def test_a_base_beside_the_default_one_has_its_own_suite_and_so_have_its_topics(context: WorldContext) -> None:
    assert sources(context, branch="stable") == ["stable"]
    topic(context, {BASE_BRANCH: "stable\n"})
    fill(context, "feature-x")
    assert sources(context, branch="feature/x") == ["stable", "feature-x"]
    assert order(context, branch="feature/x").inputs["base_branch"] == "stable"


def test_the_default_branch_with_a_topic_of_packages_on_top_is_never_the_image_of_the_branch(
    context: WorldContext,
) -> None:
    commit(context.paths, "greeter", {"a": "1"}, branch="feature/y")
    take_in(context)
    fill(context, "feature-y")
    assert sources(context, branch="main", on_top="feature/y") == ["devel", "feature-y"]
    made, usual = order(context, branch="main", on_top="feature/y").inputs, order(context, branch="main").inputs
    assert (made["branch"], made["base_branch"], made["commit"]) == ("main+feature/y", "main", usual["commit"])
    assert str(made["name"]).startswith("petrel-amd64-2.0~rc1-main+feature-y-")


def test_a_released_tag_has_only_the_suite_of_its_version(context: WorldContext) -> None:
    topic(context, {}, "main", tag="2.0-rc1")
    assert sources(context, tag="2.0-rc1") == ["2.0-rc1"]
    made = order(context, tag="2.0-rc1").inputs
    assert (made["branch"], made["compression"]) == ("2.0-rc1", "zstd-19")


def test_a_tag_of_another_version_or_with_overlays_is_no_release(context: WorldContext) -> None:
    topic(context, {}, "main", tag="2.1")
    with pytest.raises(BadInput, match=r"tag '2\.1' of live holds version 2\.0~rc1") as refused:
        order(context, tag="2.1")
    assert refused.value.hint == "git tag 2.0_rc1, or correct debian/changelog"
    branch_suite(context, "petrel", "bugfix-1", "devel", "overlay", WHO)
    topic(context, {f"{OVERLAYS}/bugfix-1": ""}, "main", tag="2.0_rc1")
    with pytest.raises(BadInput, match=r"tag '2\.0_rc1' of live has overlays: bugfix-1"):
        order(context, tag="2.0_rc1")


def test_an_overlay_that_is_not_there_is_a_clear_error(context: WorldContext) -> None:
    topic(context, {f"{OVERLAYS}/bugfix-2": ""})
    with pytest.raises(
        NotFound, match="'feature/x' of live names overlay 'bugfix-2', and there is no such suite in petrel"
    ) as error:
        order(context, branch="feature/x")
    assert error.value.hint == "push the branch that it is of, or: git rm config/APT_overlays.d/bugfix-2"


def test_an_overlay_without_packages_is_as_none(context: WorldContext) -> None:
    """What a push of a topic leads to, and what a person asks for before it is known, is the same image, on the same root."""
    commit(context.paths, "live", FILES, branch="feature/x")
    before = order(context, branch="feature/x")
    take_in(context)
    with context.database.read() as tx:
        assert get_suite(tx, "petrel", "feature-x").revision == EMPTY_ROOT.revision
    after = order(context, branch="feature/x")
    assert (after.inputs, after.digest) == (before.inputs, before.digest)
    assert after.inputs["root"] == order(context, branch="main").inputs["root"]
    fill(context, "feature-x")
    assert order(context, branch="feature/x").digest != before.digest
    branch_suite(context, "petrel", "bugfix-1", "devel", "overlay", WHO)
    topic(context, {f"{OVERLAYS}/bugfix-1": ""}, branch="feature/y")
    assert sources(context, branch="feature/y") == ["devel"]


def test_an_overlay_that_was_never_published_is_waited_for(context: WorldContext) -> None:
    branch_suite(context, "petrel", "bugfix-1", "devel", "overlay", WHO)
    OwnSuite(context, "bugfix-1").hold(make_deb("mended"))
    topic(context, {f"{OVERLAYS}/bugfix-1": ""})
    with pytest.raises(NotReadyError, match="suite petrel/bugfix-1 was never published"):
        order(context, branch="feature/x")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("stable\nmain\n", r"is 'stable\\nmain', and not one line"), ("", "not one line"), ("stable \n", "not one line"),
        ("nowhere\n", "says 'nowhere', which is no base branch"), ("feature/x\n", "which is no base branch"),
    ],
)  # fmt: skip
def test_a_base_branch_that_is_none_is_refused(context: WorldContext, content: str, problem: str) -> None:
    topic(context, {BASE_BRANCH: content})
    with pytest.raises(BadInput, match=problem):
        order(context, branch="feature/x")


def test_a_base_branch_names_itself(context: WorldContext) -> None:
    topic(context, {BASE_BRANCH: "main\n"}, "stable")
    with pytest.raises(BadInput, match="base_branch of branch 'stable' of live says 'main'"):
        order(context, branch="stable")
    assert base_of(context.config.repos["live"], "live", Subject("main"), Choices("main")) == "main"


def test_pins_are_those_of_the_commit_and_must_be_as_its_own_branch_must_be(context: WorldContext) -> None:
    live = context.config.repos["live"].model_copy(update={"frozen": ("stable",)})
    context.config = replace(context.config, repos={**context.config.repos, "live": live})
    with pytest.raises(Refused, match="branch stable must be frozen"):
        order(context, branch="stable")
    pins = {pin_path("debian"): "2024011001\n", pin_path("security"): "2024011001\n", BASE_BRANCH: "stable\n"}
    topic(context, pins, "stable", tag="2.0_rc1")
    assert sources(context, branch="stable") == ["stable"]
    assert sources(context, tag="2.0_rc1") == ["2.0-rc1"]
    topic(context, {BASE_BRANCH: "stable\n"})
    fill(context, "feature-x")
    assert sources(context, branch="feature/x") == ["stable", "feature-x"]


def test_a_base_without_a_suite_is_told_with_its_reason(context: WorldContext) -> None:
    live = context.config.repos["live"].model_copy(update={"protected": ("stable", "old")})
    context.config = replace(context.config, repos={**context.config.repos, "live": live})
    branch_suite(context, "petrel", "old", "devel", "release", WHO)
    topic(context, {BASE_BRANCH: "old\n"}, "old")
    with pytest.raises(NotFound, match=r"'heads/old' of live has no suite in petrel: .* of kind release and not base"):
        order(context, branch="old")


def test_a_branch_with_odd_signs_has_a_plain_name_of_files(context: WorldContext) -> None:
    odd = "x;$(id)|'ä" + "y" * 100
    topic(context, {}, odd)
    name = str(order(context, branch=odd).inputs["name"])
    assert name.startswith("petrel-amd64-2.0~rc1-x---id----" + "y" * 54 + "-")


def test_names_of_overlays_are_names_of_suites() -> None:
    assert overlay_names(["b", "a", "README.md", ".gitkeep"], "live") == ("a", "b")
    with pytest.raises(BadInput, match="names no suite") as error:
        overlay_names(["a/b", "A", "ok"], "live")
    assert error.value.message.count("\n") == 2


@pytest.mark.parametrize(
    ("tag", "version"), [("2.0-rc1", "2.0~rc1"), ("2.0_rc1", "2.0~rc1"), ("1%2.0", "1:2.0"), ("2.0", "2.0")]
)
def test_a_release_is_a_tag_whose_suite_is_that_of_the_version(tag: str, version: str) -> None:
    assert is_release(tag, version)
    assert not is_release(tag, f"{version}1")


def test_an_image_keeps_its_other_suites_whatever_branch_it_is_of(context: WorldContext) -> None:
    suites = {**context.config.suites, "extras": context.config.suites["devel"]}
    image = context.config.images["petrel"]
    more = image.model_copy(update={"from_": (*image.from_, "petrel/extras")})
    context.config = replace(context.config, suites=suites, images={"petrel": more})
    apply_change(Change("add", "suite", "extras", ""), context.config, context.database, context.objects, context.clock)
    publish(context, "extras")
    topic(context, {BASE_BRANCH: "stable\n"})
    fill(context, "feature-x")
    assert sources(context, branch="feature/x") == ["stable", "extras", "feature-x"]
    topic(context, {}, "main", tag="2.0_rc1")
    assert sources(context, tag="2.0_rc1") == ["2.0-rc1"]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({f"{BASE_BRANCH}@": "stable"}, "'config/base_branch' is a symlink and not a file"),
        ({f"{BASE_BRANCH}/stable": ""}, "'config/base_branch' is a folder and not a file"),
        ({f"{OVERLAYS}@": "other"}, "'config/APT_overlays.d' is a symlink and not a folder"),
        ({OVERLAYS: "bugfix"}, "'config/APT_overlays.d' is a file and not a folder"),
        ({"config@": "other"}, "'config' is a symlink and not a folder"),
        ({"config/APT_snapshots.d@": "other"}, "'config/APT_snapshots.d' is a symlink and not a folder"),
        ({f"{pin_path('debian')}@": "latest"}, f"'{pin_path('debian')}' is a symlink and not a file"),
    ],
)
def test_settings_that_are_no_plain_files_are_refused_by_name(context: WorldContext, files: Files, said: str) -> None:
    topic(context, files)
    with pytest.raises(BadInput) as refused:
        order(context, branch="feature/x")
    assert said in refused.value.message
    assert refused.value.hint.startswith("git rm config")
