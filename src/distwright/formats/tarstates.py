"""States of paths in a tar: to be compared, and to be written again with what is gone as an overlay says it."""

import hashlib
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO, BinaryIO, Protocol

from distwright.errors import BadInput, quoted
from distwright.formats.streaming import PIECE_BYTES
from distwright.formats.tarheaders import iter_headers

MAX_MEMBERS = 500_000
EXTENDED_LIMIT_BYTES = 64 << 20
_XATTR = "SCHILY.xattr."
_HINT = "build the image again, in full"


@dataclass(frozen=True, slots=True)
class PathState:
    """What is at a path: everything that a reader of the file system can tell, but how many names it has. mtime: in seconds.

    kind: of tar. what: what a link says, major:minor of a device, the SHA-256 of a file.
    """

    kind: bytes
    mode: int
    uid: int
    gid: int
    mtime: int
    size: int
    what: str
    xattrs: tuple[tuple[str, str], ...] = ()

    @property
    def is_folder(self) -> bool:
        """Say whether it is a folder."""
        return self.kind == tarfile.DIRTYPE

    @property
    def access(self) -> tuple[int, int, int, tuple[tuple[str, str], ...]]:
        """Give what counts of a folder for who only looks into it: all but its time."""
        return self.mode, self.uid, self.gid, self.xattrs


States = Mapping[str, PathState]


class Writable(Protocol):
    """What takes bytes, one after another."""

    def write(self, data: bytes, /) -> object:
        """Take some."""
        ...


@dataclass(frozen=True, slots=True)
class TarStates:
    """What a tar has: path, without `./` and "" for the root -> what is there. Its file must stay open for `content`."""

    states: States
    _tar: tarfile.TarFile
    _members: Mapping[str, tarfile.TarInfo]

    def content(self, path: str) -> IO[bytes]:
        """Open a plain file; raise BadInput for any other."""
        content = self._tar.extractfile(self._members[path]) if path in self._members else None
        if content is None:
            raise BadInput(f"{quoted(path)} has no content in its tar", hint=_HINT)
        return content


def read_states(file: BinaryIO) -> TarStates:
    """Read a tar whose members each have one name. file: seekable. Every file is read once, for its digest; memory: a row for each.

    Raises BadInput for anything that is no whole tar, for hard links, sparse files, and for a path that comes twice; and for
    extended headers of more than 256 KiB each, or EXTENDED_LIMIT_BYTES together.
    """
    states: dict[str, PathState] = {}
    members: dict[str, tarfile.TarInfo] = {}
    left = EXTENDED_LIMIT_BYTES
    try:
        file.seek(0)
        _refuse_hostile(file)
        file.seek(0)
        tar = tarfile.open(fileobj=file, mode="r:", errors="surrogateescape")  # noqa: SIM115  # as long as its file is open
        for member in tar:
            path = member.name.removeprefix(".").strip("/")
            if path in states or member.islnk() or member.issparse() or len(states) >= MAX_MEMBERS:
                raise BadInput(f"{quoted(member.name)} comes twice in the tar, too late, or in pieces", hint=_HINT)
            left -= sum(len(key) + len(value) for key, value in member.pax_headers.items())
            if left < 0:
                raise BadInput(f"the tar has more than {EXTENDED_LIMIT_BYTES >> 20} MiB of attributes", hint=_HINT)
            states[path], members[path] = _state(tar, member), member
    except (tarfile.TarError, ValueError, OverflowError, EOFError) as error:
        raise BadInput(f"the tar cannot be read: {error}", hint=_HINT) from error
    return TarStates(states, tar, members)


def _refuse_hostile(file: BinaryIO) -> None:
    """Refuse what tarfile would read into memory, or trip over."""
    try:
        for _ in iter_headers(iter(lambda: file.read(PIECE_BYTES), b""), max_members=2 * MAX_MEMBERS):
            pass
    except BadInput as error:
        raise BadInput(f"the tar cannot be read: {error.message}", hint=_HINT) from error


def _state(tar: tarfile.TarFile, member: tarfile.TarInfo) -> PathState:
    what = member.linkname
    if member.ischr() or member.isblk():
        what = f"{member.devmajor}:{member.devminor}"
    if member.isreg():
        digest, content = hashlib.sha256(), tar.extractfile(member)
        while content is not None and (piece := content.read(PIECE_BYTES)):
            digest.update(piece)
        what = digest.hexdigest()
    xattrs = tuple(sorted((key, value) for key, value in member.pax_headers.items() if key.startswith(_XATTR)))
    kind = tarfile.REGTYPE if member.isreg() else member.type
    return PathState(kind, member.mode, member.uid, member.gid, int(member.mtime), member.size, what, xattrs)


def write_layer(
    target: Writable, states: Mapping[str, PathState | None], content: Callable[[str], IO[bytes]], epoch: int
) -> None:
    """Write a tar by path; what is None is gone, which an overlay says by a character device 0:0.

    content: opens a plain file. epoch: time of what is gone, in seconds. The same states give the same bytes.
    Source: the kernel's overlayfs.rst, "whiteouts and opaque directories".
    """
    for path in sorted(states):
        state, row = states[path], tarfile.TarInfo(f"./{path}".removesuffix("/"))
        if state is None:
            row.type, row.mode, row.mtime = tarfile.CHRTYPE, 0, epoch
            target.write(_header(row))
            continue
        row.type, row.mode, row.uid, row.gid = state.kind, state.mode, state.uid, state.gid
        row.mtime, row.size, row.pax_headers = state.mtime, state.size, dict(state.xattrs)
        if state.kind == tarfile.SYMTYPE:
            row.linkname = state.what
        elif state.kind in (tarfile.CHRTYPE, tarfile.BLKTYPE):
            row.devmajor, row.devminor = map(int, state.what.split(":"))
        target.write(_header(row))
        if state.kind == tarfile.REGTYPE:
            _copy(content(path), target, state.size)
    target.write(bytes(2 * tarfile.BLOCKSIZE))


def _header(row: tarfile.TarInfo) -> bytes:
    return row.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _copy(content: IO[bytes], target: Writable, size: int) -> None:
    while piece := content.read(PIECE_BYTES):
        target.write(piece)
    target.write(bytes(-size % tarfile.BLOCKSIZE))
