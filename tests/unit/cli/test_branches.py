"""`distwright branch`: which suite each branch has, what is in it, and what is odd."""

from pathlib import Path

import pytest
from tests.worlds.commands import CommandLine, command_line
from tests.worlds.installation import CONFIG
from tests.worlds.packages import make_deb
from tests.worlds.repos import changelog, commit
from tests.worlds.times import NOW

from distwright.app import open_app
from distwright.jobs.order import JobOrder, place_order
from distwright.jobs.step import KindName
from distwright.model.branches import HEADS, RefCommit
from distwright.store.jobs import insert_job
from distwright.store.paths import StatePaths
from distwright.tools.git import git

PACKAGE = {"debian/changelog": changelog("greeter", "1.0")}


@pytest.fixture
def line(tmp_path: Path) -> CommandLine:
    """A package with two branches that want one suite; one of another that brings packages, and wip."""
    line = command_line(tmp_path)
    line.configure(CONFIG.replace("[repo.live]", '[repo.live]\nprotected = ["stable"]'))
    paths = StatePaths(line.state)
    commit(paths, "greeter", PACKAGE)
    for branch in ("feature/a", "feature-a", "wip/x"):
        commit(paths, "greeter", PACKAGE, branch=branch)
    files = {"config/base_branch": "stable\n", "config/APT_overlays.d/bugfix": ""}
    commit(paths, "live", {**files, "config/APT_snapshots.d/debian/serial": "latest\n"}, branch="feature-a")
    look(line)
    return line


def look(line: CommandLine) -> None:
    """Take in what was pushed."""
    app = open_app(str(line.state))
    app.take_in()
    app.database.close()


def test_list_gives_each_branch_with_its_suite_and_says_why_one_has_none(line: CommandLine) -> None:
    rows = line.run("branch", "list", "greeter", as_json=True).answer
    assert [(row["branch"], row["kind"], row["suite"], row.get("empty")) for row in rows] == [
        ("feature-a", "topic", "petrel/feature-a", True), ("feature/a", "topic", "", False),
        ("main", "base", "petrel/devel", True), ("wip/x", "", "", False),
    ]  # fmt: skip
    assert "which belongs to branch 'feature-a' of greeter (rename it: git push" in rows[1]["note"]
    text = line.run("branch", "list").text
    assert ("petrel/feature-a" in text, "live" in text, "wip/x" in text) == (True, True, True)
    assert line.run("branch", "list", "nowhere").exit_code == 10


def test_show_says_what_a_branch_is_made_of(line: CommandLine) -> None:
    assert line.run("suite", "add", "feature-a", line.files(make_deb("hello"))).exit_code == 0
    shown = line.run("branch", "show", "live", "feature-a", as_json=True).answer
    assert {key: shown[key] for key in ("kind", "base", "overlays", "pins", "problems")} == {
        "kind": "topic", "base": "stable", "overlays": ["bugfix"], "pins": {"debian": "latest"}, "problems": [],
    }  # fmt: skip
    assert [suite["suite"] for suite in shown["suites"]] == ["petrel/feature-a"]
    assert shown["packages"] == [{"list": "main/binary-amd64", "package": "hello", "version": "1.0"}]
    assert "publish petrel/feature-a" in [job["title"] for job in shown["jobs"]]
    text = line.run("branch", "show", "live", "feature-a").text
    for words in ("base:     stable", "overlays: bugfix", "pins:     debian latest", "has:      hello 1.0"):
        assert words in text
    assert line.run("branch", "show", "live", "nothing").exit_code == 10


def test_show_says_what_cannot_be_used(line: CommandLine) -> None:
    files = {"config/base_branch": "nowhere\n", "config/APT_snapshots.d/gone/serial": "latest\n"}
    commit(StatePaths(line.state), "live", files, branch="odd")
    look(line)
    problems = line.run("branch", "show", "live", "odd", as_json=True).answer["problems"]
    assert ["which is no base branch" in problems[0], "there is no archive 'gone'" in problems[1]] == [True, True]
    assert "note:     config/base_branch of 'odd'" in line.run("branch", "show", "live", "odd").text


def test_a_branch_that_is_gone_is_listed_while_its_suite_has_packages(line: CommandLine) -> None:
    assert line.run("suite", "add", "feature-a", line.files(make_deb("hello"))).exit_code == 0
    for repo in ("greeter", "live"):
        git(StatePaths(line.state).repo(repo), "update-ref", "-d", "refs/heads/feature-a")
    look(line)
    [row] = [row for row in line.run("branch", "list", "live", as_json=True).answer if row["branch"] == "feature-a"]
    assert (row["commit"], row["suite"]) == ("", "petrel/feature-a")
    assert row["note"] == (
        "the branch is gone; to let its packages go: distwright suite retire petrel/feature-a --apply"
    )
    assert "commit:   gone" in line.run("branch", "show", "live", "feature-a").text
    assert line.run("suite", "retire", "petrel/feature-a", "--apply").exit_code == 0
    assert [row["branch"] for row in line.run("branch", "list", "live", as_json=True).answer] == []
    look(line)
    suites = {row["branch"]: row["suite"] for row in line.run("branch", "list", "greeter", as_json=True).answer}
    assert suites["feature/a"] == "petrel/feature-a", "it was the first to wait"


def test_an_image_is_asked_for_by_branch_or_tag_and_what_is_not_there_is_named(line: CommandLine) -> None:
    assert line.run("image", "build", "petrel", "--branch", "nothing").said == (
        "'refs/heads/nothing' is not in repo live"
    )
    assert line.run("image", "build", "petrel", "--tag", "1.0").said == "'refs/tags/1.0' is not in repo live"
    assert line.run("image", "build", "petrel", "--tag", "1.0", "--layer").exit_code == 2
    assert "repo live has no debian/changelog" in line.run("image", "build", "petrel", "--branch", "feature-a").said


def test_jobs_of_a_branch_are_found_behind_any_number_of_others(line: CommandLine) -> None:
    app = open_app(str(line.state))
    commits = (RefCommit("live", f"{HEADS}feature-a", "1" * 40),)
    with app.database.write() as tx:
        own = place_order(tx, JobOrder(KindName("image.test", 1), {"of": "feature-a"}, "its own", commits=commits), NOW)
        for number in range(2100):
            order = JobOrder(KindName("image.test", 1), {"number": number}, "another's")
            insert_job(
                tx, kind="image.test", version=1, digest=order.digest, inputs=order.inputs, title="", pool="local", priority=1,
                now=NOW, config_commit=None, cause=None,
            )  # fmt: skip
    app.database.close()
    shown = line.run("branch", "show", "live", "feature-a", as_json=True).answer
    assert own.id in [job["job"] for job in shown["jobs"]]
