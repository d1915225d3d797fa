"""Read one TOML text into values with the line of each key, or say the one thing that is wrong with the text."""

import re
import tomllib
from dataclasses import dataclass

from distwright.config.lines import TooDeep, locate
from distwright.config.problems import Path, Problem
from distwright.errors import quoted

MAX_CHARACTERS = 1_000_000

_NOT_TEXT = re.compile("[\ud800-\udfff]")  # what decoding with `surrogateescape` leaves of other bytes
_PLACE = re.compile(r"(?P<problem>.*) \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)", re.DOTALL)
_PLAIN_WORDS = {
    "Cannot declare": "this table is there twice",
    "Cannot overwrite a value": "this key is there twice",
    "Cannot redefine namespace": "this table is there twice",
    "Cannot mutate immutable namespace": "this table or list was already closed further up",
    "Duplicate inline table key": "this key is there twice",
}


@dataclass(frozen=True, slots=True)
class Document:
    """One file: its values as tomllib gives them, and the line of each key."""

    file: str
    values: dict[str, object]
    lines: dict[Path, int]


def read_document(file: str, text: str) -> Document | Problem:
    """Read `text`; a text that is no TOML, too long or too deep gives one Problem. Raises nothing for any text."""
    if (wrong := _NOT_TEXT.search(text)) is not None:
        return Problem(file, text.count("\n", 0, wrong.start()) + 1, "TOML", "the file is not UTF-8 text", "UTF-8")
    if len(text) > MAX_CHARACTERS:
        return Problem(file, 1, "TOML", f"the file has {len(text)} characters", f"at most {MAX_CHARACTERS}")
    try:
        lines = locate(text)
        return Document(file, tomllib.loads(text), lines)
    except TooDeep as error:
        return Problem(file, error.line, "TOML", error.message, "only what the settings reference lists")
    except ValueError as error:
        return _syntax_problem(file, text, str(error))


def _syntax_problem(file: str, text: str, message: str) -> Problem:
    place = _PLACE.fullmatch(message)
    said = place["problem"] if place else message
    problem = next((plain for start, plain in _PLAIN_WORDS.items() if said.startswith(start)), None)
    problem = problem or quoted(said)[1:-1]
    if place and place["line"]:
        return Problem(file, int(place["line"]), "TOML", f"{problem} (column {place['column']})", "valid TOML 1.0")
    return Problem(file, text.rstrip("\n").count("\n") + 1, "TOML", f"{problem} (at the end)", "valid TOML 1.0")
