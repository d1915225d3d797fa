"""The object store: bytes known by their SHA-256, immutable, written once."""

import errno
import hashlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import BinaryIO, Protocol

from distwright.errors import BadInput, DiskFailed, Lost, Refused, Rotten, disk_error
from distwright.model.digests import Sha256
from distwright.store.adopting import FoundFile, adopt_files, move_in
from distwright.store.leftovers import drop_partials
from distwright.store.paths import half_made
from distwright.store.staging import Stage
from distwright.store.touching import touch_file
from distwright.store.trash import Trash

_CHUNK = 1 << 20
READ_LIMIT_BYTES = 512 << 20
_NO_LINK = (errno.EXDEV, errno.EMLINK, errno.EPERM)  # another file system, too many links, a file system without links


class ObjectWriter:
    """Receives bytes and hashes them on the way; becomes an object by `ObjectStore.writing`."""

    def __init__(self, file: BinaryIO) -> None:
        """Write through to `file`."""
        self._file = file
        self._hash = hashlib.sha256()
        self.size_bytes = 0

    def write(self, content: bytes | memoryview) -> None:
        """Append bytes."""
        self._file.write(content)
        self._hash.update(content)
        self.size_bytes += len(content)

    @property
    def digest(self) -> Sha256:
        """The SHA-256 of what was written so far."""
        return Sha256(self._hash.hexdigest())


class ObjectStore(Protocol):
    """What every object store does; tests/contract/test_object_store.py says it in full."""

    def put(self, content: bytes) -> Sha256:
        """Keep bytes; keeping the same bytes again changes nothing but `touched_at`."""
        ...

    def put_file(self, path: Path) -> Sha256:
        """Keep a copy of a file's bytes."""
        ...

    @contextmanager
    def writing(self, expect: Sha256 | None = None) -> Iterator[ObjectWriter]:
        """Keep what is written in the block, unless it raises. Raises Refused if `expect` is given and does not match.

        An object that is here stays as it is, with all places that share it; one that has rotted is replaced.
        """
        ...

    def take_over(self, descriptor: int, folder: int, name: str) -> Sha256 | None:
        """Keep a plain file that others wrote and are done with, by moving it where that can be done; None if it must be copied.

        descriptor: the file, open for reading; folder, name: an open folder and its only name. It is gone from there then. Not
        moved: what anybody has open still, what cannot be made ours, what lies on another file system.
        """
        ...

    def adopt(self, files: Sequence[FoundFile], *, link: bool) -> None:
        """Keep files that lie elsewhere, many at once; link: share them where possible. Raises Refused if one has changed."""
        ...

    @contextmanager
    def staging(self) -> Iterator[Callable[[bytes], Sha256]]:
        """Give a `put` for many small objects; they are objects when the block ends, none of them if it raises."""
        ...

    def open(self, digest: Sha256) -> BinaryIO:
        """Open for reading; the caller closes. Raises Lost."""
        ...

    def read(self, digest: Sha256) -> bytes:
        """Give all bytes of a small object, which are what its name says.

        Raises Lost; Rotten if they are not any more; BadInput for more than READ_LIMIT_BYTES, which only a program that was
        not meant to can have left: what may be large is opened.
        """
        ...

    def has(self, digest: Sha256) -> bool:
        """Say whether the object is here; its bytes are not checked."""
        ...

    def touch(self, digest: Sha256) -> bool:
        """Say whether the object is here, and if so let it count as kept just now.

        For who is about to name in a row what is here already: objects are kept first and named second, so whoever collects what
        nobody names must leave alone what was kept or touched a short while ago.
        """
        ...

    def touched_at(self, digest: Sha256) -> datetime:
        """Say when the object was last kept or touched, or later. Raises NotFound."""
        ...

    def size(self, digest: Sha256) -> int:
        """Say the size in bytes. Raises Lost."""
        ...

    def local_path(self, digest: Sha256) -> Path:
        """Give a file of this machine with these bytes, for a program to read and nobody to change. Raises NotFound.

        Raises Refused in a store whose objects are no files.
        """
        ...

    def place(self, digest: Sha256, target: Path) -> None:
        """Make the object appear, whole and read-only, as the new file `target`, without copying where the disk allows.

        Raises Lost, and FileExistsError if the place is taken.
        """
        ...

    def is_placed(self, digest: Sha256, target: Path) -> bool:
        """Say whether `target` is known, without reading it, to be what `place` made of this object."""
        ...

    def digests(self) -> Iterator[Sha256]:
        """List all objects, in no order."""
        ...

    def is_intact(self, digest: Sha256) -> bool:
        """Read the object again and say whether its bytes still have its name; not if they cannot be read. Raises Lost."""
        ...

    def discard(self, digest: Sha256, day: date) -> bool:
        """Let the object go, but for some days whoever asks for it has it back; say whether it was there."""
        ...

    def discarded(self) -> Iterator[Sha256]:
        """List what was discarded and can be had back still, in no order; asking for one with `has` brings it back."""
        ...

    def empty_trash(self, before: date) -> tuple[int, int]:
        """Delete for good what was discarded before a day; give how many objects and bytes."""
        ...

    def drop_leftovers(self) -> int:
        """Remove what writers left that are gone; say how many."""
        ...


