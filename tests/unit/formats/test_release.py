"""Release files."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from debian.deb822 import Release as OracleRelease
from tests.unit.formats.worlds import RELEASE

from distwright.errors import BadInput
from distwright.formats.release import IndexEntry, Release, parse_release, write_release
from distwright.model.digests import Sha256

PLAIN = IndexEntry("main/Contents-all", 1484322, Sha256("7" * 64), "0ed6d4c8891eb86358b94bb35d9e4da4")
PACKED = IndexEntry("main/Contents-all.gz", 98581, Sha256("8" * 64), "d0a0325a97c42fd5f66a8c3e29bcea64")
BOOKWORM = Release(
    origin="Debian",
    label="Debian",
    suite="oldstable",
    version="12.15",
    codename="bookworm",
    changelogs="https://metadata.example.org/changelogs/@CHANGEPATH@_changelog",
    date=datetime(2026, 7, 11, 10, 16, 37, tzinfo=UTC),
    valid_until=datetime(2026, 7, 18, 10, 16, 37, tzinfo=UTC),
    acquire_by_hash=True,
    no_support_for_architecture_all="Packages",
    architectures=("all", "amd64", "arm64"),
    components=("main", "updates/contrib"),
    description="Debian 12.15 Released 11 July 2026",
    indexes={PLAIN.path: PLAIN, PACKED.path: PACKED},
)


def test_a_release_of_debian_is_read_whole() -> None:
    assert parse_release(RELEASE) == BOOKWORM


def test_a_release_of_debian_is_written_back_byte_for_byte() -> None:
    assert write_release(BOOKWORM) == RELEASE


def test_every_field_is_written_and_read_back() -> None:
    full = replace(
        BOOKWORM,
        snapshots="https://snapshot.example.org/archive/debian/@SNAPSHOTID@/",
        not_automatic=True,
        but_automatic_upgrades=True,
        signed_by=("A" * 40, "B" * 40 + "!"),
        extra=(("X-Serial", "2026112301"), ("X-Note", "two\n lines")),
        indexes={PLAIN.path: replace(PLAIN, md5=None)},
    )
    written = write_release(full)
    assert parse_release(written) == full
    assert b"MD5Sum" not in written


def test_our_release_is_what_python_debian_reads() -> None:
    oracle = OracleRelease(write_release(BOOKWORM))
    assert [dict(row) for row in oracle["SHA256"]] == [
        {"sha256": entry.sha256, "size": str(entry.size), "name": entry.path} for entry in (PLAIN, PACKED)
    ]
    assert (oracle["Date"], oracle["Components"]) == ("Sat, 11 Jul 2026 10:16:37 UTC", "main updates/contrib")


def test_flat_archives_need_only_date_and_digests() -> None:
    data = f"Date: Sat, 11 Jul 2026 10:16:37 UTC\nSHA256:\n {'7' * 64} 12 ./Packages\n".encode()
    entry = IndexEntry("Packages", 12, Sha256("7" * 64))
    assert parse_release(data) == Release(date=BOOKWORM.date, indexes={"Packages": entry})


def test_lists_of_weak_digests_other_than_md5_do_not_survive() -> None:
    data = RELEASE.replace(b"SHA256:", f"SHA1:\n {'1' * 40} 1484322 main/Contents-all\nSHA256:".encode())
    assert parse_release(data) == BOOKWORM


def test_all_problems_are_told_at_once() -> None:
    data = RELEASE.replace(b"Sat, 11", b"Sat, 41").replace(b"yes", b"perhaps").replace(b"amd64", b"AMD64")
    with pytest.raises(BadInput) as caught:
        parse_release(data)
    assert caught.value.message == (
        "a Release file has 3 problems:\n"
        "  Date: 'Sat, 41 Jul 2026 10:16:37 UTC' is not a date of the calendar\n"
        "  Acquire-By-Hash: 'perhaps' is neither yes nor no\n"
        "  Architectures: 'AMD64' is not an architecture"
    )


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (b"  1484322 main/", b"  1484322 ../", "is not a plain relative path"),
        (b"  1484322 main/", b"  1484322 /main/", "is not a plain relative path"),
        (b"  1484322 main/", b"  1484322 ma\x1bin/", "signs that no path here may have"),
        (b"  1484322 main", b"  14843x2 main", "'14843x2' is not a number"),
        (b"7777777777  1484322", b"7777777777  1484323", "MD5Sum and SHA256 give 'main/Contents-all' different sizes"),
        (b"  1484322 main", b"  1484322 two main", "4 columns"),
        (b"8  98581 main/Contents-all.gz", b"8  98581 main/Contents-all", "different"),
        (b" 7777", b" 777", "is not a SHA-256"),
        (b"SHA256:\n", b"SHA512:\n", "SHA256 is missing"),
        (b"98581 main/Contents-all.gz\nSHA", b"98582 main/Contents-all.gz\nSHA", "different sizes"),
    ],
)
def test_hostile_indexes_are_refused(old: bytes, new: bytes, problem: str) -> None:
    data = RELEASE.replace(b"    98581", b"  98581").replace(old, new)
    with pytest.raises(BadInput, match=problem):
        parse_release(data)


@pytest.mark.parametrize(
    "bad",
    [
        replace(BOOKWORM, indexes={}),
        replace(BOOKWORM, indexes={"x": replace(PLAIN, path="../x")}),
        replace(BOOKWORM, indexes={"x": replace(PLAIN, path="a b")}),
        replace(BOOKWORM, indexes={"x": replace(PLAIN, md5="x\nSuite: evil")}),
        replace(BOOKWORM, origin="Debian\nSuite: evil"),
        replace(BOOKWORM, components=("main", "two words")),
        replace(BOOKWORM, extra=(("suite", "again"),)),
        replace(BOOKWORM, date=datetime(2026, 7, 11)),  # noqa: DTZ001
    ],
)
def test_what_would_not_be_read_again_is_not_written(bad: Release) -> None:
    with pytest.raises(BadInput):
        write_release(bad)
