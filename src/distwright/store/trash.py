"""Objects that nobody needs any more wait here for some days: whoever asks for one has it back."""

import contextlib
import os
from collections.abc import Iterator
from datetime import date
from pathlib import Path

from distwright.model.digests import Sha256


class Trash:
    """The folder `trash/YYYY-MM-DD/` of an object store: one folder a day, one file an object."""

    def __init__(self, root: Path) -> None:
        """Use the store below `root`."""
        self._folder = root / "trash"

    def take(self, final: Path, digest: Sha256, day: date) -> bool:
        """Move an object here; say whether it was there."""
        target = self._folder / day.isoformat() / digest
        try:
            os.rename(final, target)  # noqa: PTH104  # thousands of times
        except FileNotFoundError:
            if not final.exists():
                return False
            target.parent.mkdir(parents=True, exist_ok=True)
            final.rename(target)
        return True

    def revive(self, digest: Sha256, final: Path) -> bool:
        """Give an object its place back; say whether it was here."""
        for day in self._days():
            with contextlib.suppress(FileNotFoundError):
                final.parent.mkdir(parents=True, exist_ok=True)
                (day / digest).rename(final)
                return True
        return False

    def digests(self) -> Iterator[Sha256]:
        """List what is here; one that was discarded again may come twice."""
        for day in self._days():
            yield from [Sha256.known(name) for name in _names(day)]

    def empty(self, before: date) -> tuple[int, int]:
        """Delete what came here before a day; give how many objects and bytes. What somebody revives meanwhile is theirs."""
        count, size_bytes = 0, 0
        for day in self._days():
            if day.name >= before.isoformat():
                continue
            for name in _names(day):
                with contextlib.suppress(FileNotFoundError):
                    size = (day / name).stat().st_size
                    (day / name).unlink()
                    count, size_bytes = count + 1, size_bytes + size
            with contextlib.suppress(FileNotFoundError):
                day.rmdir()
        return count, size_bytes

    def _days(self) -> list[Path]:
        try:
            return sorted(self._folder.iterdir(), reverse=True)
        except FileNotFoundError:
            return []


def _names(day: Path) -> list[str]:
    try:
        return os.listdir(day)  # noqa: PTH208  # hundreds of thousands
    except FileNotFoundError:
        return []
