"""What git says of a history, asked by object names alone."""

from pathlib import Path

import pytest
from tests.worlds.repos import commit
from tests.worlds.times import DATE

from distwright.errors import BadInput
from distwright.store.paths import StatePaths
from distwright.tools.git import git
from distwright.tools.git_history import (
    committed_at,
    count_commits,
    first_parents,
    is_ancestor,
    mode_at,
    names_at,
    newest_shared,
    tagged_commits,
)


@pytest.fixture
def paths(tmp_path: Path) -> StatePaths:
    paths = StatePaths(tmp_path)
    paths.make()
    return paths


def raw(repo: Path, text: str) -> None:
    git(repo, "fast-import", "--quiet", stdin=text.encode())


def test_commits_are_counted_and_lines_followed(paths: StatePaths) -> None:
    repo = paths.repo("r")
    first = commit(paths, "r", {"a": "1"})
    second = commit(paths, "r", {"a": "2"})
    git(repo, "update-ref", "refs/heads/topic", first)
    topic = commit(paths, "r", {"b": "1"}, branch="topic")
    alone = commit(paths, "r", {"c": "1"}, branch="alone")
    assert (count_commits(repo, second), count_commits(repo, second, without=first)) == (2, 1)
    assert first_parents(repo, second) == [second, first]
    assert [is_ancestor(repo, first, second), is_ancestor(repo, second, second), is_ancestor(repo, second, topic)] == [
        True, True, False,
    ]  # fmt: skip
    assert (newest_shared(repo, second, topic), newest_shared(repo, second, alone)) == (first, None)
    assert committed_at(repo, first) == int(DATE.timestamp())


def test_tags_are_followed_to_commits_and_others_left_out(paths: StatePaths) -> None:
    repo = paths.repo("r")
    head = commit(paths, "r", {"a": "1"}, tag="plain")
    tree = git(repo, "rev-parse", f"{head}^{{tree}}").decode().strip()
    raw(repo, f"tag signed\nfrom {head}\ntagger Ada <ada@example.org> 1704888000 +0000\ndata 1\nx\n")
    git(repo, "update-ref", "refs/tags/tree", tree)
    git(repo, "update-ref", "refs/tags/deep/er", head)
    assert tagged_commits(repo) == dict.fromkeys(("deep/er", "plain", "signed"), head)


def test_the_kind_of_what_is_at_a_path_is_known(paths: StatePaths) -> None:
    head = commit(paths, "r", {"d/file": "1", "run*": "x", "link@": "file"})
    modes = {
        name: mode_at(paths.repo("r"), head, name) for name in ("d", "d/file", "run", "link", "nothing", "d/f*", "*")
    }
    assert modes == {
        "d": "040000", "d/file": "100644", "run": "100755", "link": "120000", "nothing": None, "d/f*": None, "*": None,
    }  # fmt: skip
    assert names_at(paths.repo("r"), head) == ["d", "link", "run"]


def test_a_date_of_no_calendar_is_refused(paths: StatePaths) -> None:
    repo = paths.repo("r")
    commit(paths, "r", {"a": "1"})
    raw(repo, "commit refs/heads/late\ncommitter Ada <a@example.org> 99999999999999 +0000\ndata 1\nx\n")
    late = git(repo, "rev-parse", "refs/heads/late").decode().strip()
    with pytest.raises(BadInput, match="has a date of no calendar"):
        committed_at(repo, late)


@pytest.mark.parametrize("name", ["main", "--all", "HEAD~1", "", "0" * 39])
def test_only_object_names_are_asked_for(paths: StatePaths, name: str) -> None:
    commit(paths, "r", {"a": "1"})
    with pytest.raises(BadInput, match="is not an object name of git"):
        count_commits(paths.repo("r"), name)
