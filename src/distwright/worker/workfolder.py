"""The work folder of a step: filled from objects, handed to the sandbox, read back without trusting what is in it."""

import errno
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath

from distwright.errors import BadInput, Refused, quoted
from distwright.model.digests import Sha256
from distwright.store.objects import ObjectStore
from distwright.tools.sandbox import Sandbox

_CHUNK = 1 << 20


def fill(
    work: Path, place: Mapping[str, Sha256], write: Mapping[str, str], objects: ObjectStore, sandbox: Sandbox
) -> None:
    """Put objects (read-only) and small files into the work folder; its folders belong to the sandbox."""
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
        target.write_text(text)
        target.chmod(0o755 if text.startswith("#!") else 0o644)


def _copy(objects: ObjectStore, digest: Sha256, target: Path) -> None:
    """Copy an object: a sandboxed program that is ourselves owns the object's file too, and could change it through a hard link."""
    with objects.open(digest) as source, target.open("xb") as file:
        shutil.copyfileobj(source, file, _CHUNK)
    target.chmod(0o444)


def collect(work: Path, wanted: Mapping[str, str], objects: ObjectStore) -> dict[str, Sha256]:
    """Keep the outputs: name -> file, or `name/file` for each file that a pattern with `*` matches.

    What sandboxed programs left is hostile: only regular files with one name are read, never through a symlink. Raises
    Refused for anything else, BadInput if a plain name is missing.
    """
    found: dict[str, Sha256] = {}
    for name, pattern in wanted.items():
        folder, _, last = str(_safe(pattern)).rpartition("/")
        for file_name in _matching(work, folder, last):
            key = f"{name}/{file_name}" if "*" in last else name
            found[key] = _keep(work, PurePosixPath(folder) / file_name, objects)
        if "*" not in last and name not in found:
            raise BadInput(f"the program did not leave {pattern}", hint="distwright job log JOB")
    return found


def collect_found(
    work: Path, wanted: Mapping[str, str], objects: ObjectStore, log: Callable[[str], None]
) -> dict[str, Sha256]:
    """Keep those of the outputs that are there and are plain files; say in the log which are not."""
    found: dict[str, Sha256] = {}
    for name, pattern in wanted.items():
        try:
            found |= collect(work, {name: pattern}, objects)
        except (BadInput, Refused) as error:
            log(f"{name} is not kept: {error.message}")
    return found


def _matching(work: Path, folder: str, pattern: str) -> Iterator[str]:
    descriptor = _open_folder(work, PurePosixPath(folder))
    try:
        names = os.listdir(descriptor)  # noqa: PTH208  # pathlib cannot list an open folder
    finally:
        os.close(descriptor)
    wanted = re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL)
    for name in sorted(filter(wanted.fullmatch, names)):
        if not name.isprintable():  # lone surrogates, which stand for bytes that are no UTF-8, are not printable either
            raise Refused(f"output {quoted(name)} has a name that is not UTF-8 to print", hint="distwright job log JOB")
        yield name


def _keep(work: Path, path: PurePosixPath, objects: ObjectStore) -> Sha256:
    folder = _open_folder(work, path.parent)
    try:
        descriptor = os.open(path.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except OSError as error:
        raise Refused(f"output {path} is not a plain file: {error.strerror}", hint="distwright job log JOB") from error
    finally:
        os.close(folder)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        os.close(descriptor)
        raise Refused(f"output {path} is not a plain file with one name", hint="distwright job log JOB")
    with os.fdopen(descriptor, "rb") as file, objects.writing() as writer:
        while piece := file.read(_CHUNK):
            writer.write(piece)
    return writer.digest


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
