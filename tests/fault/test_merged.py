"""A merge that is killed at any change is made by the next call, and the hosted repo never knows of it."""

from pathlib import Path

from tests.worlds.killing import killed_before_each_change
from tests.worlds.repos import commit

from distwright.repos.merged import Merged, merged_commit
from distwright.store.paths import StatePaths
from distwright.tools.git import git, refs


def test_merge_that_was_killed_is_made_again(tmp_path: Path) -> None:
    commits: dict[str, tuple[str, str]] = {}

    def make(name: str) -> StatePaths:
        paths = StatePaths(tmp_path / name)
        paths.make()
        commit(paths, "live", {"file": "1"})
        git(paths.repo("live"), "branch", "topic")
        topic, base = (
            commit(paths, "live", {"file": "1", "a": "a"}, branch="topic"),
            commit(paths, "live", {"file": "2"}),
        )
        commits[name] = (topic, base)
        return paths

    found = set()
    for number, paths in killed_before_each_change(
        make, lambda paths: lambda: merged_commit(paths, "live", *commits[paths.root.name]), more_than=5
    ):
        merged = merged_commit(paths, "live", *commits[str(number)])
        assert isinstance(merged, Merged)
        git(merged.where, "fsck", "--strict")
        found.add(merged.commit)
        assert sorted(refs(paths.repo("live"))) == ["refs/heads/main", "refs/heads/topic"]
    assert len(found) == 1