def refuse_large(digest: Sha256, size: int) -> None:
    """Refuse to read an object whole that has more than READ_LIMIT_BYTES. Raises BadInput."""
    if size > READ_LIMIT_BYTES:
        raise BadInput(
            f"object {digest} has {size} bytes, {READ_LIMIT_BYTES} are read at once",
            hint="look at what left it: distwright job log JOB",
        )


class FileObjects:
    """Objects as files `<root>/sha256/ab/cdef…`: written to a temporary file, fsynced, renamed, folder fsynced."""

    def __init__(self, root: Path) -> None:
        """Use `root`, made when first written to."""
        self._root = root
        self._named = f"{root}/sha256/"
        self._incoming = root / "incoming"
        self._trash = Trash(root)

    def path(self, digest: Sha256) -> Path:
        """Say where the object is or would be."""
        return self._root / "sha256" / digest[:2] / digest[2:]

    def put(self, content: bytes) -> Sha256:
        """Keep bytes."""
        digest = Sha256(hashlib.sha256(content).hexdigest())
        if not self.touch(digest) or self.path(digest).read_bytes() != content:  # what rotted comes back so
            with self.writing(digest) as writer:
                writer.write(content)
        return digest

    def put_file(self, path: Path) -> Sha256:
        """Keep a copy of a file's bytes."""
        with path.open("rb") as file, self.writing() as writer:
            while chunk := file.read(_CHUNK):
                writer.write(chunk)
        return writer.digest

    @contextmanager
    def writing(self, expect: Sha256 | None = None) -> Iterator[ObjectWriter]:
        """Keep what is written in the block, unless it raises."""
        with _disk_named(self._root):
            self._incoming.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=self._incoming, prefix=f"{os.getpid()}-")
        partial = Path(name)
        try:
            with _disk_named(self._root), os.fdopen(descriptor, "wb") as file:
                writer = ObjectWriter(file)
                yield writer
                if expect is not None and writer.digest != expect:
                    raise Refused(
                        f"content has SHA-256 {writer.digest}, {expect} was promised",
                        hint="fetch it again; if it stays, the sender is broken or dishonest",
                    )
                file.flush()
                os.fchmod(file.fileno(), 0o444)
                os.fsync(file.fileno())
            if not (self.touch(writer.digest) and self.is_intact(writer.digest)):
                self._adopt(partial, writer.digest)
        finally:
            partial.unlink(missing_ok=True)

    def take_over(self, descriptor: int, folder: int, name: str) -> Sha256 | None:
        """Keep a file that others are done with, by moving it."""
        with _disk_named(self._root):
            self._incoming.mkdir(parents=True, exist_ok=True)
            partial = self._incoming / f"{os.getpid()}-{secrets.token_hex(8)}"
            try:
                digest = move_in(descriptor, folder, name, partial)
                if digest is not None and not (self.touch(digest) and self.is_intact(digest)):
                    self._adopt(partial, digest)
            finally:
                partial.unlink(missing_ok=True)
        return digest

    def adopt(self, files: Sequence[FoundFile], *, link: bool) -> None:
        """Keep files that lie elsewhere."""
        with _disk_named(self._root):
            adopt_files(self._root, files, link=link)

    @contextmanager
    def staging(self) -> Iterator[Callable[[bytes], Sha256]]:
        """Give a `put` for many small objects."""
        stage = Stage(self._root)
        try:
            with _disk_named(self._root):
                yield stage.put
                stage.settle()
        finally:
            stage.drop()

    def take_in(self, partial: Path, digest: Sha256) -> None:
        """Make a file of this file system, which nobody changes any more, the object; raise Refused if it is not, and drop it."""
        found = sha256_of_file(partial)
        if found != digest:
            partial.unlink()
            raise Refused(f"content has SHA-256 {found}, {digest} was promised", hint="send it again")
        with _disk_named(self._root), partial.open("rb+") as file:
            os.fchmod(file.fileno(), 0o444)
            os.fsync(file.fileno())
        if self.touch(digest) and self.is_intact(digest):
            partial.unlink()
        else:
            self._adopt(partial, digest)

    def _adopt(self, partial: Path, digest: Sha256) -> None:
        final = self.path(digest)
        with _disk_named(self._root):
            _make_folder(final.parent)
            partial.rename(final)
            _fsync_folder(final.parent)

    def open(self, digest: Sha256) -> BinaryIO:
        """Open for reading."""
        try:
            return open(f"{self._named}{digest[:2]}/{digest[2:]}", "rb")  # noqa: PTH123  # thousands of times
        except FileNotFoundError:
            if self._trash.revive(digest, self.path(digest)):
                return self.path(digest).open("rb")
            raise missing(digest) from None

    def read(self, digest: Sha256) -> bytes:
        """Give all bytes, checked: what is made of them must not spread what a disk has done to them."""
        with _disk_named(self.path(digest)), self.open(digest) as file:
            refuse_large(digest, os.fstat(file.fileno()).st_size)
            content = file.read()
        if hashlib.sha256(content).hexdigest() != digest:
            raise rotten(digest)
        return content

    def has(self, digest: Sha256) -> bool:
        """Say whether the object is here."""
        return self.path(digest).exists() or self._trash.revive(digest, self.path(digest))

    def touch(self, digest: Sha256) -> bool:
        """Say whether the object is here, and make its time of access now.

        Not its time of change: a placed object is the same file, and a mirror would take it for a new one. A store that we may
        only read is not ours to collect, so that it cannot be touched is no error.
        """
        return touch_file(self.path(digest)) or (self.has(digest) and touch_file(self.path(digest)))

    def touched_at(self, digest: Sha256) -> datetime:
        """Give the later one of both times of the file."""
        found = self._stat(digest)
        return datetime.fromtimestamp(max(found.st_atime, found.st_mtime), UTC)

    def size(self, digest: Sha256) -> int:
        """Say the size in bytes."""
        return self._stat(digest).st_size

    def local_path(self, digest: Sha256) -> Path:
        """Give the object's own file."""
        self._stat(digest)
        return self.path(digest)

    def _stat(self, digest: Sha256) -> os.stat_result:
        if not self.has(digest):
            raise missing(digest)
        return self.path(digest).stat()

    def place(self, digest: Sha256, target: Path) -> None:
        """Hard-link the object to `target`; copy where the file system refuses."""
        try:
            os.link(
                f"{self._named}{digest[:2]}/{digest[2:]}", target
            )  # a first publish comes here once for each package
        except FileExistsError:
            raise
        except OSError:
            self._place_otherwise(digest, target)

    def _place_otherwise(self, digest: Sha256, target: Path) -> None:
        source = self.path(digest)
        with _disk_named(target.parent):
            try:
                os.link(source, target)
            except FileNotFoundError:
                if not self.has(digest):
                    raise missing(digest) from None
                target.parent.mkdir(parents=True, exist_ok=True)
                self._link_or_copy(source, target)
            except OSError as error:
                if error.errno not in _NO_LINK:
                    raise
                _copy_whole(source, target)

    def _link_or_copy(self, source: Path, target: Path) -> None:
        try:
            os.link(source, target)
        except OSError as error:
            if error.errno not in _NO_LINK:
                raise
            _copy_whole(source, target)

    def is_placed(self, digest: Sha256, target: Path) -> bool:
        """Say whether `target` is the object's own file."""
        try:
            return self.path(digest).samefile(target)
        except FileNotFoundError:
            return False

    def digests(self) -> Iterator[Sha256]:
        """List all objects."""
        for folder in sorted((self._root / "sha256").glob("??")):
            yield from [Sha256.known(folder.name + name) for name in os.listdir(folder)]  # noqa: PTH208  # hundreds of thousands

    def is_intact(self, digest: Sha256) -> bool:
        """Read the object again and compare."""
        try:
            with _disk_named(self._root):
                return sha256_of_file(self.local_path(digest)) == digest
        except DiskFailed:
            return False

    def discard(self, digest: Sha256, day: date) -> bool:
        """Put the object into the trash of a day; whoever asks for it has it back until the trash is emptied."""
        return self._trash.take(self.path(digest), digest, day)

    def discarded(self) -> Iterator[Sha256]:
        """List what is in the trash."""
        return self._trash.digests()

    def empty_trash(self, before: date) -> tuple[int, int]:
        """Delete what was discarded before a day; give how many objects and bytes."""
        return self._trash.empty(before)

    def drop_leftovers(self) -> int:
        """Remove partial files of writers that are gone; say how many."""
        partials = self._incoming.glob("*-*") if self._incoming.exists() else ()
        return drop_partials((partial, partial.name.partition("-")[0]) for partial in partials)


def sha256_of_file(path: Path) -> Sha256:
    """Hash a file, however large, piece by piece."""
    with path.open("rb") as file:
        return Sha256.known(hashlib.file_digest(file, "sha256").hexdigest())


def missing(digest: Sha256) -> Lost:
    """Say that an object is not here."""
    return Lost(
        f"object {digest} is not here",
        hint="restore objects/ from a backup, or do again what made it: distwright job list",
    )


def rotten(digest: Sha256) -> Rotten:
    """Say that an object is here no longer as it was kept."""
    return Rotten(f"object {digest} has rotted", hint="distwright archive fsck --repair --from BACKUP")


@contextmanager
def _disk_named(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        named = disk_error(error, str(place))
        if named is None:
            raise
        raise named from error


def _copy_whole(source: Path, target: Path) -> None:
    """Copy under another name first: a target that exists is whole, whatever ends us (and nobody copies it a second time)."""
    partial = half_made(target)
    try:
        shutil.copyfile(source, partial)
        partial.chmod(0o444)
        partial.rename(target)
    finally:
        partial.unlink(missing_ok=True)


def _make_folder(folder: Path) -> None:
    """Make a folder that a power cut does not take away again: its name is on disk before anything is put into it."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _fsync_folder(folder.parent)


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
