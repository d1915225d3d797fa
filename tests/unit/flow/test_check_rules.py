"""Rules about checks: what is rebuilt, and what diffoscope is asked."""

from dataclasses import replace
from typing import Any

import pytest
from tests.habits.samples import INPUTS
from tests.unit.flow.test_rules import view_of, with_config
from tests.unit.images.test_resolve import installation
from tests.worlds.archive import NOW
from tests.worlds.installation import WorldContext

from distwright.builds.package import KIND as BUILD
from distwright.checks.explain import MOST_FILES, pairs_of
from distwright.flow.rules import explain_what_differs, rebuild_built_image, rebuild_what_was_built
from distwright.flow.view import View
from distwright.images.build import KIND as IMAGE
from distwright.images.forms import LAYER_KIND
from distwright.jobs.lease import Ending, claim_next, end_attempt
from distwright.jobs.order import JobOrder, place_order
from distwright.model.digests import Json, Sha256, sha256_of
from distwright.model.events import Event, EventKind
from distwright.model.outcomes import Outcome
from distwright.store.holds import serial_hold

DEB = sha256_of(b"deb")
PAIRS: dict[str, Json] = {"greeter_1.0_amd64.deb": [str(DEB), str(sha256_of(b"other"))]}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> WorldContext:
    """Upstreams recorded, and greeter built."""
    return installation(tmp_path_factory.mktemp("check-rules"))


@pytest.fixture(scope="module")
def built(world: WorldContext) -> int:
    """Give the number of a build that is done."""
    order = JobOrder(BUILD, INPUTS["package.build"], "build", holds=(serial_hold("", "debian", "2024011001", "build"),))
    with world.database.write() as tx:
        place_order(tx, order, NOW)
    job = claim_next(world.database, ["local"], "test", NOW)
    assert job is not None
    outputs: dict[str, Json] = {"files": {"greeter_1.0_amd64.deb": str(DEB)}}
    end_attempt(world.database, job, Ending(Outcome.OK, "built", outputs, heir=f"build {job.id}"), NOW)
    return job.id


def finished(job: int | None, **body: Json) -> Event:
    return Event(EventKind.BUILD_FINISHED, NOW, "greeter 1.0", {"repo": "greeter", "tag": "1.0", **body}, job)


def compared(verdict: str, **body: Json) -> Event:
    return Event(EventKind.BUILD_COMPARED, NOW, "greeter 1.0", {"repo": "greeter", "verdict": verdict, **body}, 9)


def with_tables(world: WorldContext, repo: dict[str, Any], environment: dict[str, Any]) -> View:
    config = world.config
    repos = {**config.repos, "greeter": config.repos["greeter"].model_copy(update=repo)}
    environments = {**config.environments, "build": config.environments["build"].model_copy(update=environment)}
    return with_config(world, repos=repos, environments=environments)


def test_what_is_built_of_a_tag_or_a_base_branch_is_rebuilt(world: WorldContext, built: int) -> None:
    [order] = rebuild_what_was_built(world.database, view_of(world), finished(built))
    assert order.inputs["built"] == {"greeter_1.0_amd64.deb": DEB}
    assert [hold.target for hold in order.holds] == ["debian/2024011001"], "its packages come from there again"
    assert rebuild_what_was_built(world.database, view_of(world), finished(built, branch="main"))


def test_what_is_built_of_a_topic_or_of_an_upload_is_not_rebuilt(world: WorldContext, built: int) -> None:
    view = view_of(world)
    for event in (finished(built, branch="topic"), finished(built, repo=""), finished(None), finished(777)):
        assert rebuild_what_was_built(world.database, view, event) == []


def test_a_repo_can_say_that_it_is_not_rebuilt(world: WorldContext, built: int) -> None:
    assert rebuild_what_was_built(world.database, with_tables(world, {"rebuild": False}, {}), finished(built)) == []


def test_what_differs_is_explained_by_the_checkers_of_its_environment(world: WorldContext) -> None:
    view = with_tables(world, {}, {"checkers": "tools"})
    [order] = explain_what_differs(world.database, view, compared("differs", pairs=PAIRS))
    assert order.inputs["pairs"] == PAIRS
    assert order.inputs["environment"]["include"] == ["xorriso"]  # type: ignore[index,call-overload]  # tools has it
    assert order.holds
    [again] = explain_what_differs(world.database, view, replace(compared("differs", pairs=PAIRS), job=10))
    assert again.digest == order.digest, "the same content is looked at once"


