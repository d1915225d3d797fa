"""Make objects of files that lie elsewhere on this machine: many at once, durable once, linked if their owner agrees."""

import errno
import fcntl
import hashlib
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from distwright.errors import Refused, quoted
from distwright.model.digests import Sha256
from distwright.store.settle import settle_file_system, settle_folders
from distwright.store.touching import touch_file, touch_open

_CHUNK = 1 << 20
_FEW = 64
_MODE = 0o444  # an object is for reading only
_TO_DROP = ("user.", "system.posix_acl_")  # of the attributes of a file: notes, and rights of others
_LABEL = "security.selinux"  # which the machine gives to each file
_NO_LINK = (errno.EXDEV, errno.EMLINK, errno.EPERM, errno.EROFS)


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file that was read and hashed. identity: of device, inode and time of change; tells whether it still is that file."""

    path: str
    sha256: Sha256
    size_bytes: int
    identity: int


def found_file(path: str, sha256: Sha256, status: os.stat_result) -> FoundFile:
    """Describe a file by what fstat said of it when it was read."""
    identity = hash((status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns))  # one number: there may be many
    return FoundFile(path, sha256, status.st_size, identity)


def move_in(descriptor: int, folder: int, name: str, partial: Path) -> Sha256 | None:
    """Move a file that programs left to `partial`, ours and on disk; give its digest, or None if it stays where it is.

    descriptor: of the file; folder, name: an open folder and its only name there. What anybody else has open stays, and what
    cannot be made ours, and what lies on another file system. Raises Refused if its name is another file's by now.
    """
    if not _become_owner(descriptor):
        return None
    try:
        os.rename(name, partial, src_dir_fd=folder)
    except OSError as error:
        if error.errno not in _NO_LINK:
            raise
        return None
    if not os.path.samestat(partial.lstat(), os.fstat(descriptor)):
        raise Refused(f"{quoted(name)} was replaced while it was kept", hint="report this as a bug of distwright")
    with os.fdopen(descriptor, "rb", closefd=False) as file:
        file.seek(0)
        digest = Sha256.known(hashlib.file_digest(file, "sha256").hexdigest())
    os.fsync(descriptor)
    return digest


def _become_owner(descriptor: int) -> bool:
    """Make an open file ours and for reading only, if nobody else has it open; say whether it is so.

    Whoever had it open for writing could change it later, whatever its mode is: a lease (fcntl(2)) is given for a file that
    nobody else has open, nor mapped.
    """
    try:
        os.fchown(descriptor, os.geteuid(), os.getegid())
        for name in os.listxattr(descriptor):
            if name.startswith(_TO_DROP):
                os.removexattr(descriptor, name)
            elif name != _LABEL:
                return False
        os.fchmod(descriptor, _MODE)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError:
        return False
    return True


def adopt_files(root: Path, files: Sequence[FoundFile], *, link: bool) -> None:
    """Make objects below `root` (of a FileObjects) of files, all on disk when this returns.

    link: share the file instead of copying it where the file system can; it becomes read-only, and its owner must leave it alone.
    Raises Refused if a file has changed since it was hashed; then some may have become objects, which does no harm.
    """
    if not files:
        return
    for folder in {file.sha256[:2] for file in files}:
        (root / "sha256" / folder).mkdir(parents=True, exist_ok=True)
    if link and len(files) > _FEW:
        settle_file_system(Path(files[0].path))  # their owner may just have written them
    copies = [file for file in files if not (link and _is_linked(root, file, settle=len(files) <= _FEW))]
    _copy_all(root, copies)
    if len(files) > _FEW:
        settle_file_system(root)
    else:
        settle_folders({root / "sha256" / file.sha256[:2] for file in files})


def _target(root: Path, digest: Sha256) -> str:
    return f"{root}/sha256/{digest[:2]}/{digest[2:]}"


def _is_linked(root: Path, file: FoundFile, *, settle: bool) -> bool:
    """Link a file to its object; say whether that could be done (or an object is there already)."""
    target = _target(root, file.sha256)
    descriptor = open_found(file)
    try:
        status = os.fstat(descriptor)
        _check(file, status)
        if status.st_mode & 0o7777 != _MODE:
            os.fchmod(descriptor, _MODE)
        if settle:
            os.fsync(descriptor)
        # By the open descriptor, so that it is this file whatever has happened to its name (open(2), linkat with /proc/self/fd).
        os.link(f"/proc/self/fd/{descriptor}", target, src_dir_fd=descriptor)
        touch_open(descriptor, status)  # its owner's times say nothing of when it became an object
    except FileExistsError:
        return touch_file(Path(target))
    except OSError as error:
        if error.errno not in _NO_LINK:
            raise
        return False
    finally:
        os.close(descriptor)
    return True


def _copy_all(root: Path, files: Sequence[FoundFile]) -> None:
    """Copy under other names, have everything written to disk, then rename: an object that exists is whole."""
    incoming = root / "incoming"
    incoming.mkdir(parents=True, exist_ok=True)
    made: list[tuple[str, str]] = []
    try:
        for file in files:
            target = _target(root, file.sha256)
            if not touch_file(Path(target)):
                made.append((_copy(file, incoming), target))
        if len(made) > _FEW:
            settle_file_system(root)
        for partial, target in made:
            if len(made) <= _FEW:
                _settle_file(partial)
            os.rename(partial, target)  # noqa: PTH104  # fifty thousand times
    finally:
        for partial, _ in made:
            Path(partial).unlink(missing_ok=True)


def _copy(file: FoundFile, incoming: Path) -> str:
    state = hashlib.sha256()
    descriptor, partial = tempfile.mkstemp(dir=incoming, prefix=f"{os.getpid()}-")
    try:
        with os.fdopen(descriptor, "wb") as target, os.fdopen(open_found(file), "rb") as source:
            while piece := source.read(_CHUNK):
                state.update(piece)
                target.write(piece)
            os.fchmod(target.fileno(), _MODE)
        if state.hexdigest() != file.sha256:
            raise _changed(file)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise
    return partial


def open_found(file: FoundFile) -> int:
    """Open a file again; raise Refused if it is gone."""
    try:
        return os.open(file.path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise _changed(file) from None


def _check(file: FoundFile, status: os.stat_result) -> None:
    if found_file(file.path, file.sha256, status).identity != file.identity:
        raise _changed(file)


def _changed(file: FoundFile) -> Refused:
    return Refused(f"{quoted(file.path)} changed while it was taken in", hint="try again when it is complete")


def _settle_file(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
