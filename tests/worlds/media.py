"""ISO 9660 and squashfs written byte by byte, so that they can say what no program writes: folders in themselves, false tables."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

SECTOR = 2048
FOLDER = 2  # flag of a record
_METADATA = 8192
_NOWHERE, _NO_FRAGMENT, _NO_ATTRIBUTES = (1 << 64) - 1, (1 << 32) - 1, (1 << 32) - 1


def record(name: bytes, sector: int, size: int, *, flags: int = 0, area: bytes = b"") -> bytes:
    """Write what a folder of ISO 9660 has of a file. area: of Rock Ridge."""
    pad = b"\0" * ((len(name) + 1) % 2)
    length = 33 + len(name) + len(pad) + len(area)
    length += length % 2
    head = struct.pack(
        "<BB I 4x I 4x 7x B 2x 4x B", length, 0, sector, size, flags, len(name)
    )  # the halves in the other order of bytes are read by nobody
    return (head + name + pad + area).ljust(length, b"\0")


def long_name(name: bytes) -> bytes:
    """Write a name of Rock Ridge, 250 bytes at most."""
    return b"NM" + bytes([5 + len(name), 1, 0]) + name


def continued(sector: int, size: int, start: int = 0) -> bytes:
    """Say that more of a name is elsewhere."""
    return b"CE" + bytes([28, 1]) + b"".join(struct.pack("<I4x", value) for value in (sector, start, size))


@dataclass
class Iso:
    """A medium: sectors as they are put, from 18 on."""

    content: bytearray = field(default_factory=lambda: bytearray(18 * SECTOR))

    @property
    def next(self) -> int:
        """Give the sector that is put next."""
        return len(self.content) // SECTOR

    def put(self, content: bytes) -> int:
        """Put bytes into sectors; give the first one."""
        place = self.next
        self.content += content.ljust(-(-max(len(content), 1) // SECTOR) * SECTOR, b"\0")
        return place

    def image(self, root: int, size: int = SECTOR) -> bytes:
        """Give all of it. root: the sector of the root folder, size: its bytes."""
        volume = bytearray(SECTOR)
        volume[:6] = b"\x01CD001"
        volume[156:190] = record(b"\0", root, size, flags=FOLDER)
        self.content[16 * SECTOR : 17 * SECTOR] = volume
        return bytes(self.content)


def folder(records: Sequence[bytes]) -> bytes:
    """Join records so that none crosses the end of a sector."""
    content = b""
    for one in records:
        if len(content) % SECTOR + len(one) > SECTOR:
            content = content.ljust(-(-len(content) // SECTOR) * SECTOR, b"\0")
        content += one
    return content


@dataclass
class SquashfsWriter:
    """A squashfs without compression: inodes and lists of folders, one after the other. attributes: rows of name and value."""

    block_size: int = 4096
    inodes: bytearray = field(default_factory=bytearray)
    lists: bytearray = field(default_factory=bytearray)
    data: bytearray = field(default_factory=lambda: bytearray(96))
    fragments: list[tuple[int, int]] = field(default_factory=list)
    attributes: list[list[tuple[bytes, bytes]]] = field(default_factory=list)
    count: int = 0

    def put_data(self, content: bytes) -> tuple[int, int]:
        """Put a block of data; give where it is, and its size as the format writes it."""
        place = len(self.data)
        self.data += content
        return place, len(content) | 1 << 24

    def file(
        self, content: bytes = b"", *, fragment: int = -1, attributes: int = -1, sizes: Sequence[int] | None = None
    ) -> int:
        """Put a plain file. content: in the fragment of that number. sizes: of its blocks, whatever they say."""
        size = len(content) if sizes is None else len(sizes) * self.block_size
        number = _NO_FRAGMENT if fragment < 0 else fragment
        row = struct.pack("<3Q4I", 96, size, 0, 1, number, 0, _NO_ATTRIBUTES if attributes < 0 else attributes)
        return self._put(9, row + b"".join(struct.pack("<I", one) for one in sizes or ()))

    def link(self, target: bytes) -> int:
        """Put a symlink."""
        return self._put(3, struct.pack("<2I", 1, len(target)) + target)

    def folder(self, entries: Sequence[tuple[bytes, int]]) -> int:
        """Put a folder. entries: names, in order, and where their inodes are in the area of inodes."""
        place, rows = len(self.lists), b""
        for name, inode in entries:
            start, offset = _reference(inode) >> 16, _reference(inode) & 0xFFFF
            rows += struct.pack("<3I", 0, start, 1) + struct.pack("<HhHH", offset, 0, 1, len(name) - 1) + name
        self.lists += rows
        reference = _reference(place)
        row = struct.pack("<4I2HI", 2, len(rows) + 3, reference >> 16, 1, 0, reference & 0xFFFF, _NO_ATTRIBUTES)
        return self._put(8, row)

    def _put(self, kind: int, row: bytes) -> int:
        place = len(self.inodes)
        self.count += 1
        self.inodes += struct.pack("<4H2I", kind, 0o644, 0, 0, 0, self.count) + row
        return place

    def image(self, root: int) -> bytes:
        """Give all of it. root: where its inode is."""
        out = bytearray(self.data)
        fragments = b"".join(struct.pack("<QII", place, said, 0) for place, said in self.fragments)
        fragment_table = _put_table(out, fragments) if fragments else _NOWHERE
        id_table = _put_table(out, struct.pack("<I", 0))
        attributes = self._attributes(out) if self.attributes else _NOWHERE
        inode_table = _put_metadata(out, bytes(self.inodes))
        directory_table = _put_metadata(out, bytes(self.lists) or b"\0")
        out[:96] = struct.pack(
            "<5I6H8Q", 0x73717368, self.count, 0, self.block_size, len(self.fragments), 1, self.block_size.bit_length() - 1,
            0, 1, 4, 0, _reference(root), len(out), id_table, attributes, inode_table, directory_table, fragment_table, _NOWHERE,
        )  # fmt: skip
        return bytes(out)

    def _attributes(self, out: bytearray) -> int:
        values, rows = b"", b""
        for row in self.attributes:
            rows += struct.pack("<QII", _reference(len(values)), len(row), 0)
            for name, value in row:
                values += struct.pack("<2H", 0, len(name)) + name + struct.pack("<I", len(value)) + value
        start, place = _put_metadata(out, values), len(out)
        table = _put_metadata(out, rows)
        head = len(out)
        out += struct.pack("<QII", start, len(self.attributes), 0)
        out += b"".join(
            struct.pack("<Q", table + number * (_METADATA + 2)) for number in range(-(-len(rows) // _METADATA))
        )
        assert table == place
        return head


def _reference(place: int) -> int:
    return place // _METADATA * (_METADATA + 2) << 16 | place % _METADATA


def _put_metadata(out: bytearray, content: bytes) -> int:
    place = len(out)
    for at in range(0, len(content), _METADATA):
        block = content[at : at + _METADATA]
        out += struct.pack("<H", len(block) | 1 << 15) + block
    return place


def _put_table(out: bytearray, content: bytes) -> int:
    start = _put_metadata(out, content)
    place = len(out)
    for number in range(-(-len(content) // _METADATA)):
        out += struct.pack("<Q", start + number * (_METADATA + 2))
    return place
