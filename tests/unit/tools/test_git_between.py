"""Commits between two of a repo: oldest first, along first parents, and who made one."""

from pathlib import Path

import pytest
from tests.worlds.repos import commit

from distwright.errors import BadInput
from distwright.store.paths import StatePaths
from distwright.tools.git import git
from distwright.tools.git_between import CommitLine, commit_line, commits_between


@pytest.fixture
def paths(tmp_path: Path) -> StatePaths:
    paths = StatePaths(tmp_path / "state")
    paths.make()
    return paths


def test_the_commits_between_two_are_listed_oldest_first(paths: StatePaths) -> None:
    commits = [commit(paths, "greeter", {"text": str(number)}) for number in range(4)]
    where = paths.repo("greeter")
    assert commits_between(where, commits[0], commits[3]) == tuple(commits[1:])
    assert commits_between(where, commits[2], commits[3]) == (commits[3],)


def test_a_merge_stands_for_what_it_brought(paths: StatePaths) -> None:
    base = commit(paths, "greeter", {"text": "base"})
    where = paths.repo("greeter")
    git(where, "branch", "topic", base)
    topic = commit(paths, "greeter", {"text": "topic"}, branch="topic")
    ours = commit(paths, "greeter", {"text": "ours"})
    who = {f"GIT_{role}_{what}": "ada@example.org" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    tree = git(where, "rev-parse", f"{ours}^{{tree}}").decode().strip()
    merge = (
        git(where, "commit-tree", tree, "-p", ours, "-p", topic, "-m", "Merge topic", environment=who).decode().strip()
    )
    assert commits_between(where, base, merge) == (ours, merge)


def test_a_commit_that_is_not_on_the_way_is_refused(paths: StatePaths) -> None:
    first = commit(paths, "greeter", {"text": "first"})
    where = paths.repo("greeter")
    git(where, "branch", "topic", first)
    topic = commit(paths, "greeter", {"text": "topic"}, branch="topic")
    ours = commit(paths, "greeter", {"text": "ours"})
    for good, bad in ((topic, ours), (ours, first), (ours, ours)):
        with pytest.raises(BadInput, match="is not on the way to"):
            commits_between(where, good, bad)


def test_who_made_a_commit_is_safe_to_print(paths: StatePaths) -> None:
    base = commit(paths, "greeter", {"text": "base"})
    where = paths.repo("greeter")
    assert commit_line(where, base) == CommitLine("Ada", "files")
    odd = {
        "GIT_AUTHOR_NAME": "Eve \x1b[31m",
        "GIT_AUTHOR_EMAIL": "e",
        "GIT_COMMITTER_NAME": "E",
        "GIT_COMMITTER_EMAIL": "e",
    }
    tree = git(where, "rev-parse", f"{base}^{{tree}}").decode().strip()
    made = git(where, "commit-tree", tree, "-m", f"Change {'x' * 300}", environment=odd).decode().strip()
    line = commit_line(where, made)
    assert "\x1b" not in line.author
    assert len(line.subject) == 200
