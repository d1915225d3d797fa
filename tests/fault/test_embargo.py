"""Killed at every change: what is private is noted before anything of it can be seen, and an embargo ends whole or not at all."""

from collections.abc import Callable
from pathlib import Path

from tests.unit.repos.test_lifting import CONFIGURED, FIX
from tests.unit.site.test_applied import apply
from tests.worlds.installation import CONFIG, WorldContext, make_context
from tests.worlds.killing import killed_before_each_change
from tests.worlds.repos import commit

from distwright.repos.lifting import lift
from distwright.store.embargoes import list_private_names
from distwright.store.paths import StatePaths
from distwright.store.refs import applied_config
from distwright.tools.git import refs

TWIN = "[repo.twin]\nprivate = true\n"
SECOND = "2" * 40


def test_killed_while_it_is_applied_no_private_repo_is_there_that_is_not_known_as_private(tmp_path: Path) -> None:
    def make(name: str) -> WorldContext:
        context = make_context(tmp_path / name)
        apply(context)
        context.database.close()
        return context

    def act(context: WorldContext) -> Callable[[], object]:
        return lambda: apply(context, CONFIG + TWIN, SECOND)

    for _, context in killed_before_each_change(make, act, more_than=5):
        with context.database.read() as tx:
            known, row = list_private_names(tx), applied_config(tx)
        is_there = context.paths.repo("twin").exists() or (row is not None and row.commit == SECOND)
        assert known == {"repo/twin"} or not is_there
        apply(context, CONFIG + TWIN, SECOND)
        with context.database.read() as tx:
            assert list_private_names(tx) == {"repo/twin"}
        context.database.close()


def test_killed_while_it_is_lifted_the_branch_and_its_tag_are_public_or_neither_is(tmp_path: Path) -> None:
    def make(name: str) -> StatePaths:
        paths = StatePaths(tmp_path / name)
        paths.make()
        commit(paths, "greeter", {"a": "1"})
        commit(paths, "greeter-twin", {"a": "1"})
        commit(paths, "greeter-twin", {"a": "2"}, branch="fix/hole", tag="1.1")
        return paths

    def act(paths: StatePaths) -> Callable[[], object]:
        return lambda: lift(CONFIGURED, paths, "greeter-twin", "fix/hole", ["1.1"])

    for _, paths in killed_before_each_change(make, act, more_than=5):
        tip = refs(paths.repo("greeter-twin"))[FIX]
        there = refs(paths.repo("greeter")).items() & {(FIX, tip), ("refs/tags/1.1", tip)}
        assert len(there) in (0, 2)
        lift(CONFIGURED, paths, "greeter-twin", "fix/hole", ["1.1"])
        assert refs(paths.repo("greeter")).items() >= {(FIX, tip), ("refs/tags/1.1", tip)}
