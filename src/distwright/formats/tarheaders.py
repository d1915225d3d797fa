"""The members of a tar archive of any size, read as it comes; what is in them is passed over, or given in pieces.

For the data.tar of a .deb from outside. Strict where readers of tar disagree, like `tar.iter_tar`; memory is a header and a piece.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from distwright.errors import BadInput, quoted
from distwright.formats.streaming import PIECE_BYTES
from distwright.formats.tar import BLOCK, KINDS, TarKind, check_header, header_number, pax_records

MAX_MEMBERS = 500_000
_KEPT = frozenset({b"path", b"linkpath", b"size", b"mtime"})  # of the records of extended headers
_EXTENDED_BYTES = 1 << 18  # of one extended header: long names and pax records
_SPARSE = b"GNU.sparse"
_ZEROS = bytes(BLOCK)
_HINT = "build the package again with dpkg-deb"


@dataclass(frozen=True, slots=True)
class TarHeader:
    """One member. name and link as they stand, undecoded and hostile or not. mtime: seconds since 1970, maybe negative."""

    name: bytes
    kind: TarKind
    link: bytes
    mtime: float
    size: int


@dataclass(slots=True)
class _Bytes:
    """Pieces as one stream of bytes. passed: how many were taken or skipped."""

    pieces: Iterator[bytes]
    rest: bytes = b""
    at: int = 0
    passed: int = 0

    def take(self, size: int) -> bytes:
        """Give `size` bytes, fewer at the end."""
        if len(self.rest) - self.at >= size:
            self.at += size
            self.passed += size
            return self.rest[self.at - size : self.at]
        parts, missing = [self.rest[self.at :]], size - (len(self.rest) - self.at)
        self.rest, self.at = b"", 0
        for piece in self.pieces:
            if len(piece) >= missing:
                parts.append(piece[:missing])
                self.rest, self.at = piece, missing
                break
            parts.append(piece)
            missing -= len(piece)
        taken = b"".join(parts)
        self.passed += len(taken)
        return taken

    def skip(self, size: int) -> int:
        """Pass over `size` bytes; say how many were there."""
        here = min(len(self.rest) - self.at, size)
        self.at += here
        done = here
        while done < size:
            piece = next(self.pieces, b"")
            if not piece:
                break
            self.rest, self.at = piece, min(len(piece), size - done)
            done += self.at
        self.passed += done
        return done


@dataclass(slots=True)
class _Extended:
    """What extended headers say of the next member, or of all that follow. flags: the kinds that the next member has."""

    ours: dict[bytes, bytes] = field(default_factory=dict)
    shared: dict[bytes, bytes] = field(default_factory=dict)
    flags: set[bytes] = field(default_factory=set)

    def take(self) -> dict[bytes, bytes]:
        both = self.shared | self.ours
        self.ours = {}
        self.flags.clear()
        return both


@dataclass(frozen=True, slots=True)
class TarEntry:
    """One member with everything that its header says, and what is in it.

    content: in pieces of PIECE_BYTES (the last one is shorter), to be read before the next entry is asked for.
    """

    header: TarHeader
    content: Iterator[bytes]
    raw: bytes

    @property
    def mode(self) -> int:
        """Permission bits."""
        return header_number(self.raw[100:108]) & 0o7777

    @property
    def owner(self) -> tuple[int, int, str, str]:
        """Give uid, gid, and the names of user and group, as the plain header has them."""
        names = (_text(self.raw[265:297]), _text(self.raw[297:329]))
        user, group = (name.decode("utf-8", "backslashreplace") for name in names)
        return header_number(self.raw[108:116]), header_number(self.raw[116:124]), user, group


def iter_headers(pieces: Iterator[bytes], *, max_members: int = MAX_MEMBERS) -> Iterator[TarHeader]:
    """Read the headers in their order; all of `pieces` is consumed, so that damage behind the last member is found too.

    max_members: extended headers count too. Raises BadInput for a bad checksum or number, a member that is cut off, sparse files,
    content in anything but a file, more than max_members, and anything but zeros after the end.
    """
    for entry in iter_entries(pieces, max_members=max_members):
        yield entry.header


def iter_entries(pieces: Iterator[bytes], *, max_members: int = MAX_MEMBERS) -> Iterator[TarEntry]:
    """Read the members as `iter_headers` does, with their contents; what nobody reads of them is passed over."""
    stream, extended, count = _Bytes(pieces), _Extended(), 0
    while (header := stream.take(BLOCK)) and header != _ZEROS:
        count += 1
        if count > max_members:
            raise BadInput(f"the tar archive has more than {max_members} members", hint=_HINT)
        check_header(header)
        flag = header[156:157]
        is_extended = flag in (b"L", b"K", b"x", b"g")
        values = {} if is_extended else extended.take()
        size = int(values[b"size"]) if b"size" in values else header_number(header[124:136])
        padding = -size % BLOCK
        if is_extended:
            if size > _EXTENDED_BYTES:
                raise BadInput(f"the tar archive has an extended header of {size} bytes", hint=_HINT)
            _extend(extended, flag, _whole(stream, size))
            stream.skip(padding)
            continue
        behind = stream.passed + size + padding
        yield TarEntry(_header(header, flag, values, size), _content(stream, size), header)
        left = behind - stream.passed
        if stream.skip(left) < left:
            raise BadInput("the tar archive is cut off within a member", hint=_HINT)
    if extended.flags - {b"g"}:
        raise BadInput("the tar archive ends after an extended header", hint=_HINT)
    while rest := stream.take(1 << 16):
        if rest.strip(b"\0"):
            raise BadInput("the tar archive goes on after its end", hint=_HINT)


def _content(stream: _Bytes, size: int) -> Iterator[bytes]:
    while size > 0:
        piece = stream.take(min(PIECE_BYTES, size))
        if not piece:
            raise BadInput("the tar archive is cut off within a member", hint=_HINT)
        size -= len(piece)
        yield piece


def _whole(stream: _Bytes, size: int) -> bytes:
    content = stream.take(size)
    if len(content) < size:
        raise BadInput("the tar archive is cut off within an extended header", hint=_HINT)
    return content


def _extend(extended: _Extended, flag: bytes, content: bytes) -> None:
    """Note what a header says. Only what is needed is kept, and each kind comes once for a member: else memory would grow."""
    if flag != b"g" and flag in extended.flags:
        raise BadInput("a member of the tar archive has two extended headers of one kind", hint=_HINT)
    extended.flags.add(flag)
    if flag in (b"L", b"K"):
        extended.ours[b"path" if flag == b"L" else b"linkpath"] = content.split(b"\0", 1)[0]
        return
    said = extended.ours if flag == b"x" else extended.shared
    for key, value in pax_records(content).items():
        if key in _KEPT:
            said[key] = value
        elif key.startswith(_SPARSE):
            said[_SPARSE] = b""


def _header(header: bytes, flag: bytes, values: dict[bytes, bytes], size: int) -> TarHeader:
    name = values.get(b"path")
    if name is None:
        name = _text(header[:100])
        prefix = _text(header[345:500]) if header[257:263] == b"ustar\0" else b""
        name = prefix + b"/" + name if prefix else name
    kind = TarKind.FOLDER if flag in (b"\0", b"0") and name.endswith(b"/") else KINDS.get(flag, TarKind.OTHER)
    if flag == b"S" or _SPARSE in values:
        raise BadInput(f"{_shown(name)} is a sparse file", hint="make the archive without --sparse")
    if size and kind is not TarKind.FILE:
        raise BadInput(f"{_shown(name)} is a {kind} with content", hint=_HINT)
    link = values.get(b"linkpath", _text(header[157:257]))
    return TarHeader(name, kind, link, _mtime(header, values), size)


def _mtime(header: bytes, values: dict[bytes, bytes]) -> float:
    written = values.get(b"mtime")
    if written is None:
        column = header[136:148]
        return int.from_bytes(column, "big", signed=True) if column[0] == 0xFF else header_number(column)
    try:
        seconds = float(written[:40])
    except ValueError:
        seconds = math.nan
    if not math.isfinite(seconds):
        raise BadInput("a pax header of a tar archive has a time that is none", hint=_HINT)
    return seconds


def _text(column: bytes) -> bytes:
    return column.split(b"\0", 1)[0]


def _shown(name: bytes) -> str:
    return quoted(name.decode("utf-8", "backslashreplace"))
