"""Lines of states: snapshots in the order in which they were taken, and the environment at each."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.unit.checks.test_moved import recipe
from tests.worlds.breaking import breaking_world
from tests.worlds.times import NOW

from distwright.archive.resolve import resolve_suites
from distwright.builds.resolve import environment_recipe
from distwright.checks.lines import Step, recipe_at, recipe_of, serials_in, states_along, steps_between
from distwright.checks.targets import find_target, target_trial
from distwright.errors import BadUsage, NotFound
from distwright.model.digests import sha256_of
from distwright.model.records import Snapshot
from distwright.model.serials import Serial


def snapshot(archive: str, serial: str, hours: int) -> Snapshot:
    return Snapshot(archive, Serial(serial), sha256_of(serial.encode()), NOW + timedelta(hours=hours), None, "")


ROWS = [
    snapshot("main", "2024011001", 0), snapshot("main", "2024011002", 5), snapshot("main", "2024011003", 9),
    snapshot("security", "2024011001", 1), snapshot("security", "2024011002", 6), snapshot("else", "2024011001", 2),
]  # fmt: skip
GOOD, BAD = {"main": "2024011001", "security": "2024011001"}, {"main": "2024011003", "security": "2024011002"}


def test_a_line_goes_by_one_snapshot_at_a_time_in_the_order_of_their_time() -> None:
    steps = steps_between(ROWS, GOOD, BAD)
    assert steps == (
        Step("main", "2024011001", "2024011002"),
        Step("security", "2024011001", "2024011002"),
        Step("main", "2024011002", "2024011003"),
    )
    assert states_along(GOOD, steps)[0] == GOOD
    assert states_along(GOOD, steps)[-1] == BAD
    assert steps_between(ROWS, GOOD, GOOD) == ()


def test_a_line_has_one_direction() -> None:
    for good, bad in ((BAD, GOOD), (GOOD, {"main": "2024011003"})):
        with pytest.raises(BadUsage, match="is not older than"):
            steps_between(ROWS, good, bad)


def test_snapshots_that_a_clock_put_in_the_wrong_order_still_lead_to_the_end() -> None:
    rows = [snapshot("main", "2024011002", 9), snapshot("main", "2024011003", 1)]
    steps = steps_between(rows, {"main": "2024011001"}, {"main": "2024011003"})
    assert states_along({"main": "2024011001"}, steps)[-1] == {"main": "2024011003"}


def test_an_environment_at_a_serial_is_what_an_order_made_at_that_serial_names(tmp_path: Path) -> None:
    world = breaking_world(tmp_path, serials=3)
    context = world.context
    order = target_trial(context.database, context.ground(), find_target(context.database, context.ground(), "greeter"))
    with context.database.read() as tx:
        assert serials_in(tx, recipe_of(order.inputs)) == {"debian": world.serials[2]}
        for serial in world.serials:
            resolved = resolve_suites(tx, context.ground({"debian": serial}), ["debian/stable"])
            wanted = environment_recipe(context.config, "build", resolved)
            assert recipe_at(tx, context.objects, recipe_of(order.inputs), {"debian": serial}) == wanted
        with pytest.raises(NotFound, match="snapshot 2024010101 of debian has no suite stable, or is gone"):
            recipe_at(tx, context.objects, recipe_of(order.inputs), {"debian": "2024010101"})
        assert serials_in(tx, replace(recipe_of(order.inputs), pins=(("a", "1"),))) is None
        assert serials_in(tx, recipe("unknown")) is None
