"""Forget what was derived from objects that nobody needs any more. Whatever is asked for again is made again."""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

from distwright.model.digests import Sha256

_LONG = timedelta(days=30)
_DIGITS = 64


def forget_derived(cache: Path, is_needed: Callable[[Sha256], bool], before: datetime) -> int:
    """Remove pool indexes, lists of files and chosen closures from the cache; give how many.

    is_needed: says of an object whether it stays. before: what was made later stays, for its object may be about to be named.
    Closures are those of a state, which has no object: they go when they are a month old. Cost: names, and a look at those that go.
    """
    contents = cache / "contents"
    folders = [cache / "pool", *(folder for kind in ("runs", "names") for folder in _entries(contents / kind))]
    count = 0
    for folder in folders:
        start = "" if folder.parent == cache else folder.name  # ab/cdef…
        for name in _names(folder):
            digest, _, rest = f"{start}{name}".partition(".")
            is_partial = bool(rest) or len(digest) != _DIGITS  # of a writer that was killed, unless it is young
            if is_partial or not is_needed(Sha256.known(digest)):
                count += _forget(folder / name, before)
    count += sum(_forget(file, before - _LONG) for file in _entries(cache / "closures"))
    return count + sum(_forget(folder, before) for folder in _entries(contents) if folder.name.startswith("merge-"))


def _forget(place: Path, before: datetime) -> bool:
    with contextlib.suppress(FileNotFoundError):
        if place.stat().st_mtime < before.timestamp():
            if place.is_dir():
                shutil.rmtree(place, ignore_errors=True)
            else:
                place.unlink()
            return True
    return False


def _entries(folder: Path) -> Iterator[Path]:
    for name in _names(folder):
        yield folder / name


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208  # tens of thousands
    except FileNotFoundError:
        return []
