"""The blocks of a squashfs (version 4.0): where its tables are, and how what is packed in it comes out, within bounds."""

import lzma
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import BinaryIO, Self

import zstandard

from distwright.errors import BadInput
from distwright.formats.ar import read_exactly
from distwright.formats.compression import XZ_MEMORY_BYTES

METADATA_BYTES = 8192  # what a block of metadata unpacks to, at most
BLOCK_BYTES = 1 << 20  # the largest that the format has
UNPACKED_BYTES = 256 << 30  # in all, for a block may be asked for many times
NOWHERE = (1 << 64) - 1  # where a table is that is not there
_MAGIC = 0x73717368
_HEAD = struct.Struct("<5I6H8Q")
_STORED_METADATA, _STORED_BLOCK = 1 << 15, 1 << 24
_KEPT_BYTES = 64 << 20
_HINT = "make it again with mksquashfs; if it stays, do not trust whoever made it"


def damaged(what: str) -> BadInput:
    """Say what is not as the format wants it."""
    return BadInput(f"the squashfs {what}", hint=_HINT)


def _unzip(content: bytes, limit: int) -> bytes:
    decoder = zlib.decompressobj()
    plain = decoder.decompress(content, limit + 1)
    if not decoder.eof and len(plain) <= limit:
        raise damaged("has a block that is cut off")
    return plain


def _unxz(content: bytes, limit: int) -> bytes:
    decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY_BYTES)
    plain = decoder.decompress(content, limit + 1)
    if not decoder.eof and len(plain) <= limit:
        raise damaged("has a block that is cut off")
    return plain


def _unzstd(content: bytes, limit: int) -> bytes:
    said = zstandard.get_frame_parameters(content).content_size
    # The header is believed by the decoder, which takes as much memory: so it is read first.
    if limit < said < zstandard.CONTENTSIZE_UNKNOWN:
        raise damaged("has a block that unpacks to more than fits")
    return zstandard.ZstdDecompressor(max_window_size=BLOCK_BYTES * 8).decompress(content, max_output_size=limit)


_COMPRESSORS: Mapping[int, Callable[[bytes, int], bytes]] = {1: _unzip, 4: _unxz, 6: _unzstd}
_NAMES = {1: "gzip", 2: "lzma", 3: "lzo", 4: "xz", 5: "lz4", 6: "zstd"}


@dataclass(frozen=True, slots=True)
class Superblock:
    """The first 96 bytes. Places are offsets in the squashfs; root: where the inode of / is."""

    inodes: int
    block_size: int
    fragments: int
    compressor: int
    ids: int
    root: int
    bytes_used: int
    id_table: int
    xattr_table: int
    inode_table: int
    directory_table: int
    fragment_table: int

    @classmethod
    def parse(cls, content: bytes) -> Self:
        """Read it; raise BadInput for what is no squashfs 4.0, or of a compression that is not known here."""
        if len(content) < _HEAD.size:
            raise damaged("is shorter than its head")
        magic, inodes, _, block_size, fragments, compressor, log, _, ids, major, minor, *places = _HEAD.unpack(content)
        root, used, id_table, xattr_table, inode_table, directory_table, fragment_table, _ = places
        if magic != _MAGIC or (major, minor) != (4, 0):
            raise damaged("is none, or is not of version 4.0")
        if not 4096 <= block_size <= BLOCK_BYTES or block_size != 1 << log:
            raise damaged(f"has blocks of {block_size} bytes")
        if compressor not in _COMPRESSORS:
            name = _NAMES.get(compressor, str(compressor))
            raise damaged(f"is packed with {name}; gzip, xz and zstd can be read")
        return cls(
            inodes, block_size, fragments, compressor, ids, root, used, id_table, xattr_table, inode_table, directory_table,
            fragment_table,
        )  # fmt: skip


