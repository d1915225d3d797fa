"""Branches have suites: from the moment on that their push is known, under their name, one for all repos of an archive."""

import sys
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest
from tests.worlds.installation import WorldContext, config, make_context
from tests.worlds.repos import commit

from distwright.archive.branching import SuitesOfBranches
from distwright.archive.configured import apply_change, plan_config
from distwright.archive.retiring_suite import retire_suite
from distwright.archive.suites import Who, branch_suite
from distwright.archive.tree import EMPTY_ROOT
from distwright.config.difference import Change
from distwright.errors import Refused
from distwright.model.digests import Sha256, sha256_of
from distwright.model.events import EventKind
from distwright.model.records import BranchSuite, SuiteState
from distwright.repos.pushes import take_in_pushes
from distwright.store.branches import branches_of_repo
from distwright.store.database import Database, Transaction
from distwright.store.suites import find_suite, get_suite, list_suites, move_suite
from distwright.tools.git import git, refs

PACKAGES = sha256_of(b"packages")


@pytest.fixture
def context(tmp_path: Path) -> WorldContext:
    return installed(tmp_path)


def installed(folder: Path) -> WorldContext:
    """Make an installation with suite devel, packages in it as far as rows say, and no push yet."""
    context = make_context(folder)
    for change in plan_config(None, config()):
        apply_change(change, config(), context.database, context.objects, context.clock)
    fill(context, "devel")
    return context


def fill(context: WorldContext, name: str, revision: Sha256 = PACKAGES) -> None:
    """Let a suite have packages, as far as rows say."""
    with context.database.write() as tx:
        move_suite(tx, get_suite(tx, "petrel", name), revision, context.clock)


def take_in(context: WorldContext) -> int:
    settling = SuitesOfBranches(context.database, context.objects, context.paths, context.config)
    repos = sorted(context.config.repos)
    return take_in_pushes(context.database, context.paths, repos, context.clock, settling=settling)


def change_repo(context: WorldContext, repo: str, **changes: object) -> None:
    table = context.config.repos[repo].model_copy(update=changes)
    context.config = replace(context.config, repos={**context.config.repos, repo: table})


def rows(context: WorldContext, repo: str = "greeter") -> dict[str, tuple[str, str]]:
    """Give branch -> kind and suite, of what is there."""
    with context.database.read() as tx:
        return {row.branch: (row.kind, row.suite) for row in branches_of_repo(tx, repo) if row.gone_at is None}


def row(context: WorldContext, branch: str, repo: str = "greeter") -> BranchSuite:
    with context.database.read() as tx:
        [found] = [one for one in branches_of_repo(tx, repo) if one.branch == branch]
    return found


def suite(context: WorldContext, name: str) -> SuiteState | None:
    with context.database.read() as tx:
        return find_suite(tx, "petrel", name)


def names(context: WorldContext) -> list[str]:
    with context.database.read() as tx:
        return [one.name for one in list_suites(tx)]


def push(context: WorldContext, repo: str, *branches: str) -> None:
    for branch in branches:
        commit(context.paths, repo, {"a": branch}, branch=branch)


def delete(context: WorldContext, repo: str, *refs: str) -> None:
    for ref in refs:
        git(context.paths.repo(repo), "update-ref", "-d", ref if ref.startswith("refs/") else f"refs/heads/{ref}")


def kinds(context: WorldContext) -> list[str]:
    return [str(event.kind) for event in context.events()]


def test_a_topic_has_an_empty_overlay_before_anybody_reads_of_its_push(context: WorldContext) -> None:
    push(context, "greeter", "main", "feature/One")
    assert take_in(context) == 2
    assert rows(context) == {"main": ("base", "devel"), "feature/One": ("overlay", "feature-one")}
    assert suite(context, "feature-one") == SuiteState(
        "petrel", "feature-one", "overlay", EMPTY_ROOT.revision, context.clock, follows="devel", parent="devel"
    )
    assert kinds(context) == ["suite.changed", "repo.pushed", "repo.pushed"]
    assert context.objects.has(EMPTY_ROOT.revision)
    take_in(context)
    assert len(context.events()) == 3


def test_the_default_branch_has_the_configured_suite_and_wip_has_none(context: WorldContext) -> None:
    push(context, "greeter", "main", "wip/main", "wipe")
    take_in(context)
    assert rows(context) == {"main": ("base", "devel"), "wipe": ("overlay", "wipe")}
    assert names(context) == ["devel", "wipe"]


