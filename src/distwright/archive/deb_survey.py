"""Look through the data.tar (and the times of the control.tar) of a .deb: streamed, within bounds that follow its size."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from distwright.errors import BadInput, quoted
from distwright.formats.ar import ArMember, iter_ar
from distwright.formats.streaming import unpacked
from distwright.formats.tar import TarKind
from distwright.formats.tarheaders import TarHeader, iter_headers

ENDINGS = (".xz", ".gz", ".zst", "")  # what dpkg-deb writes today; dpkg of Debian 12 reads all of them
_LIMIT_BYTES = 32 << 30
_FREE_BYTES = 64 << 20
_RATIO = 200  # real packages stay below 100; a bomb of xz reaches 7,000
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class DebSurvey:
    """What the archives inside of a package hold. times: earliest and latest of a member. bad_names: the first few hostile ones."""

    members: int
    earliest: float
    earliest_name: str
    latest: float
    latest_name: str
    bad_names: tuple[str, ...]


def survey_deb(file: BinaryIO) -> DebSurvey:
    """Read the headers of both tar archives; raise BadInput for damage, bombs and what readers of tar disagree about.

    file: opened for reading, seekable. Time and what is unpacked follow the size of the file; memory is constant.
    """
    members = [member for member in iter_ar(file) if member.name.startswith(("control.tar", "data.tar"))]
    count = 0
    bad: list[str] = []
    earliest, latest = (float("inf"), ""), (float("-inf"), "")
    for member in members:
        for header in _headers(file, member):
            name = header.name.decode("utf-8", "backslashreplace")
            count += 1
            earliest, latest = min(earliest, (header.mtime, name)), max(latest, (header.mtime, name))
            reason = _hostile(header)
            if reason and len(bad) < _SHOWN:
                bad.append(f"{quoted(name)} {reason}")
    return DebSurvey(count, *earliest, *latest, tuple(bad))


def _headers(file: BinaryIO, member: ArMember) -> Iterator[TarHeader]:
    ending = member.name.partition(".tar")[2]
    if ending not in ENDINGS:
        raise BadInput(f"{member.name} is packed in a way that is not taken", hint="build it with dpkg-deb -Zxz")
    limit = min(_LIMIT_BYTES, _FREE_BYTES + _RATIO * member.size)
    try:
        yield from iter_headers(unpacked(_reader(file, member), ending, limit_bytes=limit))
    except BadInput as error:
        raise BadInput(f"{member.name}: {error.message}", hint="build the package again with dpkg-deb") from error


def _reader(file: BinaryIO, member: ArMember) -> Callable[[int], bytes]:
    file.seek(member.offset)
    left = member.size

    def read(size: int) -> bytes:
        nonlocal left
        piece = file.read(min(size, left))
        left -= len(piece)
        return piece

    return read


def _hostile(header: TarHeader) -> str:
    """Say why a member would not stay below the root that it is unpacked to; "" if it would."""
    if header.name.startswith(b"/"):
        return "is an absolute path"
    if b".." in header.name.split(b"/"):
        return "leaves its folder"
    if b"\n" in header.name:
        return "has a line break"
    if header.kind is TarKind.HARDLINK and (header.link.startswith(b"/") or b".." in header.link.split(b"/")):
        return "is a hard link to a place outside of the package"
    return ""
