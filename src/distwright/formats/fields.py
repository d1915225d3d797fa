"""Read the fields of one stanza into values, and report everything that is wrong with it in one error."""

import re
from collections.abc import Callable
from typing import TypeVar, cast

from distwright.errors import BadInput, listed
from distwright.formats.deb822 import Stanza
from distwright.formats.values import source_field
from distwright.model.versions import DebVersion

T = TypeVar("T")
_CONTROL_SIGN = re.compile(r"[\0-\x08\x0b-\x1f\x7f]")  # C0 but tab and newline, and DEL


class FieldReader:
    """Collects the problems of one stanza while its fields are read; `finish` raises them together.

    A field with a problem gives None in place of its value, whatever its type says: call `finish` before any value is
    used.
    """

    def __init__(self, stanza: Stanza, what: str) -> None:
        """what: how the file is called in the error, "a .changes file"."""
        self._stanza = stanza
        self._what = what
        self._problems: list[str] = []

    def text(self, name: str) -> str:
        """Read a mandatory field as it is; empty counts as missing."""
        return self.parsed(name, str)

    def parsed(self, name: str, parse: Callable[[str], T]) -> T:
        """Read a mandatory field with `parse`, which may raise BadInput."""
        value = self._stanza.get(name)
        if not value:
            self.problem(f"{name} is missing" if value is None else f"{name} is empty")
            return cast("T", None)
        return self.attempt(name, lambda: parse(value))

    def optional(self, name: str, parse: Callable[[str], T]) -> T | None:
        """Read a field with `parse`, or give None when it is missing or empty."""
        value = self._stanza.get(name)
        return self.attempt(name, lambda: parse(value)) if value else None

    def source(self) -> tuple[str, DebVersion | None]:
        """Read the mandatory Source and the version that may stand in it."""
        before = len(self._problems)
        named = self.parsed("Source", source_field)
        return named if len(self._problems) == before else ("", None)

    def no_control_signs(self) -> None:
        """Ask that no field has a control character but tab and newline: terminals act on them, and an index shows them to all."""
        for name, value in self._stanza.items():
            if found := _CONTROL_SIGN.search(value):
                self.problem(f"{name} has the control character U+{ord(found[0]):04X}")
                return

    def attempt(self, name: str, parse: Callable[[], T]) -> T:
        """Call `parse`; when it raises BadInput, keep that as a problem of `name`."""
        try:
            return parse()
        except BadInput as error:
            self.problem(f"{name}: {error.message}")
            return cast("T", None)

    def problem(self, text: str) -> None:
        """Keep one problem for `finish`."""
        self._problems.append(text)

    def finish(self) -> None:
        """Raise BadInput with all problems, a line each, in the order in which they were met; if there are any."""
        if self._problems:
            count = len(self._problems)
            raise BadInput(
                f"{self._what} has {count} problem{'s' if count > 1 else ''}:\n{listed(self._problems)}",
                hint="correct the fields that are named and write the file again",
            )