def test_one_topic_in_several_repos_has_one_suite_which_goes_with_the_last_of_them(context: WorldContext) -> None:
    push(context, "greeter", "topic")
    push(context, "live", "topic")
    take_in(context)
    assert rows(context)["topic"] == rows(context, "live")["topic"] == ("overlay", "topic")
    assert kinds(context).count("suite.changed") == 1
    delete(context, "greeter", "topic")
    take_in(context)
    assert suite(context, "topic") is not None
    delete(context, "live", "topic")
    take_in(context)
    assert (rows(context), rows(context, "live"), names(context)) == ({}, {}, ["devel"])


def test_a_protected_branch_is_a_base_that_begins_as_the_default_branch_is(context: WorldContext) -> None:
    change_repo(context, "greeter", protected=("stable", "release/*"))
    push(context, "greeter", "stable", "release/2", "topic")
    take_in(context)
    stable = suite(context, "stable")
    assert stable is not None
    assert (stable.kind, stable.revision, stable.parent, stable.settings) == (
        "base", sha256_of(b"packages"), "devel", "devel",
    )  # fmt: skip
    assert rows(context)["release/2"] == ("base", "release-2")


def test_a_second_name_for_one_suite_has_none_and_is_told_how_to_be_renamed(context: WorldContext) -> None:
    push(context, "greeter", "feature/a")
    push(context, "live", "feature-a")
    take_in(context)
    refused = row(context, "feature-a", "live")
    assert (refused.suite, refused.kind) == ("", "overlay")
    assert refused.problem == (
        "branch 'feature-a' of live would have the suite petrel/feature-a, which belongs to branch 'feature/a' of greeter "
        "(rename it: git push ORIGIN refs/heads/feature-a:refs/heads/NAME :refs/heads/feature-a)"
    )
    [warning] = [event for event in context.events() if event.kind is EventKind.WARNING_RAISED]
    assert (warning.subject, warning.body["about"]) == ("live refs/heads/feature-a",) * 2
    before = len(context.events())
    take_in(context)
    assert len(context.events()) == before, "told once"
    delete(context, "greeter", "feature/a")
    take_in(context)
    take_in(context)
    assert rows(context, "live")["feature-a"] == ("overlay", "feature-a"), "free now"


def test_two_names_that_come_at_once_are_decided_by_their_order(context: WorldContext) -> None:
    push(context, "greeter", "feature/a", "feature-a", "Feature/a")
    take_in(context)
    given = [branch for branch, (_, name) in rows(context).items() if name]
    assert given == ["Feature/a"], "sorted by name"
    assert [row(context, name).problem != "" for name in ("feature/a", "feature-a")] == [True, True]


def test_a_configured_suite_is_never_a_topics(context: WorldContext) -> None:
    """Whoever may make branches would bring packages to users."""
    push(context, "greeter", "devel")
    take_in(context)
    assert row(context, "devel").suite == ""
    assert "which is configured, and not for it" in row(context, "devel").problem
    change_repo(context, "greeter", protected=("devel",))
    take_in(context)
    assert rows(context)["devel"] == ("base", "devel")


def test_a_configured_overlay_is_of_the_topic_that_is_called_exactly_so_and_stays_with_the_configuration(
    context: WorldContext,
) -> None:
    table = context.config.suites["devel"].model_copy(update={"kind": "overlay"})
    context.config = replace(context.config, suites={**context.config.suites, "usb": table})
    apply_change(Change("add", "suite", "usb", ""), context.config, context.database, context.objects, context.clock)
    push(context, "greeter", "USB", "usb")
    take_in(context)
    assert rows(context) == {"USB": ("overlay", ""), "usb": ("overlay", "usb")}
    delete(context, "greeter", "usb")
    take_in(context)
    assert (rows(context), names(context)) == ({"USB": ("overlay", "")}, ["devel", "usb"])


def test_a_name_that_can_be_no_suite_is_refused_by_name(context: WorldContext) -> None:
    push(context, "greeter", "_x", "y" * 70)
    take_in(context)
    assert [row(context, name).suite for name in ("_x", "y" * 70)] == ["", ""]
    assert "'-x' cannot name a suite" in row(context, "_x").problem


