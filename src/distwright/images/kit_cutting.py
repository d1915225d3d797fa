"""Where an upgrade kit cuts the new root, and which old files each piece is described by. Pure but for reading the tar.

The new root is a tar, the very one that its squashfs is made of. It is cut between its members into pieces of a bounded size, and
each is given as what differs from some files of the old squashfs: those of the same path, else of a path that differs in digits
only (a newer kernel, a library), else of the same name. So files that are new, gone, renamed or changed, their links, owners, times
and attributes are no cases of their own: they are in the tar. A wrong guess costs size and nothing else.
"""

import re
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from distwright.errors import BadInput, quoted

# A device that applies it holds one piece, its old files and what zstd needs beside: 150 MB.
PIECE_BYTES = 32 << 20
OLD_BYTES = 64 << 20
# As unsquashfs -lln of 4.5 and 4.6 shows a plain file; a link has an arrow, a device two numbers.
_LISTED = re.compile(r"-[-rwxsStT]{9} +\d+/\d+ +(\d+) \d{4}-\d\d-\d\d \d\d:\d\d squashfs-root/(.*)")
# unsquashfs takes anything else in an argument for a pattern, or is not given it.
_PLAIN_PATH = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.+:@%,=~/-]*")
_DIGITS = re.compile(r"[0-9]+")


@dataclass(frozen=True, slots=True)
class Member:
    """A member of the tar, from its headers to the next one. path: "" if it is no plain file with content."""

    path: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes start..end of the tar. old: files of the old squashfs, one after the other, of which bytes skip..skip+take count."""

    start: int
    end: int
    old: tuple[str, ...] = ()
    skip: int = 0
    take: int = OLD_BYTES


def listed_files(listing: str) -> dict[str, int]:
    """Read `unsquashfs -lln`: path -> bytes of plain files that are not empty. What has an unusual name is left out."""
    found = (_LISTED.fullmatch(line) for line in listing.splitlines())
    rows = ((match[2], int(match[1])) for match in found if match and _PLAIN_PATH.fullmatch(match[2]))
    return {path: size for path, size in rows if size}


def read_members(tar: BinaryIO, size: int) -> list[Member]:
    """Read where the members of a tar are, the end of it included. Raises BadInput for what is no tar."""
    try:
        with tarfile.open(fileobj=tar, mode="r:") as archive:
            starts = [(_path(member), member.offset) for member in archive]
    except tarfile.TarError as error:
        raise BadInput(
            f"the root of the image is no tar: {quoted(str(error))}", hint="distwright job log JOB"
        ) from error
    ends = [start for _, start in starts[1:]] + [size]
    return [Member(path, start, end) for (path, start), end in zip(starts, ends, strict=True)]


def _path(member: tarfile.TarInfo) -> str:
    return member.name.removeprefix("./") if member.isreg() and member.size else ""


def old_files(new: Iterable[str], old: Mapping[str, int]) -> dict[str, str]:
    """Say which old file describes each new one: path -> path, for those that have one."""
    wanted = set(new)
    left = sorted(old.keys() - wanted)
    by_shape: dict[str, str] = {}
    by_name: dict[str, str] = {}
    for path in left:
        by_shape.setdefault(_DIGITS.sub("#", path), path)
        by_name.setdefault(path.rpartition("/")[2], path)
    found = {
        path: path if path in old else by_shape.get(_DIGITS.sub("#", path), by_name.get(path.rpartition("/")[2], ""))
        for path in wanted
    }
    return {path: source for path, source in found.items() if source}


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many bytes of the tar a piece has at most, and how many of old files it is described by."""

    piece: int = PIECE_BYTES
    old: int = OLD_BYTES


BOUNDS = Bounds()


def cut(members: Sequence[Member], old: Mapping[str, int], bounds: Bounds = BOUNDS) -> list[Piece]:
    """Cut a tar into pieces, all of it, in order. old: path -> bytes."""
    sources = old_files((member.path for member in members if member.path), old)
    pieces: list[Piece] = []
    start = end = held = 0
    names: dict[str, None] = {}
    for member in members:
        source = sources.get(member.path, "")
        size = old.get(source, 0)
        more = size if source not in names and size <= bounds.old else 0
        is_large = member.end - member.start > bounds.piece
        if is_large or member.end - start > bounds.piece or held + more > bounds.old:
            pieces += [Piece(start, end, tuple(names), take=bounds.old)] if end > start else []
            start, names, held = member.start, {}, 0
        if is_large:
            pieces += _cut_large(member, source, size, bounds)
            start = member.end
        elif source and size <= bounds.old:
            held += 0 if source in names else size
            names[source] = None
        end = member.end
    return pieces + ([Piece(start, end, tuple(names), take=bounds.old)] if end > start else [])


def _cut_large(member: Member, source: str, size: int, bounds: Bounds) -> Iterator[Piece]:
    """Cut a file; each piece is described by the old one around the same place."""
    margin = (bounds.old - bounds.piece) // 2
    for start in range(member.start, member.end, bounds.piece):
        skip = max(0, min(start - member.start - margin, size - bounds.old))
        end = min(start + bounds.piece, member.end)
        yield Piece(start, end, (source,) if source else (), skip, bounds.old)


def piece_lines(pieces: Sequence[Piece]) -> str:
    """Write pieces for the scripts of a kit: number, start and length in the tar, skip and take of the old files."""
    return "".join(
        f"{number:05d} {piece.start} {piece.end - piece.start} {piece.skip} {piece.take}\n"
        for number, piece in enumerate(pieces)
    )
