"""Unpack index files within bounds, whatever their compression."""

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

from distwright.errors import BadInput

ENDINGS = (".xz", ".gz", ".bz2", "")  # best first: smallest to fetch
MAX_STREAMS = (
    1000  # xz, pigz and our own indexes are one; pbzip2 writes one for each 900 kB; each costs a new decompressor
)
_SLICE_BYTES = 1 << 16  # what is given to a decompressor at a time: what it leaves is copied once for each stream
XZ_MEMORY_BYTES = 128 * 1024 * 1024  # xz -9 takes 65 MiB; a hostile header may ask for 4 GiB


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: memoryview, max_length: int, /) -> bytes: ...


_NEW: dict[str, Callable[[], _Decompressor]] = {
    ".xz": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY_BYTES),
    ".gz": lambda: zlib.decompressobj(wbits=31),
    ".bz2": bz2.BZ2Decompressor,
}


def split_ending(path: str) -> tuple[str, str]:
    """Take the compression off a file name: "Packages.xz" gives ("Packages", ".xz")."""
    for ending in ENDINGS:
        if ending and path.endswith(ending):
            return path.removesuffix(ending), ending
    return path, ""


def decompress(content: bytes, ending: str, *, limit_bytes: int) -> bytes:
    """Unpack all streams of a file; raise BadInput if it is damaged, cut off, longer than `limit_bytes`, or has too many streams.

    Takes time in proportion to what goes in and comes out, whatever the streams are.
    """
    plain = b"".join(_parts(content, ending, limit_bytes)) if ending else content
    if len(plain) > limit_bytes:
        raise BadInput(
            f"unpacks to more than {limit_bytes} bytes", hint="fetch it again; if it stays, do not trust the sender"
        )
    return plain


def _parts(content: bytes, ending: str, limit_bytes: int) -> Iterator[bytes]:
    """Yield what the streams hold, one byte more than the limit at most."""
    view, at, left, streams = memoryview(content), 0, limit_bytes + 1, 0
    while at < len(view):
        streams += 1
        if streams > MAX_STREAMS:
            raise BadInput(
                f"{ending} data has more than {MAX_STREAMS} streams", hint="pass it through xz again, as one stream"
            )
        decompressor = _NEW[ending]()
        while not decompressor.eof:
            if at == len(view):
                raise BadInput(f"{ending} data is cut off", hint="fetch it again")
            piece = view[at : at + _SLICE_BYTES]
            try:
                part = decompressor.decompress(piece, left)
            except (lzma.LZMAError, zlib.error, OSError, EOFError, ValueError) as error:
                raise BadInput(f"damaged {ending} data: {error}", hint="fetch it again") from error
            yield part
            left -= len(part)
            if left <= 0:
                return
            at += len(piece) - len(decompressor.unused_data)