def test_a_deleted_branch_with_packages_is_left_over_and_taken_up_again(context: WorldContext) -> None:
    push(context, "greeter", "topic")
    take_in(context)
    fill(context, "topic")
    delete(context, "greeter", "topic")
    take_in(context)
    assert (row(context, "topic").gone_at, row(context, "topic").suite) == (context.clock, "topic")
    push(context, "greeter", "topic")
    take_in(context)
    assert row(context, "topic").gone_at is None
    assert kinds(context).count("suite.changed") == 1


def test_what_is_left_over_keeps_its_name_until_it_is_retired(context: WorldContext) -> None:
    context.objects.put(b"packages")
    push(context, "greeter", "topic")
    take_in(context)
    fill(context, "topic")
    with pytest.raises(Refused, match="branch topic of greeter has it"):
        retire_suite(context, "petrel", "topic", Who("user ada"), dry_run=False)
    delete(context, "greeter", "topic")
    push(context, "greeter", "Topic")
    take_in(context)
    assert rows(context)["Topic"] == ("overlay", "")
    retire_suite(context, "petrel", "topic", Who("user ada"), dry_run=False)
    take_in(context)
    assert rows(context) == {"Topic": ("overlay", "topic")}


def test_a_suite_made_by_hand_is_taken_up_by_the_branch_of_its_name(context: WorldContext) -> None:
    branch_suite(context, "petrel", "topic", "devel", "overlay", Who("user ada"))
    branch_suite(context, "petrel", "old", "devel", "release", Who("user ada"))
    push(context, "greeter", "topic", "old")
    take_in(context)
    assert rows(context) == {"topic": ("overlay", "topic"), "old": ("overlay", "")}
    assert "which is of kind release and not overlay" in row(context, "old").problem


def test_a_tag_of_an_image_has_a_read_only_suite_of_its_base_as_it_was(context: WorldContext) -> None:
    change_repo(context, "live", protected=("stable",))
    push(context, "live", "main", "stable")
    take_in(context)
    fill(context, "stable", sha256_of(b"stable"))
    commit(context.paths, "live", {"a": "2"}, branch="stable", tag="2.0-rc1")
    commit(context.paths, "live", {"a": "3"}, tag="3.0")
    take_in(context)
    of_stable, of_main = suite(context, "2.0-rc1"), suite(context, "3.0")
    assert of_stable is not None
    assert of_main is not None
    assert (of_stable.kind, of_stable.revision, of_stable.parent, of_stable.is_sealed) == (
        "release", sha256_of(b"stable"), "stable", True,
    )  # fmt: skip
    assert (of_main.revision, of_main.parent) == (sha256_of(b"packages"), "devel")
    fill(context, "devel", sha256_of(b"later"))
    take_in(context)
    assert suite(context, "3.0") == of_main


def test_a_retired_suite_of_a_tag_is_not_made_again_and_leaves_its_name(context: WorldContext) -> None:
    commit(context.paths, "live", {"a": "1"}, tag="2.0")
    take_in(context)
    push(context, "greeter", "2.0")
    take_in(context)
    assert rows(context)["2.0"] == ("overlay", "")
    retire_suite(context, "petrel", "2.0", Who("user ada"), dry_run=False)
    take_in(context)
    assert rows(context)["2.0"] == ("overlay", "2.0")
    assert "2.0" not in rows(context, "live")


def test_a_tag_in_two_bases_is_of_the_one_that_it_names(context: WorldContext) -> None:
    change_repo(context, "live", protected=("stable",))
    commit(context.paths, "live", {"config/base_branch": "stable\n"}, branch="stable", tag="1.0")
    git(context.paths.repo("live"), "branch", "main", "stable")
    take_in(context)
    found = suite(context, "1.0")
    assert found is not None
    assert found.parent == "stable"


def test_a_tag_of_a_package_and_one_that_was_there_before_make_no_suite(context: WorldContext) -> None:
    commit(context.paths, "greeter", {"a": "1"}, tag="1.0")
    commit(context.paths, "live", {"a": "1"}, tag="1.0")
    take_in_pushes(context.database, context.paths, ["greeter", "live"], context.clock)  # as an older version does
    take_in(context)
    commit(context.paths, "greeter", {"a": "2"}, tag="2.0")
    take_in(context)
    assert names(context) == ["devel"]
    assert rows(context) == rows(context, "live") == {"main": ("base", "devel")}


