"""Take uploads out of a folder that strangers write to, while they write: complete ones only, whole, and once.

Around each upload: its files become objects, its job is placed (known by what the file system says of the .changes, so that a
second look finds the same job), the .changes moves to `.taken/JOB-NAME`, its files go. Killed anywhere, the next look goes on.

Names in the folder may become links at any moment: files are opened without following and looked at when open; the three folders
below are ours, or nothing is done in them (own_folder).
"""

import contextlib
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from distwright.archive.own_folder import own_folder, write_anew
from distwright.errors import BadInput, DistwrightError, NotFound, Refused, quoted
from distwright.formats.changes import Changes, UploadFile, parse_changes
from distwright.formats.clearsign import without_armour
from distwright.formats.paths import safe_file_name
from distwright.model.digests import Json, Sha256
from distwright.store.objects import ObjectStore

TAKEN, REJECTED, ACCEPTED = ".taken", "rejected", "accepted"
CHANGES_LIMIT_BYTES = 16 << 20
UPLOAD_LIMIT_BYTES = 64 << 30
PATIENCE_S = 24 * 3600  # for files that .changes lists and that do not come
SETTLE_S = 60  # for a .changes that cannot be read: it may still be arriving
LEFT_S = 7 * 24 * 3600  # for files that no .changes ever listed
LONGEST_NAME = 200  # of a .changes: what is made of it has a number and an ending more
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Arrival:
    """An upload whose files are objects now. seen: of each file, what the file system said; mark: of the .changes. Not verified."""

    name: str
    digest: Sha256
    changes: Changes
    files: Mapping[str, Sha256]
    mark: str
    seen: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)


class IncompleteError(NotFound):
    """Not everything that the .changes lists is there yet."""


def announced(content: bytes) -> Changes:
    """Read a .changes that nobody has verified: to find its files and its suite. Raises BadInput."""
    return parse_changes(without_armour(content))


def read_announced(folder: Path, name: str) -> Changes:
    """Read a .changes of a folder that nobody has verified. Raises BadInput, IncompleteError."""
    return announced(_read_changes(folder, name)[0])


def collect(objects: ObjectStore, folder: Path, name: str) -> Arrival:
    """Make objects of a .changes and of the files beside it.

    A file that is longer than it should be, or another, is taken as it is: the checks will say so. Raises IncompleteError if files
    are missing or too short, BadInput if the .changes cannot be read, Refused if it announces too much.
    """
    content, mark = _read_changes(folder, name)
    changes = announced(content)
    total = sum(file.size for file in changes.files)
    if total > UPLOAD_LIMIT_BYTES:
        raise Refused(f"{name} announces {total} bytes", hint=f"upload at most {UPLOAD_LIMIT_BYTES} bytes at once")
    sizes = {file.name: _size(folder / file.name) for file in changes.files}
    missing = [
        file.name for file in changes.files if (sizes[file.name] or -1) < file.size and sizes[file.name] != file.size
    ]
    if missing:
        raise IncompleteError(
            f"{name} lacks {', '.join(missing[:20])}", hint="send these files, then the .changes again"
        )
    files, seen = {}, {}
    for file in changes.files:
        files[file.name], seen[file.name] = _kept(objects, folder / file.name, _limit(file))
    return Arrival(name, objects.put(content), changes, files, mark, seen)


def waiting_changes(folder: Path) -> list[str]:
    """List the .changes of a folder by name; passed over: what no upload may be called."""
    with os.scandir(folder) as entries:
        return sorted(
            entry.name
            for entry in entries
            if entry.name.endswith(".changes") and _is_sound(entry.name) and entry.is_file(follow_symlinks=False)
        )


def set_aside(folder: Path, job: int, arrival: Arrival) -> None:
    """Move a .changes that has a job out of the way, then remove its files, but for those that another .changes lists or that are
    others by now."""
    with taken_folder(folder) as taken:
        (folder / arrival.name).rename(taken / f"{job}-{arrival.name}")
    shared = _listed_by_others(folder)
    for name, seen in arrival.seen.items():
        with contextlib.suppress(FileNotFoundError):
            if name not in shared and _identity(os.lstat(folder / name)) == seen:
                (folder / name).unlink()


def claim(folder: Path) -> None:
    """Make the folders in which senders are told what became of their uploads, before somebody else does. Raises Refused."""
    for name in (REJECTED, ACCEPTED):
        with own_folder(folder / name, 0o755):
            pass


def taken_folder(folder: Path) -> contextlib.AbstractContextManager[Path]:
    """Give the folder of those .changes that have a job. Raises Refused if it is not ours."""
    return own_folder(folder / TAKEN, 0o700)


def taken_jobs(taken: Path) -> list[tuple[int, Path]]:
    """List the jobs of a taken folder whose verdict is not told yet, with their .changes."""
    found = [(place.name.partition("-")[0], place) for place in taken.glob("*.changes")]
    return sorted((int(number), place) for number, place in found if number.isascii() and number.isdigit())


def forget(folder: Path, marker: Path, objects: ObjectStore) -> None:
    """Remove what a kill may have left of a taken upload, then its marker."""
    shared = _listed_by_others(folder)
    with contextlib.suppress(DistwrightError):
        for file in read_announced(marker.parent, marker.name).files:
            place = folder / file.name
            if (
                file.name not in shared
                and _size(place) == file.size
                and _kept(objects, place, file.size)[0] == file.sha256
            ):
                place.unlink(missing_ok=True)
    marker.unlink(missing_ok=True)


