"""Serials of snapshots."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distwright.errors import BadInput, Refused
from distwright.model.serials import Serial, next_serial

MOMENT = datetime(2026, 11, 23, 23, 59, tzinfo=UTC)
MOMENTS = st.datetimes(datetime(2000, 1, 1), datetime(2099, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026112",
        "20261123",
        "202611230",
        "20261123011",
        "2026112301\n",
        "2026023001",
        "2026130101",
        "0000010101",
        "٢٠٢٦١١٢٣٠١",
    ],
)
def test_what_is_not_a_day_and_a_number_is_no_serial(text: str) -> None:
    with pytest.raises(BadInput, match="is not a serial"):
        Serial(text)


def test_first_serial_of_a_day_ends_with_01() -> None:
    assert next_serial(None, MOMENT) == Serial("2026112301")
    assert next_serial(Serial("2026112207"), MOMENT) == Serial("2026112301")


def test_later_serials_of_a_day_count_up() -> None:
    assert next_serial(Serial("2026112301"), MOMENT) == Serial("2026112302")
    assert next_serial(Serial("2026112309"), MOMENT) == Serial("2026112310")


def test_clock_that_went_back_gives_no_earlier_serial() -> None:
    assert next_serial(Serial("2026112305"), MOMENT - timedelta(days=400)) == Serial("2026112306")


def test_hundredth_snapshot_of_a_day_is_refused_until_the_next_day() -> None:
    with pytest.raises(Refused, match="day 20261123 already has 99 snapshots"):
        next_serial(Serial("2026112399"), MOMENT)
    assert next_serial(Serial("2026112399"), MOMENT + timedelta(minutes=1)) == Serial("2026112401")


@given(st.lists(MOMENTS, min_size=1, max_size=40))
def test_serials_always_grow_whatever_the_clock_does(moments: list[datetime]) -> None:
    serials: list[Serial] = []
    for moment in moments:
        serials.append(next_serial(serials[-1] if serials else None, moment))
    assert serials == sorted(set(serials))
