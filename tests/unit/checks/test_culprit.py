"""The culprit, with a runner that only pretends: which serial, which source, which commit, and how little is built for it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.worlds.breaking import BreakingWorld, Trying, breaking_world

from distwright.checks.culprit import CULPRIT, question
from distwright.checks.inquiries import ask
from distwright.checks.targets import find_target
from distwright.model.records import InquiryState

Breaks = Callable[[Trying], str]


def ask_culprit(world: BreakingWorld, good: tuple[str, str], bad: tuple[str, str]) -> int:
    """Ask between two states, each a serial and a commit."""
    ground = world.context.ground()
    target = find_target(world.context.database, ground, "greeter")
    asked = question(target, ({"debian": good[0]}, good[1]), ({"debian": bad[0]}, bad[1]))
    return ask(world.context.database, CULPRIT, "greeter", asked, "user ada", ground.now)


def answer(world: BreakingWorld, number: int) -> Any:
    """Run everything, and give the answer."""
    before = len(world.built)
    world.run()
    row = world.inquiry(number)
    assert row.state is not InquiryState.OPEN
    assert row.answer is not None
    if "error" not in row.answer:
        assert row.answer["builds"] == len(world.built) - before
    return row.answer


def new_libfoo(version: float) -> Breaks:
    return lambda tried: "build" if float(tried.versions["libfoo-dev"]) >= version else ""


@pytest.mark.parametrize("first_bad", [2, 17, 64])
def test_one_source_in_one_of_64_serials(tmp_path: Path, first_bad: int) -> None:
    world = breaking_world(tmp_path, serials=64)
    world.breaks = new_libfoo(first_bad)
    commit = world.commits[0]
    number = ask_culprit(world, (world.serials[0], commit), (world.serials[-1], commit))
    found = answer(world, number)
    assert (
        found["text"] == f"libfoo {first_bad}.0 from serial {world.serials[first_bad - 1]} of archive debian breaks it"
    )
    assert found["what"] == "source"
    over_serials = [tried for tried in world.built if "pins" not in tried.job.inputs["environment"]]  # type: ignore[operator]
    assert len(over_serials) <= 2 + 6, "both ends, then halves"
    assert len(world.built) - len(over_serials) <= 2
    assert found["sources"] == [
        {
            "source": "libfoo",
            "before": f"{first_bad - 1}.0",
            "after": f"{first_bad}.0",
            "packages": ["libfoo-dev", "libfoo1"],
        }
    ]


def test_one_of_our_commits(tmp_path: Path) -> None:
    world = breaking_world(tmp_path)
    for number in range(2, 10):
        world.commit(f"change {number}")
    world.commit("change 10", tag="2.0", version="2.0")
    world.upload("2.0")
    guilty = world.commits[6]
    world.breaks = lambda tried: "build" if world.commits.index(tried.commit) >= 6 else ""
    number = ask_culprit(world, (world.serials[0], world.commits[0]), (world.serials[0], world.commits[-1]))
    found = answer(world, number)
    assert found["text"] == f"commit {guilty[:12]} (Ada, files) breaks it"
    assert found["builds"] <= 2 + 4
