"""The names in a tar archive that is too large for memory: headers are read, contents are passed over."""

import tarfile
from collections.abc import Callable, Iterator

from distwright.errors import BadInput, quoted

_BLOCK = 512
_ZEROS = bytes(_BLOCK)
_PASS_BYTES = 1 << 20
_EXTENDED_LIMIT_BYTES = 1 << 20  # a name is 4,096 bytes at most; some archives keep access lists beside it
_HINT = "build the package again with dpkg-deb"


def iter_file_names(read: Callable[[int], bytes], *, max_members: int) -> Iterator[bytes]:
    """Give the name of everything that is no folder, as it stands, up to the block of zeros at the end.

    read: gives as many bytes as it is asked for, fewer only at the end. Memory: one extended header.
    Raises BadInput for a header that is none, for a tar that is cut off, and for more than `max_members`.
    """
    longer: dict[bytes, bytes] = {}
    kinds: set[bytes] = set()  # of the extended headers of the next member
    for _ in range(max_members):
        header = read(_BLOCK)
        if header in (_ZEROS, b""):
            return
        try:
            member = tarfile.TarInfo.frombuf(header, "latin-1", "strict")
        except (tarfile.TarError, ValueError) as error:
            raise BadInput(f"a header of the tar archive is damaged: {error}", hint=_HINT) from error
        if member.type in (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE):
            if member.type in kinds and member.type != tarfile.XGLTYPE:
                raise BadInput("a member of the tar archive has two extended headers of one kind", hint=_HINT)
            kinds.add(member.type)
            content = _extended(read, member)
            if member.type == tarfile.GNUTYPE_LONGNAME:
                longer[b"path"] = content.split(b"\0", 1)[0]
            elif member.type == tarfile.XHDTYPE:
                longer |= {key: value for key, value in _records(content).items() if key in (b"path", b"size")}
            continue
        size = int(longer[b"size"]) if longer.get(b"size", b"").isdigit() else member.size
        if member.isreg():
            _pass_over(read, size)
        if not member.isdir():
            yield longer.get(b"path", member.name.encode("latin-1"))
        longer = {}
        kinds.clear()
    raise BadInput(f"the tar archive has more than {max_members} members", hint=_HINT)


def _extended(read: Callable[[int], bytes], member: tarfile.TarInfo) -> bytes:
    if not 0 <= member.size <= _EXTENDED_LIMIT_BYTES:
        raise BadInput(f"the tar archive has an extended header of {member.size} bytes", hint=_HINT)
    padded = -(-member.size // _BLOCK) * _BLOCK
    content = read(padded)
    if len(content) < padded:
        raise BadInput("the tar archive is cut off within an extended header", hint=_HINT)
    return content[: member.size]


def _records(content: bytes) -> dict[bytes, bytes]:
    """Read pax records, "LENGTH KEY=VALUE\\n" each."""
    records = {}
    at = 0
    while at < len(content):
        length, _, _ = content[at : at + 9].partition(b" ")
        end = at + int(length) if length.isdigit() else 0
        if not at + len(length) + 2 < end <= len(content):
            raise BadInput(
                f"a pax header of the tar archive is damaged: {quoted(repr(content[at : at + 20]))}", hint=_HINT
            )
        key, _, value = content[at + len(length) + 1 : end - 1].partition(b"=")
        records[key] = value
        at = end
    return records


def _pass_over(read: Callable[[int], bytes], size: int) -> None:
    left = -(-size // _BLOCK) * _BLOCK
    while left > 0:
        part = len(read(min(left, _PASS_BYTES)))
        if not part:
            raise BadInput("the tar archive is cut off within a file", hint=_HINT)
        left -= part