def test_without_checkers_or_anything_to_look_at_nothing_is_explained(world: WorldContext) -> None:
    view = with_tables(world, {}, {"checkers": "tools"})
    assert explain_what_differs(world.database, view_of(world), compared("differs", pairs=PAIRS)) == []
    for event in (compared("same"), compared("unknown"), compared("differs"), compared("differs", pairs={})):
        assert explain_what_differs(world.database, view, event) == []


@pytest.fixture(scope="module")
def image(world: WorldContext) -> int:
    """Give the number of an image's build that is done."""
    return done_image(world, "main")


def done_image(world: WorldContext, branch: str) -> int:
    inputs: dict[str, Json] = {**INPUTS["image.build"], "branch": branch, "version": "1.0~rc1"}
    order = JobOrder(IMAGE, inputs, "image", holds=(serial_hold("", "debian", "2024011001", "root"),))
    with world.database.write() as tx:
        place_order(tx, order, NOW)
    job = claim_next(world.database, ["local"], "test", NOW)
    assert job is not None
    outputs: dict[str, Json] = {"name": "petrel-amd64-1.0", "files": {"petrel-amd64-1.0.iso": str(DEB)}}
    end_attempt(world.database, job, Ending(Outcome.OK, "built", outputs, heir=f"image {job.id}"), NOW)
    return job.id


def built_image(job: int | None) -> Event:
    return Event(EventKind.IMAGE_BUILT, NOW, "petrel-amd64-1.0", {"image": "petrel", "name": "petrel-amd64-1.0"}, job)


def test_an_image_is_built_again_unless_its_table_says_otherwise(world: WorldContext, image: int, built: int) -> None:
    table = world.config.images["petrel"]
    view = view_of(world)
    [order] = rebuild_built_image(world.database, view, built_image(image))
    assert order.inputs["built"] == {"petrel-amd64-1.0.iso": DEB}
    assert [hold.target for hold in order.holds] == ["debian/2024011001"], "its packages come from there again"
    left_out = with_config(world, images={"petrel": table.model_copy(update={"rebuild": False})})
    assert rebuild_built_image(world.database, left_out, built_image(image)) == []
    for event in (built_image(None), built_image(777), built_image(built)):
        assert rebuild_built_image(world.database, view, event) == []


@pytest.mark.parametrize(("branch", "times"), [("stable", 1), ("1.0_rc1", 1), ("topic/x", 0), ("1.0", 0)])
def test_images_of_bases_and_releases_are_built_again_and_those_of_topics_are_not(
    world: WorldContext, branch: str, times: int
) -> None:
    repo = world.config.repos["live"].model_copy(update={"protected": ("stable",)})
    view = with_config(world, repos={**world.config.repos, "live": repo})
    assert len(rebuild_built_image(world.database, view, built_image(done_image(world, branch)))) == times


def test_a_layer_is_not_built_again(world: WorldContext) -> None:
    view = view_of(world)
    with world.database.write() as tx:
        place_order(tx, JobOrder(LAYER_KIND, {**INPUTS["image.layer"], "branch": "main"}, "layer"), NOW)
    job = claim_next(world.database, ["local"], "test", NOW)
    assert job is not None
    assert rebuild_built_image(world.database, view, built_image(job.id)) == []


def test_images_that_differ_are_explained_by_the_checkers_of_their_tools(world: WorldContext) -> None:
    tools = world.config.environments["tools"].model_copy(update={"checkers": "tools"})
    view = with_config(world, environments={**world.config.environments, "tools": tools})
    body: dict[str, Json] = {"image": "petrel", "name": "petrel-amd64-1.0", "verdict": "differs", "pairs": PAIRS}
    event = Event(EventKind.IMAGE_COMPARED, NOW, "petrel-amd64-1.0", body, 9)
    [order] = explain_what_differs(world.database, view, event)
    assert order.inputs["pairs"] == PAIRS
    assert explain_what_differs(world.database, view_of(world), event) == []


def test_diffoscope_is_asked_about_so_many_files_and_no_more(world: WorldContext) -> None:
    view = with_tables(world, {}, {"checkers": "tools"})
    many: dict[str, Json] = {f"p{number}.deb": [str(DEB), str(DEB)] for number in range(100)}
    [order] = explain_what_differs(world.database, view, compared("differs", pairs=many))
    assert len(pairs_of(order.inputs)) == MOST_FILES
    assert all(isinstance(first, Sha256) for first, _ in pairs_of(order.inputs).values())
