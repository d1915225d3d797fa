"""Dates as Debian writes them (RFC 5322, English names), without the locale and the guesses of strptime."""

import re
from datetime import UTC, datetime, timedelta, timezone

from distwright.errors import BadInput, quoted

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DATE = re.compile(
    r"(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),[ ]*)?"
    r"([0-9]{1,2})[ ]+([A-Z][a-z]{2})[ ]+([0-9]{4})[ ]+"
    r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?[ ]+(?:UTC|GMT|UT|Z|([+-])([0-9]{2})([0-9]{2}))"
)
_FIRST_YEAR, _LAST_YEAR = 1900, 9998  # so that no change of zone leaves the years that datetime knows
_HINT = "write it like 'Sat, 11 Jul 2026 10:16:37 UTC'"


def parse_date(text: str) -> datetime:
    """Read a date; the answer is aware and keeps the offset that was written.

    Zones: UTC, GMT, UT, Z and +hhmm; other names are refused, they have meant different things. The day of the week may
    be missing and is not compared, as in apt. Raises BadInput. Source: apt's RFC1123StrToTime, deb-changelog(5).
    """
    match = _DATE.fullmatch(text.strip(" \t"))
    if not match or match[2] not in _MONTHS or not _FIRST_YEAR <= int(match[3]) <= _LAST_YEAR:
        raise BadInput(f"{quoted(text)} is not a date", hint=_HINT)
    day, month, year = int(match[1]), _MONTHS.index(match[2]) + 1, int(match[3])
    try:
        zone = _zone(match[7], match[8], match[9])
        return datetime(year, month, day, int(match[4]), int(match[5]), int(match[6] or 0), tzinfo=zone)
    except ValueError:
        raise BadInput(f"{quoted(text)} is not a date of the calendar", hint=_HINT) from None


def release_date(moment: datetime) -> str:
    """Write a moment for Release files: in UTC, which is called "UTC" there; parts of a second are cut off."""
    return f"{_written(_aware(moment).astimezone(UTC))} UTC"


def changelog_date(moment: datetime) -> str:
    """Write a moment for changelogs and .changes: in its own zone, as an offset; parts of a second are cut off.

    Raises BadInput for an offset that is not whole minutes.
    """
    offset = _aware(moment).utcoffset() or timedelta(0)
    minutes, rest = divmod(abs(offset), timedelta(minutes=1))
    if rest:
        raise BadInput(f"the offset {offset} is not whole minutes", hint="convert the time to UTC")
    sign = "-" if offset < timedelta(0) else "+"
    return f"{_written(moment)} {sign}{minutes // 60:02d}{minutes % 60:02d}"


def _zone(sign: str | None, hours: str, minutes: str) -> timezone:
    if sign is None:
        return UTC
    if int(minutes) > 59:
        raise ValueError(minutes)
    offset = timedelta(hours=int(hours), minutes=int(minutes))
    return timezone(-offset if sign == "-" else offset)


def _aware(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise BadInput("a time without a zone cannot be written", hint="pass an aware datetime")
    return moment


def _written(moment: datetime) -> str:
    day, month = _DAYS[moment.weekday()], _MONTHS[moment.month - 1]
    return (
        f"{day}, {moment.day:02d} {month} {moment.year:04d} {moment.hour:02d}:{moment.minute:02d}:{moment.second:02d}"
    )
