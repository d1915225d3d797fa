"""The members of a small tar archive that is in memory: v7, ustar, GNU long names, pax paths and sizes.

For the control.tar of a .deb: several times as fast as tarfile, and strict where readers of tar disagree (sparse files,
links with content, unfinished long names).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from distwright.errors import BadInput, quoted

BLOCK = 512
_ZEROS = bytes(BLOCK)
_OCTAL = re.compile(rb"[ \0]*([0-7]*)[ \0]*")
_LENGTH = re.compile(rb"([0-9]{1,8}) ")
_PAX_SIZE = re.compile(rb"[0-9]{1,18}")
_BLANK_CHECKSUM = b" " * 8
_HINT = "fetch or build the file again"


class TarKind(StrEnum):
    """What a member is. OTHER: devices, pipes and everything that has no name here."""

    FILE = "file"
    FOLDER = "folder"
    SYMLINK = "symlink"
    HARDLINK = "hardlink"
    OTHER = "other"


KINDS = {b"\0": TarKind.FILE, b"0": TarKind.FILE, b"7": TarKind.FILE, b"5": TarKind.FOLDER} | {
    b"1": TarKind.HARDLINK,
    b"2": TarKind.SYMLINK,
}


@dataclass(frozen=True, slots=True)
class TarMember:
    """One member. name and link as they stand, hostile or not; content only for FILE. mode: permission bits."""

    name: str
    kind: TarKind
    mode: int
    link: str
    content: bytes


@dataclass(slots=True)
class _Overrides:
    """What extended headers say about the next member (`ours`) or about all that follow (`shared`)."""

    ours: dict[bytes, bytes] = field(default_factory=dict)
    shared: dict[bytes, bytes] = field(default_factory=dict)

    def take(self) -> dict[bytes, bytes]:
        both = self.shared | self.ours
        self.ours = {}
        return both


def iter_tar(data: bytes, *, max_members: int = 1000) -> Iterator[TarMember]:
    """Read the members in their order, up to the first block of zeros or the end of `data`. Memory: one member.

    max_members: extended headers count too. Raises BadInput for a bad checksum or number, a member that is cut off, a
    name that is not UTF-8, sparse files, content in anything but a file.
    """
    at, count = 0, 0
    overrides = _Overrides()
    while at < len(data):
        header = data[at : at + BLOCK]
        if header == _ZEROS:
            break
        count += 1
        if count > max_members:
            raise BadInput(f"the tar archive has more than {max_members} members", hint=_HINT)
        check_header(header)
        flag = header[156:157]
        values = overrides.take() if flag not in (b"L", b"K", b"x", b"g") else {}
        size = int(values[b"size"]) if b"size" in values else header_number(header[124:136])
        at += BLOCK
        content = data[at : at + size]
        if len(content) < size:
            raise BadInput(f"the tar archive is cut off: {size - len(content)} bytes are missing", hint=_HINT)
        at += -(-size // BLOCK) * BLOCK
        if flag in (b"L", b"K"):
            overrides.ours[b"path" if flag == b"L" else b"linkpath"] = content.split(b"\0", 1)[0]
        elif flag in (b"x", b"g"):
            (overrides.ours if flag == b"x" else overrides.shared).update(pax_records(content))
        else:
            yield _member(header, flag, values, content)
    if overrides.ours:
        raise BadInput("the tar archive ends after an extended header", hint=_HINT)


def _member(header: bytes, flag: bytes, values: dict[bytes, bytes], content: bytes) -> TarMember:
    name = values.get(b"path")
    if name is None:
        name = _text(header[:100])
        prefix = _text(header[345:500]) if header[257:263] == b"ustar\0" else b""  # GNU keeps times there
        name = prefix + b"/" + name if prefix else name
    kind = KINDS.get(flag, TarKind.OTHER)
    if kind is TarKind.FILE and name.endswith(b"/"):
        kind = TarKind.FOLDER  # as v7 tar wrote them
    link = values.get(b"linkpath", _text(header[157:257]))
    shown = _decoded(name)
    if flag == b"S" or any(key.startswith(b"GNU.sparse") for key in values):
        raise BadInput(f"{quoted(shown)} is a sparse file", hint="make the archive without --sparse")
    if content and kind is not TarKind.FILE:
        raise BadInput(f"{quoted(shown)} is a {kind} with content", hint=_HINT)
    return TarMember(shown, kind, header_number(header[100:108]) & 0o7777, _decoded(link), content)


def check_header(header: bytes) -> None:
    """Raise BadInput unless a header is whole and has the checksum that it says."""
    if len(header) < BLOCK:
        raise BadInput("the tar archive ends within a header", hint=_HINT)
    total = sum(header) - sum(header[148:156]) + sum(_BLANK_CHECKSUM)
    if header_number(header[148:156]) != total:
        raise BadInput("the checksum of a tar header is wrong", hint=_HINT)


def header_number(column: bytes) -> int:
    """Read a number of a header: octal digits, or binary for what they cannot hold; raise BadInput."""
    if column[0] == 0x80:  # GNU: big-endian, for what octal digits cannot hold
        return int.from_bytes(column[1:], "big")
    match = _OCTAL.fullmatch(column)
    if not match:
        raise BadInput(f"{quoted(column.decode('latin-1'))} is not a number of tar", hint=_HINT)
    return int(match[1] or b"0", 8)


def pax_records(content: bytes) -> dict[bytes, bytes]:
    """Read the records of a pax header; raise BadInput."""
    records: dict[bytes, bytes] = {}
    at = 0
    while at < len(content):
        match = _LENGTH.match(content, at)
        end = at + int(match[1]) if match else 0
        if not match or end > len(content) or end <= match.end() or content[end - 1 : end] != b"\n":
            raise BadInput("a pax header of a tar archive is malformed", hint=_HINT)
        key, sign, value = content[match.end() : end - 1].partition(b"=")
        if not sign or (key == b"size" and not _PAX_SIZE.fullmatch(value)):
            raise BadInput("a pax header of a tar archive is malformed", hint=_HINT)
        records[key] = value
        at = end
    return records


def _text(column: bytes) -> bytes:
    return column.split(b"\0", 1)[0]


def _decoded(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError:
        raise BadInput(f"the name {quoted(name.decode('latin-1'))} in a tar archive is not UTF-8", hint=_HINT) from None
