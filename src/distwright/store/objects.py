"""The object store: bytes known by their SHA-256, immutable, written once."""

import errno
import hashlib
import io
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

from distwright.errors import NotFound, OutOfSpace, Refused
from distwright.model.digests import Sha256
from distwright.store.adopting import FoundFile, adopt_files, open_found
from distwright.store.staging import Stage

_CHUNK = 1 << 20
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
        """Keep bytes; keeping the same bytes again changes nothing."""
        ...

    def put_file(self, path: Path) -> Sha256:
        """Keep a copy of a file's bytes."""
        ...

    @contextmanager
    def writing(self, expect: Sha256 | None = None) -> Iterator[ObjectWriter]:
        """Keep what is written in the block, unless it raises. Raises Refused if `expect` is given and does not match."""
        ...

    def adopt(self, files: Sequence[FoundFile], *, link: bool) -> None:
        """Keep files that lie elsewhere, many at once; link: share them where possible. Raises Refused if one has changed."""
        ...

    @contextmanager
    def staging(self) -> Iterator[Callable[[bytes], Sha256]]:
        """Give a `put` for many small objects; they are objects when the block ends, none of them if it raises."""
        ...

    def open(self, digest: Sha256) -> BinaryIO:
        """Open for reading; the caller closes. Raises NotFound."""
        ...

    def read(self, digest: Sha256) -> bytes:
        """Give all bytes of a (small) object. Raises NotFound."""
        ...

    def has(self, digest: Sha256) -> bool:
        """Say whether the object is here; its bytes are not checked."""
        ...

    def size(self, digest: Sha256) -> int:
        """Say the size in bytes. Raises NotFound."""
        ...

    def place(self, digest: Sha256, target: Path) -> None:
        """Make the object appear, whole and read-only, as the new file `target`, without copying where the disk allows.

        Raises NotFound, and FileExistsError if the place is taken.
        """
        ...

    def is_placed(self, digest: Sha256, target: Path) -> bool:
        """Say whether `target` is known, without reading it, to be what `place` made of this object."""
        ...

    def digests(self) -> Iterator[Sha256]:
        """List all objects, in no order."""
        ...

    def is_intact(self, digest: Sha256) -> bool:
        """Read the object again and say whether its bytes still have its name. Raises NotFound."""
        ...


class FileObjects:
    """Objects as files `<root>/sha256/ab/cdef…`: written to a temporary file, fsynced, renamed, folder fsynced."""

    def __init__(self, root: Path) -> None:
        """Use `root`, made when first written to."""
        self._root = root
        self._incoming = root / "incoming"

    def path(self, digest: Sha256) -> Path:
        """Say where the object is or would be."""
        return self._root / "sha256" / digest[:2] / digest[2:]

    def put(self, content: bytes) -> Sha256:
        """Keep bytes."""
        digest = Sha256(hashlib.sha256(content).hexdigest())
        if not self.path(digest).exists():
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
        with _full_disk_named(self._root):
            self._incoming.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=self._incoming, prefix=f"{os.getpid()}-")
        partial = Path(name)
        try:
            with _full_disk_named(self._root), os.fdopen(descriptor, "wb") as file:
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
            self._adopt(partial, writer.digest)
        finally:
            partial.unlink(missing_ok=True)

    def adopt(self, files: Sequence[FoundFile], *, link: bool) -> None:
        """Keep files that lie elsewhere."""
        with _full_disk_named(self._root):
            adopt_files(self._root, files, link=link)

    @contextmanager
    def staging(self) -> Iterator[Callable[[bytes], Sha256]]:
        """Give a `put` for many small objects."""
        stage = Stage(self._root)
        try:
            with _full_disk_named(self._root):
                yield stage.put
                stage.settle()
        finally:
            stage.drop()

    def _adopt(self, partial: Path, digest: Sha256) -> None:
        final = self.path(digest)
        with _full_disk_named(self._root):
            _make_folder(final.parent)
            partial.rename(final)
            _fsync_folder(final.parent)

    def open(self, digest: Sha256) -> BinaryIO:
        """Open for reading."""
        try:
            return self.path(digest).open("rb")
        except FileNotFoundError:
            raise _missing(digest) from None

    def read(self, digest: Sha256) -> bytes:
        """Give all bytes."""
        with self.open(digest) as file:
            return file.read()

    def has(self, digest: Sha256) -> bool:
        """Say whether the object is here."""
        return self.path(digest).exists()

    def size(self, digest: Sha256) -> int:
        """Say the size in bytes."""
        try:
            return self.path(digest).stat().st_size
        except FileNotFoundError:
            raise _missing(digest) from None

    def place(self, digest: Sha256, target: Path) -> None:
        """Hard-link the object to `target`; copy where the file system refuses."""
        source = self.path(digest)
        with _full_disk_named(target.parent):
            try:
                os.link(source, target)
            except FileNotFoundError:
                if not source.exists():
                    raise _missing(digest) from None
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
            for file in folder.iterdir():
                yield Sha256(folder.name + file.name)

    def is_intact(self, digest: Sha256) -> bool:
        """Read the object again and compare."""
        state = hashlib.sha256()
        with self.open(digest) as file:
            while chunk := file.read(_CHUNK):
                state.update(chunk)
        return state.hexdigest() == digest

    def drop_leftovers(self) -> int:
        """Remove partial files of writers that are gone; say how many."""
        count = 0
        for partial in self._incoming.glob("*-*") if self._incoming.exists() else ():
            if not Path(f"/proc/{partial.name.partition('-')[0]}").exists():
                partial.unlink(missing_ok=True)
                count += 1
        return count


