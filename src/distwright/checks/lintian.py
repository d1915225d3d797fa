"""lintian: its JSON, read as hints. It says what packages say, so nothing of it is trusted and everything is bounded."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from distwright.checks.words import shown
from distwright.errors import BadInput
from distwright.model.digests import Json, digest_of

HINTS_LIMIT = 1000  # a package with more has one thing wrong many times; the rest is counted
REPORT_LIMIT_BYTES = 32 << 20
_KEY_CHARACTERS = 200
# What lintian has to say of a package's make-up rather than of its faults is not asked for.
ARGV = (
    "lintian", "--no-cfg", "--allow-root", "--profile", "debian", "--fail-on", "none", "--tag-display-limit", "0",
    "--display-info", "--pedantic", "--show-overrides", "--exp-output", "format=json",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Hint:
    """One tag of lintian. severity: error, warning, info, pedantic. where: a binary package, `source`, `changes` or `buildinfo`.

    item: the file inside that it points at; line: in that file, 0 for all of it. note: what lintian adds. times: how often.
    """

    tag: str
    severity: str
    where: str
    item: str
    line: int
    note: str
    is_experimental: bool
    times: int = 1

    @property
    def key(self) -> str:
        """What makes it the same hint in the next version: no line and no version is in it."""
        text = " ".join(part for part in (self.tag, self.where, self.item or self.note) if part)
        return text if len(text) <= _KEY_CHARACTERS else f"{text[:_KEY_CHARACTERS]} {digest_of(text).short}"

    def evidence(self) -> dict[str, Json]:
        """Give what is kept beside the finding."""
        return {
            "tag": self.tag, "severity": self.severity, "where": self.where, "item": self.item, "line": self.line,
            "note": self.note, "experimental": self.is_experimental, "times": self.times,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class LintianReport:
    """hints: in the order of their keys, one for each. overridden: how many the package overrides. more: how many were not read."""

    hints: tuple[Hint, ...]
    overridden: int
    more: int
    version: str


def parse_lintian(content: bytes) -> LintianReport:
    """Read the report; raise BadInput for what lintian does not write."""
    if len(content) > REPORT_LIMIT_BYTES:
        raise BadInput(f"lintian wrote {len(content)} bytes", hint="distwright job log JOB")
    try:
        document = json.loads(content)
        groups = document["groups"]
        version = shown(str(document.get("lintian_version", "")), 60)
        found = [(file, hint) for group in groups for file in group["input_files"] for hint in file["hints"]]
        kept = [_hint(str(file["path"]), hint) for file, hint in found if not _is_masked(hint)]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        reason = shown(repr(error), 80)
        raise BadInput(f"lintian's report cannot be read: {reason}", hint="distwright job log JOB") from None
    times = Counter(hint.key for hint in kept)
    single = {hint.key: hint for hint in reversed(kept)}
    ordered = list(_counted(single, times))
    more = sum(hint.times for hint in ordered[HINTS_LIMIT:])
    return LintianReport(tuple(ordered[:HINTS_LIMIT]), len(found) - len(kept), more, version)


def _counted(single: Mapping[str, Hint], times: Mapping[str, int]) -> Iterator[Hint]:
    for key in sorted(single):
        one = single[key]
        yield Hint(
            one.tag, one.severity, one.where, one.item, one.line, one.note, one.is_experimental, times=times[key]
        )


def _is_masked(hint: Mapping[str, Any]) -> bool:
    """Say whether the package overrides it, or lintian itself knows that it does not count."""
    return "override" in hint or bool(hint.get("masks")) or hint["visibility"] == "classification"


def _hint(path: str, hint: Mapping[str, Any]) -> Hint:
    pointer = hint.get("pointer") or {}
    item = pointer.get("item") or {}
    line = pointer.get("line_position", 0)
    return Hint(
        tag=shown(str(hint["tag"]), 100),
        severity=shown(str(hint["visibility"]), 20),
        where=_where(path),
        item=shown(str(item.get("name", ""))),
        line=line if isinstance(line, int) and 0 <= line < 1 << 31 else 0,
        note=shown(str(hint.get("note", ""))),
        is_experimental=bool(hint.get("experimental")),
    )


def _where(path: str) -> str:
    """Name the part of an upload without its version: `petrel-greeter_1.0_amd64.deb` is petrel-greeter, a .dsc is source."""
    name = path.rpartition("/")[2]
    for ending, part in ((".dsc", "source"), (".changes", "changes"), (".buildinfo", "buildinfo")):
        if name.endswith(ending):
            return part
    return shown(name.partition("_")[0], 100)
