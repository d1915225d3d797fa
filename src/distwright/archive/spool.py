"""Stanzas of an import on disk instead of in memory: what is known of each package is where its stanza begins."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryFile
from typing import Self

from distwright.archive.tree import Stanzas

_LENGTH_BITS = 32


class Spool:
    """A temporary file of stanzas; it goes away with its last reference."""

    def __init__(self, folder: Path) -> None:
        """Make the file in a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        self._file = TemporaryFile(dir=folder)  # noqa: SIM115  # lives as long as the spool
        self._end = 0
        self._is_written = True

    def __enter__(self) -> Self:
        """Use it."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Give the disk space back."""
        self._file.close()

    def add(self, stanza: bytes) -> int:
        """Append a stanza; give the place for `read`: one number, for there are many."""
        place = self._end << _LENGTH_BITS | len(stanza)
        self._file.write(stanza)
        self._end += len(stanza)
        self._is_written = False
        return place

    def read(self, place: int) -> bytes:
        """Give a stanza back."""
        if not self._is_written:
            self._file.flush()
            self._is_written = True
        return os.pread(self._file.fileno(), place & (1 << _LENGTH_BITS) - 1, place >> _LENGTH_BITS)


class Spooled(Mapping[str, Stanzas]):
    """Names of a list with their stanzas, read when asked for."""

    def __init__(self, spool: Spool) -> None:
        """Begin with none."""
        self._spool = spool
        self._places: dict[str, int | tuple[int, ...]] = {}

    def add(self, name: str, stanza: bytes) -> None:
        """Add a stanza to a name."""
        self._places[name] = (*self._of(name), self._spool.add(stanza))

    def replace(self, name: str, stanza: bytes) -> None:
        """Make this the only stanza of a name."""
        self._places[name] = self._spool.add(stanza)

    def empty(self, name: str) -> None:
        """Say that a name has no stanza from now on: as an edit, that it is gone."""
        self._places[name] = ()

    def drop(self, name: str) -> None:
        """Forget a name."""
        self._places.pop(name, None)

    def __getitem__(self, name: str) -> Stanzas:
        """Read the stanzas of a name."""
        if name not in self._places:
            raise KeyError(name)
        return tuple(self._spool.read(place) for place in self._of(name))

    def _of(self, name: str) -> tuple[int, ...]:
        places = self._places.get(name, ())
        return (places,) if isinstance(places, int) else places

    def __iter__(self) -> Iterator[str]:
        """Go through the names."""
        return iter(self._places)

    def __len__(self) -> int:
        """Count the names."""
        return len(self._places)

    def __contains__(self, name: object) -> bool:
        """Say whether there is anything of a name, without reading it."""
        return name in self._places
