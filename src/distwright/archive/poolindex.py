"""From a pool path to its hash and size: a sorted text file beside each Packages or Sources, searched where it lies.

Derived from signed indexes and kept in the cache; it may be removed at any time and is made again.
"""

import mmap
import os
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from distwright.errors import BadInput
from distwright.formats.packages import iter_pool_files
from distwright.formats.sources import iter_source_files
from distwright.model.digests import Sha256


@dataclass(frozen=True, slots=True)
class PoolFile:
    """A file that a signed index promises."""

    path: str
    sha256: Sha256
    size_bytes: int


def pool_files(index_path: str, plain: bytes) -> Iterator[PoolFile]:
    """List the pool files that an index names; none for translations and other indexes."""
    name = index_path.rpartition("/")[2]
    if name.startswith("Packages"):
        rows: Iterable[tuple[str, Sha256, int]] = iter_pool_files(plain)
    elif name.startswith("Sources"):
        rows = iter_source_files(plain)
    else:
        return
    for path, sha256, size in rows:
        yield PoolFile(path, sha256, size)


def write_pool_index(target: Path, files: Iterable[PoolFile]) -> None:
    """Write the index; a reader never sees half of one. Raises BadInput if one path has two contents."""
    rows = sorted({f"{file.path}\t{file.sha256}\t{file.size_bytes}\n" for file in files})
    paths = [row.partition("\t")[0] for row in rows]
    for first, second in pairwise(paths):
        if first == second:
            raise BadInput(f"the indexes give two contents for {first}", hint="tell the archive's maintainers")
    target.parent.mkdir(parents=True, exist_ok=True)
    # Several threads of a record meet here: empty indexes of different lists are one file.
    partial = target.with_name(f"{target.name}.{os.getpid()}-{threading.get_ident()}")
    with partial.open("w", encoding="utf-8") as file:
        file.write("".join(rows))
        file.flush()
        os.fsync(file.fileno())  # else a power cut may leave an empty index, which says that no file is in the pool
    partial.rename(target)


def read_pool_index(index: Path) -> Iterator[PoolFile]:
    """Give every file of an index, in order of path."""
    with index.open(encoding="utf-8") as file:
        for row in file:
            path, sha256, size = row.rstrip("\n").split("\t")
            yield PoolFile(path, Sha256(sha256), int(size))


def find_in_pool_index(index: Path, path: str) -> PoolFile | None:
    """Find a path by bisection; cost: a few page reads."""
    wanted = path.encode() + b"\t"
    with index.open("rb") as file:
        if index.stat().st_size == 0:
            return None
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
            low, high = 0, len(text)
            while low < high:
                middle = text.rfind(b"\n", low, (low + high) // 2) + 1 or low
                end = text.find(b"\n", middle)
                row = text[middle:end]
                if row.startswith(wanted):
                    name, sha256, size = row.decode().split("\t")
                    return PoolFile(name, Sha256(sha256), int(size))
                if row < wanted:
                    low = end + 1
                else:
                    high = middle
    return None
