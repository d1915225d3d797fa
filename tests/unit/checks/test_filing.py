"""Filing: what builds say becomes rows, once, whatever wrote the event and however often somebody files."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.habits.samples import INPUTS
from tests.worlds.breaking import BreakingWorld, breaking_world, moved
from tests.worlds.installation import config

from distwright.builds.resolve import build_order
from distwright.builds.trying import commit_trial
from distwright.checks.filing import BUILDS, READER, SWEEP, file_results, is_swept
from distwright.checks.findings import FAILS, NOT_REPRODUCIBLE, see
from distwright.checks.image_rebuild import KIND as IMAGE_REBUILD
from distwright.checks.image_rebuild import QUESTION
from distwright.config.model import Config
from distwright.jobs.order import JobOrder, place_order
from distwright.jobs.step import KindName
from distwright.model import plain
from distwright.model.digests import Json
from distwright.model.events import Event, EventKind
from distwright.model.outcomes import Outcome
from distwright.model.records import Job
from distwright.store.events import append_event, cursor_of, move_cursor
from distwright.store.findings import list_findings
from distwright.store.inquiries import list_inquiries
from distwright.store.trials import list_trials


@pytest.fixture
def world(tmp_path: Path) -> BreakingWorld:
    return breaking_world(tmp_path)


def happen(world: BreakingWorld, kind: EventKind, body: Mapping[str, Json], job: int | None = None) -> None:
    with world.context.database.write() as tx:
        append_event(tx, Event(kind, world.context.clock, "x", body, job))


def file(world: BreakingWorld, settings: Config | None = None) -> int:
    return file_results(world.context.database, settings or world.context.config, world.context.clock)


def trials(world: BreakingWorld) -> list[Any]:
    with world.context.database.read() as tx:
        return list_trials(tx, BUILDS)


def quiet() -> Config:
    """Give the configuration in which nobody wants sweeps."""
    build = config().environments["build"].model_copy(update={"sweep": False})
    return replace(config(), environments={**config().environments, "build": build})


TRIED: dict[str, Json] = {"source": "greeter", "version": "1.0", "outcome": "ok", "message": ""}


def test_a_trial_is_a_row_with_all_that_was_asked_and_how_long_it_took(world: BreakingWorld) -> None:
    order = commit_trial(world.context.database, world.context.ground(), repo="greeter", commit=world.commits[0])
    job = world.build(order)
    [row] = trials(world)
    assert (row.subject, row.version, row.commit) == ("greeter", "1.0", world.commits[0])
    assert (row.order, row.job, row.outcome, row.message, row.took_s) == (order.digest, job.id, Outcome.OK, "", 40)
    assert list(row.states) == ["debian/stable"]


def test_the_same_event_twice_is_one_row(world: BreakingWorld) -> None:
    world.build(commit_trial(world.context.database, world.context.ground(), repo="greeter", commit=world.commits[0]))
    before = trials(world)
    with world.context.database.write() as tx:
        move_cursor(tx, READER, 0)  # as if the same were read again
    file(world)
    assert [(row.order, row.outcome) for row in trials(world)] == [(row.order, row.outcome) for row in before]


@pytest.mark.parametrize(
    ("kind", "body", "job"),
    [
        (EventKind.BUILD_TRIED, TRIED, None),
        (EventKind.BUILD_TRIED, TRIED, 99),
        (EventKind.BUILD_TRIED, {**TRIED, "outcome": "splendid"}, 1),
        (EventKind.BUILD_TRIED, {**TRIED, "message": 5}, 1),
        (EventKind.BUILD_TRIED, TRIED, 1),
        (EventKind.BUILD_COMPARED, {"source": 1, "version": "1", "verdict": "same", "message": ""}, None),
        (EventKind.BUILD_COMPARED, {"source": "a", "version": "1", "verdict": "perhaps", "message": ""}, None),
        (EventKind.IMAGE_COMPARED, {"image": "a", "name": "a-1", "verdict": "same", "message": ""}, 1),
        (EventKind.SNAPSHOT_RECORDED, {"archive": "gone", "serial": "2024011001", "snapshot": ""}, None),
        (EventKind.SNAPSHOT_RECORDED, {"archive": [], "serial": "", "snapshot": ""}, None),
    ],
    ids=[
        "of a person", "of a job that is gone", "outcome", "message", "of another kind", "no name", "verdict", "no commit",
        "archive", "words",
    ],
)  # fmt: skip
def test_an_event_that_is_not_as_ours_are_holds_up_nothing(
    world: BreakingWorld, kind: EventKind, body: dict[str, Json], job: int | None
) -> None:
    with world.context.database.write() as tx:
        place_order(
            tx, JobOrder(KindName("package.build", 1), {"made by": "an older version"}, "x"), world.context.clock
        )
    happen(world, kind, body, job)
    file(world)
    assert trials(world) == []
    with world.context.database.read() as tx:
        assert file(world) == 0
        assert cursor_of(tx, READER) == len(world.context.events())


def compare(world: BreakingWorld, verdict: str, version: str = "1.0", suite: str = "devel", **changed: str) -> None:
    """Say what came of a second build, in an environment of amd64 unless it is changed."""
    order = commit_trial(world.context.database, world.context.ground(), repo="greeter", commit=world.commits[0])
    archive = changed.pop("archive", "petrel")
    environment = {**plain.mapping(order.inputs, "environment"), **changed}
    inputs: dict[str, Json] = {**order.inputs, "environment": environment}
    with world.context.database.write() as tx:
        job = place_order(tx, JobOrder(KindName("package.rebuild", 1), inputs, "rebuild"), world.context.clock)
    body: dict[str, Json] = {
        "source": "greeter", "version": version, "archive": archive, "suite": suite, "verdict": verdict, "message": ""
    }  # fmt: skip
    happen(world, EventKind.BUILD_COMPARED, body, job.id)
    file(world)


def differing(world: BreakingWorld) -> dict[str, str]:
    with world.context.database.read() as tx:
        return {row.key: row.state.value for row in list_findings(tx, kind=NOT_REPRODUCIBLE, fixed=True)}


def test_a_second_build_that_differs_is_a_finding_until_one_is_the_same(world: BreakingWorld) -> None:
    for verdict, state in (("differs", "new"), ("unknown", "new"), ("same", "fixed")):
        compare(world, verdict)
        assert differing(world) == {"devel/amd64": state}


def test_a_comparison_tells_of_its_suite_and_architecture_alone(world: BreakingWorld) -> None:
    compare(world, "differs", "1.1")
    compare(world, "same", "1.1", architecture="i386")
    compare(world, "same", "1.1", suite="topic")
    compare(world, "same", "1.1", archive="")
    compare(world, "same", "1.0")
    assert differing(world) == {"devel/amd64": "new"}
    compare(world, "differs", "1.1", suite="topic")
    compare(world, "differs", "1.1", suite="tried", archive="")
    assert differing(world) == {"devel/amd64": "new", "topic/amd64": "new"}, "what is only tried is in no suite"
    compare(world, "same", "1.2")
    assert differing(world) == {"devel/amd64": "fixed", "topic/amd64": "new"}


def test_a_comparison_closes_what_an_older_version_wrote_of_any_suite(world: BreakingWorld) -> None:
    with world.context.database.write() as tx:
        see(tx, NOT_REPRODUCIBLE, "greeter", "", {"version": "1.0"}, world.context.clock)
    compare(world, "differs")
    assert differing(world) == {"": "fixed", "devel/amd64": "new"}


def compare_images(world: BreakingWorld, verdict: str, version: str = "1.0") -> Job:
    """Say what came of a second build of an image."""
    inputs = {**INPUTS["image.rebuild"], "version": version, "nth": len(world.context.events())}
    with world.context.database.write() as tx:
        job = place_order(tx, JobOrder(IMAGE_REBUILD, inputs, "rebuild"), world.context.clock)
    body: dict[str, Json] = {
        "image": "petrel", "name": f"petrel-{version}", "commit": "0" * 40, "version": version, "verdict": verdict,
        "states": INPUTS["image.rebuild"]["states"], "message": f"it is {verdict}",
    }  # fmt: skip
    happen(world, EventKind.IMAGE_COMPARED, body, job.id)
    file(world)
    return job


def test_a_second_build_of_an_image_is_an_answer_and_a_finding_until_one_is_the_same(world: BreakingWorld) -> None:
    for verdict, state in (("differs", "new"), ("unknown", "new"), ("same", "fixed")):
        compare_images(world, verdict)
        assert differing(world) == {"image/amd64": state}
    with world.context.database.read() as tx:
        rows = list_trials(tx, QUESTION, "petrel")
    assert [(row.outcome.value, row.message) for row in rows] == [
        ("ok", ""), ("broken", "it is unknown"), ("failed", "it is differs"),
    ]  # fmt: skip
    assert {(row.version, *row.states) for row in rows} == {("petrel-1.0", "debian/bookworm")}


def test_an_older_image_tells_nothing_of_a_newer_one(world: BreakingWorld) -> None:
    compare_images(world, "differs", "1.1")
    compare_images(world, "same", "1.0")
    assert differing(world) == {"image/amd64": "new"}
    compare_images(world, "same", "1.1")
    assert differing(world) == {"image/amd64": "fixed"}


def fail(world: BreakingWorld, version: str = "1.0", serial: str = "2024011101", key: str = "build/devel") -> None:
    """Note that the package fails, with a serial."""
    evidence: dict[str, Json] = {"version": version, "serials": {"debian": serial}, "commit": world.commits[0]}
    with world.context.database.write() as tx:
        see(tx, FAILS, "greeter", key, evidence, world.context.clock)


def failing(world: BreakingWorld) -> list[str]:
    with world.context.database.read() as tx:
        return [row.key for row in list_findings(tx, kind=FAILS)]


def built_order(world: BreakingWorld) -> JobOrder:
    """Order the build that goes into the suite."""
    return build_order(world.context.database, world.context.ground(), repo="greeter", tag="1.0")


@pytest.mark.parametrize(
    ("version", "serial", "left"),
    [
        ("1.0", "2024011101", []),
        ("0.9", "2024010101", []),
        ("1.1", "2024011101", ["build/devel"]),
        ("1.0", "2024011201", ["build/devel"]),
    ],
    ids=["this state", "an older one", "a newer version failed", "a newer serial failed"],
)
def test_a_good_build_closes_what_failed_before_it(
    world: BreakingWorld, version: str, serial: str, left: list[str]
) -> None:
    assert world.serials == ["2024011101"]
    world.context.config = quiet()
    fail(world, version, serial)
    world.build(built_order(world))
    assert failing(world) == left


def test_a_build_for_another_suite_or_in_another_environment_tells_nothing_of_this_one(world: BreakingWorld) -> None:
    world.context.config = quiet()
    fail(world)
    order = built_order(world)
    environment = plain.mapping(order.inputs, "environment")
    elsewhere: list[dict[str, Json]] = [
        {"suite": "topic"},
        {"archive": "other"},
        {"environment": {**environment, "architecture": "i386"}, "binary_only": True},
        {"environment": {**environment, "include": ["clang"]}},
    ]
    for changed in elsewhere:
        world.build(replace(order, inputs={**order.inputs, **changed}))
        assert failing(world) == ["build/devel"], changed
    world.build(order)
    assert failing(world) == []


def test_a_trial_closes_only_what_is_known_of_its_very_commit(world: BreakingWorld) -> None:
    world.context.config = quiet()
    fail(world)
    ground = world.context.ground()
    world.build(commit_trial(world.context.database, ground, repo="greeter", commit=world.commit("on a branch")))
    assert failing(world) == ["build/devel"]
    world.build(commit_trial(world.context.database, ground, repo="greeter", commit=world.commits[0]))
    assert failing(world) == []


def test_what_failed_in_an_environment_that_is_gone_is_closed_by_any_build_into_its_suite(world: BreakingWorld) -> None:
    world.context.config = quiet()
    fail(world, key="gone/devel")
    fail(world, key="gone/other")
    world.build(built_order(world))
    assert failing(world) == ["gone/other"]


def sweeps(world: BreakingWorld) -> list[str]:
    with world.context.database.read() as tx:
        return [row.subject for row in list_inquiries(tx, kind=SWEEP)]


def test_only_the_newest_of_many_snapshots_is_swept(world: BreakingWorld) -> None:
    for number in range(2, 5):
        world.record(*moved(number))
    file(world)
    assert sweeps(world) == [f"debian/{world.serials[-1]}"]
    world.record(*moved(5))
    file(world)
    assert len(sweeps(world)) == 1, "the one that has not begun takes what is newest when it begins"
    world.take_in()
    world.record(*moved(6))
    world.take_in()
    assert sweeps(world) == [f"debian/{world.serials[-1]}", f"debian/{world.serials[3]}"], (
        "but one that has begun does not"
    )
    world.run()
    assert [tried.versions["bar"] for tried in world.built] == ["5.0", "6.0"]


def test_an_environment_may_want_no_sweep() -> None:
    assert is_swept(config(), "debian")
    assert not is_swept(config(), "security"), "nothing is built with it"
    assert not is_swept(quiet(), "debian")
