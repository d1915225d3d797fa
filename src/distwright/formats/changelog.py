"""debian/changelog, deb-changelog(5): its entries from the newest on, and one entry as text."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from distwright.errors import BadInput, quoted
from distwright.formats.dates import changelog_date, parse_date
from distwright.formats.values import words, yes_or_no
from distwright.model.names import package_name
from distwright.model.versions import DebVersion

_HEAD = re.compile(r"([A-Za-z0-9][A-Za-z0-9+.-]*) \(([^()\s]+)\)((?:[ \t]+[A-Za-z0-9.+-]+)+)[ \t]*;(.*)")
_FOOT = re.compile(r" -- (.*?) ?<([^<>]*)>  ?(\S.*)")
_SETTING = re.compile(r"([A-Za-z-]+)=[ \t]*(\S.*)")
_BODY = re.compile(r"[ \t]{2}.*|[ \t]*")
# Where dpkg too stops reading: editors' settings, and the formats of the 1990s.
_OLD = re.compile(
    r"(?:;;\s*)?Local variables:|vim:|Old Changelog:|Changes (?:from|in|for) |"
    r"[A-Z][a-z]{2,8},? +(?:[A-Z][a-z]{2,8} +\d{1,2}|\d{1,2} +[A-Z][a-z]{2,8}),?[ :\d]{1,20}[A-Z ]{0,8}\d{4}\b",
    re.IGNORECASE,
)
_ASIDE = re.compile(r"\$\w+:.*\$|# |/\*.*\*/")
_HINT = "compare with deb-changelog(5); dch writes it right"


@dataclass(frozen=True, slots=True)
class ChangelogEntry:
    """One version. changes: the lines between heading and signature, as they stand, without empty lines around them.

    urgency is in lower case; a remark after it is kept ("medium (security)").
    """

    package: str
    version: DebVersion
    distributions: tuple[str, ...]
    urgency: str
    maintainer: str
    email: str
    date: datetime
    changes: str
    is_binary_only: bool = False


def parse_changelog(text: str) -> Iterator[ChangelogEntry]:
    """Read the entries one by one, the newest first; each is checked when it is reached.

    Reading ends, as in dpkg, where editors' settings or formats of before 1996 begin. Raises BadInput with the number
    of the line for anything else that is no entry, and for an entry that is not finished.
    """
    lines = enumerate(text.split("\n"), start=1)
    for number, line in lines:
        if not line.strip() or _ASIDE.match(line):
            continue
        if _OLD.match(line):
            return
        yield _entry(number, line, lines)


def top_entry(text: str) -> ChangelogEntry:
    """Read the newest entry; what follows it is not looked at. Raises BadInput when there is none."""
    entry = next(parse_changelog(text), None)
    if entry is None:
        raise BadInput("the changelog has no entry", hint="write one: dch --create")
    return entry


def write_entry(entry: ChangelogEntry) -> str:
    """Write one entry, without an empty line after it; `top_entry` gives it back.

    Raises BadInput for lines in `changes` that do not begin with two blanks, and for what else would not be read again.
    """
    binary_only = ", binary-only=yes" if entry.is_binary_only else ""
    suites = " ".join(entry.distributions)
    head = f"{entry.package} ({entry.version}) {suites}; urgency={entry.urgency}{binary_only}"
    text = f"{head}\n\n{entry.changes}\n\n -- {entry.maintainer} <{entry.email}>  {changelog_date(entry.date)}\n"
    if top_entry(text) != entry:
        raise BadInput(f"the entry {quoted(head)} would be read as another", hint=_HINT)
    return text


def _entry(number: int, head: str, lines: Iterator[tuple[int, str]]) -> ChangelogEntry:
    match = _HEAD.fullmatch(head.rstrip(" \t\r"))
    if not match:
        raise _bad(number, head, "begins no entry")
    urgency, is_binary_only = _settings(number, match[4])
    body: list[str] = []
    for at, raw in lines:
        line = raw.rstrip(" \t\r")
        foot = _FOOT.fullmatch(line)
        if foot:
            changes = "\n".join(body).strip("\n")
            suites = words(match[3])
            try:
                name, version, date = package_name(match[1].lower()), DebVersion(match[2]), parse_date(foot[3])
            except BadInput as problem:
                raise _bad(number, head, problem.message) from None
            return ChangelogEntry(name, version, suites, urgency, foot[1], foot[2], date, changes, is_binary_only)
        if not _BODY.fullmatch(line):
            raise _bad(at, line, "is neither a change nor the signature of an entry")
        body.append(line)
    raise _bad(number, head, "begins an entry that is not signed ( -- name <address>  date)")


def _settings(number: int, text: str) -> tuple[str, bool]:
    settings: dict[str, str] = {}
    for part in text.split(","):
        match = _SETTING.fullmatch(part.strip(" \t"))
        if not match or match[1].lower() in settings:
            raise _bad(number, text, "is not a list of settings, urgency=medium")
        settings[match[1].lower()] = match[2]
    return settings.get("urgency", "unknown").lower(), yes_or_no(settings.get("binary-only", "no"))


def _bad(number: int, line: str, problem: str) -> BadInput:
    return BadInput(f"line {number} of the changelog, {quoted(line)}: {problem}", hint=_HINT)
