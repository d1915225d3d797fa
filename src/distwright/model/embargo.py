"""Embargoes: which private repos and archives something comes from, so that only who may read all of them sees it."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from distwright.model.digests import Json

REPO, ARCHIVE = "repo", "archive"
# `archive/suite` and `repo refs/…`, wherever they stand in a text
_WORD = re.compile(r"(?<![A-Za-z0-9._+/-])([a-z0-9][a-z0-9._+-]*)(?:/| refs/)")


@dataclass(frozen=True, slots=True)
class Embargo:
    """names: `repo/NAME` and `archive/NAME` of what is private; none: everybody may see it."""

    names: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        """Say whether it is private at all."""
        return bool(self.names)

    def __or__(self, other: Self) -> "Embargo":
        """Give the embargo of what comes from both."""
        return Embargo(self.names | other.names)

    @property
    def text(self) -> str:
        """The same as a row has it: sorted, parted by blanks, "" for none."""
        return " ".join(sorted(self.names))

    @classmethod
    def of_text(cls, text: str) -> Self:
        """Read what `text` gave."""
        return cls(frozenset(text.split()))


PUBLIC = Embargo()


def named_in(value: Json, private: Collection[str]) -> Embargo:
    """Say which private names a JSON value mentions, in whatever depth.

    private: `repo/NAME`, `archive/NAME`. A name is mentioned by a key `repo` or `archive` with it, by any key or text that begins
    with it and a blank, and by any word of one that goes on with a slash (`archive/suite`) or a ref (`repo refs/heads/x`). What is
    called the same by chance counts too: then something public is hidden, which is seen and mended, and nothing private is shown.
    """
    return Embargo(frozenset(_named(value, "", frozenset(private)))) if private else PUBLIC


def _named(value: Json, key: str, private: frozenset[str]) -> Iterable[str]:
    if isinstance(value, str):
        yield from _named_by_text(value, key, private)
    elif isinstance(value, Mapping):
        for inner, member in value.items():
            yield from _named_by_text(inner, "", private)
            yield from _named(member, inner, private)
    elif isinstance(value, list | tuple):
        for member in value:
            yield from _named(member, key, private)


def _named_by_text(text: str, key: str, private: frozenset[str]) -> Iterable[str]:
    if f"{key}/{text}" in private:
        yield f"{key}/{text}"
    first, blank, _ = text.partition(" ")
    for word in (*([first] if blank else []), *_WORD.findall(text)):
        yield from (name for kind in (REPO, ARCHIVE) if (name := f"{kind}/{word}") in private)
