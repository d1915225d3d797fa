"""What an initrd holds: cpio archives in the "new ASCII" format, one after the other, the last of them packed.

Source: Documentation/driver-api/early-userspace/buffer-format.rst of Linux.
"""

import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from distwright.errors import BadInput, quoted
from distwright.formats.streaming import PIECE_BYTES, Read, unpacked

MAX_MEMBERS = 200_000
_MAGIC, _TRAILER = b"070701", b"TRAILER!!!"
_HEADER_BYTES, _NAME_BYTES, _LINK_BYTES = 110, 4096, 4096
_NUMBERS = re.compile(rb"[0-9A-Fa-f]{104}")
_PACKED = {b"\x1f\x8b": ".gz", b"\xfd7zXZ": ".xz", b"(\xb5/\xfd": ".zst", b"BZh": ".bz2", b"]\0\0": ".lzma"}
_HINT = "make the initrd again"


@dataclass(frozen=True, slots=True)
class CpioEntry:
    """A member. mode: with the kind of file, as stat(2) has it. content: in pieces; to be read before the next member.

    A file with several names has its content at the last of them.
    """

    name: bytes
    mode: int
    uid: int
    gid: int
    mtime: int
    size: int
    device: tuple[int, int]
    content: Iterator[bytes]


def iter_initrd(read: Read, *, limit_bytes: int) -> Iterator[CpioEntry]:
    """Give the members of all archives in an initrd, in their order, but the trailers.

    read: gives up to so many bytes, b"" at the end. limit_bytes: of all, unpacked. Memory: a piece. Raises BadInput for what is
    damaged, cut off, too long, packed in a way that Debian's initramfs-tools do by no default (lz4, lzo), or no cpio.
    """
    stream = _Stream(read)
    count, is_packed = 0, False
    while stream.skip_zeros():
        head = stream.peek(6)
        if head != _MAGIC:
            ending = next((ending for magic, ending in _PACKED.items() if head.startswith(magic)), None)
            if ending is None or is_packed:  # the kernel unpacks one thing in another once, too
                raise BadInput(f"an initrd that goes on with {head.hex(' ')} cannot be read", hint=_HINT)
            pieces = unpacked(stream.take_some, ending, limit_bytes=limit_bytes)
            is_packed = True
            stream = _Stream(lambda _size, pieces=pieces: next(pieces, b""))  # type: ignore[misc]  # a default binds this one
            if stream.peek(6) != _MAGIC:
                raise BadInput("what is packed in the initrd is no cpio archive", hint=_HINT)
        for entry in _members(stream):
            count += 1
            if count > MAX_MEMBERS:
                raise BadInput(f"the initrd has more than {MAX_MEMBERS} members", hint=_HINT)
            yield entry


class _Stream:
    """Bytes that are read once, with a look ahead."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._kept = b""

    def peek(self, size: int) -> bytes:
        while len(self._kept) < size and (piece := self._read(PIECE_BYTES)):
            self._kept += piece
        return self._kept[:size]

    def take_some(self, size: int) -> bytes:
        found = self.peek(1) and self._kept[:size]
        self._kept = self._kept[len(found) :]
        return found

    def take(self, size: int) -> bytes:
        found = self.peek(size)
        if len(found) < size:
            raise BadInput("the initrd is cut off", hint=_HINT)
        self._kept = self._kept[size:]
        return found

    def skip_zeros(self) -> bool:
        """Skip the padding between archives; say whether anything follows."""
        while self.peek(1):
            self._kept = self._kept.lstrip(b"\0")
            if self._kept:
                return True
        return False


def _members(stream: _Stream) -> Iterator[CpioEntry]:
    """Give the members of one archive."""
    while True:
        header = stream.take(_HEADER_BYTES)
        if not header.startswith(_MAGIC) or not _NUMBERS.fullmatch(header[6:]):
            raise BadInput(f"{quoted(header[:16].decode(errors='replace'))} is no header of cpio", hint=_HINT)
        numbers = [int(header[at : at + 8], 16) for at in range(6, _HEADER_BYTES, 8)]
        _, mode, uid, gid, _, mtime, size, _, _, major, minor, name_size, _ = numbers
        if not 0 < name_size <= _NAME_BYTES:
            raise BadInput(f"a name in the initrd has {name_size} bytes", hint=_HINT)
        name = stream.take(name_size)[:-1]
        stream.take(-(_HEADER_BYTES + name_size) % 4)
        if name == _TRAILER:
            return
        if stat.S_ISLNK(mode) and size > _LINK_BYTES:
            raise BadInput(f"a link in the initrd has {size} bytes", hint=_HINT)
        content = _content(stream, size)
        yield CpioEntry(name, mode, uid, gid, mtime, size, (major, minor), content)
        for _ in content:  # what the caller has not read
            pass
        stream.take(-size % 4)


def _content(stream: _Stream, size: int) -> Iterator[bytes]:
    while size:
        piece = stream.take(min(size, PIECE_BYTES))
        size -= len(piece)
        yield piece
