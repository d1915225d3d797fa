"""The culprit, with a runner that only pretends: which serial, which source, which commit, and how little is built for it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.worlds.archive import make_deb
from tests.worlds.breaking import BreakingWorld, Trying, breaking_world, moved
from tests.worlds.repos import commit

from distwright.builds.resolve import build_order
from distwright.builds.trying import commit_trial
from distwright.checks import asking
from distwright.checks.asking import Wanted
from distwright.checks.culprit import question
from distwright.checks.inquiries import ask, holder_of
from distwright.checks.search import CULPRIT
from distwright.checks.targets import find_target
from distwright.errors import BadInput, BadUsage
from distwright.jobs.order import retry
from distwright.model import plain
from distwright.model.outcomes import Outcome
from distwright.model.records import InquiryState, Job
from distwright.store.holds import holds_of
from distwright.store.jobs import list_jobs

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


@pytest.fixture
def world(tmp_path: Path) -> BreakingWorld:
    """Two serials, and two tags with three commits between them."""
    world = breaking_world(tmp_path, serials=2)
    world.commit("change 2")
    world.commit("change 3")
    world.commit("change 4", tag="2.0", version="2.0")
    world.upload("2.0")
    return world


def both(world: BreakingWorld) -> int:
    """Ask between the old commit with the old serial and the new commit with the new one."""
    return ask_culprit(world, (world.serials[0], world.commits[0]), (world.serials[1], world.commits[-1]))


def test_if_both_have_moved_the_axis_is_found_first_and_the_serial_is_named(world: BreakingWorld) -> None:
    world.breaks = new_libfoo(2)
    found = answer(world, both(world))
    assert found["text"].startswith("libfoo 2.0 from serial")
    over_commits = {tried.commit for tried in world.built} - {world.commits[0], world.commits[-1]}
    assert not over_commits, "no commit between them is built"


def test_if_both_have_moved_and_the_serials_do_no_harm_a_commit_is_named(world: BreakingWorld) -> None:
    world.breaks = lambda tried: "build" if tried.commit in world.commits[2:] else ""
    found = answer(world, both(world))
    assert found["what"] == "commit"
    assert found["commits"] == [{"commit": world.commits[2], "author": "Ada", "subject": "files"}]
    assert len(world.built) == 2 + 1 + 2, "ends, axis, two commits"


def test_a_commit_that_only_fails_with_the_new_serial_is_named_with_it(world: BreakingWorld) -> None:
    world.breaks = lambda tried: "build" if tried.commit in world.commits[1:] and tried.versions["bar"] == "2.0" else ""
    found = answer(world, both(world))
    assert found["commits"][0]["commit"] == world.commits[1]
    assert found["with"] == {"debian": world.serials[1]}


def test_an_axis_that_cannot_be_judged_one_way_is_judged_the_other(world: BreakingWorld) -> None:
    def breaks(tried: Trying) -> str:
        if tried.commit == world.commits[0] and tried.versions["bar"] == "2.0":
            return "broken"
        return "build" if tried.commit in world.commits[3:] else ""

    world.breaks = breaks
    assert answer(world, both(world))["commits"][0]["commit"] == world.commits[3]


def test_a_state_of_which_nothing_can_be_told_is_passed_by(tmp_path: Path) -> None:
    world = breaking_world(tmp_path, serials=5)
    commit = world.commits[0]

    def breaks(tried: Trying) -> str:
        if tried.versions["bar"] == "3.0":
            return "install-deps"
        return "build" if float(tried.versions["libfoo-dev"]) >= 4 else ""

    world.breaks = breaks
    found = answer(world, ask_culprit(world, (world.serials[0], commit), (world.serials[4], commit)))
    assert [one["serial"] for one in found["serials"]] == world.serials[2:4], "by one of these it broke"
    assert found["text"] == f"libfoo 4.0 from serial {world.serials[3]} of archive debian breaks it", (
        "but it is known what"
    )


def test_what_no_longer_can_be_installed_is_what_is_looked_for_if_the_bad_end_says_so(tmp_path: Path) -> None:
    world = breaking_world(tmp_path, serials=5)
    commit = world.commits[0]
    world.breaks = lambda tried: "install-deps" if float(tried.versions["bar"]) >= 3 else ""
    found = answer(world, ask_culprit(world, (world.serials[0], commit), (world.serials[4], commit)))
    assert found["text"] == f"bar 3.0 from serial {world.serials[2]} of archive debian breaks it"


@pytest.mark.parametrize(
    ("end", "text"),
    [
        ("", "greeter builds with debian {1} at {c}"),
        ("build", "greeter does not build with debian {0} at {c}: build: build failed"),
        ("broken", "greeter cannot be judged with debian {1} at {c}: no luck with job 1"),
    ],
)
def test_ends_that_are_not_what_was_thought_stop_the_search(tmp_path: Path, end: str, text: str) -> None:
    world = breaking_world(tmp_path, serials=2)
    world.breaks = lambda _tried: end
    commit = world.commits[0]
    number = ask_culprit(world, (world.serials[0], commit), (world.serials[1], commit))
    found = answer(world, number)
    assert found["text"] == text.format(*world.serials, c=commit[:12])
    assert world.inquiry(number).state is InquiryState.STOPPED


def test_what_was_asked_before_is_not_built_again(tmp_path: Path) -> None:
    world = breaking_world(tmp_path, serials=8)
    world.breaks = new_libfoo(5)
    ends = ((world.serials[0], world.commits[0]), (world.serials[7], world.commits[0]))
    first = answer(world, ask_culprit(world, *ends))
    assert first["builds"] == len(world.built) > 4
    again = answer(world, ask_culprit(world, *ends))
    assert (again["builds"], again["text"]) == (0, first["text"])
    assert again["known"] == len(again["told"])


def test_a_search_that_is_interrupted_after_each_build_ends_in_the_same(tmp_path: Path) -> None:
    world = breaking_world(tmp_path, serials=8)
    world.breaks = new_libfoo(5)
    number = ask_culprit(world, (world.serials[0], world.commits[0]), (world.serials[7], world.commits[0]))
    while world.run(limit=1):
        world.context.database.close()
    found = world.inquiry(number).answer
    assert found is not None
    assert str(found["text"]).startswith(f"libfoo 5.0 from serial {world.serials[4]}")
    assert found["builds"] == len(world.built)


def test_a_source_that_had_no_part_in_the_good_build_is_found_all_the_same(tmp_path: Path) -> None:
    world = breaking_world(tmp_path, serials=2)
    world.breaks = lambda tried: "build" if tried.versions["aside"] == "2.0" else ""
    commit = world.commits[0]
    found = answer(world, ask_culprit(world, (world.serials[0], commit), (world.serials[1], commit)))
    assert found["text"] == f"aside 2.0 from serial {world.serials[1]} of archive debian breaks it"
    assert len(world.built) == 2 + 2 + 1, "the ends; the two that had a part, and neither; then it"


def test_two_sources_that_break_it_only_together_name_the_later_one(tmp_path: Path) -> None:
    world = breaking_world(tmp_path, serials=2)
    world.breaks = lambda tried: "build" if tried.versions["bar"] == tried.versions["libfoo1"] == "2.0" else ""
    commit = world.commits[0]
    found = answer(world, ask_culprit(world, (world.serials[0], commit), (world.serials[1], commit)))
    assert found["text"] == f"libfoo 2.0 from serial {world.serials[1]} of archive debian breaks it"


def test_a_mixture_that_apt_refuses_leaves_the_sources_that_it_can_be(tmp_path: Path) -> None:
    world = breaking_world(tmp_path, serials=2)

    def breaks(tried: Trying) -> str:
        if tried.versions["bar"] != tried.versions["libfoo1"]:
            return "install-deps"
        return "build" if tried.versions["bar"] == "2.0" else ""

    world.breaks = breaks
    commit = world.commits[0]
    found = answer(world, ask_culprit(world, (world.serials[0], commit), (world.serials[1], commit)))
    serial = world.serials[1]
    assert found["what"] == "sources"
    assert [one["source"] for one in found["sources"]] == ["bar", "libfoo"]
    assert found["text"] == (
        f"one of these breaks it: bar 2.0 from serial {serial} of archive debian, libfoo 2.0 from serial {serial} of archive debian"
    )


def test_only_mixtures_that_are_asked_for_are_made_and_what_moved_is_read_once(tmp_path: Path) -> None:
    world = breaking_world(tmp_path)
    for version in ("1.0", "2.0"):
        world.record(*moved(int(version[0])), *[make_deb(f"lib{number:02}", version) for number in range(40)])
    world.breaks = lambda tried: "build" if tried.versions["lib17"] == "2.0" else ""
    only, (_, good, bad) = world.commits[0], world.serials
    number = ask_culprit(world, (good, only), (bad, only))
    world.run(limit=3)  # both ends, and the first mixture
    with world.context.database.read() as tx:
        held = {hold.target for hold in holds_of(tx, holder_of(number))}
    kept = set(plain.text_map(world.inquiry(number).progress, "compared").values())
    assert kept
    assert kept < held
    world.run()
    row = world.inquiry(number)
    assert (row.answer or {})["text"] == f"lib17 2.0 from serial {bad} of archive debian breaks it"
    progress: Any = row.progress
    assert len(progress["digests"]) == len(world.built) < 12, "of 43 mixtures"
    assert len(progress["compared"]) == 1


def test_a_build_that_somebody_else_ends_meanwhile_is_not_repeated(tmp_path: Path) -> None:
    world = breaking_world(tmp_path, serials=5)
    world.breaks = new_libfoo(2)
    ask_culprit(world, (world.serials[0], world.commits[0]), (world.serials[4], world.commits[0]))
    context = world.context
    world.run(limit=2)  # both ends; a trial of serial 3 is asked for, and 2 will be
    ground = replace(context.ground(), pins={"debian": world.serials[1]})
    world.build(build_order(context.database, ground, repo="greeter", tag="1.0"))
    tried = [tried.versions["bar"] for tried in world.built if "pins" not in tried.job.inputs["environment"]]  # type: ignore[operator]
    assert sorted(tried) == ["1.0", "2.0", "3.0", "5.0"]
    assert "package.build" in {tried.job.kind for tried in world.built}


@pytest.mark.parametrize("where", ["aside", "nowhere"])
def test_an_end_from_which_no_commits_lead_to_the_other_is_told_before_anything_is_built(
    world: BreakingWorld, where: str
) -> None:
    made = commit(world.context.paths, "greeter", {"text": "aside"}, branch="aside")
    aside = made if where == "aside" else "f" * 40
    number = ask_culprit(world, (world.serials[0], aside), (world.serials[0], world.commits[-1]))
    why = f"not on the way to {world.commits[-1][:12]} in greeter" if where == "aside" else "not in repo greeter"
    world.look()  # nothing has run yet
    row = world.inquiry(number)
    assert row.state is InquiryState.STOPPED
    assert row.answer == {"what": "none", "text": f"commit {aside[:12]} is {why}", "told": {}, "known": 0, "builds": 0}


@pytest.mark.parametrize("guilty", ["upstream", "commits"])
def test_with_a_good_commit_that_is_gone_it_can_still_be_told_whether_upstream_did_it(
    world: BreakingWorld, guilty: str
) -> None:
    world.breaks = new_libfoo(2) if guilty == "upstream" else lambda _tried: "build"
    old, new = world.serials
    head = world.commits[-1]
    found = answer(world, ask_culprit(world, (old, "f" * 40), (new, head)))
    assert found["text"] == (
        f"libfoo 2.0 from serial {new} of archive debian breaks it"
        if guilty == "upstream"
        else f"greeter does not build with debian {old} at {head[:12]}: build: build failed; "
        f"commit {'f' * 12} is not in repo greeter"
    )


def test_a_person_is_told_at_once_that_no_commits_lead_there(world: BreakingWorld) -> None:
    aside = commit(world.context.paths, "greeter", {"text": "aside"}, branch="aside")
    context = world.context
    with pytest.raises(BadInput, match=f"commit {aside[:12]} is not on the way to {world.commits[-1][:12]}"):
        asking.ask_culprit(
            context.database, context.ground(), "greeter", Wanted((aside,)), Wanted((world.commits[-1],)), "user ada"
        )


def test_a_mixture_of_other_serials_is_another_question(tmp_path: Path) -> None:
    world = breaking_world(tmp_path, serials=3)
    commit = world.commits[0]
    luck = ["broken"]

    def breaks(tried: Trying) -> str:
        if tried.versions["bar"] == "2.0" and luck:
            return luck[0]
        return "build" if float(tried.versions["bar"]) >= 3 and float(tried.versions["libfoo-dev"]) >= 2 else ""

    world.breaks = breaks
    number = ask_culprit(world, (world.serials[0], commit), (world.serials[2], commit))
    while not (waiting := [job for job in jobs(world) if job.outcome is None and "sources moved" in job.title]):
        assert world.run(limit=1)
    [mixture] = waiting
    assert mixture.title.endswith(f"1 of 2 sources moved, up to bar, from debian {world.serials[0]}")
    luck.clear()
    [unlucky] = [job for job in jobs(world) if job.outcome is Outcome.BROKEN]
    with world.context.database.write() as tx:
        retry(tx, unlucky.id, world.context.clock)
    while world.run_next():
        pass  # both are done before anybody looks
    world.run()
    found = world.inquiry(number).answer or {}
    assert found["text"] == f"bar 3.0 from serial {world.serials[2]} of archive debian breaks it"


def jobs(world: BreakingWorld) -> list[Job]:
    with world.context.database.read() as tx:
        return list_jobs(tx)


def test_a_failure_that_nobody_names_is_one_of_the_default_branch(tmp_path: Path) -> None:
    world = breaking_world(tmp_path)
    world.run()
    beside = world.commit("beside", branch="topic")
    ahead = world.commit("ahead")
    world.breaks = lambda tried: "build" if tried.commit in (beside, ahead) else ""

    def attempt(commit: str) -> None:
        world.build(commit_trial(world.context.database, world.context.ground(), repo="greeter", commit=commit))

    def asked() -> plain.Plain:
        database, ground = world.context.database, world.context.ground()
        return world.inquiry(asking.ask_culprit(database, ground, "greeter", Wanted(), Wanted(), "ada")).asked

    attempt(beside)
    with pytest.raises(BadUsage, match="the good state of greeter is the bad one"):
        asked()
    attempt(ahead)
    attempt(beside)
    state = {"serials": {"debian": world.serials[0]}}
    assert (asked()["good"], asked()["bad"]) == ({**state, "commit": world.commits[0]}, {**state, "commit": ahead})
