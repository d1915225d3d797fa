"""Everything that a package file is made of, as a list: its members, what control.tar and data.tar hold, with hashes.

For comparisons: two files with equal trees unpack to the same. Memory is the names and one row for each member.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from distwright.errors import BadInput, quoted
from distwright.formats.ar import AR_MAGIC, ArMember, iter_ar, read_exactly
from distwright.formats.streaming import ENDINGS, PIECE_BYTES, unpacked
from distwright.formats.tar import TarKind
from distwright.formats.tarheaders import TarEntry, iter_entries

MAX_MEMBERS = 200_000
NAMES_BYTES = 64 << 20  # of all names and link targets of one tar
UNPACKED_BYTES = 16 << 30
_FREE_BYTES, _RATIO = 64 << 20, 200  # real packages stay below 100; a bomb of xz reaches 7,000
_HINT = "build the package again with dpkg-deb"
_HEAD_BYTES = 16
_TAR_MAGICS = {b"\x1f\x8b": ".gz", b"BZ": ".bz2", b"\xfd7": ".xz", b"(\xb5": ".zst", b"]\0": ".lzma"}


@dataclass(frozen=True, slots=True)
class TreeMember:
    """One member of a tar. path: without the leading ./, for people. owner: uid, gid, user name, group name."""

    path: str
    kind: TarKind
    mode: int
    owner: tuple[int, int, str, str]
    mtime: float
    link: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class TreePart:
    """A tar inside of a package, or that is one. name: with its compression (`data.tar.xz`); "" for a file that is a tar.

    mtime, mode: of the ar member. head: the first bytes as packed, where compressors say what made them.
    """

    name: str
    ending: str
    mtime: int
    mode: int
    head: bytes
    members: tuple[TreeMember, ...]

    @property
    def stem(self) -> str:
        """The name without its compression."""
        return self.name.removesuffix(self.ending) if self.ending else self.name


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a tar is in a file."""

    name: str
    ending: str
    offset: int
    size: int
    mtime: int = 0
    mode: int = 0

    @property
    def limit_bytes(self) -> int:
        """How much it may unpack to."""
        return min(UNPACKED_BYTES, _FREE_BYTES + _RATIO * self.size)


def is_deb(file: BinaryIO) -> bool:
    """Say whether a file begins as a .deb does."""
    file.seek(0)
    return file.read(len(AR_MAGIC)) == AR_MAGIC


def read_tree(file: BinaryIO, name: str, *, look: Callable[[], None] = lambda: None) -> tuple[TreePart, ...]:
    """List a .deb's control.tar and data.tar, or what a tar holds; nothing for a file that is neither.

    file: opened for reading, seekable. name: its file name. look: called for each member; may raise to stop.
    Raises BadInput for what is damaged or passes a limit: MAX_MEMBERS, NAMES_BYTES, UNPACKED_BYTES and a ratio for each tar.
    """
    return tuple(_part(file, place, look) for place in _places(file, name))


def open_members(file: BinaryIO, name: str, part: int) -> Iterator[TarEntry]:
    """Give the members of the part of that number (from 0) with their contents, in their order."""
    return _entries(file, _places(file, name)[part])


def path_of(name: bytes) -> str:
    """Write a member's name for people: without the ./ before it and the / behind, odd bytes as escapes."""
    return name.decode("utf-8", "backslashreplace").removeprefix("./").strip("/") or "."


def _places(file: BinaryIO, name: str) -> list[_Place]:
    if is_deb(file):
        tars = [_place_in_ar(member) for member in iter_ar(file) if ".tar" in member.name]
        return [place for place in tars if place.ending in ENDINGS]
    if ".tar" not in name:
        return []
    file.seek(0)
    ending = _TAR_MAGICS.get(file.read(2), "")
    return [_Place("", ending, 0, file.seek(0, 2))]


def _place_in_ar(member: ArMember) -> _Place:
    ending = member.name.rpartition(".tar")[2]
    return _Place(member.name, ending, member.offset, member.size, member.mtime, member.mode)


def _part(file: BinaryIO, place: _Place, look: Callable[[], None]) -> TreePart:
    file.seek(place.offset)
    head = file.read(min(_HEAD_BYTES, place.size))
    members, names = [], 0
    for entry in _entries(file, place):
        look()
        names += len(entry.header.name) + len(entry.header.link)
        if names > NAMES_BYTES:
            raise BadInput(
                f"the names in {quoted(place.name or 'the tar')} are longer than {NAMES_BYTES} bytes", hint=_HINT
            )
        members.append(_member(entry, look))
    return TreePart(place.name, place.ending, place.mtime, place.mode, head, tuple(members))


def _member(entry: TarEntry, look: Callable[[], None]) -> TreeMember:
    digest = hashlib.sha256()
    for piece in entry.content:
        digest.update(piece)
        look()
    header = entry.header
    link = header.link.decode("utf-8", "backslashreplace")
    found = "" if header.kind is not TarKind.FILE else digest.hexdigest()
    return TreeMember(
        path_of(header.name), header.kind, entry.mode, entry.owner, header.mtime, link, header.size, found
    )


def _entries(file: BinaryIO, place: _Place) -> Iterator[TarEntry]:
    try:
        yield from iter_entries(_unpacked(file, place), max_members=MAX_MEMBERS)
    except BadInput as problem:
        raise BadInput(f"{quoted(place.name or 'the tar')}: {problem.message}", hint=_HINT) from None


def _reader(file: BinaryIO, place: _Place) -> Callable[[int], bytes]:
    """Read a part of a file that others read too: the place in it is ours, not the file's."""
    at, end = place.offset, place.offset + place.size

    def read(size: int) -> bytes:
        nonlocal at
        file.seek(at)
        content = read_exactly(file, min(size, end - at))
        at += len(content)
        return content

    return read


def _unpacked(file: BinaryIO, place: _Place) -> Iterator[bytes]:
    return unpacked(_reader(file, place), place.ending, limit_bytes=place.limit_bytes)


def raw_tar(file: BinaryIO, name: str, part: int) -> Iterator[bytes]:
    """Give the unpacked bytes of a part, headers and all, in pieces of PIECE_BYTES (the last one is shorter)."""
    kept = b""
    for piece in _unpacked(file, _places(file, name)[part]):
        kept += piece
        if len(kept) >= PIECE_BYTES:
            yield kept[:PIECE_BYTES]
            kept = kept[PIECE_BYTES:]
    if kept:
        yield kept


def pieces_of(file: BinaryIO) -> Iterator[bytes]:
    """Give a whole file in pieces of PIECE_BYTES, from its beginning."""
    at = 0
    while True:
        file.seek(at)
        piece = file.read(PIECE_BYTES)
        if not piece:
            return
        at += len(piece)
        yield piece
