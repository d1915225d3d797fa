"""Contents-ARCHITECTURE: which package has which file, for apt-file.

Each .deb is read once; its names are kept by its digest. Each leaf of the tree becomes one sorted run, kept by the leaf's digest,
so a publish reads what is new and merges the runs. The merged text is cut where the hash of a path says so: what did not change
is not compressed again (`pieces`). All of it is derived, below `cache/contents`.
"""

import heapq
import os
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from functools import partial
from io import BufferedReader
from itertools import groupby
from pathlib import Path
from typing import BinaryIO

import zstandard

from distwright.archive.datatar import file_names
from distwright.archive.editing import split_leaf
from distwright.archive.tree import Leaf
from distwright.errors import BadInput, Lost
from distwright.formats.deb822 import raw_field
from distwright.model.digests import Sha256, sha256_of
from distwright.store.objects import ObjectStore

_COLUMN = 55  # where dak puts the packages
_CUT_MASK = 0x3FF  # a piece ends at one path in 1,024
_CUT_BYTES = 256 * 1024
_RUNS_AT_ONCE = 200  # open files
_LEVEL = 3
_END = b"\n"  # after the last line: zstd does not tell a file that was cut off


class DamagedListError(Exception):
    """A derived list was not what had been written; it is gone, and will be made anew."""


Lines = AbstractContextManager[Iterator[bytes]]
Run = Callable[[], Lines]
"""Opens sorted lines."""


class Contents:
    """The derived file lists below a folder."""

    def __init__(self, folder: Path, objects: ObjectStore) -> None:
        """Use `folder`, made when first written to. unread: packages whose files could not be listed, and why."""
        self._folder = folder
        self._objects = objects
        self.unread: list[str] = []

    def pieces(self, leaves: Sequence[Leaf]) -> Iterator[tuple[Leaf, bytes]]:
        """Give the text of a Contents file of binary packages, piece by piece; a piece is like a leaf of a tree."""
        with ExitStack() as stack:
            runs: list[Run] = [partial(self._run, leaf) for leaf in leaves]
            while len(runs) > _RUNS_AT_ONCE:
                runs = [self._merged(runs[at : at + _RUNS_AT_ONCE], stack) for at in range(0, len(runs), _RUNS_AT_ONCE)]
            lines = heapq.merge(*(stack.enter_context(run()) for run in runs))
            yield from _cut(_rows(lines))

    def _merged(self, runs: Sequence[Run], stack: ExitStack) -> Run:
        fresh = tempfile.TemporaryDirectory(prefix="merge-", suffix=f".{os.getpid()}", dir=self._folder)
        folder = Path(stack.enter_context(fresh))
        with ExitStack() as opened:
            _write(folder / "run", heapq.merge(*(opened.enter_context(run()) for run in runs)))
        return partial(_opened, folder / "run")

    def _run(self, leaf: Leaf) -> Lines:
        """Open the sorted lines "path, tab, section/package" of a leaf, made now if they are not there."""
        path = self._folder / "runs" / leaf.digest[:2] / leaf.digest[2:]
        with suppress(FileNotFoundError):  # a collector may take it at any time
            return _opened(path)
        lines = []
        for name, stanza in split_leaf(self._objects.read(leaf.digest)):
            section = raw_field(stanza, b"Section")
            owner = (section + b"/" if section else b"") + name.encode()
            lines += [b"%b\t%b\n" % (file, owner) for file in self._names(name, stanza)]
        _write(path, sorted(set(lines)))
        return _opened(path)

    def _names(self, name: str, stanza: bytes) -> list[bytes]:
        digest = Sha256((raw_field(stanza, b"SHA256") or b"").decode())
        path = self._folder / "names" / digest[:2] / digest[2:]
        with suppress(FileNotFoundError), _opened(path) as file:
            return [line[:-1] for line in file]
        try:
            with self._objects.open(digest) as deb:
                names = file_names(deb)
        except (BadInput, Lost) as error:  # it was accepted long ago: a search that misses it is better than no publish
            self.unread.append(f"{name}: {error.message}")
            return []
        _write(path, (line + b"\n" for line in names))
        return names


def _rows(lines: Iterable[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Give path and line of each path; several packages may have it."""
    split = (line[:-1].rsplit(b"\t", 1) for line in lines)
    for path, owners in groupby(split, key=lambda pair: pair[0]):
        names = dict.fromkeys(owner for _, owner in owners)  # versions of one package
        yield path, b"%b %b\n" % (path.ljust(_COLUMN), b",".join(names))


def _cut(rows: Iterable[tuple[bytes, bytes]]) -> Iterator[tuple[Leaf, bytes]]:
    piece: list[bytes] = []
    size, first = 0, b""
    for path, line in rows:
        first = first if piece else path
        piece.append(line)
        size += len(line)
        if zlib.crc32(path) & _CUT_MASK == 0 or size >= _CUT_BYTES:
            yield _leaf(piece, first)
            piece, size = [], 0
    if piece:
        yield _leaf(piece, first)


def _leaf(piece: list[bytes], first: bytes) -> tuple[Leaf, bytes]:
    text = b"".join(piece)
    return Leaf(sha256_of(text), len(text), len(piece), first.decode("utf-8", "replace")), text


def _opened(path: Path) -> Lines:
    """Give the lines of a derived list, which are those that were written: else DamagedListError, and the list is gone."""
    return _lines(path.open("rb"), path)


@contextmanager
def _lines(file: BinaryIO, path: Path) -> Iterator[Iterator[bytes]]:
    with BufferedReader(zstandard.ZstdDecompressor().stream_reader(file, closefd=True)) as lines:
        yield _checked(lines, path)


def _checked(lines: Iterable[bytes], path: Path) -> Iterator[bytes]:
    try:
        for line in lines:
            if line == _END:
                return
            yield line
        why = "cut off"
    except zstandard.ZstdError as error:
        why = str(error)
    path.unlink(missing_ok=True)
    raise DamagedListError(f"{path} is damaged: {why}")


def _write(path: Path, lines: Iterable[bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    with (
        fresh.open("wb") as file,
        zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).stream_writer(file) as packed,
    ):
        for line in lines:
            packed.write(line)
        packed.write(_END)
    fresh.rename(path)
