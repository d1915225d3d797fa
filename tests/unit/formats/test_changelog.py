"""debian/changelog."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from debian.changelog import Changelog
from tests.unit.formats.worlds import CHANGELOG

from distwright.errors import BadInput
from distwright.formats.changelog import ChangelogEntry, parse_changelog, top_entry, write_entry
from distwright.model.versions import DebVersion

TOP = ChangelogEntry(
    package="petrel",
    version=DebVersion("1:1.2-3"),
    distributions=("devel",),
    urgency="medium",
    maintainer="Ada Lovelace",
    email="ada@example.org",
    date=datetime(2026, 11, 23, 10, tzinfo=timezone(timedelta(hours=1))),
    changes="  * Greet in French. (Closes: #17)\n\n  [ Charles Babbage ]\n  * Count.",
)
BELOW = ChangelogEntry(
    package="petrel",
    version=DebVersion("1:1.2-2+b1"),
    distributions=("devel", "stable"),
    urgency="low",
    maintainer="",
    email="",
    date=datetime(2026, 9, 1, tzinfo=UTC),
    changes="  * Binary-only non-maintainer upload for amd64; no source changes.",
    is_binary_only=True,
)


def test_entries_are_read_from_the_newest_on() -> None:
    assert list(parse_changelog(CHANGELOG)) == [TOP, BELOW]
    assert list(parse_changelog(CHANGELOG.replace("\n", "\r\n"))) == [TOP, BELOW]


def test_entries_are_those_that_python_debian_reads() -> None:
    oracle = Changelog(CHANGELOG, strict=True)
    ours = [(entry.package, entry.version, " ".join(entry.distributions)) for entry in parse_changelog(CHANGELOG)]
    assert ours == [(block.package, str(block.version), block.distributions) for block in oracle]


def test_what_follows_the_newest_entry_does_not_matter_to_it() -> None:
    first, _, _ = CHANGELOG.partition("\n\npetrel (1:1.2-2")
    assert top_entry(first + "\ngarbage") == top_entry("\n# remark\n" + CHANGELOG) == TOP


@pytest.mark.parametrize(
    "old", ["vim: ts=8", "Old Changelog:", ";; Local variables:", "Mon Jan 22 12:11:10 1996  Ian <ian@example.org>",
            "Mon, 22 January 1996 Ian", "Changes for petrel-0.9:"],
)  # fmt: skip
def test_reading_ends_where_the_old_formats_begin(old: str) -> None:
    assert len(list(parse_changelog(CHANGELOG.replace("Local variables:", f"{old}\ngarbage")))) == 2


@pytest.mark.parametrize("entry", [TOP, BELOW])
def test_an_entry_that_was_written_is_read_back(entry: ChangelogEntry) -> None:
    assert top_entry(write_entry(entry)) == entry


def test_entries_are_written_as_dch_writes_them() -> None:
    assert CHANGELOG.startswith(write_entry(TOP))


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("petrel (1:1.2-3)", "petrel 1:1.2-3", "line 1 of the changelog, .*: begins no entry"),
        ("petrel (1:1.2-3)", "petrel (1_2)", "line 1 of the changelog, .*'1_2' is not a Debian version"),
        (" devel; urgency=medium", "; urgency=medium", "line 1 of the changelog, .*: begins no entry"),
        ("urgency=medium", "urgent", "line 1 of the changelog, ' urgent': is not a list of settings"),
        ("urgency=medium", "urgency=low, urgency=high", "is not a list of settings"),
        ("  * Greet", "* Greet", "line 3 of the changelog, .*: is neither a change nor the signature"),
        (" -- Ada", "-- Ada", "line 8 of the changelog, .*: is neither a change nor the signature"),
        ("Mon, 23 Nov", "Mon, 33 Nov", "line 1 of the changelog, .*is not a date"),
        (" -- Ada Lovelace <ada@example.org>", " -- Ada Lovelace", "neither a change nor the signature"),
    ],
)
def test_a_bad_entry_is_refused_with_its_line(old: str, new: str, problem: str) -> None:
    with pytest.raises(BadInput, match=problem):
        top_entry(CHANGELOG.replace(old, new, 1))


def test_an_unfinished_or_missing_entry_is_refused() -> None:
    with pytest.raises(BadInput, match="begins an entry that is not signed"):
        top_entry(CHANGELOG.partition(" -- ")[0])
    for nothing in ("", "\n\n", "vim: ts=8\n" + CHANGELOG):
        with pytest.raises(BadInput, match="the changelog has no entry"):
            top_entry(nothing)


@pytest.mark.parametrize(
    "bad",
    [
        {"changes": "* no blanks"},
        {"changes": "  * x\n\n -- Eve <eve@example.org>  Mon, 23 Nov 2026 10:00:00 +0100"},
        {"urgency": "low\n"},
        {"distributions": ("two words",)},
        {"maintainer": "Ada\nEve"},
        {"email": "a>b"},
        {"date": datetime(2026, 11, 23)},  # noqa: DTZ001
    ],
)
def test_an_entry_that_would_be_read_as_another_is_not_written(bad: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        write_entry(replace(TOP, **bad))
