"""What dose-debcheck and dose-builddebcheck print: packages that cannot be installed or built, and why, in words."""

import re
from dataclasses import dataclass, field

from distwright.checks.words import shown
from distwright.errors import BadInput

REPORT_LIMIT_BYTES = 64 << 20
_LINE = re.compile(r"( *)(-|[a-z0-9-]+:)(?: (.*))?")
_ENTRY_INDENT = 2
_CHAIN_LIMIT = 6


@dataclass(frozen=True, slots=True)
class Broken:
    """A package that cannot be installed, or a source whose build dependencies cannot be. why: in words."""

    name: str
    version: str
    architecture: str
    why: str


@dataclass(slots=True)
class _Entry:
    """What was read of one entry. conflict: the two packages. chain: who needs whom on the way, of the first chain only."""

    top: dict[str, str] = field(default_factory=dict)
    missing: tuple[str, str] | None = None
    conflict: list[str] = field(default_factory=list)
    conflicts_with: str = ""
    chain: list[str] = field(default_factory=list)
    chains: int = 0
    reasons: int = 0
    package: str = ""


def parse_dose(content: bytes) -> tuple[Broken, ...]:
    """Read a report (`--failures --explain`), by name and version; the first reason of each package counts. Raises BadInput."""
    if len(content) > REPORT_LIMIT_BYTES:
        raise BadInput(f"dose wrote {len(content)} bytes", hint="distwright job log JOB")
    text = content.decode(errors="replace")
    if not text.startswith("output-version:"):
        raise BadInput(f"dose wrote {shown(text, 80)!r}", hint="distwright job log JOB")
    found: list[Broken] = []
    entry: _Entry | None = None
    for line in text.splitlines():
        match = _LINE.fullmatch(line)
        if match is None:
            continue
        indent, word, value = len(match[1]), match[2], match[3] or ""
        if indent < _ENTRY_INDENT:
            found += [_broken(entry)] if entry is not None and entry.top else []
            entry = _Entry() if word == "-" else None
        elif entry is not None:
            _read(entry, indent, word.rstrip(":"), value)
    found += [_broken(entry)] if entry is not None and entry.top else []
    return tuple(sorted(set(found), key=lambda one: (one.name, one.version, one.architecture)))


def _read(entry: _Entry, indent: int, word: str, value: str) -> None:
    if indent == _ENTRY_INDENT:
        entry.top[word] = value
        return
    if word in ("missing", "conflict"):
        entry.reasons += 1
    elif word == "depchain":
        entry.chains += 1
    if entry.reasons > 1:
        return
    if word == "package":
        entry.package = value
        if entry.chains == 0 and entry.missing is None and len(entry.conflict) < 2:
            entry.conflict.append(value)
    elif word == "unsat-dependency":
        entry.missing = (entry.package, value)
    elif word == "unsat-conflict":
        entry.conflicts_with = value
    elif word == "depends" and entry.chains == 1 and len(entry.chain) < _CHAIN_LIMIT:
        entry.chain.append(entry.package)


def _broken(entry: _Entry) -> Broken:
    top = {key: shown(value, 200) for key, value in entry.top.items()}
    name = top.get("package", "")
    through = [step for step in entry.chain if step != name]
    way = f" (through {', '.join(through)})" if through else ""
    if entry.missing is not None:
        package, dependency = entry.missing
        who = "it" if package == name else package
        why = f"{who} needs {_without_architecture(dependency)}, which is not there{way}"
    elif len(entry.conflict) > 1:
        why = f"{entry.conflict[0]} and {entry.conflict[1]} are both needed and exclude each other{way}"
    else:
        why = "dose does not say why"
    return Broken(name, top.get("version", ""), top.get("architecture", ""), shown(why))


def _without_architecture(dependency: str) -> str:
    return re.sub(r":[a-z0-9-]+", "", dependency)
