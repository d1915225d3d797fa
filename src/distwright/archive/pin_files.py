"""Pins in the work tree of a person: read as they are, and written file by file. Committing them is the person's."""

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from distwright.archive.pins import FOLDER, LATEST, Pins, parse_pins, write_pins
from distwright.errors import BadInput, NotAllowed, quoted
from distwright.model.serials import Serial

_LIMIT_BYTES = 4096  # more is no pin, and parse_pins says so


@dataclass(frozen=True, slots=True)
class PinChange:
    """One pin that would change. old, new: `latest`, a serial, or "" for no file."""

    archive: str
    old: str
    new: str


def read_pins(top: Path, archives: Collection[str]) -> dict[str, Serial | None]:
    """Read the pins of a work tree; raise BadInput with everything that is wrong, NotAllowed for what cannot be read.

    No link is followed: a tree that somebody else made could lead to any file of whoever reads it.
    """
    files: dict[str, bytes] = {}
    try:
        _refuse_links(top)
        for path in sorted((top / FOLDER).rglob("*")):
            if not path.is_dir() and not _is_partial(path):
                with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
                    files[str(path.relative_to(top))] = file.read(_LIMIT_BYTES)
    except OSError as error:
        raise _not_allowed(error) from error
    return parse_pins(files, archives)


def changes_of(old: Pins, new: Pins) -> list[PinChange]:
    """List what differs, by archive."""
    names = sorted({*old, *new})
    shown = [PinChange(name, _text(old, name), _text(new, name)) for name in names]
    return [change for change in shown if change.old != change.new]


def save_pins(top: Path, pins: Pins) -> None:
    """Write pins into a work tree: each file is the old one or the new one. Files that are right already are left alone.

    Raises BadInput for a link on the way, NotAllowed for what cannot be written.
    """
    made: dict[Path, Path] = {}
    try:
        _refuse_links(top)
        for path in (top / FOLDER).glob("*/.serial.*"):  # of a command that was killed
            path.unlink(missing_ok=True)
        for name, content in write_pins(pins).items():
            target = top / name
            if not target.is_file() or target.read_bytes() != content:
                target.parent.mkdir(parents=True, exist_ok=True)
                made[target] = _partial(target, content)
        for target, partial in made.items():
            partial.replace(target)
    except OSError as error:
        raise _not_allowed(error) from error
    finally:
        for partial in made.values():
            partial.unlink(missing_ok=True)


def _refuse_links(top: Path) -> None:
    """Refuse what is neither a folder nor a plain file, from the top of the work tree down to each pin."""
    folder = top / FOLDER
    way = [top / part for part in reversed(Path(FOLDER).parents) if part.parts]
    for path in (*way, folder, *(sorted(folder.rglob("*")) if not folder.is_symlink() else ())):
        if path.is_symlink() or (path.exists() and not (path.is_dir() or path.is_file())):
            raise BadInput(
                f"{quoted(str(path.relative_to(top)))} is a link or no file: pins are files of the work tree itself",
                hint=f"remove it, then: {FOLDER}/ARCHIVE/serial is a plain file with one line",
            )


def _is_partial(path: Path) -> bool:
    return path.name.startswith(".serial.")


def _partial(target: Path, content: bytes) -> Path:
    path = target.with_name(f".{target.name}.{os.getpid()}")
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return path


def _text(pins: Pins, archive: str) -> str:
    return "" if archive not in pins else LATEST if pins[archive] is None else str(pins[archive])


def _not_allowed(error: OSError) -> NotAllowed:
    return NotAllowed(
        f"{quoted(str(error.filename))}: {error.strerror}", hint="look at who owns the work tree, then run it again"
    )
