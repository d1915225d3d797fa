"""Dates of Release files and changelogs."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distwright.errors import BadInput
from distwright.formats.dates import changelog_date, parse_date, release_date

ZONES = st.builds(lambda minutes: timezone(timedelta(minutes=minutes)), st.integers(-1439, 1439))
MOMENTS = st.datetimes(datetime(1900, 1, 2), datetime(9998, 12, 30), timezones=ZONES)  # noqa: DTZ001


@given(MOMENTS)
def test_dates_are_read_back_to_the_second(moment: datetime) -> None:
    whole = moment.replace(microsecond=0)
    assert parse_date(changelog_date(moment)) == parse_date(release_date(moment)) == whole
    assert parse_date(changelog_date(moment)).utcoffset() == moment.utcoffset()


def test_dates_are_written_as_debian_writes_them() -> None:
    moment = datetime(2026, 7, 1, 1, 2, 3, tzinfo=timezone(timedelta(hours=-2, minutes=-30)))
    assert release_date(moment) == "Wed, 01 Jul 2026 03:32:03 UTC"
    assert changelog_date(moment) == "Wed, 01 Jul 2026 01:02:03 -0230"


@pytest.mark.parametrize(
    "text",
    [
        "Sat, 11 Jul 2026 10:16:37 UTC",
        "Sat, 11 Jul 2026 10:16:37 GMT",
        "Sat, 11 Jul 2026 10:16:37 Z",
        "Sat, 11 Jul 2026 10:16:37 +0000",
        "Sat, 11 Jul 2026 11:16:37 +0100",
        "11 Jul 2026 10:16:37 UTC",
        "Mon,  11 Jul 2026  10:16:37 UTC ",
    ],
)
def test_forms_that_stand_in_archives_are_read(text: str) -> None:
    assert parse_date(text) == datetime(2026, 7, 11, 10, 16, 37, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "", "2026-07-11", "Sat, 11 Jul 2026 10:16:37", "Sat, 11 Jul 2026 10:16:37 EST",
        "Sat, 11 Juli 2026 10:16:37 UTC",
        "Sa, 11 Jul 2026 10:16:37 UTC", "Sat, 31 Jun 2026 10:16:37 UTC", "Sat, 11 Jul 2026 24:16:37 UTC",
        "Sat, 11 Jul 2026 10:16:61 UTC", "Sat, 11 Jul 1899 10:16:37 UTC", "Sat, 11 Jul 9999 10:16:37 UTC",
        "Sat, 11 Jul 2026 10:16:37 +2400", "Sat, 11 Jul 2026 10:16:37 +0060", "Sat, 11 Jul 2026 1٠:16:37 UTC",
        "Sat, 11 Jul 2026 10:16:37 UTC\n",
    ],
)  # fmt: skip
def test_what_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="is not a date"):
        parse_date(text)


def test_times_without_a_zone_are_not_written() -> None:
    for write in (release_date, changelog_date):
        with pytest.raises(BadInput, match="without a zone"):
            write(datetime(2026, 7, 11))  # noqa: DTZ001
    with pytest.raises(BadInput, match="not whole minutes"):
        changelog_date(datetime(2026, 7, 11, tzinfo=timezone(timedelta(seconds=30))))
