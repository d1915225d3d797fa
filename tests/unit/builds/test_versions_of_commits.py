"""The version of an untagged commit lies between the releases around it."""

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from tests.worlds.times import DATE

from distwright.builds.versions_of_commits import Standing, entry_of_commit, version_of_commit
from distwright.formats.changelog import top_entry
from distwright.model.versions import DebVersion, compare

COMMIT = "0123456789abcdef" * 2 + "01234567"


def version(top: str, below: str | None, count: int, since_top: int | None = None) -> DebVersion:
    standing = Standing(DebVersion(top), None if below is None else DebVersion(below), count, since_top)
    return version_of_commit(standing, COMMIT)


@pytest.mark.parametrize(
    ("top", "below", "count", "since_top", "expected"),
    [
        ("1.1", "1.0", 7, None, "1.1~00007.g0123456789ab"),
        ("1.1", None, 12, None, "1.1~00012.g0123456789ab"),
        ("1.0", "1.0", 3, 3, "1.0+3.g0123456789ab"),
        ("1.1-1", "1.0-4", 7, None, "1.1-1~00007.g0123456789ab"),
        ("1.0-4", "1.0-4", 2, 2, "1.0-4+2.g0123456789ab"),
        ("2:1.0~rc1", "1:9", 1, None, "2:1.0~rc1~00001.g0123456789ab"),
        ("1.1", "1.0", 123456, None, "1.1~123456.g0123456789ab"),
        ("1.1", "1.1~rc1", 7, None, "1.1~rc1+7.g0123456789ab"),
        ("1.1-1", "1.1~rc1-1", 7, None, "1.1-1~00007.g0123456789ab"),
        ("1.1-1", "1.1-1~rc1", 7, None, "1.1-1~rc1+7.g0123456789ab"),
        ("1.1~rc2", "1.1~rc1", 7, None, "1.1~rc2~00007.g0123456789ab"),
        ("1.0", "1.1", 7, None, "1.0~00007.g0123456789ab"),
    ],
)
def test_a_commit_is_called_by_its_place_between_two_releases(
    top: str, below: str | None, count: int, since_top: int | None, expected: str
) -> None:
    assert version(top, below, count, since_top) == expected


def test_the_upstream_version_stays_that_of_the_tarball() -> None:
    assert {version("1:1.1-1", "1:1.0-1", 7).upstream, version("1:1.1-1", "1:1.1-1", 7, 7).upstream} == {"1.1"}


def test_a_commit_after_a_candidate_is_later_than_it_and_earlier_than_the_release() -> None:
    line = [DebVersion("1.1~rc1"), *(version("1.1", "1.1~rc1", count) for count in (1, 2, 9, 10)), DebVersion("1.1")]
    assert [compare(one, other) for one, other in pairwise(line)] == [-1] * 5


CHANGELOG = (
    "greeter (1:1.1) devel; urgency=high, binary-only=yes\n\n  * More.\n\n"
    " -- Ada <ada@example.org>  Wed, 10 Jan 2024 13:00:00 +0100\n"
)


@pytest.mark.parametrize(
    ("committed", "expected"),
    [
        (DATE + timedelta(hours=1), DATE + timedelta(hours=1)),
        (DATE - timedelta(hours=1), datetime(2024, 1, 10, 13, tzinfo=timezone(timedelta(hours=1)))),
    ],
)
def test_the_entry_says_only_what_follows_from_the_commit_and_the_later_date_counts(
    committed: datetime, expected: datetime
) -> None:
    top = top_entry(CHANGELOG)
    entry = entry_of_commit(top, version("1:1.1", None, 4), COMMIT, committed)
    assert (entry.package, entry.distributions, entry.maintainer, entry.email) == (
        "greeter", ("devel",), "Ada", "ada@example.org",
    )  # fmt: skip
    assert (entry.date, entry.date.utcoffset()) == (expected, expected.utcoffset())
    assert (entry.urgency, entry.is_binary_only) == ("low", False)
    assert entry.changes == f"  * Built from commit {COMMIT}, which has no tag."
    assert entry.date.astimezone(UTC) >= top.date
