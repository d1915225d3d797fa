"""A push that is taken in by parts, killed before any change to the disk: each branch is told once, by its pusher."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.archive.test_branching import installed, push, rows, take_in
from tests.worlds.installation import WorldContext
from tests.worlds.killing import killed_before_each_change

from distwright.archive.branching import SuitesOfBranches
from distwright.model.events import EventKind
from distwright.repos.pushes import spooled_pushes, take_in_pushes
from distwright.repos.spool import NOTHING
from distwright.tools.git import git, refs

BRANCHES = [f"topic/{number}" for number in range(7)]
AT_ONCE = 3


def by_parts(context: WorldContext) -> None:
    """Take in until nothing is left."""
    settling = SuitesOfBranches(context.database, context.objects, context.paths, context.config)
    while take_in_pushes(
        context.database, context.paths, ["greeter", "live"], context.clock, settling=settling, at_once=AT_ONCE
    ):
        pass


@pytest.mark.system
def test_killed_between_the_parts_of_a_push_nothing_is_lost_and_nothing_told_twice(tmp_path: Path) -> None:
    def make(name: str) -> WorldContext:
        context = installed(tmp_path / name)
        push(context, "greeter", "main")
        take_in(context)
        repo = context.paths.repo("greeter")
        head = refs(repo)["refs/heads/main"]
        names = [f"refs/heads/{branch}" for branch in BRANCHES]
        git(repo, "update-ref", "--stdin", stdin="".join(f"create {ref} {head}\n" for ref in names).encode())
        lines = "".join(f"{NOTHING} {head} {ref}\n" for ref in names)
        (context.paths.spool / "1.push").write_text(f"greeter\npusher ada\n{lines}")
        context.database.close()
        return context

    def act(context: WorldContext) -> Callable[[], object]:
        return lambda: by_parts(context)

    parts = set()
    for _, context in killed_before_each_change(make, act, more_than=2):
        there = set(rows(context)) - {"main"}
        parts.add(len(there))
        assert there == set(BRANCHES[: len(there)]), "a state that the repo could have had"
        by_parts(context)
        told = [
            (event.body["ref"], event.body["pusher"])
            for event in context.events()
            if event.kind is EventKind.REPO_PUSHED and event.body["ref"] != "refs/heads/main"
        ]
        assert told == [(f"refs/heads/{branch}", "ada") for branch in BRANCHES]
        assert set(rows(context)) == {"main", *BRANCHES}
        assert spooled_pushes(context.paths.spool) == 0
    assert {0, 7} <= parts
