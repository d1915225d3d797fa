"""Rows that say which suite belongs to a branch, on both databases."""

from dataclasses import replace

from tests.worlds.state import OpenAgain
from tests.worlds.times import DAY, NOW

from distwright.model.records import BranchSuite
from distwright.store.branches import (
    branches_of_archives,
    branches_of_ref,
    branches_of_repo,
    branches_of_suite,
    drop_branch_suite,
    find_branch_suite,
    set_branch_suite,
    suites_of_refs,
)

ROW = BranchSuite("greeter", "refs/heads/feature/x", "petrel", "overlay", "feature-x", "", NOW)


def test_a_row_is_found_by_repo_by_ref_by_archive_and_by_suite_and_is_written_over(open_again: OpenAgain) -> None:
    gone = replace(ROW, repo="live", gone_at=NOW + DAY)
    refused = replace(ROW, ref="refs/heads/Z", archive="other", suite="", problem="no ('é')")
    with open_again().write() as tx:
        for row in (replace(ROW, kind="base"), gone, refused, ROW):
            set_branch_suite(tx, row)
    with open_again().read() as tx:
        assert branches_of_repo(tx, "greeter") == [refused, ROW], "byte by byte: Z comes before f"
        assert (
            branches_of_ref(tx, ROW.ref, ["petrel", "other"])
            == branches_of_suite(tx, "petrel", "feature-x")
            == [ROW, gone]
        )
        assert branches_of_archives(tx, ["other"]) == [refused]
        assert suites_of_refs(tx, "live") == {}, "it is gone"
        assert suites_of_refs(tx, "greeter")[ROW.ref, "petrel"] == ("overlay", "feature-x")
        assert branches_of_archives(tx, []) == branches_of_suite(tx, "other", "feature-x") == []
        assert find_branch_suite(tx, "live", ROW.ref, "petrel") == gone
        assert find_branch_suite(tx, "live", ROW.ref, "other") is None
    with open_again().write() as tx:
        drop_branch_suite(tx, gone)
    with open_again().read() as tx:
        assert branches_of_repo(tx, "live") == []
        assert branches_of_suite(tx, "petrel", "feature-x") == [ROW]
