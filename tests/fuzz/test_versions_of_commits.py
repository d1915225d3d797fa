"""Laws of the versions of commits: along a line they rise, and no release on it is passed."""

from itertools import pairwise

import hypothesis.strategies as st
from hypothesis import assume, example, given

from distwright.builds.versions_of_commits import Standing, version_of_commit
from distwright.model.versions import DebVersion, compare

_NUMBERS = st.integers(0, 120).map(str)
_UPSTREAM = st.lists(_NUMBERS, min_size=1, max_size=4).map(".".join)
_SUFFIX = st.sampled_from(["", "~rc1", "~beta2", "+dfsg", "+git20240110", "~1"])
_REVISION = st.sampled_from(["", "-1", "-2", "-10", "-1petrel3", "-1+deb12u1", "-1~bpo12+1", "-0.1"])
_EPOCH = st.sampled_from(["", "1:", "2:"])
VERSIONS = st.builds("".join, st.tuples(_EPOCH, _UPSTREAM, _SUFFIX, _REVISION)).map(DebVersion)
COUNTS = st.lists(st.integers(1, 200_000), min_size=2, max_size=6, unique=True).map(sorted)
HASHES = st.integers(0, 16**40 - 1).map(lambda number: f"{number:040x}")


def is_risen(versions: list[DebVersion]) -> bool:
    return all(compare(one, other) < 0 for one, other in pairwise(versions))


@given(VERSIONS, VERSIONS, COUNTS, st.data())
@example(DebVersion("1.1~rc1"), DebVersion("1.1"), [1, 2], None)
@example(DebVersion("1.1~5"), DebVersion("1.1"), [3, 7], None)
def test_between_two_releases_versions_rise_with_the_commits(
    last: DebVersion, upcoming: DebVersion, counts: list[int], data: st.DataObject | None
) -> None:
    assume(compare(last, upcoming) < 0)
    hashes = ["0" * 40] * len(counts) if data is None else [data.draw(HASHES) for _ in counts]
    between = [
        version_of_commit(Standing(upcoming, last, count), commit) for count, commit in zip(counts, hashes, strict=True)
    ]
    assert is_risen([last, *between, upcoming])


@given(VERSIONS, COUNTS, HASHES)
def test_without_any_release_versions_rise_up_to_the_first_one(
    upcoming: DebVersion, counts: list[int], commit: str
) -> None:
    assert is_risen([*(version_of_commit(Standing(upcoming, None, count), commit) for count in counts), upcoming])


@given(VERSIONS, COUNTS, HASHES)
def test_after_a_release_versions_rise_and_stay_below_what_dch_would_call_the_next(
    last: DebVersion, counts: list[int], commit: str
) -> None:
    after = [version_of_commit(Standing(last, last, count, count), commit) for count in counts]
    assert is_risen([last, *after])
    for upcoming in (f"{last}.1", f"{last}+nmu1", f"{last}+deb12u1", bumped(last)):
        assert compare(after[-1], DebVersion(upcoming)) < 0, upcoming
        assert compare(after[-1], version_of_commit(Standing(DebVersion(upcoming), last, 1), commit)) < 0, upcoming


def bumped(version: DebVersion) -> str:
    """Count the last number of a version up, as dch does."""
    end = len(version)
    while not version[end - 1].isdigit():
        end -= 1
    start = end
    while start and version[start - 1].isdigit():
        start -= 1
    return f"{version[:start]}{int(version[start:end]) + 1}{version[end:]}"
