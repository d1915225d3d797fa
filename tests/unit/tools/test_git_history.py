"""What git says of a history, asked by object names alone."""

from pathlib import Path

import pytest
from tests.worlds.repos import commit
from tests.worlds.times import DATE

from distwright.errors import BadInput, NotFound
from distwright.store.paths import StatePaths
from distwright.tools.git import git, refs, unreadable_refs
from distwright.tools.git_history import (
    CommitLine,
    branch_tips,
    commit_line,
    commits_between,
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
    alone = commit(paths, "r", {"c": "1"}, branch="alone", is_root=True)
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


def test_a_commit_that_is_not_there_is_named(paths: StatePaths) -> None:
    head = commit(paths, "greeter", {"text": "first"})
    for good, bad in ((head, "f" * 40), ("f" * 40, head), ("main", head)):
        with pytest.raises(NotFound, match=r"^commit (f{12}|main) is not in repo greeter$"):
            commits_between(paths.repo("greeter"), good, bad)


def test_names_that_only_look_like_lines_forge_no_branch_and_long_ones_are_passed_over(paths: StatePaths) -> None:
    repo = paths.repo("r")
    head = commit(paths, "r", {"a": "1"})
    odd, long = "main\u2028" + "0" * 40, "x" * 200 + "/" + "y" * 100
    for name in (odd, long):
        git(repo, "update-ref", f"refs/heads/{name}", head)
    assert [(tip.name, tip.commit) for tip in branch_tips(repo)] == [("main", head), (long, head)]
    assert f"refs/heads/{long}" not in refs(repo)
    assert len(unreadable_refs(repo)) == 1
