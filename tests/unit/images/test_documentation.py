"""Tests of a topic that changes documentation only: less, and only when nothing is doubtful."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.images.test_resolve import FILES, installation
from tests.worlds.installation import WorldContext
from tests.worlds.repos import commit
from tests.worlds.times import NOW

from distwright.archive.tree import EMPTY_ROOT
from distwright.flow.rules import scenarios_of_built_image
from distwright.flow.view import View
from distwright.images.documentation import is_documentation_only, needed_tests
from distwright.images.scenarios import ALL, Chosen
from distwright.jobs.order import JobOrder, place_order
from distwright.jobs.step import KindName
from distwright.model import plain
from distwright.model.digests import Json, sha256_of
from distwright.model.events import Event, EventKind
from distwright.tools.git import git
from distwright.tools.git_history import changed_paths

PATTERNS = ("docs/**", "**/*.md")
MANUAL = Chosen(features=("manual",))
FEATURES = {
    f"features/{name}.feature": f"Feature: {name}\n  Scenario: it\n    When it boots\n" for name in ("manual", "more")
}
BASE = {**FILES, **FEATURES, "docs/a": "1", "README.md": "1"}


@pytest.mark.parametrize(
    ("paths", "answer"),
    [
        ([], False),
        (["docs/a"], True),
        (["docs/deep/a.png", "README.md", "images/x/README.md"], True),
        (["docs/a", "images/x/package-lists/a.list.chroot"], False),
        (["docs", "doc/a"], False),
        (["README.md\n.sh"], False),
    ],
)
def test_paths_are_documentation_if_all_are(paths: list[str], answer: bool) -> None:  # noqa: FBT001  # pytest gives it by position
    assert is_documentation_only(paths, PATTERNS) is answer


@pytest.fixture
def world(tmp_path: Path) -> WorldContext:
    context = installation(tmp_path)
    table = context.config.repos["live"].model_copy(update={"documentation": PATTERNS, "protected": ("stable",)})
    more = {"features": ("features",), "testers": "tools", "documentation_features": ("manual",)}
    image = context.config.images["petrel"].model_copy(update=more)
    context.config = replace(
        context.config, repos={**context.config.repos, "live": table}, images={**context.config.images, "petrel": image}
    )
    commit(context.paths, "live", BASE)
    for name in ("topic", "stable"):
        git(context.paths.repo("live"), "branch", name, "main")
    return context


def changed(context: WorldContext, *, without: str = "", branch: str = "topic", **files: str) -> Mapping[str, Json]:
    """Commit changes to a branch; give what the inputs of its image's build say."""
    named = {name.replace("__", "/").replace("_dot_", "."): text for name, text in files.items()}
    tip = commit(
        context.paths,
        "live",
        {name: text for name, text in {**BASE, **named}.items() if name != without},
        branch=branch,
    )
    states: dict[str, Json] = dict.fromkeys(context.config.images["petrel"].from_, "0" * 64)
    return {"image": "petrel", "repo": "live", "branch": branch, "commit": tip, "states": states}


def test_topic_that_changes_documentation_only_is_tested_by_its_documentation(world: WorldContext) -> None:
    inputs = changed(world, docs__a="2", docs__new="3")
    assert needed_tests(world.ground(), inputs) == MANUAL
    commit(world.paths, "live", {**BASE, "images/petrel/package-lists/base.list.chroot": "htop\n"})
    assert needed_tests(world.ground(), inputs) == MANUAL, "what the base did meanwhile is not the topic's"


def test_anything_else_is_tested_by_all(world: WorldContext) -> None:
    assert needed_tests(world.ground(), changed(world, docs__a="2", debian__rules="x")) == ALL
    assert needed_tests(world.ground(), changed(world, without="features/more.feature")) == ALL
    moved = changed(world, without="features/more.feature", docs__more=FEATURES["features/more.feature"])
    assert needed_tests(world.ground(), moved) == ALL, "a rename has two names"
    assert needed_tests(world.ground(), changed(world)) == ALL, "nothing is changed any more"


def test_topic_with_packages_of_its_own_is_tested_by_all(world: WorldContext) -> None:
    inputs = changed(world, docs__a="2")
    for state, wanted in ((str(EMPTY_ROOT.revision), MANUAL), ("1" * 64, ALL)):
        states = {**dict(plain.text_map(inputs, "states")), "petrel/topic": state}
        assert needed_tests(world.ground(), {**inputs, "states": states}) == wanted


def test_bases_and_what_is_not_configured_or_not_known_are_tested_by_all(world: WorldContext) -> None:
    inputs = changed(world, docs__a="2")
    for other in (
        changed(world, branch="stable", docs__a="3"),
        {**inputs, "branch": "main"},
        {**inputs, "commit": "1" * 40},
        {**inputs, "base_commit": "1" * 40},
        {**inputs, "image": "gone"},
        {"image": "petrel"},
    ):
        assert needed_tests(world.ground(), other) == ALL
    assert needed_tests(world.ground(), inputs) == MANUAL
    repo = world.config.repos["live"].model_copy(update={"documentation": ()})
    image = world.config.images["petrel"].model_copy(update={"documentation_features": ()})
    for config in (
        replace(world.config, repos={**world.config.repos, "live": repo}),
        replace(world.config, images={**world.config.images, "petrel": image}),
    ):
        assert needed_tests(replace(world.ground(), config=config), inputs) == ALL


def test_changed_paths_are_whole_names_and_renames_are_both(world: WorldContext) -> None:
    inputs = changed(world, without="docs/a", docs__b="1")
    base = git(world.paths.repo("live"), "rev-parse", "main").decode().strip()
    assert changed_paths(world.paths.repo("live"), base, str(inputs["commit"])) == ["docs/a", "docs/b"]


@pytest.mark.parametrize(("path", "features"), [("docs__a", ["manual"]), ("debian__rules", [])])
def test_built_image_leads_to_the_tests_that_it_needs(world: WorldContext, path: str, features: list[str]) -> None:
    inputs = changed(world, **{path: "2"})
    with world.database.write() as tx:
        job = place_order(tx, JobOrder(KindName("image.build", 1), inputs, "build it"), NOW)
    iso = {"petrel-1.iso": str(sha256_of(b"iso"))}
    body: dict[str, Json] = {
        "image": "petrel", "name": "petrel-1", "commit": inputs["commit"], "files": dict(iso), "manifest": "m", "states": {},
        "vmlinuz": str(sha256_of(b"kernel")), "tools": str(sha256_of(b"tools")),
    }  # fmt: skip
    view = View(world.ground(), lambda _credential: b"")
    event = Event(EventKind.IMAGE_BUILT, NOW, "petrel-1", body, job.id)
    assert [order.inputs["chosen_features"] for order in scenarios_of_built_image(world.database, view, event)] == [
        features
    ]
