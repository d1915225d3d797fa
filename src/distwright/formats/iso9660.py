"""Where the files of an ISO 9660 medium are: names of Rock Ridge where it has them. Nothing is mounted and no program runs.

Source: ECMA-119; IEEE P1282 (Rock Ridge) for the entries NM and CE.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from distwright.errors import BadInput
from distwright.formats.ar import read_exactly

SECTOR = 2048
MAX_MEMBERS = 100_000
NAMES_BYTES = 64 << 20
RECORDS_BYTES = 64 << 20  # of all folders and names; 100,000 files take 15 MiB
_PATH_LIMIT = 4096
_VOLUME, _ROOT = 16, 156  # sector of the first descriptor; where the record of / is in it
_RECORD_BYTES = 33  # without its name
_FOLDER = 2  # flag
_FOLDER_BYTES = 16 << 20
_CONTINUED_LIMIT = 16


@dataclass(frozen=True, slots=True)
class IsoFile:
    """A plain file, which is in one piece."""

    offset: int
    size: int


def _damaged(what: str) -> BadInput:
    return BadInput(f"the ISO {what}", hint="fetch or build it again")


def files_of_iso(file: BinaryIO) -> dict[str, IsoFile]:
    """Give path -> place for all plain files. file: opened for reading, seekable.

    Raises BadInput for what is no ISO, is damaged, or has more than MAX_MEMBERS files, NAMES_BYTES of paths or RECORDS_BYTES of
    what names them, however often it names the same bytes. Files in pieces that lie apart are not read. All files that lie in
    different places have together as many bytes as the ISO twice, at most.
    """
    medium = _Medium(file)
    descriptor = medium.read(_VOLUME * SECTOR, SECTOR)
    if descriptor[:6] != b"\x01CD001":
        raise _damaged("is none")
    found: dict[str, IsoFile] = {}
    waiting, seen, count, names = [("", *_extent(descriptor[_ROOT:]))], set[int](), 0, 0
    while waiting:
        folder, offset, size = waiting.pop()
        if offset in seen or size > _FOLDER_BYTES:
            raise _damaged("has a folder that is in two places, or is too large")
        seen.add(offset)
        for name, flags, at, length in _records(medium, offset, size):
            path = f"{folder}/{name}" if folder else name
            count, names = count + 1, names + len(path)
            if count > MAX_MEMBERS or names > NAMES_BYTES or len(path) > _PATH_LIMIT:
                raise _damaged(f"has more than {MAX_MEMBERS} files, or names that are too long")
            if flags & _FOLDER:
                waiting.append((path, at, length))
            else:
                found[path] = _joined(found.get(path), at, length, medium.end)
    if sum(place.size for place in set(found.values())) > 2 * medium.end:
        raise _damaged("has files in places that overlap")
    return found


class _Medium:
    """Gives what names files, up to RECORDS_BYTES of it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self.end, self._left = file, file.seek(0, 2), RECORDS_BYTES

    def read(self, offset: int, size: int) -> bytes:
        self._left -= size
        if offset + size > self.end:
            raise _damaged("is cut off, or is none")
        if self._left < 0:
            raise _damaged(f"has more than {RECORDS_BYTES} bytes of folders and names")
        self._file.seek(offset)
        return read_exactly(self._file, size)


def _joined(before: IsoFile | None, offset: int, size: int, end: int) -> IsoFile:
    """Put the pieces of a file of 4 GiB or more together: they have one name."""
    if offset + size > end:
        raise _damaged("is cut off")
    if before is None:
        return IsoFile(offset, size)
    if before.offset + before.size != offset:
        raise _damaged("has a file in pieces that lie apart")
    return IsoFile(before.offset, before.size + size)


def _extent(record: bytes) -> tuple[int, int]:
    return int.from_bytes(record[2:6], "little") * SECTOR, int.from_bytes(record[10:14], "little")


def _records(medium: _Medium, offset: int, size: int) -> Iterator[tuple[str, int, int, int]]:
    content, at = medium.read(offset, size), 0
    while at < len(content):
        length = content[at]
        if not length:  # no record crosses the end of a sector
            at = (at // SECTOR + 1) * SECTOR
            continue
        record = content[at : at + length]
        at += length
        named = _RECORD_BYTES + record[32] if len(record) > _RECORD_BYTES else len(record) + 1
        if named > len(record):
            raise _damaged("has a record that is cut off")
        name = record[_RECORD_BYTES:named]
        if name in (b"\0", b"\1"):
            continue
        long_name = _long_name(medium, record[named + (record[32] + 1) % 2 :])
        plain = name.partition(b";")[0].rstrip(b".").lower()
        shown = (long_name or plain).decode("utf-8", "backslashreplace").replace("/", "\\x2f")
        yield shown, record[25], *_extent(record)


def _long_name(medium: _Medium, area: bytes) -> bytes:
    """Give the name of Rock Ridge; b"" if there is none."""
    name, places = b"", 0
    while area:
        more = b""
        while len(area) >= 4 and 4 <= area[2] <= len(area):
            entry, area = area[: area[2]], area[area[2] :]
            if entry[:2] == b"NM":
                name += entry[5:]
            elif entry[:2] == b"CE" and len(entry) >= 28:
                place, start, size = (int.from_bytes(entry[at : at + 4], "little") for at in (4, 12, 20))
                more = medium.read(place * SECTOR + start, min(size, SECTOR))
        places += 1
        if places > _CONTINUED_LIMIT:
            raise _damaged("has a name without an end")
        area = more
    return name
