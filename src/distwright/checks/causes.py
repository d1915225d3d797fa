"""Why two builds differ, as far as one can see: what stands in the second where the first has something else."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from distwright.checks.variations import DAY_S, Variation

SDE = "SOURCE_DATE_EPOCH"
_MONTH = rb"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*"
_TIMES = tuple(
    re.compile(pattern)
    for pattern in (
        rb"(?:[0-3]?[0-9] )?" + _MONTH + rb"\.?(?: +[0-3]?[0-9])?,?(?: +[12][0-9]{3})?",  # __DATE__, date(1)
        rb"(?<![0-9])[12][0-9]{3}[-/.][01][0-9][-/.][0-3][0-9]",
        rb"(?<![0-9])[0-2]?[0-9]:[0-5][0-9](?::[0-6][0-9])?",  # __TIME__
        rb"(?<![0-9])[12][0-9]{9}(?![0-9])",  # seconds since 1970
        rb"(?<![0-9])20[0-9]{2}[01][0-9][0-3][0-9](?:[0-9]{4,6})?(?![0-9])",
        rb"(?<![0-9])[12][0-9]{3}(?![0-9])",
    )
)
_WORD = re.compile(rb"[^\s\"'<>=,;()\[\]\0]+")
_GZIP, _ZIP = b"\x1f\x8b", b"PK\x03\x04"
_GZIP_TIME, _GZIP_LEVEL = range(4, 8), range(8, 10)
_ZIP_TIME = range(10, 14)


@dataclass(frozen=True, slots=True)
class Sides:
    """Both contents around their first difference. offset: of it, in these bytes. at: of these bytes, in the contents.

    is_whole: these are all bytes of both.
    """

    first: bytes
    second: bytes
    offset: int
    at: int = 0
    is_whole: bool = False


@dataclass(frozen=True, slots=True)
class Markers:
    """Texts that give circumstances away: of the first build if they are known, of the second one."""

    variation: Variation
    texts: tuple[tuple[str, bytes, bytes], ...]

    @classmethod
    def of(cls, variation: Variation, build_path: str) -> Self:
        """Collect what stands out. build_path: of the first build."""
        rows = (
            ("the build path", build_path, variation.build_path),
            ("HOME", "/sbuild-nonexistent", variation.home),
            ("the host name", "sbuild", variation.hostname),
            ("the name of the user who builds", "", variation.user),
            ("the number of the user who builds", "", str(variation.uid)),
            ("the time zone", "", variation.timezone),
            ("the time zone", "", variation.timezone_name),
            ("the locale", "C.UTF-8", variation.locale),
            ("the locale", "C.UTF-8", variation.locale.partition(".")[0]),
            ("the umask", "0022", f"{variation.umask:04o}"),
            ("the umask", "022", f"{variation.umask:03o}"),
        )
        return cls(variation, tuple((what, one.encode(), other.encode()) for what, one, other in rows))


def cause_of(path: str, sides: Sides, markers: Markers | None) -> str:
    """Say in a sentence what makes these contents differ; "" if nobody can tell."""
    return (
        _in_header(sides)
        or _order(path, sides)
        or (_circumstance(sides, markers) if markers is not None else "")
        or _time(sides, markers)
        or (_count(sides, markers) if markers is not None else "")
    )


def mode_cause(first: int, second: int, markers: Markers | None) -> str:
    """Say why the modes of a file differ."""
    left = 0o022 & ~markers.variation.umask if markers is not None else 0
    if left and (first ^ second) & ~left == 0 and second & left:
        return f"the umask: {markers.variation.umask:04o} leaves what 0022 takes" if markers is not None else ""
    return ""


def owner_cause(second: tuple[int, int, str, str], markers: Markers | None) -> str:
    """Say why the owners of a file differ."""
    if markers is not None and (markers.variation.uid == second[0] or markers.variation.user == second[2]):
        return "it belongs to the user who builds: pack it with --owner=0 --group=0, or dpkg-deb --root-owner-group"
    return ""


def mtime_cause(first: float, second: float, markers: Markers | None) -> str:
    """Say why the times of a file differ."""
    return f"the clock: the time is not that of {SDE}" if first != second and markers is not None else ""


def shown_time(seconds: float) -> str:
    """Write a time of a file for people."""
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}"
    except (OverflowError, ValueError, OSError):
        return f"{seconds:.0f} s after 1970"


def _in_header(sides: Sides) -> str:
    """Know the headers of gzip and zip, whose times are no text."""
    offset = sides.at + sides.offset
    both = (sides.first, sides.second)
    if sides.at == 0 and all(one.startswith(_GZIP) and len(one) > _GZIP_TIME.stop for one in both):
        if offset in _GZIP_TIME:
            one, other = (shown_time(int.from_bytes(side[4:8], "little")) for side in both)
            return f"the time in a gzip header, {one} against {other}: use gzip -n"
        if offset in _GZIP_LEVEL:
            return "what a gzip header says of its compressor"
    for start in _ZIP_TIME:
        begin = sides.offset - start
        if begin >= 0 and all(one[begin : begin + 4] == _ZIP for one in both):
            return f"the time of a member of a zip archive: strip-nondeterminism, or zip files of {SDE}"
    return ""


def _order(path: str, sides: Sides) -> str:
    if not sides.is_whole or len(sides.first) != len(sides.second) or b"\0" in sides.first:
        return ""
    first, second = sides.first.splitlines(), sides.second.splitlines()
    if len(first) < 2 or sorted(first) != sorted(second):
        return ""
    if first == sorted(first):
        return "the same lines in another order, the first one sorted by bytes: sorted by the locale, use LC_ALL=C sort"
    return "the same lines in another order: of a folder that nobody sorted, of a hash table, or of what ran at a time"


def _circumstance(sides: Sides, markers: Markers) -> str:
    """Look at the words where they differ first, then around."""
    for one, other in (_words(sides), _lines(sides)):
        for what, before, after in markers.texts:
            if _has(other, after) and not _has(one, after) and (not before or _has(one, before) or len(after) > 4):
                return f"{what} ({after.decode()})"
    return ""


def _has(text: bytes, word: bytes) -> bool:
    """Say whether a text has a word, not as a part of a longer one."""
    return re.search(rb"(?<![A-Za-z0-9])" + re.escape(word) + rb"(?![A-Za-z0-9])", text) is not None


def _time(sides: Sides, markers: Markers | None) -> str:
    first = [match[0] for match in _matches(sides.first, sides.offset)]
    second = [match[0] for match in _matches(sides.second, sides.offset)]
    if not first or (not second and markers is None):
        return ""
    ahead = "" if markers is None else f", in the second build {markers.variation.clock_ahead_s // DAY_S} days ahead"
    return f"a date or a time (the clock{ahead}): take {SDE} instead"


def _matches(text: bytes, offset: int) -> Iterator[re.Match[bytes]]:
    """Find dates and times that a place is in, or next to."""
    begin = text.rfind(b"\n", 0, offset) + 1
    end = text.find(b"\n", offset)
    begin, end = max(begin, offset - 60), min(end if end >= 0 else len(text), offset + 60)
    for pattern in _TIMES:
        for match in pattern.finditer(text, begin, end):
            if match.start() - 1 <= offset <= match.end():
                yield match


def _count(sides: Sides, markers: Markers) -> str:
    first, second = _words(sides)
    if re.fullmatch(rb"[0-9]{1,4}", first) and second == str(markers.variation.cpus).encode():
        return f"a number that is the count of CPUs in the second build ({markers.variation.cpus})"
    return ""


def _words(sides: Sides) -> tuple[bytes, bytes]:
    """Give the words that the difference is in."""
    return _around(sides.first, sides.offset), _around(sides.second, sides.offset)


def _around(text: bytes, offset: int) -> bytes:
    for match in _WORD.finditer(text):
        if match.start() <= offset < match.end() or (match.end() == offset == len(text)):
            return match[0]
    return b""


def _lines(sides: Sides) -> tuple[bytes, bytes]:
    return _line(sides.first, sides.offset), _line(sides.second, sides.offset)


def _line(text: bytes, offset: int) -> bytes:
    ends = [at for at in (text.find(b"\n", offset), text.find(b"\0", offset)) if at >= 0]
    begin = max(text.rfind(b"\n", 0, offset), text.rfind(b"\0", 0, offset)) + 1
    return text[begin : min(ends, default=len(text))]
