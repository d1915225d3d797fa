"""A topic with its base merged: the same commit everywhere, and no program or setting of the repo has a say."""

import os
import shutil
from pathlib import Path

import pytest
from tests.worlds.repos import commit

from distwright.errors import NotFound, Refused
from distwright.repos.merged import (
    Conflict,
    Merged,
    check_in_branch,
    commit_to_build,
    forget_old_merges,
    merged_commit,
)
from distwright.store.paths import StatePaths
from distwright.tools.git import Blob, file_at, files_at, git, refs, tree_of

BASE = {"config/list": "a\nb\nc\nd\ne\n", "README": "one\n"}


@pytest.fixture
def paths(tmp_path: Path) -> StatePaths:
    return repo_with_base(tmp_path / "state")


def repo_with_base(folder: Path) -> StatePaths:
    paths = StatePaths(folder)
    paths.make()
    commit(paths, "live", BASE)
    git(paths.repo("live"), "branch", "topic", "main")
    return paths


def both_changed(paths: StatePaths) -> tuple[str, str]:
    """Change the same file in two places; give topic and base."""
    topic = commit(paths, "live", {**BASE, "config/list": "A\nb\nc\nd\ne\n", "new": "n\n"}, branch="topic")
    return topic, commit(paths, "live", {**BASE, "config/list": "a\nb\nc\nd\nE\n"})


def merged(paths: StatePaths, topic: str, base: str) -> Merged:
    found = merged_commit(paths, "live", topic, base)
    assert isinstance(found, Merged)
    return found


def test_what_both_changed_is_in_the_merge_and_the_hosted_repo_is_as_it_was(paths: StatePaths) -> None:
    topic, base = both_changed(paths)
    before = sorted((path, path.stat().st_mtime_ns) for path in paths.repo("live").rglob("*"))
    found = merged(paths, topic, base)
    assert found.is_merge
    assert [(blob.path, blob.content) for blob in files_at(found.where, found.commit, "")] == [
        ("README", b"one\n"),
        ("config/list", b"A\nb\nc\nd\nE\n"),
        ("new", b"n\n"),
    ]
    assert git(found.where, "rev-list", "--parents", "--max-count=1", found.commit).decode().split()[1:] == [
        topic,
        base,
    ]
    assert sorted((path, path.stat().st_mtime_ns) for path in paths.repo("live").rglob("*")) == before
    assert refs(found.where) == {}


def test_same_parents_are_the_same_commit_on_every_machine(paths: StatePaths, tmp_path: Path) -> None:
    found = merged(paths, *both_changed(paths))
    assert merged(paths, found.branch_commit, found.base_commit) == found
    elsewhere = repo_with_base(tmp_path / "elsewhere")
    assert merged(elsewhere, *both_changed(elsewhere)).commit == found.commit
    assert found.commit == "a5a085add0ac8903f133298f2dbc3a1bb301904a"
    assert git(found.where, "cat-file", "commit", found.commit).decode().splitlines()[3:] == [
        "author distwright <merge@distwright.invalid> 1704888000 +0000",
        "committer distwright <merge@distwright.invalid> 1704888000 +0000",
        "",
        f"Merge {found.base_commit} into {found.branch_commit}",
    ]


def test_what_is_merged_already_is_no_new_commit(paths: StatePaths) -> None:
    base = refs(paths.repo("live"))["refs/heads/main"]
    topic = commit(paths, "live", {**BASE, "new": "n\n"}, branch="topic")
    assert merged(paths, topic, base) == Merged(paths.repo("live"), topic, topic, base)
    assert merged(paths, base, topic) == Merged(paths.repo("live"), topic, base, topic)
    assert merged(paths, base, base).commit == base
    assert not merged(paths, topic, base).is_merge
    assert not (paths.cache / "merged").exists()


def test_conflict_names_its_paths_and_what_to_type(paths: StatePaths) -> None:
    topic = commit(paths, "live", {"config/list": "topic\n", "b\x1bad": "1"}, branch="topic")
    base = commit(paths, "live", {"config/list": "base\n", "README": "one\n", "b\x1bad": "2"})
    found = merged_commit(paths, "live", topic, base)
    assert found == Conflict(topic, base, (r"'b\x1bad'", "'config/list'"))
    assert isinstance(found, Conflict)
    assert found.message.splitlines()[0] == f"base commit {base[:12]} does not merge into {topic[:12]}:"
    assert found.refused.hint == f"git merge {base[:12]}, correct these files, commit, and push"


def test_many_conflicts_are_counted(paths: StatePaths) -> None:
    topic = commit(paths, "live", {f"file{number:02}": "topic" for number in range(30)}, branch="topic")
    base = commit(paths, "live", {f"file{number:02}": "base" for number in range(30)})
    found = merged_commit(paths, "live", topic, base)
    assert isinstance(found, Conflict)
    assert (len(found.paths), found.paths[-1]) == (21, "and 10 more")