class MemoryObjects:
    """Objects in memory: for tests and for values that need no disk."""

    def __init__(self) -> None:
        """Begin empty."""
        self._content: dict[Sha256, bytes] = {}

    def put(self, content: bytes) -> Sha256:
        """Keep bytes."""
        digest = Sha256(hashlib.sha256(content).hexdigest())
        self._content[digest] = content
        return digest

    def put_file(self, path: Path) -> Sha256:
        """Keep a copy of a file's bytes."""
        return self.put(path.read_bytes())

    @contextmanager
    def writing(self, expect: Sha256 | None = None) -> Iterator[ObjectWriter]:
        """Keep what is written in the block, unless it raises."""
        file = io.BytesIO()
        writer = ObjectWriter(file)
        yield writer
        if expect is not None and writer.digest != expect:
            raise Refused(f"content has SHA-256 {writer.digest}, {expect} was promised", hint="fetch it again")
        self.put(file.getvalue())

    @contextmanager
    def staging(self) -> Iterator[Callable[[bytes], Sha256]]:
        """Give `put`."""
        yield self.put

    def adopt(self, files: Sequence[FoundFile], *, link: bool) -> None:
        """Keep copies."""
        for file in files:
            with self.writing(expect=file.sha256) as writer, os.fdopen(open_found(file), "rb") as source:
                writer.write(source.read())

    def open(self, digest: Sha256) -> BinaryIO:
        """Open for reading."""
        return io.BytesIO(self.read(digest))

    def read(self, digest: Sha256) -> bytes:
        """Give all bytes."""
        if digest not in self._content:
            raise _missing(digest)
        return self._content[digest]

    def has(self, digest: Sha256) -> bool:
        """Say whether the object is here."""
        return digest in self._content

    def size(self, digest: Sha256) -> int:
        """Say the size in bytes."""
        return len(self.read(digest))

    def place(self, digest: Sha256, target: Path) -> None:
        """Write the object to `target`."""
        content = self.read(digest)
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            file.write(content)
        target.chmod(0o444)

    def is_placed(self, digest: Sha256, target: Path) -> bool:
        """Say no: what was placed is a copy."""
        return False

    def digests(self) -> Iterator[Sha256]:
        """List all objects."""
        yield from list(self._content)

    def is_intact(self, digest: Sha256) -> bool:
        """Say yes for what is here: memory does not rot."""
        return bool(self.read(digest) is not None)


def _missing(digest: Sha256) -> NotFound:
    return NotFound(
        f"object {digest} is not here",
        hint="restore objects/ from a backup, or do again what made it: distwright job list",
    )


@contextmanager
def _full_disk_named(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OutOfSpace(
                f"no space left below {place}",
                hint=f"free some space (df -h {place}; df -i {place}), then run the same command again",
            ) from error
        raise


def _copy_whole(source: Path, target: Path) -> None:
    """Copy under another name first: a target that exists is whole, whatever ends us (and nobody copies it a second time)."""
    partial = target.with_name(f".{target.name}.{os.getpid()}")
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
