"""Unpack a file piece by piece, within bounds: for contents that are too large for memory, from people nobody trusts."""

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

import zstandard

from distwright.errors import BadInput
from distwright.formats.compression import XZ_MEMORY_BYTES

PIECE_BYTES = 1 << 16
MAX_STREAMS = 1000  # each stream costs its decoder a start; whoever makes files of many tiny ones wants only that
_ZSTD_WINDOW_BYTES = 128 << 20
_ZSTD_STEP_BYTES = 512
_HINT = "make the file again; if it stays, do not trust its sender"

Read = Callable[[int], bytes]


class _Decoder(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...

    @property
    def needs_input(self) -> bool: ...


class _Gzip:
    """zlib's decoder, with the manners of the others: it keeps what it has not read yet."""

    def __init__(self) -> None:
        self._decoder = zlib.decompressobj(wbits=31)

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        return self._decoder.decompress(self._decoder.unconsumed_tail + data, max_length)

    @property
    def needs_input(self) -> bool:
        return not self._decoder.unconsumed_tail

    @property
    def eof(self) -> bool:
        return self._decoder.eof

    @property
    def unused_data(self) -> bytes:
        return self._decoder.unused_data


_NEW: dict[str, Callable[[], _Decoder]] = {
    ".xz": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY_BYTES),
    ".lzma": lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=XZ_MEMORY_BYTES),
    ".gz": _Gzip,
    ".bz2": bz2.BZ2Decompressor,
}
ENDINGS = frozenset({"", ".zst", *_NEW})


def unpacked(read: Read, ending: str, *, limit_bytes: int) -> Iterator[bytes]:
    """Give the plain content in pieces of at most PIECE_BYTES; memory does not grow with it.

    read: gives up to so many bytes, b"" at the end. Raises BadInput if the content is damaged, cut off, longer than limit_bytes,
    made of more than MAX_STREAMS streams, or if its decoder wants more memory than is fit.
    """
    pieces = _plain(read) if not ending else _zstd(read) if ending == ".zst" else _decoded(read, ending)
    total = 0
    try:
        for piece in pieces:
            total += len(piece)
            if total > limit_bytes:
                raise BadInput(f"unpacks to more than {limit_bytes} bytes", hint=_HINT)
            yield piece
    except (lzma.LZMAError, zlib.error, zstandard.ZstdError, OSError, EOFError, ValueError) as error:
        raise BadInput(f"damaged {ending} data: {error}", hint=_HINT) from error


def _plain(read: Read) -> Iterator[bytes]:
    while piece := read(PIECE_BYTES):
        yield piece


def _decoded(read: Read, ending: str) -> Iterator[bytes]:
    data = read(PIECE_BYTES)
    streams = 0
    while data:
        streams += 1
        if streams > MAX_STREAMS:
            raise BadInput(f"{ending} data is made of more than {MAX_STREAMS} streams", hint=_HINT)
        decoder = _NEW[ending]()
        while not decoder.eof:
            if decoder.needs_input and not data and not (data := read(PIECE_BYTES)):
                raise BadInput(f"{ending} data is cut off", hint=_HINT)
            piece = decoder.decompress(data, PIECE_BYTES)
            data = b""
            if piece:
                yield piece
        data = decoder.unused_data or read(PIECE_BYTES)
        if ending == ".xz" and data.strip(b"\0") == b"":
            data = _after_padding(read, data)


def _after_padding(read: Read, data: bytes) -> bytes:
    """Skip the zeros that may follow an xz stream."""
    while data and not (data := data.lstrip(b"\0")):
        data = read(PIECE_BYTES)
    return data


def _zstd(read: Read) -> Iterator[bytes]:
    """Unpack frame after frame, a few bytes at a time: four of them may be a block of 128 KiB, and all of it comes at once."""
    data, frames = read(PIECE_BYTES), 0
    while data:
        frames, at = frames + 1, 0
        if frames > MAX_STREAMS:
            raise BadInput(f".zst data is made of more than {MAX_STREAMS} streams", hint=_HINT)
        decoder = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES).decompressobj()
        while not decoder.eof:
            if at >= len(data):
                data, at = read(PIECE_BYTES), 0
                if not data:
                    raise BadInput(".zst data is cut off", hint=_HINT)
            piece = decoder.decompress(data[at : at + _ZSTD_STEP_BYTES])
            at += _ZSTD_STEP_BYTES
            for start in range(0, len(piece), PIECE_BYTES):
                yield piece[start : start + PIECE_BYTES]
        data = decoder.unused_data + data[at:] or read(PIECE_BYTES)
