"""Serials name the snapshots of an archive: YYYYMMDDNN, growing."""

import re
from datetime import UTC, datetime
from typing import Self

from distwright.errors import BadInput, Refused, quoted

_SERIAL = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})([0-9]{2})")


class Serial(str):
    """The name of a full snapshot: a UTC day and a two-digit number in it; sorts by time as text."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Raise BadInput unless `text` is ten digits that begin with a real day."""
        match = _SERIAL.fullmatch(text)
        if match:
            try:
                datetime(int(match[1]), int(match[2]), int(match[3]), tzinfo=UTC)
            except ValueError:
                match = None
        if not match:
            raise BadInput(f"{quoted(text)} is not a serial", hint="write YYYYMMDDNN, for example 2026112301")
        return super().__new__(cls, text)


def next_serial(last: Serial | None, now: datetime) -> Serial:
    """Give the serial after `last` for a snapshot taken `now` (aware, UTC): monotone even when the clock went back.

    Raises Refused after the 99th snapshot of a day.
    """
    today = f"{now:%Y%m%d}"
    if last is None or last < today:
        return Serial(f"{today}01")
    day, number = last[:8], int(last[8:])
    if number == 99:
        raise Refused(f"day {day} already has 99 snapshots", hint="record less often, or wait for the next day (UTC)")
    return Serial(f"{day}{number + 1:02d}")
