"""Filing: what builds say becomes rows, once, whatever wrote the event and however often somebody files."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.worlds.breaking import BreakingWorld, breaking_world, moved
from tests.worlds.installation import config

from distwright.builds.trying import commit_trial
from distwright.checks.filing import BUILDS, READER, SWEEP, file_results, is_swept
from distwright.checks.findings import FAILS, NOT_REPRODUCIBLE, see
from distwright.config.model import Config
from distwright.jobs.order import JobOrder, place_order
from distwright.jobs.step import KindName
from distwright.model.digests import Json
from distwright.model.events import Event, EventKind
from distwright.model.outcomes import Outcome
from distwright.model.records import FindingState
from distwright.store.events import append_event, cursor_of, move_cursor
from distwright.store.findings import find_finding
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
        (EventKind.SNAPSHOT_RECORDED, {"archive": "gone", "serial": "2024011001", "snapshot": ""}, None),
        (EventKind.SNAPSHOT_RECORDED, {"archive": [], "serial": "", "snapshot": ""}, None),
    ],
    ids=["of a person", "of a job that is gone", "outcome", "message", "of another kind", "no name", "verdict", "archive", "words"],
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


def test_a_second_build_that_differs_is_a_finding_until_one_is_the_same(world: BreakingWorld) -> None:
    for verdict, state in (("differs", "new"), ("unknown", "new"), ("same", "fixed")):
        body = {"source": "greeter", "version": "1.0", "verdict": verdict, "message": ""}
        happen(world, EventKind.BUILD_COMPARED, body)
        file(world)
        with world.context.database.read() as tx:
            found = find_finding(tx, NOT_REPRODUCIBLE, "greeter", "")
        assert found is not None
        assert found.state == state


@pytest.mark.parametrize(
    ("version", "serial", "state"),
    [
        ("1.0", "2024011101", FindingState.FIXED),
        ("0.9", "2024010101", FindingState.FIXED),
        ("1.1", "2024011101", FindingState.NEW),
        ("1.0", "2024011201", FindingState.NEW),
    ],
    ids=["this state", "an older one", "a newer version failed", "a newer serial failed"],
)
def test_a_good_build_closes_what_failed_before_it(
    world: BreakingWorld, version: str, serial: str, state: FindingState
) -> None:
    assert world.serials == ["2024011101"]
    world.context.config = quiet()
    evidence: dict[str, Json] = {"version": version, "serials": {"debian": serial}}
    with world.context.database.write() as tx:
        see(tx, FAILS, "greeter", "build/devel", evidence, world.context.clock)
    world.build(commit_trial(world.context.database, world.context.ground(), repo="greeter", commit=world.commits[0]))
    found = world.finding()
    assert found is not None
    assert found.state is state


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
