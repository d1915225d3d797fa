"""Which files a .deb installs: the names in its data.tar, read as a stream, within bounds of time and memory."""

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import IO, BinaryIO, cast

import zstandard

from distwright.errors import BadInput
from distwright.formats.ar import iter_ar
from distwright.formats.compression import XZ_MEMORY_BYTES
from distwright.formats.tarnames import iter_file_names

MEMBERS_LIMIT = 500_000  # the largest of Debian has 60,000
NAMES_LIMIT_BYTES = 64 << 20
PLAIN_LIMIT_BYTES = 32 << 30  # an hour of zeros is 300 kB of xz
_CHUNK = 1 << 18
_WINDOW_LIMIT_BYTES = 128 << 20
_HINT = "build the package again with dpkg-deb"
_NOT_IN_A_LINE = b"\n\t"


def file_names(deb: BinaryIO, *, max_members: int = MEMBERS_LIMIT) -> list[bytes]:
    """List what a .deb installs, without folders and without the leading `./`, sorted; raise BadInput for a damaged one.

    Names with a line end or a tab are left out: no Contents file can hold them.
    """
    member = next((one for one in iter_ar(deb) if one.name.startswith("data.tar")), None)
    if member is None:
        raise BadInput("the .deb has no data.tar", hint=_HINT)
    opener = _OPENERS.get(member.name.removeprefix("data.tar"))
    if opener is None:
        raise BadInput(f"the .deb has {member.name}, which cannot be unpacked here", hint="build it with dpkg-deb -Zxz")
    deb.seek(member.offset)
    found, size = set(), 0
    for name in iter_file_names(_Stream(opener(_packed(deb, member.size))).read, max_members=max_members):
        bare = name.removeprefix(b"./").lstrip(b"/")
        size += len(bare)
        if size > NAMES_LIMIT_BYTES:
            raise BadInput(f"the names in the .deb are longer than {NAMES_LIMIT_BYTES >> 20} MiB together", hint=_HINT)
        if bare and not any(sign in bare for sign in _NOT_IN_A_LINE):
            found.add(bare)
    return sorted(found)


class _Stream:
    """Reads as many bytes as asked for out of parts of any size."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts = parts
        self._buffer = bytearray()
        self._received = 0

    def read(self, size: int) -> bytes:
        while len(self._buffer) < size:
            part = next(self._parts, b"")
            if not part:
                break
            self._buffer += part
            self._received += len(part)
            if self._received > PLAIN_LIMIT_BYTES:
                raise BadInput(f"data.tar unpacks to more than {PLAIN_LIMIT_BYTES >> 30} GiB", hint=_HINT)
        content = bytes(self._buffer[:size])
        del self._buffer[:size]
        return content


def _packed(file: BinaryIO, size: int) -> Iterator[bytes]:
    while size > 0:
        part = file.read(min(size, _CHUNK))
        if not part:
            return
        size -= len(part)
        yield part


def _unxz(packed: Iterator[bytes]) -> Iterator[bytes]:
    return _drained(packed, lzma.LZMADecompressor(lzma.FORMAT_AUTO, memlimit=XZ_MEMORY_BYTES))


def _bunzip2(packed: Iterator[bytes]) -> Iterator[bytes]:
    return _drained(packed, bz2.BZ2Decompressor())


def _drained(packed: Iterator[bytes], unpacker: "lzma.LZMADecompressor | bz2.BZ2Decompressor") -> Iterator[bytes]:
    try:
        while not unpacker.eof:
            part = next(packed, b"") if unpacker.needs_input else b""
            if unpacker.needs_input and not part:
                raise BadInput("data.tar is cut off", hint=_HINT)
            if plain := unpacker.decompress(part, _CHUNK):
                yield plain
    except (lzma.LZMAError, OSError) as error:
        raise BadInput(f"data.tar is damaged: {error}", hint=_HINT) from error


def _gunzip(packed: Iterator[bytes]) -> Iterator[bytes]:
    unpacker = zlib.decompressobj(wbits=31)
    try:
        for part in packed:
            left = part
            while left and not unpacker.eof:
                if plain := unpacker.decompress(left, _CHUNK):
                    yield plain
                left = unpacker.unconsumed_tail
        if not unpacker.eof:
            raise BadInput("data.tar is cut off", hint=_HINT)
    except zlib.error as error:
        raise BadInput(f"data.tar is damaged: {error}", hint=_HINT) from error


def _unzstd(packed: Iterator[bytes]) -> Iterator[bytes]:
    file = cast("IO[bytes]", _Stream(packed))  # only its read() is used
    try:
        reader = zstandard.ZstdDecompressor(max_window_size=_WINDOW_LIMIT_BYTES).stream_reader(file)
        while plain := reader.read(_CHUNK):
            yield plain
    except zstandard.ZstdError as error:
        raise BadInput(f"data.tar is damaged: {error}", hint=_HINT) from error


_OPENERS: Mapping[str, Callable[[Iterator[bytes]], Iterator[bytes]]] = {
    "": lambda packed: packed,
    ".gz": _gunzip,
    ".xz": _unxz,
    ".lzma": _unxz,
    ".bz2": _bunzip2,
    ".zst": _unzstd,
}