def test_a_tag_in_no_base_has_no_suite_and_says_so(context: WorldContext) -> None:
    push(context, "live", "main")
    commit(context.paths, "live", {"a": "1"}, branch="topic", tag="9.0")
    take_in(context)
    assert "tag '9.0' is in no base branch that has a suite in petrel" in row(context, "9.0", "live").problem
    assert suite(context, "9.0") is None


def test_branches_that_an_older_version_recorded_have_suites_at_the_first_look(context: WorldContext) -> None:
    push(context, "greeter", "main", *(f"topic/{number}" for number in range(20)))
    take_in_pushes(context.database, context.paths, ["greeter"], context.clock)
    assert take_in(context) == 0
    assert len(names(context)) == 21
    assert kinds(context)[-20:] == ["suite.changed"] * 20


def test_an_emptied_topic_that_becomes_a_base_begins_anew_and_one_with_packages_is_told(context: WorldContext) -> None:
    push(context, "greeter", "one", "two")
    take_in(context)
    fill(context, "two")
    change_repo(context, "greeter", protected=("one", "two"))
    take_in(context)
    one = suite(context, "one")
    assert one is not None
    assert (one.kind, one.revision) == ("base", sha256_of(b"packages"))
    assert "which is of kind overlay and not base" in row(context, "two").problem


def test_a_branch_of_a_repo_that_is_no_longer_configured_keeps_nobody_from_its_suite(context: WorldContext) -> None:
    push(context, "greeter", "topic")
    push(context, "live", "topic", "Topic")
    take_in(context)
    context.config = replace(context.config, repos={"live": context.config.repos["live"]})
    delete(context, "live", "topic")
    take_in(context)
    take_in(context)
    assert rows(context, "live") == {"Topic": ("overlay", "topic")}
    delete(context, "live", "Topic")
    take_in(context)
    assert names(context) == ["devel"]


def test_a_topic_of_another_repo_keeps_its_overlay_when_a_base_of_its_name_comes(context: WorldContext) -> None:
    push(context, "live", "stable")
    take_in(context)
    change_repo(context, "greeter", protected=("stable",))
    push(context, "greeter", "stable")
    take_in(context)
    assert rows(context, "live")["stable"] == ("overlay", "stable")
    assert "which is of kind overlay and not base" in row(context, "stable").problem


def test_a_repo_that_has_no_package_gives_no_suites_and_a_private_one_as_others(context: WorldContext) -> None:
    change_repo(context, "greeter", package=False)
    push(context, "greeter", "topic")
    take_in(context)
    assert rows(context) == {}
    change_repo(context, "greeter", package=True)
    take_in(context)
    assert rows(context) == {"topic": ("overlay", "topic")}
    change_repo(context, "greeter", package=True, private=True)
    take_in(context)
    assert (rows(context), names(context)) == ({"topic": ("overlay", "topic")}, ["devel", "topic"])


_started: list[object] = []
sys.addaudithook(lambda event, arguments: _started.append(arguments[0]) if event == "subprocess.Popen" else None)


class Counted(Database):
    """A database that counts its writing transactions."""

    count = 0

    def write(self) -> AbstractContextManager[Transaction]:  # type: ignore[override]  # as the one that it stands for
        self.count += 1
        return super().write()


def test_many_branches_are_one_transaction_and_no_more_processes_than_one(context: WorldContext) -> None:
    push(context, "greeter", "main")
    push(context, "live", "main")
    take_in(context)
    repo, places = context.paths.repo("greeter"), []
    head = refs(repo)["refs/heads/main"]
    for number in (1, 100):
        made = "".join(f"create refs/heads/topic/{number}/{one} {head}\n" for one in range(number))
        git(repo, "update-ref", "--stdin", stdin=made.encode())
        counted = Counted(context.database.url)
        settling = SuitesOfBranches(counted, context.objects, context.paths, context.config)
        for _ in range(2):
            _started.clear()
            taken = take_in_pushes(counted, context.paths, ["greeter", "live"], context.clock, settling=settling)
            places.append((taken, counted.count, len(_started)))
        counted.close()
    (_, first_writes, processes), *_ = places
    assert first_writes == 1
    assert places == [(1, 1, processes), (0, 1, 2), (100, 1, processes), (0, 1, 2)], (
        "a look is one process for each repo"
    )
