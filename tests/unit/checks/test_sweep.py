"""The sweep: all ours against a new serial, once; what fails is a finding that says since when, and closes when it builds again."""

from collections.abc import Callable
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


def since(number: int) -> Callable[[Trying], str]:
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


def test_what_fails_is_a_finding_that_says_since_when_and_what_broke_it(world: BreakingWorld) -> None:
    world.breaks = since(2)
    bad = world.record(*moved(2))
    world.run()
    found = world.finding()
    assert found is not None
    assert found.state is FindingState.NEW
    good = world.serials[0]
    evidence = {key: found.evidence[key] for key in ("version", "commit", "serials", "since", "last_good", "message")}
    assert evidence == {
        "version": "1.0", "commit": world.commits[0], "serials": {"debian": bad}, "since": {"debian": bad},
        "last_good": {"debian": good}, "message": "build: build failed",
    }  # fmt: skip
    culprit = found.evidence["culprit"]
    assert isinstance(culprit, dict)
    assert culprit["text"] == f"libfoo 2.0 from serial {bad} of archive debian breaks it"


def test_a_finding_stays_the_same_while_it_fails_and_closes_when_it_builds_again(world: BreakingWorld) -> None:
    world.breaks = since(2)
    first = world.record(*moved(2))
    world.run()
    builds = len(world.built)
    world.record(*moved(3))
    assert world.run() == 1, "nobody asks for the culprit again"
    found = world.finding()
    assert found is not None
    assert (found.state, found.evidence["since"]) == (FindingState.NEW, {"debian": first})
    assert "culprit" in found.evidence
    world.breaks = lambda tried: "build" if tried.versions["libfoo-dev"] in ("2.0", "3.0") else ""
    world.record(*moved(4))
    world.run()
    assert len(world.built) == builds + 2
    found = world.finding()
    assert found is not None
    assert found.state is FindingState.FIXED


def test_an_older_serial_says_nothing_of_now(world: BreakingWorld) -> None:
    world.record(*moved(2))
    world.run()
    world.breaks = since(0)
    world.sweep(debian=world.serials[0])
    world.run()
    assert world.finding() is None
