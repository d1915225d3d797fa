"""Which branches are built: bases, and topics that somebody works on and that no base contains."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.worlds.installation import config
from tests.worlds.times import NOW

from distwright.config.tables import Repo
from distwright.repos.active import ActiveBranch, active_branches
from distwright.repos.branches import is_base
from distwright.repos.hosting import make_repo
from distwright.store.paths import StatePaths
from distwright.tools.git import git, refs

TABLE = (
    config()
    .repos["live"]
    .model_copy(update={"protected": ("stable", "testing", "release/*"), "only_ahead": ("testing:stable",)})
)


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return make_repo(StatePaths(tmp_path), "live", "main")


def committed(repo: Path, branch: str, *, of: str = "", days_ago: float = 0, seconds: str = "") -> str:
    """Make an empty commit on top of a branch (begun from another); give its name."""
    when = seconds or str(int((NOW - timedelta(days=days_ago)).timestamp()))
    begun = f"from refs/heads/{of}^0\n" if of else ""
    text = f"commit refs/heads/{branch}\ncommitter A <a@b> {when} +0000\ndata {len(branch)}\n{branch}\n{begun}"
    existing = refs(repo).get(f"refs/heads/{branch}")
    git(repo, "fast-import", "--quiet", stdin=(text if of or not existing else f"{text}from {existing}\n").encode())
    return refs(repo)[f"refs/heads/{branch}"]


def active(repo: Path, table: Repo = TABLE, days: int | None = None) -> list[str]:
    return [branch.name for branch in active_branches(repo, table, NOW, days)]


def test_empty_repo_has_no_active_branch(repo: Path) -> None:
    assert active(repo) == []


def test_bases_are_built_however_old_and_topics_while_they_are_new(repo: Path) -> None:
    committed(repo, "main", days_ago=400)
    committed(repo, "release/1", of="main", days_ago=399)
    committed(repo, "feature/old", of="main", days_ago=30.1)
    tip = committed(repo, "feature/new", of="main", days_ago=29.9)
    assert active(repo) == ["feature/new", "main", "release/1"]
    assert active(repo, days=31) == ["feature/new", "feature/old", "main", "release/1"]
    assert active(repo, TABLE.model_copy(update={"active_days": 29})) == ["main", "release/1"]
    assert active_branches(repo, TABLE, NOW)[0] == ActiveBranch(
        "feature/new", tip, NOW - timedelta(days=29.9), is_base=False
    )


def test_topic_that_any_base_contains_is_not_built(repo: Path) -> None:
    committed(repo, "main")
    committed(repo, "stable", of="main")
    topic = committed(repo, "topic", of="stable")
    committed(repo, "empty", of="main")
    git(repo, "update-ref", "refs/heads/same", refs(repo)["refs/heads/main"])
    assert active(repo) == ["empty", "main", "stable", "topic"]
    git(repo, "update-ref", "refs/heads/release/2", topic)
    assert active(repo) == ["empty", "main", "release/2", "stable"]


def test_what_is_called_wip_is_never_built_be_it_protected(repo: Path) -> None:
    committed(repo, "main")
    committed(repo, "wip/idea", of="main")
    committed(repo, "wipe", of="main")
    assert active(repo) == ["main", "wipe"]
    assert active(repo, TABLE.model_copy(update={"protected": ("wip/*",)})) == ["main", "wipe"]


def test_testing_is_built_while_it_is_ahead_of_stable(repo: Path) -> None:
    stable = committed(repo, "stable", days_ago=90)
    git(repo, "update-ref", "refs/heads/testing", stable)
    assert active(repo) == ["stable"]
    testing = committed(repo, "testing", days_ago=80)
    assert active(repo) == ["stable", "testing"]
    git(repo, "update-ref", "refs/heads/stable", testing)
    committed(repo, "stable")
    assert active(repo) == ["stable"], "behind is not ahead"
    git(repo, "update-ref", "-d", "refs/heads/stable")
    assert active(repo) == ["testing"]


def test_dates_that_are_no_dates_do_not_end_the_look(repo: Path) -> None:
    committed(repo, "main", days_ago=5)
    committed(repo, "ahead", of="main", seconds="32503680000")
    committed(repo, "never", of="main", seconds="9999999999999")
    committed(repo, "begin", of="main", seconds="0")
    found = {branch.name: branch.committed for branch in active_branches(repo, TABLE, NOW)}
    assert found["ahead"] == datetime(3000, 1, 1, tzinfo=UTC)
    assert set(found) == {"ahead", "main", "never"}
    assert found["never"].year == 9999


def test_names_that_are_no_text_and_branches_of_a_strange_history_are_no_trouble(repo: Path) -> None:
    main = committed(repo, "main")
    (repo / "packed-refs").write_bytes(b"%s refs/heads/b\xe9\xff\n" % main.encode())
    committed(repo, "other-root")
    assert active(repo) == ["main", "other-root"]


def test_bases_are_the_default_branch_and_protected_patterns() -> None:
    assert [is_base(TABLE, name) for name in ("main", "stable", "release/1.0", "topic", "mainly")] == [True] * 3 + [
        False
    ] * 2
