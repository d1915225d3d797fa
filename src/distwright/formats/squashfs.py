"""What is in a squashfs: names, modes, owners, links, devices, extended attributes and contents, read as it stands.

Nothing is unpacked to a disk and no program runs, so what was made by somebody else can be looked at anywhere. Memory is the names
and one row for each file. Source: Documentation/filesystems/squashfs.rst of Linux, and fs/squashfs/squashfs_fs.h there.
"""

import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from distwright.formats.squashfs_blocks import NOWHERE, Blocks, Reading, damaged, table_of

MAX_MEMBERS = 1_000_000
NAMES_BYTES = 256 << 20
CONTENT_BYTES = 64 << 30
ATTRIBUTES_BYTES = 64 << 20
SIZES = 16 << 20  # blocks of all files together
_NO_FRAGMENT = _NO_XATTR = (1 << 32) - 1
_KINDS = {
    1: stat.S_IFDIR, 2: stat.S_IFREG, 3: stat.S_IFLNK, 4: stat.S_IFBLK, 5: stat.S_IFCHR, 6: stat.S_IFIFO, 7: stat.S_IFSOCK,
}  # fmt: skip
_LONG = 7  # what a kind with extended attributes, or of a large file, is more than the plain one
_INODE, _FOLDER, _LONG_FOLDER = struct.Struct("<4H2I"), struct.Struct("<2I2HI"), struct.Struct("<4I2HI")
_FILE, _LONG_FILE, _LINK = struct.Struct("<4I"), struct.Struct("<3Q4I"), struct.Struct("<2I")
_DEVICE, _COUNT = struct.Struct("<2I"), struct.Struct("<I")
_RUN_LIMIT = 255  # names in one part of a folder, less one
_RUN, _NAMED, _ATTRIBUTE = struct.Struct("<3I"), struct.Struct("<HhHH"), struct.Struct("<2H")
_PREFIXES = ("user.", "trusted.", "security.")
_ELSEWHERE = 0x100  # the value of an attribute is where its own says
_ATTRIBUTES_LIMIT, _VALUE_LIMIT = 1000, 65536
_PATH_LIMIT = 4096
_SIZES_LIMIT = 1 << 20  # blocks of one file


@dataclass(frozen=True, slots=True)
class _Blocks:
    """Where the content of a file is. sizes: of its blocks, as the format writes them."""

    start: int
    sizes: tuple[int, ...]
    fragment: int
    offset: int


@dataclass(frozen=True, slots=True)
class SquashFile:
    """A file of any kind. path: without a / before it, "." for the root. mode: with the kind, as stat(2) has it.

    link: what a symlink says. device: major and minor. inode: where it is (not its number,
    which may lie); files that have one are one file. xattrs: name -> value.
    """

    path: bytes
    mode: int
    uid: int
    gid: int
    mtime: int
    inode: int
    size: int = 0
    link: bytes = b""
    device: tuple[int, int] = (0, 0)
    xattrs: tuple[tuple[str, bytes], ...] = ()
    content: _Blocks | None = None