def announced_files(folder: Path, name: str) -> Sequence[UploadFile]:
    """Give the files that a .changes announces; none if it cannot be read."""
    with contextlib.suppress(BadInput, NotFound):
        return read_announced(folder, name).files
    return ()


def remains(objects: ObjectStore, folder: Path, name: str, files: Sequence[UploadFile]) -> dict[str, Sha256]:
    """Make objects of a .changes and of what is there of its files: plain files only, and no more of each than `collect` reads."""
    limits = {name: CHANGES_LIMIT_BYTES} | {file.name: _limit(file) for file in files}
    kept, left = {}, UPLOAD_LIMIT_BYTES
    for file_name, limit in limits.items():
        with contextlib.suppress(BadInput, NotFound):
            kept[file_name], (_, size, _) = _kept(objects, folder / file_name, min(limit, left))
            left -= min(limit, size, left)
    return kept


def show_rejected(
    folder: Path, name: str, status: bytes, content: Mapping[str, Sha256], objects: ObjectStore, *, mark: str
) -> Path:
    """Put a rejected upload where its sender can read why: `rejected/NAME-MARK/` with its files and status.json. Safe to repeat."""
    with own_folder(folder / REJECTED, 0o755) as rejected:
        place = rejected / f"{name.removesuffix('.changes')}-{mark}"
        if not place.exists():
            with own_folder(rejected / f".{place.name}", 0o755) as fresh:
                for file, digest in content.items():
                    (fresh / file).unlink(missing_ok=True)
                    with contextlib.suppress(NotFound):  # collected since
                        objects.place(digest, fresh / file)
                write_anew(fresh / "status.json", status)
            (rejected / f".{place.name}").rename(place)
    return folder / REJECTED / place.name


def show_accepted(folder: Path, name: str, status: bytes) -> None:
    """Say beside the folder's uploads that one was accepted: `accepted/NAME.json`."""
    with own_folder(folder / ACCEPTED, 0o755) as accepted:
        write_anew(accepted / f"{name}.json", status)


def is_late(folder: Path, name: str, now_s: float, patience_s: float) -> bool:
    """Say whether a .changes has waited for so long, by its last change."""
    with contextlib.suppress(FileNotFoundError):
        status = os.lstat(folder / name)
        return now_s - max(status.st_mtime, status.st_ctime) > patience_s
    return False


def drop_leftovers(folder: Path, now_s: float) -> None:
    """Remove files that came a week ago and that nothing lists: an upload that was given up."""
    needed = {*_listed_by_others(folder), *waiting_changes(folder)}
    with os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):  # gone meanwhile, or not ours to remove
                status = entry.stat(follow_symlinks=False)
                is_old = now_s - max(status.st_mtime, status.st_ctime) > LEFT_S
                if is_old and stat.S_ISREG(status.st_mode) and entry.name not in needed:
                    Path(entry.path).unlink()


def came(way: str, by: str, arrival: Arrival) -> dict[str, Json]:
    """Say for an order how an upload came; the mark makes each coming another order, and the same coming the same."""
    return {"way": way, "by": by, "name": arrival.name, "mark": arrival.mark}


def remove(folder: Path, name: str, files: Sequence[UploadFile]) -> None:
    """Remove a .changes and those of its files that are there and that no other lists."""
    (folder / name).unlink(missing_ok=True)
    shared = _listed_by_others(folder)
    for file in files:
        if file.name not in shared and _size(folder / file.name) is not None:
            (folder / file.name).unlink(missing_ok=True)


def _is_sound(name: str) -> bool:
    try:
        return len(safe_file_name(name)) <= LONGEST_NAME
    except BadInput:
        return False


def _limit(file: UploadFile) -> int:
    """Say how much is read of a file: more than was announced tells enough, its hash will be wrong."""
    return max(file.size, 1) * 2 + _CHUNK


def _listed_by_others(folder: Path) -> set[str]:
    shared: set[str] = set()
    for name in waiting_changes(folder):
        with contextlib.suppress(DistwrightError):
            shared |= {file.name for file in announced(_read_changes(folder, name)[0]).files}
    return shared


def _read_changes(folder: Path, name: str) -> tuple[bytes, str]:
    with _opened(folder / name) as descriptor:
        status = os.fstat(descriptor)
        if status.st_size > CHANGES_LIMIT_BYTES:
            raise BadInput(f"{name} has {status.st_size} bytes", hint="name the .changes file itself")
        with os.fdopen(os.dup(descriptor), "rb") as file:
            content = file.read(CHANGES_LIMIT_BYTES + 1)
    return content, f"{status.st_ino}-{status.st_ctime_ns}"


def _kept(objects: ObjectStore, place: Path, limit_bytes: int) -> tuple[Sha256, tuple[int, int, int]]:
    with _opened(place) as descriptor, objects.writing() as writer:
        seen = _identity(os.fstat(descriptor))
        left = limit_bytes
        while left > 0 and (piece := os.read(descriptor, min(_CHUNK, left))):
            writer.write(piece)
            left -= len(piece)
    return writer.digest, seen


@contextlib.contextmanager
def _opened(place: Path) -> Iterator[int]:
    """Open a regular file for reading and nothing else: a link leads elsewhere, a pipe would hold us up."""
    try:
        descriptor = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise IncompleteError(f"{quoted(place.name)} cannot be read: {error.strerror}", hint="send it again") from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise BadInput(f"{quoted(place.name)} is not a plain file", hint="send it again")
        yield descriptor
    finally:
        os.close(descriptor)


def _size(place: Path) -> int | None:
    try:
        status = os.lstat(place)
    except OSError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _identity(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_ino, status.st_size, status.st_mtime_ns
