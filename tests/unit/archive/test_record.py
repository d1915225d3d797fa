"""Judging a Release and choosing its indexes: pure decisions of a record."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from tests.unit.archive.requests import record_request
from tests.worlds.archive import DATE, NOW

from distwright.archive.judging import RecordRequest, check_release, wanted_indexes
from distwright.errors import Refused
from distwright.formats.release import IndexEntry, Release
from distwright.model.digests import sha256_of

REQUEST = record_request()


def release(
    *paths: str,
    date: datetime = DATE,
    valid_until: datetime | None = None,
    suite: str | None = "stable",
    codename: str | None = "petrel",
    origin: str | None = "Debian",
    label: str | None = "Debian",
    architectures: tuple[str, ...] = ("all", "amd64"),
) -> Release:
    return Release(
        date=date,
        indexes={path: IndexEntry(path, len(path), sha256_of(path.encode())) for path in paths},
        origin=origin,
        label=label,
        suite=suite,
        codename=codename,
        valid_until=valid_until,
        architectures=architectures,
    )


def refusal(of: Release, *, request: RecordRequest = REQUEST, suite: str = "stable") -> str:
    with pytest.raises(Refused) as caught:
        check_release(of, request, suite, NOW)
    return caught.value.message


def test_a_release_may_be_asked_for_by_suite_or_by_codename() -> None:
    assert check_release(release(), REQUEST, "stable", NOW) == []
    assert check_release(release(), REQUEST, "petrel", NOW) == []
    assert check_release(release(suite=None), REQUEST, "petrel", NOW) == []


def test_a_release_of_another_suite_is_refused_by_its_own_name() -> None:
    assert refusal(release(), suite="unstable") == "Release of debian/unstable calls itself 'petrel'"
    assert refusal(release(codename=None), suite="unstable") == "Release of debian/unstable calls itself 'stable'"
    nameless = release(suite=None, codename=None)
    assert refusal(nameless, suite="unstable") == "Release of debian/unstable calls itself ''"


def test_origin_and_label_must_be_what_the_configuration_says() -> None:
    assert refusal(release(origin="Evil")) == "Release of debian/stable has Origin 'Evil', want 'Debian'"
    assert refusal(release(label=None)) == "Release of debian/stable has Label '', want 'Debian'"
    anything = replace(REQUEST, origin="", label="")
    assert check_release(release(origin="Other", label=None), anything, "stable", NOW) == []


def test_a_clock_may_differ_by_a_day_and_no_more() -> None:
    assert check_release(release(date=NOW + timedelta(days=1)), REQUEST, "stable", NOW) == []
    message = refusal(release(date=NOW + timedelta(days=1, seconds=1)))
    assert message == "Release of debian/stable is dated 2024-01-11 15:00, in the future"


def test_valid_until_is_the_last_moment() -> None:
    assert check_release(release(valid_until=NOW), REQUEST, "stable", NOW) == []
    expired = release(valid_until=NOW - timedelta(seconds=1))
    assert refusal(expired) == "Release of debian/stable expired on 2024-01-10 14:59 UTC"


def test_accepted_expiry_is_named_in_a_note() -> None:
    expired = release(valid_until=NOW - timedelta(days=30))
    notes = check_release(expired, record_request(accept_expired=True), "stable", NOW)
    assert notes == ["Release of debian/stable expired on 2023-12-11 15:00 UTC; accepted, as accept_expired says"]


def paths_wanted(of: Release, request: RecordRequest = REQUEST) -> list[str]:
    return [entry.path for entry in wanted_indexes(of, request)]


def test_of_each_index_the_smallest_compression_is_kept() -> None:
    stems = ("main/binary-amd64/Packages", "main/source/Sources", "main/i18n/Translation-en")
    offered = release(*(stem + ending for stem in stems for ending in ("", ".bz2", ".gz", ".xz")))
    assert paths_wanted(offered) == [f"{stem}.xz" for stem in stems]
    older = release(stems[0], f"{stems[1]}.gz", stems[1], f"{stems[2]}.bz2")
    assert paths_wanted(older) == [stems[0], f"{stems[1]}.gz", f"{stems[2]}.bz2"]


def test_packages_for_all_are_kept_only_if_release_names_that_architecture() -> None:
    paths = ("main/binary-amd64/Packages.xz", "main/binary-all/Packages.xz", "main/source/Sources.xz")
    assert paths_wanted(release(*paths)) == list(paths)
    assert paths_wanted(release(*paths, architectures=("amd64",))) == [paths[0], paths[2]]


def test_a_required_index_that_is_not_listed_is_refused_by_name() -> None:
    with pytest.raises(Refused, match="Release of debian lists no main/binary-amd64/Packages"):
        wanted_indexes(release("main/source/Sources.xz"), REQUEST)
    with pytest.raises(Refused, match="Release of debian lists no main/source/Sources"):
        wanted_indexes(release("main/binary-amd64/Packages.xz"), REQUEST)
    without = replace(REQUEST, has_sources=False)
    assert paths_wanted(release("main/binary-amd64/Packages.xz"), without) == ["main/binary-amd64/Packages.xz"]


def test_every_component_and_architecture_has_its_indexes() -> None:
    request = replace(
        REQUEST, components=("main", "contrib"), architectures=("amd64", "i386"), has_sources=False, translations=()
    )
    listed = [f"{c}/binary-{a}/Packages.gz" for c in ("main", "contrib") for a in ("amd64", "i386")]
    assert paths_wanted(release(*reversed(listed), "non-free/binary-amd64/Packages.gz"), request) == listed
