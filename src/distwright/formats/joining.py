"""Join pieces that were compressed one by one into one file that every reader takes for an ordinary one.

Compressing an index of 50 MB again for each change costs seconds; joining ready pieces costs a copy. Readers differ: apt 2.6
refuses concatenated xz streams, so xz becomes ONE stream of many blocks; gzip becomes one member of deflate data that was flushed
at each piece; zstd frames may simply follow each other (RFC 8878, 3.1). Sources: the .xz file format 1.1.0, RFC 1951, RFC 1952.
"""

import lzma
import struct
import zlib
from dataclasses import dataclass

from distwright.errors import BadInput

_XZ_FLAGS = b"\x00\x01"  # check: CRC32
_XZ_HEADER = b"\xfd7zXZ\x00" + _XZ_FLAGS + struct.pack("<I", zlib.crc32(_XZ_FLAGS))
_XZ_FOOTER_BYTES = 12
_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03"  # deflate, no name, no time, Unix
_DEFLATE_END = b"\x03\x00"  # an empty last block


@dataclass(frozen=True, slots=True)
class XzBlock:
    """One block of an xz stream. unpadded, plain: the two sizes that the stream's index wants."""

    content: bytes
    unpadded: int
    plain: int


def xz_block(text: bytes, *, preset: int) -> XzBlock:
    """Compress a piece into one block. preset: as xz(1); the dictionary is never larger than the piece needs."""
    dictionary = max(4096, 1 << (max(len(text), 1) - 1).bit_length())
    filters = [{"id": lzma.FILTER_LZMA2, "preset": preset, "dict_size": min(dictionary, 8 << 20)}]
    stream = lzma.compress(text, lzma.FORMAT_XZ, lzma.CHECK_CRC32, filters=filters)
    index_bytes = (struct.unpack("<I", stream[-8:-4])[0] + 1) * 4
    index_at = len(stream) - _XZ_FOOTER_BYTES - index_bytes
    records, at = _vli(stream, index_at + 1)
    if records == 0:
        return XzBlock(b"", 0, 0)
    unpadded, _ = _vli(stream, at)
    return XzBlock(stream[len(_XZ_HEADER) : index_at], unpadded, len(text))


class XzStream:
    """One xz stream of many blocks: write what each call gives, in order."""

    def __init__(self) -> None:
        """Begin a stream."""
        self._records = bytearray()
        self._count = 0

    def start(self) -> bytes:
        """Give the header."""
        return _XZ_HEADER

    def add(self, block: XzBlock) -> bytes:
        """Give a block."""
        if not block.plain:
            return b""
        self._records += _to_vli(block.unpadded) + _to_vli(block.plain)
        self._count += 1
        return block.content

    def end(self) -> bytes:
        """Give the index and the footer."""
        index = b"\x00" + _to_vli(self._count) + bytes(self._records)
        index += b"\0" * (-len(index) % 4)
        index += struct.pack("<I", zlib.crc32(index))
        tail = struct.pack("<I", len(index) // 4 - 1) + _XZ_FLAGS
        return index + struct.pack("<I", zlib.crc32(tail)) + tail + b"YZ"


def deflate_piece(text: bytes, *, level: int) -> bytes:
    """Compress a piece into deflate data that ends on a byte and needs nothing of what came before."""
    compressor = zlib.compressobj(level, zlib.DEFLATED, -15, 9)
    return compressor.compress(text) + compressor.flush(zlib.Z_FULL_FLUSH)


GZIP_START = _GZIP_HEADER


def gzip_end(*, crc: int, size: int) -> bytes:
    """Give what ends a gzip member of deflate pieces. crc, size: CRC-32 and size in bytes of the whole plain text."""
    return _DEFLATE_END + struct.pack("<II", crc & 0xFFFFFFFF, size & 0xFFFFFFFF)


def _vli(data: bytes, at: int) -> tuple[int, int]:
    value, shift = 0, 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if not byte & 0x80:
            return value, at
        shift += 7
        if shift > 56:
            raise BadInput("an xz number is too long", hint="report this as a bug of distwright")


def _to_vli(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
