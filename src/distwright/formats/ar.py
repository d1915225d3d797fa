"""The members of an ar archive, ar(5), in the common variant that deb(5) allows: short names, decimal sizes."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from distwright.errors import BadInput, quoted

AR_MAGIC = b"!<arch>\n"

_HEADER_BYTES = 60
_NAME = re.compile(rb"([!-.0-~]+)/?")  # printable, no slash but the one that System V puts at the end
_DECIMAL, _OCTAL, _SIZE = re.compile(rb"[0-9]*"), re.compile(rb"[0-7]*"), re.compile(rb"[0-9]{1,10}")
_HINT = "fetch or build the file again"


@dataclass(frozen=True, slots=True)
class ArMember:
    """One member. offset: where its content begins in the file; all `size` bytes of it are there. mtime: Unix time."""

    name: str
    size: int
    offset: int
    mtime: int
    mode: int


def iter_ar(file: BinaryIO, *, max_members: int = 64) -> Iterator[ArMember]:
    """Give the headers of the members in their order; contents are seeked over, the caller may read them meanwhile.

    file: opened for reading, seekable; it is read from its beginning. Memory: one header.
    Raises BadInput for a wrong magic, a malformed header, a name longer than 16 bytes (GNU and BSD write those apart),
    a size beyond the end of the file, and more than `max_members`. Errors of the file itself pass through.
    """
    end = file.seek(0, 2)
    file.seek(0)
    if read_exactly(file, min(len(AR_MAGIC), end)) != AR_MAGIC:
        raise BadInput("an ar archive does not begin like this file", hint=_HINT)
    at, count = len(AR_MAGIC), 0
    while at < end:
        count += 1
        if count > max_members:
            raise BadInput(f"the ar archive has more than {max_members} members", hint=_HINT)
        file.seek(at)
        member = _member(read_exactly(file, min(_HEADER_BYTES, end - at)), at + _HEADER_BYTES)
        if member.offset + member.size > end:
            missing = member.offset + member.size - end
            raise BadInput(f"{quoted(member.name)} is cut off: {missing} bytes are missing", hint=_HINT)
        yield member
        at = member.offset + member.size + member.size % 2


def read_exactly(file: BinaryIO, size: int) -> bytes:
    """Read `size` bytes, also from a raw file that gives them in parts; raise BadInput if the file ends before."""
    content = file.read(size)
    while len(content) < size:
        part = file.read(size - len(content))
        if not part:
            raise BadInput(f"the file ends {size - len(content)} bytes too early", hint=_HINT)
        content += part
    return content


def _member(header: bytes, offset: int) -> ArMember:
    if len(header) < _HEADER_BYTES:
        raise BadInput("the ar archive ends within the header of a member", hint=_HINT)
    columns = header[:16], header[16:28], header[40:48], header[48:58], header[58:]
    name, mtime, mode, size, magic = (column.rstrip(b" ") for column in columns)
    match = _NAME.fullmatch(name)
    if (
        not match
        or not (_DECIMAL.fullmatch(mtime) and _OCTAL.fullmatch(mode) and _SIZE.fullmatch(size))
        or magic != b"`\n"
    ):
        raise BadInput(f"{quoted(header.decode('latin-1'))} is not the header of an ar member", hint=_HINT)
    return ArMember(match[1].decode("ascii"), int(size), offset, int(mtime or b"0"), int(mode or b"0", 8))