class Blocks:
    """Gives unpacked blocks by their place; keeps some of those of metadata."""

    def __init__(self, file: BinaryIO, offset: int, size: int) -> None:
        """Read a squashfs of `size` bytes that begins at `offset` of a file that can be read anywhere. Raises BadInput."""
        self._file, self._offset, self._size = file, offset, size
        self.head = Superblock.parse(self.at(0, min(size, _HEAD.size)))
        self._kept: dict[int, tuple[bytes, int]] = {}
        self._left = UNPACKED_BYTES

    def at(self, place: int, size: int) -> bytes:
        """Give so many bytes as they are. Raises BadInput outside of the squashfs."""
        if place < 0 or size < 0 or place + size > self._size:
            raise damaged("names a place outside of it")
        self._file.seek(self._offset + place)
        content = read_exactly(self._file, size)
        if len(content) != size:
            raise damaged("is cut off")
        return content

    def block(self, place: int, said: int) -> bytes:
        """Give a block of data. said: its size as the format writes it."""
        size = said & ~_STORED_BLOCK
        if size > self.head.block_size:
            raise damaged("has a block that is larger than its blocks are")
        return self._plain(self.at(place, size), self.head.block_size, is_stored=bool(said & _STORED_BLOCK))

    def metadata(self, place: int) -> tuple[bytes, int]:
        """Give a block of metadata, and where the next one is."""
        found = self._kept.get(place)
        if found is None:
            said = int.from_bytes(self.at(place, 2), "little")
            size = said & ~_STORED_METADATA
            content = self._plain(self.at(place + 2, size), METADATA_BYTES, is_stored=bool(said & _STORED_METADATA))
            if not content:
                raise damaged("has an empty block")
            if len(self._kept) * METADATA_BYTES > _KEPT_BYTES:
                self._kept.clear()
            found = self._kept[place] = content, place + 2 + size
        return found

    def _plain(self, content: bytes, limit: int, *, is_stored: bool) -> bytes:
        try:
            plain = content if is_stored else _COMPRESSORS[self.head.compressor](content, limit)
        except (lzma.LZMAError, zlib.error, zstandard.ZstdError, EOFError, ValueError) as error:
            raise damaged(f"has a damaged block: {error}") from error
        if len(plain) > limit:
            raise damaged("has a block that unpacks to more than fits")
        self._left -= len(plain)
        if self._left < 0:
            raise damaged(f"has more than {UNPACKED_BYTES} bytes to unpack")
        return plain


class Reading:
    """Reads metadata one after another, over the ends of blocks."""

    def __init__(self, blocks: Blocks, place: int, offset: int) -> None:
        """Begin at an offset in the block at a place."""
        self._blocks = blocks
        self._block, self._next = blocks.metadata(place)
        self._at = offset

    def take(self, size: int) -> bytes:
        """Give the next so many bytes. Raises BadInput."""
        parts, left = [], size
        while left:
            if self._at > len(self._block):
                raise damaged("names a place outside of a block")
            if self._at == len(self._block):
                self._block, self._next = self._blocks.metadata(self._next)
                self._at = 0
            part = self._block[self._at : self._at + left]
            parts.append(part)
            self._at += len(part)
            left -= len(part)
        return b"".join(parts)

    def values(self, form: struct.Struct) -> tuple[int, ...]:
        """Give the next numbers."""
        return form.unpack(self.take(form.size))


def table_of(blocks: Blocks, place: int, count: int, size: int) -> list[bytes]:
    """Read a table of `count` entries of `size` bytes, whose blocks a list at `place` names."""
    per_block = METADATA_BYTES // size
    starts = blocks.at(place, 8 * -(-count // per_block))
    rows: list[bytes] = []
    for at in range(0, len(starts), 8):
        content, _ = blocks.metadata(int.from_bytes(starts[at : at + 8], "little"))
        rows += [content[row : row + size] for row in range(0, len(content), size)]
    if len(rows) < count or any(len(row) != size for row in rows[:count]):
        raise damaged("has a table that is too short")
    return rows[:count]