def test_no_driver_filter_hook_or_attribute_of_the_repo_counts(paths: StatePaths, tmp_path: Path) -> None:
    """In the hosted repo's own settings each of these starts a program, or takes one side."""
    repo, trace = paths.repo("live"), tmp_path / "ran"
    program = f"touch {trace}; true"
    for key in ("merge.evil.driver", "filter.evil.clean", "filter.evil.smudge", "core.fsmonitor", "diff.evil.textconv"):
        git(repo, "config", key, program)
    git(repo, "config", "merge.default", "evil")
    (repo / "info").mkdir(exist_ok=True)
    (repo / "info" / "attributes").write_text("* merge=evil filter=evil diff=evil\n")
    attributes = {".gitattributes": "* merge=evil filter=evil\nunion merge=union\n"}
    commit(paths, "live", {**BASE, **attributes, "union": "1\n"})
    git(repo, "branch", "--force", "topic", "main")
    changed = {**BASE, **attributes}
    topic = commit(paths, "live", {**changed, "config/list": "A\nb\nc\nd\ne\n", "union": "2\n"}, branch="topic")
    base = commit(paths, "live", {**changed, "config/list": "a\nb\nc\nd\nE\n", "union": "3\n"})
    assert merged_commit(paths, "live", topic, base) == Conflict(topic, base, ("'union'",))
    again = commit(paths, "live", {**changed, "config/list": "a\nb\nc\nd\nE\n", "union": "1\n"})
    found = merged(paths, topic, again)
    assert file_at(found.where, found.commit, "config/list") == b"A\nb\nc\nd\nE\n"
    assert not trace.exists()
    git(repo, "merge-tree", "--write-tree", topic, again)
    assert trace.exists(), "it would have been started in the hosted repo"


def test_commits_without_a_common_history_and_unknown_ones_are_refused(paths: StatePaths) -> None:
    topic, base = both_changed(paths)
    other = commit(paths, "live", {"x": "y"}, branch="other-root", is_root=True)
    with pytest.raises(Refused, match="no history in common"):
        merged_commit(paths, "live", other, base)
    with pytest.raises(NotFound, match="'1111"):
        merged_commit(paths, "live", topic, "1" * 40)
    with pytest.raises(NotFound, match="main"):
        merged_commit(paths, "live", topic, "main")


def test_tree_that_is_larger_than_what_is_built_is_refused_before_it_is_merged(paths: StatePaths) -> None:
    topic, base = both_changed(paths)
    repo = paths.repo("live")
    tree = tree_of(repo, topic)
    for _ in range(20):
        tree = (
            git(repo, "mktree", stdin="".join(f"040000 tree {tree}\t{n}\n" for n in range(10)).encode())
            .decode()
            .strip()
        )
    text = f"tree {tree}\nparent {topic}\nauthor A <a@b> 1 +0000\ncommitter A <a@b> 1 +0000\n\nbomb\n"
    bomb = git(repo, "hash-object", "-t", "commit", "-w", "--stdin", stdin=text.encode()).decode().strip()
    with pytest.raises(Refused, match="MiB"):
        merged_commit(paths, "live", bomb, base)


def test_merge_survives_gc_of_the_hosted_repo_and_is_made_again_when_the_cache_goes(paths: StatePaths) -> None:
    found = merged(paths, *both_changed(paths))
    git(paths.repo("live"), "gc", "--quiet", "--prune=now")
    forget_old_merges(paths)
    assert files_at(found.where, found.commit, "new") == [Blob("new", "100644", b"n\n")]
    shutil.rmtree(paths.cache)
    assert merged(paths, found.branch_commit, found.base_commit) == found
    assert files_at(found.where, found.commit, "new") == [Blob("new", "100644", b"n\n")]


def test_old_merges_go(paths: StatePaths) -> None:
    found = merged(paths, *both_changed(paths))
    for file in found.where.glob("objects/??/*"):
        file.chmod(0o644)
        os.utime(file, (0, 0))
    forget_old_merges(paths)
    assert list(found.where.glob("objects/??/*")) == []
    assert merged(paths, found.branch_commit, found.base_commit) == found


def test_state_that_was_moved_makes_its_merges_again(paths: StatePaths, tmp_path: Path) -> None:
    found = merged(paths, *both_changed(paths))
    paths.root.rename(tmp_path / "moved")
    moved = merged(StatePaths(tmp_path / "moved"), found.branch_commit, found.base_commit)
    assert moved.commit == found.commit
    assert files_at(moved.where, moved.commit, "new") == [Blob("new", "100644", b"n\n")]


def test_whoever_makes_an_order_gets_the_merge_or_a_refusal_that_says_what_to_do(paths: StatePaths) -> None:
    topic, base = both_changed(paths)
    found = merged(paths, topic, base)
    assert commit_to_build(paths, "live", "topic", topic, base) == found
    with pytest.raises(Refused, match="is not in branch 'topic'"):
        commit_to_build(paths, "live", "topic", base, topic)
    other = commit(paths, "live", {**BASE, "config/list": "x\n"})
    with pytest.raises(Refused, match=r"does not merge into .*:\n.*'config/list'") as refused:
        commit_to_build(paths, "live", "topic", topic, other)
    assert refused.value.hint == f"git merge {other[:12]}, correct these files, commit, and push"


def test_commit_that_left_its_branch_is_refused(paths: StatePaths) -> None:
    topic, base = both_changed(paths)
    repo = paths.repo("live")
    check_in_branch(repo, "topic", topic)
    git(repo, "update-ref", "refs/heads/topic", f"{topic}^")
    with pytest.raises(Refused, match=rf"commit {topic[:12]} is not in branch 'topic' of live"):
        check_in_branch(repo, "topic", topic)
    with pytest.raises(NotFound, match="gone"):
        check_in_branch(repo, "gone", base)
    with pytest.raises(NotFound, match="'2222"):
        check_in_branch(repo, "topic", "2" * 40)
