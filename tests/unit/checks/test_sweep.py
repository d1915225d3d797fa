"""The sweep: all ours against a new serial, once; what fails is a finding that says since when, and closes when it builds again."""

from pathlib import Path

import pytest
from tests.worlds.breaking import BreakingWorld, Trying, breaking_world, moved

from distwright.checks.filing import SWEEP
from distwright.model.records import FindingState, InquiryState
from distwright.store.inquiries import list_inquiries


@pytest.fixture
def world(tmp_path: Path) -> BreakingWorld:
    world = breaking_world(tmp_path)
    world.run()
    return world


def since(number: int) -> object:
    def breaks(tried: Trying) -> str:
        return "build" if float(tried.versions["libfoo-dev"]) >= number else ""

    return breaks


def test_a_new_serial_has_our_packages_tried_once(world: BreakingWorld) -> None:
    assert [tried.versions["libfoo-dev"] for tried in world.built] == ["1.0"], "by the record of the first one"
    assert world.finding() is None
    world.sweep()
    assert world.run() == 0, "the same state is never built twice"
    world.record(*moved(2))
    assert world.run() == 1
    with world.context.database.read() as tx:
        rows = list_inquiries(tx, kind=SWEEP)
    assert [(row.state, row.answer and row.answer["text"]) for row in rows] == [
        (InquiryState.DONE, "1 build, 0 do not, 0 could not be tried")
    ] * 3
