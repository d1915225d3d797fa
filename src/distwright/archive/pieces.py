"""Ready pieces: each leaf compressed once, in every format, kept as one file by the leaf's digest.

Derived and kept in the cache: any of it may be removed at any time. Files, not database rows: those were twenty times slower.
"""

import os
import struct
import zlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import get_ident

import zstandard

from distwright.archive.tree import Get, Leaf
from distwright.formats.joining import XzBlock, deflate_piece, xz_block
from distwright.model.digests import Sha256
from distwright.store.leftovers import drop_partials_below

_MAGIC = b"dwpiece1"
_HEAD = struct.Struct("<8sBIIIII")  # magic, quality, xz bytes, xz unpadded, plain bytes, gzip bytes, zstd bytes
_CHECK = struct.Struct("<I")  # CRC-32 of all else: a wrong size would spoil a whole index
# How hard gzip and zstd try on a new leaf, and with time. For a new one somebody waits: with xz at 1, three
# quarters of the time of 6, 6 and 2, for 3 % more bytes.
GZIP_LEVEL, GZIP_BEST = 4, 9
ZSTD_LEVEL, ZSTD_BEST = 3, 19
_FEW = 8  # pieces for which threads are not worth their start
_HARD = 6  # of xz: from here on the others try hard too


@dataclass(frozen=True, slots=True)
class Piece:
    """One leaf, compressed three ways."""

    xz: XzBlock
    deflate: bytes
    zstd: bytes


class Pieces:
    """The pieces below a folder. preset: how hard xz tries on a new leaf; `improve` tries harder when there is time."""

    def __init__(self, folder: Path, *, preset: int) -> None:
        """Use `folder`, made when first written to."""
        self._folder = folder
        self._preset = preset

    def of_leaf(self, leaf: Leaf, text: bytes) -> Piece:
        """Give the pieces of a leaf, made now if they are not there. text: the leaf's content."""
        path = self._path(leaf.digest)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return self._make(path, text, self._preset)
        piece = _parse(content, leaf.size_bytes)
        return piece or self._make(path, text, self._preset)

    def make_ready(self, leaves: Iterable[Leaf], get: Get) -> None:
        """Make the pieces that are not there with all processors: compressing leaves Python free to go on."""
        missing = [leaf for leaf in leaves if not os.path.exists(self._path(leaf.digest))]  # noqa: PTH110  # hundreds of times
        if len(missing) < _FEW:
            return
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
            for _ in threads.map(
                lambda leaf: self._make(self._path(leaf.digest), get(leaf.digest), self._preset), missing
            ):
                pass

    def improve(self, leaf: Leaf, get: Get, *, preset: int) -> bool:
        """Compress a leaf again, harder, if it was compressed with less; say whether it was."""
        path = self._path(leaf.digest)
        if _quality(path) >= preset:
            return False
        self._make(path, get(leaf.digest), preset)
        return True

    def forget(self, is_needed: Callable[[Sha256], bool]) -> int:
        """Remove the pieces of leaves that are gone, and what writers left that are gone; say how many."""
        count = drop_partials_below(self._folder, "??/*")
        for path in self._folder.glob("??/*"):
            if not path.suffix and not is_needed(Sha256(f"{path.parent.name}{path.name[:62]}")):
                path.unlink(missing_ok=True)
                count += 1
        return count

    def _make(self, path: Path, text: bytes, preset: int) -> Piece:
        is_hard = preset >= _HARD
        piece = Piece(
            xz_block(text, preset=preset),
            deflate_piece(text, level=GZIP_BEST if is_hard else GZIP_LEVEL),
            zstandard.ZstdCompressor(level=ZSTD_BEST if is_hard else ZSTD_LEVEL, write_checksum=False).compress(text),
        )
        body = piece.xz.content + piece.deflate + piece.zstd
        sizes = (len(piece.xz.content), piece.xz.unpadded, len(text), len(piece.deflate), len(piece.zstd))
        head = _HEAD.pack(_MAGIC, preset, *sizes)
        head += _CHECK.pack(zlib.crc32(body, zlib.crc32(head)))
        partial = path.with_name(f"{path.name}.{os.getpid()}-{get_ident()}")
        try:
            partial.write_bytes(head + body)
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            partial.write_bytes(head + body)
        partial.rename(path)
        return piece

    def _path(self, digest: Sha256) -> Path:
        return self._folder / digest[:2] / digest[2:]


def _quality(path: Path) -> int:
    try:
        with path.open("rb") as file:
            head = file.read(len(_MAGIC) + 1)
    except FileNotFoundError:
        return -1
    return head[-1] if head.startswith(_MAGIC) and len(head) == len(_MAGIC) + 1 else -1


def _parse(content: bytes, plain: int) -> Piece | None:
    """Take a piece file apart; None if it is not whole (it is then made again)."""
    if len(content) < _HEAD.size + _CHECK.size:
        return None
    magic, _, xz, unpadded, size, deflate, zstd = _HEAD.unpack_from(content)
    (crc,) = _CHECK.unpack_from(content, _HEAD.size)
    body = content[_HEAD.size + _CHECK.size :]
    if magic != _MAGIC or size != plain or len(body) != xz + deflate + zstd:
        return None
    if zlib.crc32(body, zlib.crc32(content[: _HEAD.size])) != crc:
        return None
    return Piece(XzBlock(body[:xz], unpadded, size), body[xz : xz + deflate], body[xz + deflate :])


def empty_zstd() -> bytes:
    """Give the zstd form of nothing."""
    return zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress(b"")
