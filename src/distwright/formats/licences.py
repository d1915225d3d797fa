"""Licences as Debian names them (machine-readable debian/copyright, DEP-5), and the same as SPDX expressions.

What a package's copyright file says is a fact about that file; nothing here judges whether it is right or allowed.
"""

import re
from collections.abc import Iterator

from distwright.errors import BadInput
from distwright.formats.deb822 import Stanza, parse_stanzas

_FORMAT = re.compile(r"https?://www\.debian\.org/doc/packaging-manuals/copyright-format/1\.0/?")
_OF_GNU = re.compile(r"(A?GPL|LGPL|GFDL)(-NIV)?-(\d(?:\.\d)?)(\+)?(-NIV(?:-\w+)*|-no-invariants)?", re.IGNORECASE)
_WORD = re.compile(r"[^\s(),]+|[(),]")
_NOT_OF_A_NAME = re.compile(r"[^A-Za-z0-9.-]+")
# Names that Debian writes in its own way; what is not here and not of GNU is SPDX's name already, or a reference.
_SPDX = {
    "apache-2": "Apache-2.0", "apache-2.0": "Apache-2.0", "artistic": "Artistic-1.0-Perl", "artistic-1": "Artistic-1.0-Perl",
    "artistic-2": "Artistic-2.0", "artistic-2.0": "Artistic-2.0", "bsd-2-clause": "BSD-2-Clause", "bsd-3-clause": "BSD-3-Clause",
    "bsd-4-clause": "BSD-4-Clause", "bsl-1.0": "BSL-1.0", "cc-by-3.0": "CC-BY-3.0", "cc-by-4.0": "CC-BY-4.0",
    "cc-by-sa-3.0": "CC-BY-SA-3.0", "cc-by-sa-4.0": "CC-BY-SA-4.0", "cc0-1.0": "CC0-1.0", "cc0": "CC0-1.0",
    "curl": "curl", "expat": "MIT", "isc": "ISC", "mit": "MIT", "mpl-1.1": "MPL-1.1", "mpl-2.0": "MPL-2.0",
    "ofl-1.1": "OFL-1.1", "openssl": "OpenSSL", "psf-2": "PSF-2.0", "unlicense": "Unlicense", "x11": "X11", "zlib": "Zlib",
    "zpl-2.1": "ZPL-2.1", "wtfpl-2": "WTFPL", "wtfpl": "WTFPL", "0bsd": "0BSD", "libpng": "Libpng", "ntp": "NTP",
    "afl-2.1": "AFL-2.1", "beerware": "Beerware", "bsd-1-clause": "BSD-1-Clause", "fsfap": "FSFAP", "fsful": "FSFUL",
    "fsfullr": "FSFULLR", "postgresql": "PostgreSQL", "vim": "Vim",
}  # fmt: skip
_OF_GNU_KNOWN = {
    "GPL": ("1.0", "2.0", "3.0"), "LGPL": ("2.0", "2.1", "3.0"), "AGPL": ("1.0", "3.0"), "GFDL": ("1.1", "1.2", "1.3"),
}  # fmt: skip
_REFERENCE = "LicenseRef-"
LINE_LIMIT = 1000  # characters of what joins short names; the longest that Debian 12 has are of about 200
NAME_LIMIT = 120  # characters of a reference: short names are short, what is longer is a text in the wrong place


def licence_names(content: bytes) -> tuple[str, ...] | None:
    """Give the short names that a copyright file has, sorted, each once; None if it is no machine-readable one.

    A name is one line ("GPL-2+ and Expat"). Files that break the syntax are no machine-readable ones: many packages have such, and
    one whose short name has more than LINE_LIMIT characters is one of them.
    """
    try:
        stanzas = list(parse_stanzas(content, hand_written=True))
    except BadInput:
        return None
    if not stanzas or not _FORMAT.fullmatch(stanzas[0].get("Format", "").strip()):
        return None
    names = set(_names(stanzas))
    return tuple(sorted(names)) if all(len(name) <= LINE_LIMIT for name in names) else None


def _names(stanzas: list[Stanza]) -> Iterator[str]:
    for stanza in stanzas:
        if "Files" in stanza or stanza is stanzas[0]:
            name = " ".join(stanza.get("License", "").partition("\n")[0].split())
            if name:
                yield name


def spdx_expression(name: str) -> str:
    """Give a short name as an SPDX expression; a part that SPDX does not know is a reference, `LicenseRef-…`.

    `and`, `or` and parentheses stay; a comma, which parts what it joins more loosely, becomes parentheses around what is before
    and after it. An exception (`with …`) is part of a reference: the few that SPDX lists have other names there.
    """
    parts = [part.strip() for part in name.split(",")]
    if len(parts) > 1:
        return _joined(parts)
    words = _WORD.findall(name)
    if not _is_balanced(words):
        return _reference(name)
    out: list[str] = []
    current: list[str] = []
    for word in words:
        if word.lower() in ("and", "or") or word in "()":
            out += [_licence(current)] if current else []
            out.append(word if word in "()" else word.upper())
            current = []
        else:
            current.append(word)
    out += [_licence(current)] if current else []
    text = " ".join(out).replace("( ", "(").replace(" )", ")")
    return text if _is_expression(out) else _reference(name)


def references(expression: str) -> tuple[str, ...]:
    """List the references of an expression, each once, in order of name."""
    return tuple(sorted({word for word in _WORD.findall(expression) if word.startswith(_REFERENCE)}))


def _joined(parts: list[str]) -> str:
    """Join what commas part: the words `and` or `or` after a comma belong to what is on both sides of it."""
    text = ""
    for part in parts:
        first, _, rest = part.partition(" ")
        joiner = first.upper() if first.lower() in ("and", "or") else "AND"
        body = spdx_expression(rest if first.lower() in ("and", "or") else part)
        text = f"({body})" if not text else f"{text} {joiner} ({body})"
    return text


def _is_balanced(words: list[str]) -> bool:
    depth = 0
    for word in words:
        depth += (word == "(") - (word == ")")
        if depth < 0:
            return False
    return depth == 0


def _is_expression(out: list[str]) -> bool:
    """Say whether names and joiners take turns."""
    wants_name = True
    for word in out:
        if word == "(" or word not in ("AND", "OR", ")"):
            if not wants_name:
                return False
            wants_name = word == "("
        elif wants_name:
            return False
        else:
            wants_name = word != ")"
    return not wants_name


def _licence(words: list[str]) -> str:
    name = " ".join(words)
    known = _SPDX.get(name.lower())
    if known:
        return known
    gnu = _OF_GNU.fullmatch(name)
    if gnu:
        family, version = gnu[1].upper(), gnu[3] if "." in gnu[3] else f"{gnu[3]}.0"
        if version in _OF_GNU_KNOWN[family]:
            invariants = "-no-invariants" if family == "GFDL" and (gnu[2] or gnu[5]) else ""
            return f"{family}-{version}{invariants}-{'or-later' if gnu[4] else 'only'}"
    return _reference(name)


def _reference(name: str) -> str:
    return _REFERENCE + (_NOT_OF_A_NAME.sub("-", name.replace("+", "plus")).strip("-")[:NAME_LIMIT] or "unnamed")
