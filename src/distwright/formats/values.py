"""The small texts that fields of many files share: lists, numbers, architectures, sources, digests, file lists."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from distwright.errors import BadInput, quoted
from distwright.model.digests import Sha256
from distwright.model.names import package_name
from distwright.model.versions import DebVersion

D = TypeVar("D")

_WORD = re.compile(r"[^ \t\n]+")
_ARCHITECTURE = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_SOURCE = re.compile(r"([^ \t\n()]+)(?:[ \t]+\(([^ \t\n()]+)\))?")
_NUMBER = re.compile(r"[0-9]{1,18}")
_YES = frozenset({"yes", "true", "with", "on", "enable", "1"})
_NO = frozenset({"no", "false", "without", "off", "disable", "0"})
_MD5 = re.compile(r"[0-9a-f]{32}")
_SHA1 = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class FileHash:
    """A file of a source or a build, as its lists of checksums name it. MD5 and SHA-1 prove nothing; SHA-256 does."""

    name: str
    size: int
    sha256: Sha256
    md5: str | None = None
    sha1: str | None = None


def words(text: str) -> tuple[str, ...]:
    """Cut at blanks and newlines."""
    return tuple(_WORD.findall(text))


def comma_list(text: str) -> tuple[str, ...]:
    """Cut at commas, without the white space around them; empty members go, as in dpkg."""
    return tuple(member for part in text.split(",") if (member := part.strip(" \t\n")))


def number(text: str) -> int:
    """Read a size or a count: 1 to 18 decimal digits. Raises BadInput."""
    if not _NUMBER.fullmatch(text):
        raise BadInput(f"{quoted(text)} is not a number", hint="write 1 to 18 decimal digits")
    return int(text)


def yes_or_no(text: str) -> bool:
    """Read a switch in any of the words that apt takes (StringToBool). Raises BadInput for all others."""
    word = text.lower()
    if word not in _YES and word not in _NO:
        raise BadInput(f"{quoted(text)} is neither yes nor no", hint="write yes or no")
    return word in _YES


def architecture(text: str) -> str:
    """Return the name of an architecture or a wildcard for some. Raises BadInput."""
    if not _ARCHITECTURE.fullmatch(text):
        raise BadInput(f"{quoted(text)} is not an architecture", hint="write it like amd64, all, source or linux-any")
    return text


def architectures(text: str) -> tuple[str, ...]:
    """Read a list of architectures parted by blanks. Raises BadInput."""
    return tuple(architecture(word) for word in words(text))


def source_field(text: str) -> tuple[str, DebVersion | None]:
    """Read `hello` or `hello (2.10-3)`: the version stands there when it is not the package's own. Raises BadInput.

    Source: deb-control(5), "Source".
    """
    match = _SOURCE.fullmatch(text)
    if not match:
        raise BadInput(f"{quoted(text)} does not name a source", hint="write 'name' or 'name (version)'")
    return package_name(match[1]), DebVersion(match[2]) if match[2] else None


def md5(text: str) -> str:
    """Return an MD5 in 32 lower-case hexadecimal digits. Raises BadInput."""
    if not _MD5.fullmatch(text):
        raise BadInput(f"{quoted(text)} is not an MD5", hint="give 32 lower-case hexadecimal digits")
    return text


def sha1(text: str) -> str:
    """Return a SHA-1 in 40 lower-case hexadecimal digits. Raises BadInput."""
    if not _SHA1.fullmatch(text):
        raise BadInput(f"{quoted(text)} is not a SHA-1", hint="give 40 lower-case hexadecimal digits")
    return text


def checksum_list(text: str, digest: Callable[[str], D], name: Callable[[str], str]) -> dict[str, tuple[D, int]]:
    """Read lines of `digest size name` into digest and size by name, in their order.

    A line may occur again as it was. Raises BadInput for anything else: a name with two digests, more or fewer columns.
    """
    entries: dict[str, tuple[D, int]] = {}
    for columns in rows(text, 3):
        key = name(columns[2])
        entry = digest(columns[0]), number(columns[1])
        if entries.setdefault(key, entry) != entry:
            raise BadInput(
                f"{quoted(key)} is listed twice, with different digests or sizes", hint="leave one of the two"
            )
    return entries


def rows(text: str, columns: int) -> list[tuple[str, ...]]:
    """Cut a value into its non-empty lines and these into words. Raises BadInput unless each line has `columns`."""
    table = [row for line in text.split("\n") if (row := words(line))]
    for row in table:
        if len(row) != columns:
            raise BadInput(
                f"the line {quoted(' '.join(row))} has {len(row)} columns", hint=f"write {columns}, parted by blanks"
            )
    return table


def joined_files(
    sha256s: Mapping[str, tuple[Sha256, int]],
    md5s: Mapping[str, tuple[str, int]] | None,
    sha1s: Mapping[str, tuple[str, int]] | None,
) -> tuple[FileHash, ...]:
    """Join the lists of one file, in the order of the SHA-256 one. Raises BadInput unless they name the same sizes."""
    sizes = {name: size for name, (_, size) in sha256s.items()}
    for kind, entries in (("MD5", md5s), ("SHA-1", sha1s)):
        if entries is None:
            continue
        others = {name: size for name, (_, size) in entries.items()}
        differing = sorted(name for name in sizes.keys() | others.keys() if sizes.get(name) != others.get(name))
        if differing:
            raise BadInput(
                f"the lists of {kind} and of SHA-256 differ about {quoted(', '.join(differing))}",
                hint="list the same files with the same sizes in each",
            )
    return tuple(
        FileHash(name, size, digest, md5s[name][0] if md5s else None, sha1s[name][0] if sha1s else None)
        for name, (digest, size) in sha256s.items()
    )
