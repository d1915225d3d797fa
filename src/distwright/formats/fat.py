"""The plain files of a FAT file system, FAT12, 16 or 32, with their long names, read as it stands. No program runs.

Source: Microsoft Extensible Firmware Initiative FAT32 File System Specification 1.03 (fatgen103).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from distwright.errors import BadInput
from distwright.formats.ar import read_exactly

MAX_MEMBERS = 100_000
NAMES_BYTES = 64 << 20
_TABLE_BYTES = 64 << 20
_FOLDER_BYTES = 2 << 20  # 65536 records, as the specification has it
_PATH_LIMIT = 4096
_PIECE_BYTES = 1 << 20
_HEAD = struct.Struct("<11xHBHBHHxH8xII")  # from the beginning of the first sector to what FAT32 alone has
_HEAD_BYTES, _ROOT_CLUSTER = 512, 44
_RECORD, _RECORD_BYTES = struct.Struct("<11sBB7xH4xHI"), 32
_END, _GONE, _LABEL, _FOLDER, _LONG = 0, 0xE5, 0x08, 0x10, 0x0F
_SMALL_12, _SMALL_16 = 4085, 65525  # clusters from which on it is FAT16, FAT32
_LOWER_NAME, _LOWER_ENDING = 0x08, 0x10
_LAST, _NUMBER, _LONG_PIECES = 0x40, 0x3F, 20


@dataclass(frozen=True, slots=True)
class FatFile:
    """A plain file. cluster: its first one, 0 if it has none."""

    path: str
    size: int
    cluster: int


def _damaged(what: str) -> BadInput:
    return BadInput(f"the FAT file system {what}", hint="fetch or build it again")


def is_fat(sector: bytes) -> bool:
    """Say whether a first sector is one of FAT."""
    return sector[0x36:0x39] == b"FAT" or sector[0x52:0x57] == b"FAT32"


class Fat:
    """A FAT in a file. Whatever is wrong with it is BadInput, also past MAX_MEMBERS and NAMES_BYTES.

    No cluster is read twice, so what is read is never more than there is; ask for each content once. size_bytes: of all of it.
    Memory: names, the table (64 MiB at most), and a byte for each cluster.
    """

    def __init__(self, file: BinaryIO, offset: int = 0) -> None:
        """Take what begins at `offset`. file: opened for reading, seekable."""
        self._file, self._offset, self._end = file, offset, file.seek(0, 2)
        head = self._at(0, _HEAD_BYTES)
        sector, clustered, reserved, copies, records, small, table_small, large, table_large = _HEAD.unpack_from(head)
        count, table = small or large, table_small or table_large
        first = reserved + copies * table + -(-records * _RECORD_BYTES // max(sector, 1))
        if (
            not is_fat(head) or sector not in (512, 1024, 2048, 4096) or not clustered or clustered & (clustered - 1)
            or not reserved or not 1 <= copies <= 2 or not table or first >= count or table * sector > _TABLE_BYTES
        ):  # fmt: skip
            raise _damaged("is none, or is too large")
        self.size_bytes = count * sector
        if offset + self.size_bytes > self._end:
            raise _damaged("is cut off")
        self.cluster_bytes = clustered * sector
        self._clusters, self._data = (count - first) // clustered, first * sector
        # As Linux has it: mkfs.fat makes a FAT32 of any size if it is told so.
        self._bits = 32 if not table_small else 12 if self._clusters < _SMALL_12 else 16
        self._table = self._at(reserved * sector, table * sector)
        self._root = int.from_bytes(head[_ROOT_CLUSTER : _ROOT_CLUSTER + 4], "little")
        self._root_area = (reserved + copies * table) * sector, records * _RECORD_BYTES  # of FAT12 and 16
        self._used = bytearray(self._clusters + 2)

    def files(self) -> Iterator[FatFile]:
        """List all plain files, those of a folder before what is in its folders."""
        waiting, count, names = [("", -1)], 0, 0
        while waiting:
            path, place = waiting.pop()
            for name, attributes, cluster, size in _records(self._folder(place)):
                inside = f"{path}/{name}" if path else name
                count, names = count + 1, names + len(inside)
                if count > MAX_MEMBERS or names > NAMES_BYTES or len(inside) > _PATH_LIMIT:
                    raise _damaged(f"has more than {MAX_MEMBERS} files, or names that are too long")
                if attributes & _FOLDER:
                    waiting.append((inside, cluster))
                else:
                    yield FatFile(inside, size, cluster)

    def content(self, file: FatFile) -> Iterator[bytes]:
        """Give the content of a file in pieces of a MiB at most."""
        left = file.size
        for start, size in self._runs(file.cluster, left):
            at = start
            while at < start + min(size, left):
                piece = self._at(at, min(_PIECE_BYTES, start + min(size, left) - at))
                at += len(piece)
                yield piece
            left -= min(size, left)
        if left:
            raise _damaged("has a file that is shorter than it says")

    def _folder(self, cluster: int) -> bytes:
        """Read a folder. cluster: -1 for the root."""
        if cluster < 0 and self._bits != 32:
            return self._at(*self._root_area)
        cluster = self._root if cluster < 0 else cluster
        runs = list(self._runs(cluster, _FOLDER_BYTES + self.cluster_bytes))
        if sum(size for _, size in runs) > _FOLDER_BYTES:
            raise _damaged("has a folder that is too large")
        return b"".join(self._at(start, size) for start, size in runs)

    def _runs(self, cluster: int, limit: int) -> Iterator[tuple[int, int]]:
        """Follow a chain for `limit` bytes at most: place and size of what lies together."""
        while limit > 0 and 2 <= cluster < self._clusters + 2:
            first, count = cluster, 0
            while count * self.cluster_bytes < limit and cluster == first + count and cluster < self._clusters + 2:
                if self._used[cluster]:
                    raise _damaged("has a cluster in two places")
                self._used[cluster] = 1
                count, cluster = count + 1, self._next(cluster)
            limit -= count * self.cluster_bytes
            yield self._data + (first - 2) * self.cluster_bytes, count * self.cluster_bytes

    def _next(self, cluster: int) -> int:
        if self._bits == 12:
            both = self._entry(cluster * 3 // 2, 2)
            return both >> 4 if cluster % 2 else both & 0xFFF
        return self._entry(cluster * 2, 2) if self._bits == 16 else self._entry(cluster * 4, 4) & 0x0FFFFFFF

    def _entry(self, at: int, size: int) -> int:
        if at + size > len(self._table):
            raise _damaged("has a table that is too short")
        return int.from_bytes(self._table[at : at + size], "little")

    def _at(self, place: int, size: int) -> bytes:
        if self._offset + place + size > self._end:
            raise _damaged("is cut off, or is none")
        self._file.seek(self._offset + place)
        return read_exactly(self._file, size)


def _records(folder: bytes) -> Iterator[tuple[str, int, int, int]]:
    """List a folder: name, attributes, first cluster, size."""
    pieces: list[bytes] = []
    for at in range(0, len(folder) - _RECORD_BYTES + 1, _RECORD_BYTES):
        record = folder[at : at + _RECORD_BYTES]
        short, attributes, case, high, low, size = _RECORD.unpack(record)
        if record[0] == _END:
            return
        if record[0] == _GONE:
            pieces = []
        elif attributes & 0x3F == _LONG:
            pieces = [] if record[0] & _LAST else pieces
            if len(pieces) < _LONG_PIECES:
                pieces.append(record)
        elif not attributes & _LABEL and not short.startswith((b".  ", b".. ")):
            yield _long_name(pieces, short) or _short_name(short, case), attributes, high << 16 | low, size
            pieces = []
        else:
            pieces = []


def _long_name(pieces: list[bytes], short: bytes) -> str:
    """Join the records before a file; "" if they are not its own."""
    total = 0
    for sign in short:
        total = ((total & 1) << 7 | total >> 1) + sign & 0xFF
    numbers = [piece[0] & _NUMBER for piece in pieces]
    if numbers != list(range(len(pieces), 0, -1)) or any(piece[13] != total for piece in pieces):
        return ""
    whole = b"".join(piece[1:11] + piece[14:26] + piece[28:32] for piece in reversed(pieces))
    return _clean(whole.decode("utf-16-le", "backslashreplace").partition("\0")[0])


def _short_name(short: bytes, case: int) -> str:
    if short[0] == 0x05:  # a first byte 0xE5, which would say that it is gone
        short = b"\xe5" + short[1:]
    name, ending = (part.decode("cp437").rstrip() for part in (short[:8], short[8:]))
    name = name.lower() if case & _LOWER_NAME else name
    ending = ending.lower() if case & _LOWER_ENDING else ending
    return _clean(f"{name}.{ending}" if ending else name)


def _clean(name: str) -> str:
    return name.replace("/", "\\x2f")
