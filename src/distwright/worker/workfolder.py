"""The work folder of a step: filled from objects, handed to the sandbox, read back without trusting what is in it."""

import errno
import os
import re
import shutil
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path, PurePosixPath

from distwright.errors import BadInput, OutOfSpace, Refused, quoted
from distwright.model.digests import Sha256
from distwright.store.objects import ObjectStore
from distwright.tools.sandbox import Sandbox

_CHUNK = 1 << 20
_WORTH_MOVING_BYTES = 1 << 20
OUTPUTS_LIMIT_BYTES = 64 << 30  # of one step, if nobody says less
_FREE_BYTES = 256 << 20  # what is left for the database and everybody else


def fill(
    work: Path, place: Mapping[str, Sha256], write: Mapping[str, str], objects: ObjectStore, sandbox: Sandbox
) -> None:
    """Put objects (read-only) and small files into the work folder; its folders belong to the sandbox.

    Raises BadInput where two of them would have one name: the second would be written into the first, which is the object itself.
    """
    _check_distinct([*map(_safe, place), *map(_safe, write)])
    sandbox.make_folder(work)
    for name in [*place, *write]:
        _make_folders(work, _safe(name).parent, sandbox)
    for name, digest in place.items():
        if sandbox.user is None:
            _copy(objects, digest, work / _safe(name))
        else:
            objects.place(digest, work / _safe(name))
    for name, text in write.items():
        target = work / _safe(name)
        with target.open("x") as file:
            file.write(text)
        target.chmod(0o755 if text.startswith("#!") else 0o644)


def _check_distinct(paths: Sequence[PurePosixPath]) -> None:
    seen = Counter(paths)
    folders = {parent for path in paths for parent in path.parents}
    for path, count in seen.items():
        if count > 1 or path in folders:
            raise BadInput(
                f"{quoted(str(path))} is the name of more than one file of this step",
                hint="rename the one that the recipe or the package brings",
            )


def _copy(objects: ObjectStore, digest: Sha256, target: Path) -> None:
    """Copy an object: a sandboxed program that is ourselves owns the object's file too, and could change it through a hard link."""
    with objects.open(digest) as source, target.open("xb") as file:
        shutil.copyfileobj(source, file, _CHUNK)
    target.chmod(0o444)


def collect(
    work: Path,
    wanted: Mapping[str, str],
    objects: ObjectStore,
    *,
    limit_bytes: int = OUTPUTS_LIMIT_BYTES,
    leave: bool = False,
) -> dict[str, Sha256]:
    """Keep the outputs: name -> file, or `name/file` for each file that a pattern with `*` matches.

    What sandboxed programs left is hostile: only regular files with one name are read, never through a symlink, and no more than
    `limit_bytes` of all of them: a file may be longer than what it takes of the disk. Large ones are moved into the store
    where that can be done; leave: they stay where they are, too. Raises Refused for anything else,
    BadInput if a plain name is missing, OutOfSpace before they would fill the disk.
    """
    found: dict[str, Sha256] = {}
    left = limit_bytes
    for name, pattern in wanted.items():
        folder, _, last = str(_safe(pattern)).rpartition("/")
        for file_name in _matching(work, folder, last):
            key = f"{name}/{file_name}" if "*" in last else name
            found[key], size = _keep(work, PurePosixPath(folder) / file_name, objects, left, leave=leave)
            left -= size
        if "*" not in last and name not in found:
            raise BadInput(f"the program did not leave {pattern}", hint="distwright job log JOB")
    return found


def collect_found(
    work: Path,
    wanted: Mapping[str, str],
    objects: ObjectStore,
    log: Callable[[str], None],
    *,
    limit_bytes: int = OUTPUTS_LIMIT_BYTES,
) -> dict[str, Sha256]:
    """Keep those of the outputs that are there and are plain files; say in the log which are not."""
    found: dict[str, Sha256] = {}
    for name, pattern in wanted.items():
        try:
            found |= collect(work, {name: pattern}, objects, limit_bytes=limit_bytes, leave=True)
        except (BadInput, Refused) as error:
            log(f"{name} is not kept: {error.message}")
    return found


def matching(pattern: str) -> re.Pattern[str]:
    """Give what the whole name of an output must match; only `*` stands for anything."""
    return re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL)


def _matching(work: Path, folder: str, pattern: str) -> Iterator[str]:
    descriptor = _open_folder(work, PurePosixPath(folder))
    try:
        names = os.listdir(descriptor)  # noqa: PTH208  # pathlib cannot list an open folder
    finally:
        os.close(descriptor)
    for name in sorted(filter(matching(pattern).fullmatch, names)):
        if not name.isprintable():  # lone surrogates, which stand for bytes that are no UTF-8, are not printable either
            raise Refused(f"output {quoted(name)} has a name that is not UTF-8 to print", hint="distwright job log JOB")
        yield name


def _keep(
    work: Path, path: PurePosixPath, objects: ObjectStore, limit_bytes: int, *, leave: bool
) -> tuple[Sha256, int]:
    with ExitStack() as opened:
        folder = _open_folder(work, path.parent)
        opened.callback(os.close, folder)
        try:
            descriptor = os.open(path.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        except OSError as error:
            raise Refused(
                f"output {path} is not a plain file: {error.strerror}", hint="distwright job log JOB"
            ) from error
        opened.callback(os.close, descriptor)
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            raise Refused(f"output {path} is not a plain file with one name", hint="distwright job log JOB")
        size = status.st_size
        if size > limit_bytes:
            raise Refused(
                f"output {path} has {size} bytes, {max(limit_bytes, 0)} are left of what all may have",
                hint="distwright job log JOB",
            )
        if size >= _WORTH_MOVING_BYTES and not leave:
            moved = objects.take_over(descriptor, folder, path.name)
            if moved is not None:
                return moved, size
        _check_room(path, size, os.fstatvfs(descriptor))
        with os.fdopen(descriptor, "rb", closefd=False) as file, objects.writing() as writer:
            while piece := file.read(_CHUNK):
                writer.write(piece)
    return writer.digest, size


def _check_room(path: PurePosixPath, size: int, disk: os.statvfs_result) -> None:
    free = disk.f_bavail * disk.f_frsize
    if size > free - _FREE_BYTES:
        raise OutOfSpace(
            f"output {path} has {size} bytes, {free} are free here",
            hint="free some space, or look at distwright job log JOB for why it is so large",
        )


def _open_folder(work: Path, below: PurePosixPath) -> int:
    descriptor = os.open(work, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    for part in below.parts:
        try:
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=descriptor)
        except OSError as error:
            if error.errno == errno.ENOENT:
                raise BadInput(f"the program removed its folder {below}", hint="distwright job log JOB") from error
            raise Refused(f"{below} is no longer a folder", hint="distwright job log JOB") from error
        finally:
            os.close(descriptor)
        descriptor = inner
    return descriptor


def _make_folders(work: Path, below: PurePosixPath, sandbox: Sandbox) -> None:
    for depth in range(1, len(below.parts) + 1):
        folder = work.joinpath(*below.parts[:depth])
        if not folder.exists():
            folder.mkdir()
            sandbox.give(folder)


def _safe(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise BadInput(f"{name!r} is not a path inside the work folder", hint="report this as a bug of distwright")
    return path
