"""Unpack index files within bounds, whatever their compression."""

import bz2
import lzma
import zlib
from collections.abc import Callable
from typing import Protocol

from distwright.errors import BadInput

ENDINGS = (".xz", ".gz", ".bz2", "")  # best first: smallest to fetch
MAX_STREAMS = (
    100  # what follows a stream is copied once for each: many tiny ones would take time quadratic in their size
)
XZ_MEMORY_BYTES = 128 * 1024 * 1024  # xz -9 takes 65 MiB; a hostile header may ask for 4 GiB


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


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
    """Unpack all streams of a file; raise BadInput if it is damaged, cut off, longer than `limit_bytes`, or too many."""
    if not ending:
        plain = content
    else:
        parts, left, streams = [], limit_bytes + 1, 0
        while content:
            streams += 1
            if streams > MAX_STREAMS:
                raise BadInput(f"{ending} data is made of more than {MAX_STREAMS} streams", hint="fetch it again")
            decompressor = _NEW[ending]()
            try:
                part = decompressor.decompress(content, left)
            except (lzma.LZMAError, zlib.error, OSError, EOFError, ValueError) as error:
                raise BadInput(f"damaged {ending} data: {error}", hint="fetch it again") from error
            parts.append(part)
            left -= len(part)
            if left <= 0:
                break
            if not decompressor.eof:
                raise BadInput(f"{ending} data is cut off", hint="fetch it again")
            content = decompressor.unused_data
        plain = b"".join(parts)
    if len(plain) > limit_bytes:
        raise BadInput(
            f"unpacks to more than {limit_bytes} bytes", hint="fetch it again; if it stays, do not trust the sender"
        )
    return plain
