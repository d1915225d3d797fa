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
from distwright.flow.rules import View, explain_what_differs, rebuild_what_was_built
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


def test_diffoscope_is_asked_about_so_many_files_and_no_more(world: WorldContext) -> None:
    view = with_tables(world, {}, {"checkers": "tools"})
    many: dict[str, Json] = {f"p{number}.deb": [str(DEB), str(DEB)] for number in range(100)}
    [order] = explain_what_differs(world.database, view, compared("differs", pairs=many))
    assert len(pairs_of(order.inputs)) == MOST_FILES
    assert all(isinstance(first, Sha256) for first, _ in pairs_of(order.inputs).values())
