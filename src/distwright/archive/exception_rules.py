"""Freeze exceptions: whether one is still needed, and what apt must prefer. Pure decisions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from distwright.archive.editing import find_stanzas
from distwright.archive.merging import Difference, MergePlan, newest, of_source, with_stones
from distwright.archive.tree import Get, Stanzas, TreeEntry, TreeRoot
from distwright.formats.deb822 import raw_field
from distwright.formats.values import source_field
from distwright.model.records import FreezeException
from distwright.model.versions import DebVersion

PRIORITY = 500  # as other archives have it: a newer version, of the security updates say, still wins


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of an exception. takes_out: its packages go from the suite; otherwise they are gone or replaced already."""

    row: FreezeException
    is_needed: bool
    why: str
    takes_out: bool = False


def judge_exception(row: FreezeException, here: str | None, below: str | None, base: str) -> Verdict:
    """Decide whether an exception is needed. here, below: version of its source in the suite and in what is read below it.

    base: how to call that, with its serial; "" if nothing is known to be below.
    """
    if here is None:
        return Verdict(row, is_needed=False, why=f"{row.suite} no longer has it")
    if here != row.version:
        return Verdict(row, is_needed=False, why=f"{row.suite} has {here} by now")
    if not base:
        return Verdict(
            row, is_needed=True, why=f"nothing is known to be below {row.suite}: it stays until it is removed"
        )
    if below is None:
        return Verdict(row, is_needed=True, why=f"{base} does not have it")
    if is_older(below, row.version):
        return Verdict(row, is_needed=True, why=f"{base} has {below}")
    return Verdict(row, is_needed=False, why=f"{base} has {below}", takes_out=True)


def plan_exception(into: TreeRoot, source: str, entries: Sequence[TreeEntry], get: Get) -> MergePlan:
    """Decide what letting these packages of a source in does: everything else of the source goes. See `refused`."""
    edits: dict[str, dict[str, Stanzas]] = {}
    for list_name, name in of_source(into, source, get):
        edits.setdefault(list_name, {})[name] = ()
    refused: list[str] = []
    changes: list[Difference] = []
    for entry in entries:
        edits.setdefault(entry.list_name, {})[entry.name] = (entry.stanza,)
    for list_name, names in sorted(edits.items()):
        present = find_stanzas(into, list_name, sorted(names), get)
        for name, stanzas in sorted(names.items()):
            here, there = newest(present[name]), newest(stanzas)
            label = f"{name} ({list_name})"
            if here is not None and there is not None and there.sort_key() < here.sort_key():
                refused.append(f"{label}: {here} here is newer than {there}")
            elif here is not None and here == there and present[name] != stanzas:
                refused.append(f"{label}: {here} has other content there")
            if present[name] != stanzas:
                old, new = ("" if version is None else str(version) for version in (here, there))
                changes.append(Difference(list_name, name, old, new))
    return MergePlan(edits, with_stones(into, changes), tuple(changes), (), tuple(refused))


def without_source(root: TreeRoot, source: str, get: Get) -> dict[str, dict[str, Stanzas]]:
    """Give the edits that take everything of a source out.

    The caller leaves tombstones as they are: one would take away the same version from the base, once the two are merged.
    """
    edits: dict[str, dict[str, Stanzas]] = {}
    for list_name, name in of_source(root, source, get):
        edits.setdefault(list_name, {})[name] = ()
    return edits


def preferences_text(rows: Sequence[FreezeException], packages: Mapping[int, Sequence[str]], release: str) -> str:
    """Write what apt must prefer, as apt_preferences(5) has it. packages: by number. release: `o=Petrel,n=1.0`."""
    return "\n".join(
        f"Explanation: {row.name} instead of what is frozen: {_one_line(row.reason)}\n"
        f"Package: {' '.join(sorted(set(packages[row.id])))}\nPin: release {release}\nPin-Priority: {PRIORITY}\n"
        for row in rows
        if packages.get(row.id)
    )


def built_from(stanza: bytes) -> tuple[str, str]:
    """Say which source a paragraph of Packages was built from, and its version."""
    name, version = (_text(stanza, field) for field in (b"Package", b"Version"))
    written = raw_field(stanza, b"Source")
    source, source_version = source_field(written.decode()) if written else (name, None)
    return source, str(source_version or version)


def is_older(one: str, other: str) -> bool:
    """Compare versions as dpkg does."""
    return DebVersion(one).sort_key() < DebVersion(other).sort_key()


def _text(stanza: bytes, field: bytes) -> str:
    return (raw_field(stanza, field) or b"").decode()


def _one_line(text: str) -> str:
    return " ".join(text.split())
