"""How branches stand: a row each, one event for each change of state, whoever looks and however often."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.images.test_resolve import FILES, installation
from tests.worlds.branched import Branched
from tests.worlds.installation import WorldContext
from tests.worlds.keys import signer
from tests.worlds.repos import commit
from tests.worlds.state import count_order
from tests.worlds.times import NOW

from distwright.flow.advance import READER, advance, drop
from distwright.flow.branch_looks import LOOKER, look_at_branches, status_of_commit
from distwright.flow.view import View
from distwright.jobs.lease import Ending, claim_next, end_attempt
from distwright.jobs.order import JobOrder, cancel, place_order, retry
from distwright.jobs.step import KindName
from distwright.model.branches import HEADS, BranchRow, BranchState, RefCommit
from distwright.model.events import EventKind
from distwright.model.outcomes import Outcome
from distwright.model.records import Job
from distwright.repos.pushes import take_in_pushes
from distwright.repos.ready import say_ready
from distwright.store.branch_states import commits_of_job, find_branch, list_branches, ready_branches_of
from distwright.store.branches import branches_of_repo
from distwright.store.events import cursor_of, newest_of_kind, open_events
from distwright.store.jobs import list_jobs
from distwright.tools.git import git

S = BranchState


@pytest.fixture
def world(tmp_path: Path) -> WorldContext:
    """Archives are recorded and a suite is published; what that led to is looked at already."""
    context = installation(tmp_path)
    go_on(context)
    return context


def go_on(context: WorldContext) -> None:
    """Take in pushes, let the flow and the looks go on until nothing new happens."""
    view = View(context.ground(), lambda credential: signer(credential).certificate())
    while True:
        count = take_in_pushes(context.database, context.paths, sorted(context.config.repos), context.clock)
        count += advance(context.database, view, context.clock, lambda _pool: None)
        count += look_at_branches(context.database, context.config, context.clock)
        if not count:
            return


def end(context: WorldContext, kind: str, outcome: Outcome, message: str = "said so") -> Job:
    """End the next job, which is of this kind, without any event of its own."""
    job = claim_next(context.database, ["local"], "somebody", context.clock)
    assert job is not None
    assert job.kind == kind
    end_attempt(context.database, job, Ending(outcome, message, {}), context.clock)
    go_on(context)
    return job


def changes(context: WorldContext) -> list[tuple[object, ...]]:
    """Give all changes of state, oldest first."""
    with context.database.read() as tx:
        events = [row.event for row in newest_of_kind(tx, EventKind.BRANCH_STATUS_CHANGED)]
    return [tuple(event.body[key] for key in ("branch", "before", "state", "settled")) for event in reversed(events)]


def row(context: WorldContext, branch: str = "main", repo: str = "live") -> BranchRow | None:
    with context.database.read() as tx:
        return find_branch(tx, repo, branch)


def as_of(context: WorldContext, branch: str, name: str, number: int) -> int:
    """Place a job for the newest commit of a branch, as a rule would."""
    tip = git(context.paths.repo(name), "rev-parse", branch).decode().strip()
    with context.database.write() as tx:
        order = JobOrder(
            KindName("image.test", 1),
            {"number": number},
            "test it",
            commits=(RefCommit(name, f"{HEADS}{branch}", tip),),
        )
        return place_order(tx, order, context.clock).id


def test_push_of_an_images_branch_runs_until_its_jobs_have_ended(world: WorldContext) -> None:
    tip = commit(world.paths, "live", FILES)
    go_on(world)
    found = row(world)
    assert found is not None
    assert found == BranchRow("live", "main", tip, "", world.clock, S.RUNNING, world.clock, None, found.job)
    job = end(world, "image.build", Outcome.OK)
    assert (job.id, job.inputs["commit"]) == (found.job, tip)
    with world.database.read() as tx:
        assert commits_of_job(tx, job.id) == [RefCommit("live", "refs/heads/main", tip)]
    assert changes(world) == [("main", "", "running", ""), ("main", "running", "ok", "")]


def test_a_change_is_told_once_and_with_the_last_state_that_stayed(world: WorldContext) -> None:
    commit(world.paths, "live", FILES)
    go_on(world)
    end(world, "image.build", Outcome.FAILED, "no kernel")
    go_on(world)
    second = commit(world.paths, "live", {**FILES, "more": "x"})
    go_on(world)
    end(world, "image.build", Outcome.FAILED, "no kernel")
    assert changes(world) == [
        ("main", "", "running", ""),
        ("main", "running", "failed", ""),
        ("main", "failed", "running", "failed"),
        ("main", "running", "failed", "failed"),
    ]
    with world.database.read() as tx:
        newest = newest_of_kind(tx, EventKind.BRANCH_STATUS_CHANGED)[0].event
    assert (newest.subject, newest.body["reason"], newest.body["commit"]) == (
        "live main: failed",
        "build: no kernel",
        second,
    )


def test_retry_and_cancel_are_changes_too_though_nobody_tells_of_them(world: WorldContext) -> None:
    commit(world.paths, "live", FILES)
    go_on(world)
    job = end(world, "image.build", Outcome.FAILED)
    with world.database.write() as tx:
        retry(tx, job.id, world.clock)
    go_on(world)
    with world.database.write() as tx:
        cancel(tx, job.id, world.clock)
    go_on(world)
    assert [state for _, _, state, _ in changes(world)] == ["running", "failed", "running", "cancelled"]


def test_branch_of_which_nothing_is_built_is_no_news_and_a_refused_one_says_why(world: WorldContext) -> None:
    commit(world.paths, "live", {"README": "x"}, branch="wip/topic")
    commit(world.paths, "live", {"README": "no recipe"})
    go_on(world)
    topic = row(world, "wip/topic")
    assert topic is not None
    assert (topic.state, [name for name, *_ in changes(world)]) == (S.NOTHING, ["main"])
    assert changes(world) == [("main", "", "refused", "")]
    with world.database.read() as tx:
        (event,) = newest_of_kind(tx, EventKind.BRANCH_STATUS_CHANGED)
    assert "has no debian/changelog" in str(event.event.body["reason"])


def test_jobs_that_anybody_places_for_the_newest_commit_count_and_those_of_older_ones_do_not(
    world: WorldContext,
) -> None:
    commit(world.paths, "live", {"README": "x"}, branch="topic")
    give_up(world)
    as_of(world, "topic", "live", 1)
    go_on(world)
    assert changes(world)[1:] == [("topic", "refused", "running", "refused")]
    commit(world.paths, "live", {"README": "y"}, branch="topic")
    give_up(world)
    assert changes(world)[2:] == [("topic", "running", "refused", "refused")]
    end(world, "image.test", Outcome.FAILED)
    assert [state for _, _, state, _ in changes(world)[3:]] == []


def give_up(context: WorldContext) -> None:
    """Go on, and drop what was refused: nothing is built of the push."""
    go_on(context)
    with context.database.read() as tx:
        refused = [row.event.number for row in open_events(tx, READER)]
    for number in refused:
        drop(context.database, number)
    go_on(context)


def test_branch_that_is_deleted_is_forgotten_with_its_mark_and_its_jobs_stay(world: WorldContext) -> None:
    commit(world.paths, "live", {"README": "x"}, branch="topic")
    go_on(world)
    say_ready(world.database, world.config, "live", "topic", is_ready=True, actor="ada", now=NOW)
    as_of(world, "topic", "live", 1)
    git(world.paths.repo("live"), "update-ref", "-d", "refs/heads/topic")
    go_on(world)
    assert row(world, "topic") is None
    with world.database.read() as tx:
        assert ready_branches_of(tx, "live") == {}
        assert "image.test" in [job.kind for job in list_jobs(tx)]


def test_what_is_called_wip_has_no_status_and_private_repos_have_one(world: WorldContext) -> None:
    commit(world.paths, "live", {"README": "x"}, branch="wip/x")
    go_on(world)
    as_of(world, "wip/x", "live", 1)
    go_on(world)
    found = row(world, "wip/x")
    assert found is not None
    assert (found.state, changes(world)) == (S.NOTHING, [])
    private = world.config.repos["live"].model_copy(update={"private": True})
    world.config = replace(world.config, repos={**world.config.repos, "live": private})
    commit(world.paths, "live", {"README": "y"}, branch="topic")
    go_on(world)
    with world.database.read() as tx:
        assert {("live", "topic"), ("live", "wip/x")} <= {(row.repo, row.branch) for row in list_branches(tx)}


def test_nobody_looks_before_the_flow_has_ordered_what_follows(world: WorldContext) -> None:
    commit(world.paths, "live", FILES)
    take_in_pushes(world.database, world.paths, ["live"], world.clock)
    assert look_at_branches(world.database, world.config, world.clock) == 0
    assert row(world) is None


def test_look_that_nothing_happened_since_writes_nothing(world: WorldContext) -> None:
    with world.database.read() as tx:
        before = cursor_of(tx, LOOKER)
    assert look_at_branches(world.database, world.config, world.clock) == 0
    with world.database.write() as tx:
        place_order(tx, count_order(), NOW)
    assert look_at_branches(world.database, world.config, world.clock) == 0, "a job of no branch is nobody's news"
    with world.database.read() as tx:
        assert cursor_of(tx, LOOKER) == before


def test_topic_that_has_no_suite_says_why_and_what_to_type_until_it_has_one(tmp_path: Path) -> None:
    world = Branched.made(tmp_path)
    context = world.context
    for branch in ("feature/a", "feature-a"):
        world.push("greeter", branch)
    world.look()
    look_at_branches(context.database, context.config, context.clock)
    with context.database.read() as tx:
        status, _ = status_of_commit(tx, "greeter", "feature/a", row_of(context, "feature/a").commit, [])
    assert (row_of(context, "feature-a").state, row_of(context, "feature/a").state) == (S.RUNNING, S.REFUSED)
    assert status.reason == world_problem(context, "feature/a")
    world.delete("greeter", "feature-a")
    world.look()
    look_at_branches(context.database, context.config, context.clock)
    assert row_of(context, "feature/a").state is not S.REFUSED, "the name is free, and it has its suite"


def row_of(context: WorldContext, branch: str) -> BranchRow:
    found = row(context, branch, "greeter")
    assert found is not None
    return found


def world_problem(context: WorldContext, branch: str) -> str:
    with context.database.read() as tx:
        (found,) = [one for one in branches_of_repo(tx, "greeter") if one.branch == branch]
    return found.problem
