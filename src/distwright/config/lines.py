"""Find the line of each key of a TOML text. tomllib gives values without places; this gives places without values."""

import re
import tomllib
from bisect import bisect_right
from contextlib import suppress

from distwright.config.problems import Path
from distwright.errors import BadInput

MAX_DEPTH = 16
MAX_SCALAR = 1000

# No possessive groups: "(?:a|b)*+" is wrong in Python before 3.11.5, Debian 12's 3.11.2 too (gh-106052, gh-100061).
_BLANK = re.compile(r"[ \t]*")
_SPACE = re.compile(r"[ \t\n]*(?:#[^\n]*[ \t\n]*)*")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_QUOTED = re.compile(r"\"[^\"\\\n]*(?:\\[^\n][^\"\\\n]*)*\"|'[^'\n]*'")
_MULTILINE = re.compile(r'"""[^"\\]*(?:(?:\\[\s\S]|""?(?!"))[^"\\]*)*"{3,5}' + r"|'''[^']*(?:''?(?!')[^']*)*'{3,5}")
_SCALAR = re.compile(r"[^,\]}\n#\"'{\[]+")


class TooDeep(BadInput):
    """A key has too many parts, values are nested too deep, or a number is too long for any setting."""

    def __init__(self, line: int, what: str) -> None:
        """Keep the line."""
        super().__init__(what, hint="write the tables of the settings reference only")
        self.line = line


class _Stop(Exception):  # not an error: tomllib says what is wrong
    """The text is not TOML from here on."""


def locate(text: str) -> dict[Path, int]:
    """Map each key (and each member of a list, by position) to its line, counted from 1.

    A table counts where its own header stands; without one, where a key of it is first written. Takes whatever
    tomllib takes. Where the text is no TOML it stops: the rest has no lines, and tomllib names the mistake.
    Linear in the text. Raises TooDeep for what would cost tomllib quadratic time, the whole stack, or a ValueError
    of Python's own (CPython limits decimal numbers to 4300 digits).
    """
    scanner = _Scanner(text.replace("\r\n", "\n"))
    with suppress(_Stop):
        scanner.document()
    return scanner.lines


class _Scanner:
    """A position in the text, and what has been seen before it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lines: dict[Path, int] = {}
        self._starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self._tables_in_list: dict[Path, int] = {}

    def document(self) -> None:
        """Scan statements until the end."""
        header: Path = ()
        while True:
            self._skip(_SPACE)
            if self.at >= len(self.text):
                return
            if self._take("["):
                header = self._header(is_list=self._take("["))
            else:
                self._pair(header, depth=0)
            self._skip(_BLANK)
            if self.at < len(self.text) and self.text[self.at] not in "#\n":
                raise _Stop

    def _header(self, *, is_list: bool) -> Path:
        self._skip(_BLANK)
        line = self._line()
        *outer, last = self._key()
        path = self._inner(self._enter((), outer, line), last)
        if is_list:
            position = self._tables_in_list.get(path, 0)
            self._tables_in_list[path] = position + 1
            self.lines.setdefault(path, line)
            path = (*path, position)
        else:
            path = self._newest(path)
        if not self._take("]]" if is_list else "]"):
            raise _Stop
        self.lines[path] = line
        return path

    def _pair(self, table: Path, depth: int) -> None:
        """Scan `key = value`, below `table`."""
        line = self._line()
        *outer, last = self._key()
        path = self._inner(self._enter(table, outer, line), last)
        if not self._take("="):
            raise _Stop
        self.lines[path] = line
        self._skip(_BLANK)
        self._value(path, depth)

    def _enter(self, table: Path, keys: list[str], line: int) -> Path:
        for key in keys:
            table = self._inner(table, key)
            self.lines.setdefault(table, line)
            table = self._newest(table)
        return table

    def _inner(self, table: Path, key: str) -> Path:
        if len(table) >= MAX_DEPTH:
            raise TooDeep(self._line(), f"the key has more than {MAX_DEPTH} parts")
        return (*table, key)

    def _newest(self, path: Path) -> Path:
        """Where `[[a]]` has been, `a` means the newest table of that list."""
        count = self._tables_in_list.get(path)
        return (*path, count - 1) if count else path

    def _key(self) -> list[str]:
        parts = [self._key_part()]
        while self._take("."):
            if len(parts) >= MAX_DEPTH:
                raise TooDeep(self._line(), f"the key has more than {MAX_DEPTH} parts")
            self._skip(_BLANK)
            parts.append(self._key_part())
        return parts

    def _key_part(self) -> str:
        token = self._match(_BARE) or self._match(_QUOTED)
        if not token:
            raise _Stop
        self._skip(_BLANK)
        if token[0] not in "\"'":
            return token
        if "\\" not in token or token[0] == "'":
            return token[1:-1]
        try:
            return str(tomllib.loads(f"key = {token}")["key"])
        except tomllib.TOMLDecodeError:
            raise _Stop from None

    def _value(self, path: Path, depth: int) -> None:
        if depth >= MAX_DEPTH:
            raise TooDeep(self._line(), f"values are nested deeper than {MAX_DEPTH}")
        if self._match(_MULTILINE) or self._match(_QUOTED):
            return
        if self._take("["):
            self._list(path, depth + 1)
        elif self._take("{"):
            self._inline_table(path, depth + 1)
        else:
            scalar = self._match(_SCALAR)
            if not scalar:
                raise _Stop
            if len(scalar.rstrip()) > MAX_SCALAR:
                raise TooDeep(self._line(), f"the value is longer than {MAX_SCALAR} characters")

    def _list(self, path: Path, depth: int) -> None:
        position = 0
        while True:
            self._skip(_SPACE)
            if self._take("]"):
                return
            if self.at >= len(self.text):
                raise _Stop
            self.lines[(*path, position)] = self._line()
            self._value((*path, position), depth)
            position += 1
            self._skip(_SPACE)
            if not self._take(",") and not self.text.startswith("]", self.at):
                raise _Stop

    def _inline_table(self, path: Path, depth: int) -> None:
        while True:
            self._skip(_SPACE)  # TOML 1.1 allows line ends here; tomllib of 3.11 says where it does not
            if self._take("}"):
                return
            self._pair(path, depth)
            self._skip(_SPACE)
            if not self._take(",") and not self.text.startswith("}", self.at):
                raise _Stop

    def _line(self) -> int:
        return bisect_right(self._starts, self.at)

    def _skip(self, pattern: re.Pattern[str]) -> None:
        self._match(pattern)

    def _match(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.at)
        if not match:
            return ""
        self.at = match.end()
        return match[0]

    def _take(self, sign: str) -> bool:
        if not self.text.startswith(sign, self.at):
            return False
        self.at += len(sign)
        return True
