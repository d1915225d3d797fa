"""BitTorrent metadata of one file: version 1 and 2 in one (hybrid), so that old and new clients share it.

Source: https://www.bittorrent.org/beps/bep_0003.html, bep_0052.html, bep_0012.html (trackers), bep_0019.html (web seeds).
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from distwright.errors import BadInput

_BLOCK = 16 * 1024
_ZERO = bytes(32)
_PIECES_WANTED = 2048  # about: metadata stays near 100 KiB
_PIECE_LIMIT = 16 * 1024 * 1024

Bencoded = int | bytes | str | Sequence["Bencoded"] | Mapping[str | bytes, "Bencoded"]


@dataclass(frozen=True, slots=True)
class Hashes:
    """Of a file: SHA-1 of each piece (version 1), SHA-256 of each piece's tree and of all (version 2)."""

    size: int
    piece_length: int
    pieces: bytes
    layer: bytes
    root: bytes


def torrent(name: str, hashes: Hashes, *, trackers: Sequence[str] = (), web_seeds: Sequence[str] = ()) -> bytes:
    """Give the metadata. trackers: URLs, each a tier of its own. web_seeds: URLs of the file itself.

    Nothing in it tells when or by what it was made: the same file gives the same bytes and the same info-hash everywhere.
    """
    info: dict[str | bytes, Bencoded] = {
        "file tree": {name: {"": {"length": hashes.size, "pieces root": hashes.root}}},
        "length": hashes.size,
        "meta version": 2,
        "name": name,
        "piece length": hashes.piece_length,
        "pieces": hashes.pieces,
    }
    whole: dict[str | bytes, Bencoded] = {
        "info": info,
        "piece layers": {hashes.root: hashes.layer} if hashes.layer else {},
    }
    if trackers:
        whole["announce"] = trackers[0]
        whole["announce-list"] = [[tracker] for tracker in trackers]
    if web_seeds:
        whole["url-list"] = list(web_seeds)
    return bencode(whole)


def hash_file(file: BinaryIO, size: int) -> Hashes:
    """Read a file of `size` bytes, more than 0, once, and hash it. Memory: one piece. Raises BadInput if it has another size."""
    if size <= 0:
        raise BadInput("an empty file has no torrent", hint="name a file that is not empty")
    length = piece_length_of(size)
    pieces: list[bytes] = []
    trees: list[bytes] = []
    read = 0
    leaves: list[bytes] = []
    while piece := file.read(length):
        read += len(piece)
        pieces.append(hashlib.sha1(piece, usedforsecurity=False).digest())
        leaves = [hashlib.sha256(piece[at : at + _BLOCK]).digest() for at in range(0, len(piece), _BLOCK)]
        trees.append(_root(leaves, length // _BLOCK))
    if read != size:
        raise BadInput(f"a file of {size} bytes has {read}", hint="leave it alone while it is read, then try again")
    if len(trees) == 1:  # such a tree is as high as its blocks want, and has no layer of pieces
        return Hashes(size, length, pieces[0], b"", _root(leaves, 1))
    empty_piece = _root([], length // _BLOCK)
    return Hashes(size, length, b"".join(pieces), b"".join(trees), _root(trees, 1, empty_piece))


def piece_length_of(size: int) -> int:
    """Choose the length of pieces: a power of two from 16 KiB to 16 MiB, for about 2,000 pieces."""
    length = _BLOCK
    while length < _PIECE_LIMIT and length * _PIECES_WANTED < size:
        length *= 2
    return length


def bencode(value: Bencoded) -> bytes:
    """Write a value: whole numbers, strings (as UTF-8), lists, mappings in order of their keys' bytes."""
    if isinstance(value, int):
        return b"i%de" % value
    if isinstance(value, str | bytes):
        content = value.encode() if isinstance(value, str) else value
        return b"%d:%b" % (len(content), content)
    if isinstance(value, Mapping):
        rows = sorted((key.encode() if isinstance(key, str) else key, member) for key, member in value.items())
        return b"d%be" % b"".join(bencode(key) + bencode(member) for key, member in rows)
    return b"l%be" % b"".join(bencode(member) for member in value)


def _root(hashes: Sequence[bytes], least: int, filler: bytes = _ZERO) -> bytes:
    """Give the root of a binary tree over hashes, filled up to a power of two, `least` of them at least."""
    count = least
    while count < len(hashes):
        count *= 2
    row = [*hashes, *[filler] * (count - len(hashes))]
    while len(row) > 1:
        row = [hashlib.sha256(row[at] + row[at + 1]).digest() for at in range(0, len(row), 2)]
    return row[0]