class Squashfs:
    """A squashfs in a file. Whatever is wrong with it is BadInput, also past MAX_MEMBERS, NAMES_BYTES (of paths and of what links
    say), CONTENT_BYTES, ATTRIBUTES_BYTES, SIZES and UNPACKED_BYTES: what looking at all of it takes is bounded, whatever it says.
    """

    def __init__(self, file: BinaryIO, offset: int = 0, size: int | None = None) -> None:
        """Take `size` bytes from `offset` on (default: all of the file), opened for reading, seekable."""
        self._blocks = Blocks(file, offset, file.seek(0, 2) - offset if size is None else size)
        head = self._blocks.head
        if head.inodes > MAX_MEMBERS or head.fragments > MAX_MEMBERS:
            raise damaged(f"has more than {MAX_MEMBERS} files")
        self._ids = [int.from_bytes(row, "little") for row in table_of(self._blocks, head.id_table, head.ids, 4)]
        self._fragments = table_of(self._blocks, head.fragment_table, head.fragments, 16) if head.fragments else []
        self._xattr_start, self._xattrs = self._attribute_table()
        self._fragment: tuple[int, bytes] = (-1, b"")
        self._read_bytes = 0
        self._sizes_left, self._attributes_left = SIZES, ATTRIBUTES_BYTES
        self._known: dict[int, tuple[tuple[str, bytes], ...]] = {}  # attributes by their number

    def files(self) -> Iterator[SquashFile]:
        """List everything, a folder before what is in it, each folder in the order of the squashfs (bytes of names)."""
        seen: set[int] = set()
        waiting = [(b"", self._blocks.head.root)]
        count = names = 0
        while waiting:
            path, place = waiting.pop()
            file, listing = self._file(path, place)
            names += len(file.link)
            _check_names(count, names)
            yield file
            if listing is None:
                continue
            if place in seen:
                raise damaged("has a folder that is in two places")
            seen.add(place)
            inside: list[tuple[bytes, int]] = []
            for entry in self._entries(path, *listing):
                inside.append(entry)
                count, names = count + 1, names + len(entry[0])
                _check_names(count, names)
            waiting += reversed(inside)

    def content(self, file: SquashFile) -> Iterator[bytes]:
        """Give the content of a plain file, in pieces of a MiB at most."""
        if file.content is None:
            return
        self._read_bytes += file.size
        if self._read_bytes > CONTENT_BYTES:
            raise damaged(f"has more than {CONTENT_BYTES} bytes of files")
        place, left, block_size = file.content.start, file.size, self._blocks.head.block_size
        for said in file.content.sizes:
            want = min(left, block_size)
            block = self._blocks.block(place, said) if said else b"\0" * want
            place += said & 0xFFFFFF
            if len(block) != want:
                raise damaged("has a block that is too short")
            left -= want
            yield block
        if left:
            yield self._tail(file.content, left)

    def _tail(self, where: _Blocks, size: int) -> bytes:
        if where.fragment >= len(self._fragments):
            raise damaged("names a fragment that it does not have")
        if self._fragment[0] != where.fragment:
            place, said, _ = struct.unpack("<QII", self._fragments[where.fragment])
            self._fragment = where.fragment, self._blocks.block(place, said)
        tail = self._fragment[1][where.offset : where.offset + size]
        if len(tail) != size:
            raise damaged("has a fragment that is too short")
        return tail

    def _reading(self, table: int, reference: int) -> Reading:
        return Reading(self._blocks, table + (reference >> 16), reference & 0xFFFF)

    def _file(self, path: bytes, place: int) -> tuple[SquashFile, tuple[int, int] | None]:
        """Read an inode; of a folder also where its list is and how long."""
        reading = self._reading(self._blocks.head.inode_table, place)
        kind, mode, uid, gid, mtime, _ = reading.values(_INODE)
        is_long = kind > _LONG
        plain = kind - _LONG if is_long else kind
        if plain not in _KINDS or max(uid, gid) >= len(self._ids):
            raise damaged("has an inode of no kind, or of nobody")
        size, link, device, where, listing, xattr = 0, b"", (0, 0), None, None, _NO_XATTR
        if plain == 1:
            listing, xattr = _folder(reading, is_long=is_long)
        elif plain == 2:
            size, where, xattr = self._content(reading, is_long=is_long)
        elif plain == 3:
            size = reading.values(_LINK)[1]
            if size > _PATH_LIMIT:
                raise damaged("has a link that is too long")
            link = reading.take(size)
        elif plain in (4, 5):
            device = _device(reading.values(_DEVICE)[1])
        else:
            reading.values(_COUNT)
        if is_long and plain > 2:
            [xattr] = reading.values(_COUNT)
        file = SquashFile(
            path or b".", _KINDS[plain] | mode & 0o7777, self._ids[uid], self._ids[gid], mtime, place, size, link, device,
            self._attributes(xattr), where,
        )  # fmt: skip
        return file, listing

    def _content(self, reading: Reading, *, is_long: bool) -> tuple[int, _Blocks, int]:
        xattr = _NO_XATTR
        if is_long:
            start, size, _, _, fragment, offset, xattr = reading.values(_LONG_FILE)
        else:
            start, fragment, offset, size = reading.values(_FILE)
        block_size = self._blocks.head.block_size
        if size > CONTENT_BYTES:
            raise damaged(f"has a file of {size} bytes")
        count = size // block_size if fragment != _NO_FRAGMENT else -(-size // block_size)
        self._sizes_left -= count
        if count > _SIZES_LIMIT or self._sizes_left < 0:
            raise damaged(f"has a file of {count} blocks, or more than {SIZES} in all")
        sizes = struct.unpack(f"<{count}I", reading.take(4 * count))
        return size, _Blocks(start, sizes, fragment, offset), xattr

    def _entries(self, folder: bytes, place: int, size: int) -> Iterator[tuple[bytes, int]]:
        """List a folder: paths, and where their inodes are. size: three more than the list has, as the format wants it."""
        if size <= 3:
            return
        reading, left, before = self._reading(self._blocks.head.directory_table, place), size - 3, b""
        while left > 0:
            count, start, _ = reading.values(_RUN)
            left -= _RUN.size
            if count > _RUN_LIMIT:
                raise damaged("has a folder in parts that are too long")
            for _ in range(count + 1):
                offset, _, _, length = reading.values(_NAMED)
                name = reading.take(length + 1)
                left -= _NAMED.size + length + 1
                path = folder + b"/" + name if folder else name
                if name in (b".", b"..") or b"/" in name or b"\0" in name or left < 0 or len(path) > _PATH_LIMIT:
                    raise damaged("has a name that is none")
                if name <= before:  # a kernel that looks a name up stops at the first one
                    raise damaged("has a folder that is not sorted, or a name twice")
                before = name
                yield path, start << 16 | offset

    def _attribute_table(self) -> tuple[int, list[bytes]]:
        place = self._blocks.head.xattr_table
        if place == NOWHERE:
            return 0, []
        start, count, _ = struct.unpack("<QII", self._blocks.at(place, 16))
        if count > MAX_MEMBERS:
            raise damaged("has too many extended attributes")
        return start, table_of(self._blocks, place + 16, count, 16)

    def _attributes(self, number: int) -> tuple[tuple[str, bytes], ...]:
        if number == _NO_XATTR:
            return ()
        if number not in self._known:
            self._known[number] = self._read_attributes(number)
        return self._known[number]

    def _read_attributes(self, number: int) -> tuple[tuple[str, bytes], ...]:
        if number >= len(self._xattrs):
            raise damaged("names extended attributes that it does not have")
        reference, count, _ = struct.unpack("<QII", self._xattrs[number])
        if count > _ATTRIBUTES_LIMIT:
            raise damaged("has a file with too many extended attributes")
        reading, found = self._reading(self._xattr_start, reference), dict[str, bytes]()
        for _ in range(count):
            kind, length = reading.values(_ATTRIBUTE)
            name = reading.take(length).decode("utf-8", "backslashreplace")
            value = self._value(reading)
            if kind & _ELSEWHERE:
                value = self._value(self._reading(self._xattr_start, int.from_bytes(value, "little")))
            self._attributes_left -= len(name) + len(value) + _ATTRIBUTE.size
            if self._attributes_left < 0:
                raise damaged(f"has more than {ATTRIBUTES_BYTES} bytes of extended attributes")
            prefix = _PREFIXES[kind & 0xFF] if kind & 0xFF < len(_PREFIXES) else f"{kind & 0xFF}."
            found[prefix + name] = value
        return tuple(sorted(found.items()))

    def _value(self, reading: Reading) -> bytes:
        [size] = reading.values(_COUNT)
        if size > _VALUE_LIMIT:
            raise damaged("has an extended attribute that is too long")
        return reading.take(size)


def _check_names(count: int, names_bytes: int) -> None:
    if count > MAX_MEMBERS or names_bytes > NAMES_BYTES:
        raise damaged(f"has more than {MAX_MEMBERS} files, or {NAMES_BYTES} bytes of names")


def _folder(reading: Reading, *, is_long: bool) -> tuple[tuple[int, int], int]:
    if is_long:
        _, size, block, _, _, offset, xattr = reading.values(_LONG_FOLDER)
        return (block << 16 | offset, size), xattr
    block, _, size, offset, _ = reading.values(_FOLDER)
    return (block << 16 | offset, size), _NO_XATTR


def _device(number: int) -> tuple[int, int]:
    """Part a number as new_decode_dev of Linux does."""
    return (number & 0xFFF00) >> 8, (number & 0xFF) | (number >> 12 & 0xFFF00)
