"""What is wrong with a configuration, where it stands, and which name was probably meant."""

import difflib
import re
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass

from distwright.errors import quoted

Path = tuple[str | int, ...]

MAX_COMPARED = 1000

_BARE = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong at a path of keys, before anybody has looked up its file and line."""

    path: Path
    problem: str
    want: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is written."""

    file: str
    line: int

    def __str__(self) -> str:
        """Write it as compilers do."""
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """A fault with its place; sorts by file, then line."""

    file: str
    line: int
    key: str
    problem: str
    want: str

    def __str__(self) -> str:
        """Give the one line that people see."""
        return f"{self.file}:{self.line} {self.key}: {self.problem}; want {self.want}"


def placed(fault: Fault, file: str, lines: Mapping[Path, int]) -> Problem:
    """Give a fault the line of its key, or of the nearest table around it when the key itself is not in the file."""
    return Problem(file, line_of(fault.path, lines), dotted(fault.path), fault.problem, fault.want)


def placed_in(fault: Fault, places: Mapping[Path, Place]) -> Problem:
    """Give a fault the place of its key, or of the nearest table around it, in any of the files."""
    path = fault.path
    parts = (path[:end] for end in range(len(path), 0, -1))
    place = next((places[part] for part in parts if part in places), Place("distwright.toml", 1))
    return Problem(place.file, place.line, dotted(path), fault.problem, fault.want)


def line_of(path: Path, lines: Mapping[Path, int]) -> int:
    """Say the line of a path, or of the longest part of it that has one; 1 if none has."""
    return next((lines[path[:end]] for end in range(len(path), 0, -1) if path[:end] in lines), 1)


def is_below(path: Path, others: Set[Path]) -> bool:
    """Say whether a path is one of the others, or inside of one."""
    return any(path[:end] in others for end in range(1, len(path) + 1))


def dotted(path: Path) -> str:
    """Write a path as TOML would, list positions in brackets: `archive.'debian-13.1'.suites[0]`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + (part if _BARE.fullmatch(part) else quoted(part))
    return text


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Say which known name was probably meant; None if nothing is near, or there are too many to compare quickly."""
    names = sorted(known)
    if len(names) > MAX_COMPARED:
        return None
    return next(iter(difflib.get_close_matches(word[:64], names, n=1)), None)


def one_of(known: Iterable[str], last: str = "or") -> str:
    """Join names for a sentence: `a, b or c`."""
    *first, final = known
    return f"{', '.join(first)} {last} {final}" if first else final


def wanted_name(word: str, known: Iterable[str], what: str) -> str:
    """Say which name to write instead of `word`: the nearest one, a few that exist, or the table to add first."""
    names = sorted(known)
    if not names:
        return f"{what}; there is none yet"
    near = nearest(word, names)
    if near:
        return f"{what}; did you mean {near}?"
    shown = [*names[:8], f"{len(names) - 8} more"] if len(names) > 8 else names
    return f"{what}: {one_of(shown, 'or' if len(names) <= 8 else 'and')}"
