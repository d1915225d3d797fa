"""Merge, pull and reset suites: pure decisions on two trees. Cost follows the difference.

An upload replaces what was built from its source, and leaves tombstones for what went away; so two trees are enough to merge,
and no common ancestor is asked for: newer wins, a removal takes away what is not newer than itself, and the same version with
other content is refused, for one of the two would have to change under its name.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from distwright.archive.editing import (
    Edits,
    PackageChange,
    StanzaReader,
    diff_trees,
    find_stanzas,
    in_order,
    stanzas_of_sources,
    version_of,
)
from distwright.archive.indexes import I18N, SOURCE
from distwright.archive.tree import Get, Stanzas, Tombstone, TreeRoot
from distwright.model.versions import DebVersion

_PHASE = re.compile(rb"^Phased-Update-Percentage:.*\n", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Difference:
    """One package that would change. old, new: versions, "" for none."""

    list_name: str
    name: str
    old: str
    new: str

    @property
    def is_downgrade(self) -> bool:
        """Say whether clients would have to go back."""
        return bool(self.old and self.new) and DebVersion(self.new).sort_key() < DebVersion(self.old).sort_key()


@dataclass(frozen=True, slots=True)
class MergePlan:
    """What to do. edits, tombstones: of the tree merged into. kept: what stays although it differs there. refused: why not."""

    edits: Edits
    tombstones: tuple[Tombstone, ...]
    changes: tuple[Difference, ...]
    kept: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()


def differences(old: TreeRoot, new: TreeRoot, get: Get) -> tuple[Difference, ...]:
    """List what differs between two states, translations aside."""
    return tuple(
        Difference(change.list_name, change.name, _newest_text(change.old), _newest_text(change.new))
        for change in _changes(old, new, get)
    )


def plan_merge(into: TreeRoot, other: TreeRoot, get: Get) -> MergePlan:
    """Decide what merging `other` into `into` does."""
    edits: dict[str, dict[str, Stanzas]] = {}
    kept: list[str] = []
    refused: list[str] = []
    removed_here, removed_there = _by_name(into.tombstones), _by_name(other.tombstones)
    for change in _changes(into, other, get):
        here, there, place = newest(change.old), newest(change.new), (change.list_name, change.name)
        label = f"{change.name} ({change.list_name})"
        if there is None:
            if here is not None and _covers(removed_there.get(place), here):
                edits.setdefault(change.list_name, {})[change.name] = ()
            continue
        if here is None:
            if _covers(removed_here.get(place), there):
                kept.append(f"{label}: {there} was removed here")
            else:
                edits.setdefault(change.list_name, {})[change.name] = change.new
        elif there.sort_key() > here.sort_key():
            edits.setdefault(change.list_name, {})[change.name] = change.new
        elif there.sort_key() < here.sort_key():
            kept.append(f"{label}: {here} here is newer than {there}")
        elif _all_unphased(change.old) == _all_unphased(change.new):
            kept.append(f"{label}: {here} is offered to another share of the machines there")
        else:
            refused.append(f"{label}: {here} has other content there")
    stones = _united(into, other, edits, get)
    return MergePlan(edits, stones, told(edits, into, get), tuple(kept), tuple(refused))


def plan_pull(into: TreeRoot, other: TreeRoot, sources: Sequence[str], get: Get) -> MergePlan:
    """Decide what taking these sources, with everything built from them, out of `other` does. Raises nothing; see `refused`."""
    edits: dict[str, dict[str, Stanzas]] = {}
    refused: list[str] = []
    for members in of_sources(into, sources, get).values():
        for list_name, name in members:
            edits.setdefault(list_name, {})[name] = ()
    theirs = of_sources(other, sources, get)
    places = sorted({place for members in theirs.values() for place in members})
    reader = StanzaReader(into, get)
    here_now = {place: reader.find(*place) for place in places}
    for source in sources:  # after what goes, for a package may have gone from one of the sources to another
        if not theirs[source]:
            refused.append(f"{source}: no such source there")
        for (list_name, name), stanzas in theirs[source].items():
            present = here_now[list_name, name]
            here, there = newest(present), newest(stanzas)
            if here is not None and there is not None:
                if there.sort_key() < here.sort_key():
                    refused.append(f"{name} ({list_name}): {here} here is newer than {there}")
                elif there.sort_key() == here.sort_key() and present != in_order(stanzas):
                    refused.append(f"{name} ({list_name}): {here} has other content there")
            edits.setdefault(list_name, {})[name] = stanzas
    changes = told(edits, into, get)
    return MergePlan(edits, with_stones(into, changes), changes, (), tuple(refused))


def plan_removal(root: TreeRoot, names: Sequence[str], get: Get) -> MergePlan:
    """Decide what removing packages by name does; a name that is a source takes everything built from it along."""
    edits: dict[str, dict[str, Stanzas]] = {}
    found = {name: set(members) for name, members in of_sources(root, names, get).items()}
    for list_name in root.lists:
        if not list_name.endswith(f"/{I18N}"):
            for name, stanzas in find_stanzas(root, list_name, sorted(found), get).items():
                found[name] |= {(list_name, name)} if stanzas else set()
    refused = [f"{name}: no such package here" for name in names if not found[name]]
    for places in found.values():
        for list_name, member in places:
            edits.setdefault(list_name, {})[member] = ()
    changes = told(edits, root, get)
    return MergePlan(edits, with_stones(root, changes), changes, (), tuple(refused))


def of_source(root: TreeRoot, source: str, get: Get) -> dict[tuple[str, str], Stanzas]:
    """Find everything of a source: list and name -> stanzas."""
    return of_sources(root, [source], get)[source]


def of_sources(root: TreeRoot, sources: Sequence[str], get: Get) -> dict[str, dict[tuple[str, str], Stanzas]]:
    """Find everything of some sources: source -> list and name -> stanzas. Cost: each binary list is read once, for all of them."""
    found: dict[str, dict[tuple[str, str], Stanzas]] = {source: {} for source in sources}
    for list_name in root.lists:
        if list_name.endswith(f"/{SOURCE}"):
            for source, stanzas in find_stanzas(root, list_name, sorted(found), get).items():
                found[source] |= {(list_name, source): stanzas} if stanzas else {}
        elif not list_name.endswith(f"/{I18N}"):
            for source, members in stanzas_of_sources(root, list_name, found, get).items():
                found[source] |= {(list_name, name): stanzas for name, stanzas in members.items()}
    return found


def with_stones(root: TreeRoot, changes: Iterable[Difference]) -> tuple[Tombstone, ...]:
    """Give the tombstones after changes: one more for each removal, none for what came back."""
    stones = _by_name(root.tombstones)
    for change in changes:
        place = (change.list_name, change.name)
        if not change.new:
            stones[place] = Tombstone(*place, DebVersion(change.old))
        else:
            stones.pop(place, None)
    return tuple(stones[place] for place in sorted(stones))


def newest(stanzas: Sequence[bytes]) -> DebVersion | None:
    """Give the highest version of some stanzas of one name; None if there is none."""
    return version_of(in_order(stanzas)[-1]) if stanzas else None


def unphased(stanza: bytes) -> bytes:
    """Give a stanza without its Phased-Update-Percentage: how fast a package spreads is a matter of the suite."""
    return _PHASE.sub(b"", stanza)


def _all_unphased(stanzas: Stanzas) -> list[bytes]:
    return [unphased(stanza) for stanza in stanzas]


def _changes(old: TreeRoot, new: TreeRoot, get: Get) -> Iterable[PackageChange]:
    return (change for change in diff_trees(old, new, get) if not change.list_name.endswith(f"/{I18N}"))


def told(edits: Mapping[str, Mapping[str, Stanzas]], root: TreeRoot, get: Get) -> tuple[Difference, ...]:
    """List what edits change of a tree."""
    told = []
    for list_name, names in sorted(edits.items()):
        before = find_stanzas(root, list_name, sorted(names), get)
        told += [
            Difference(list_name, name, _newest_text(before[name]), _newest_text(names[name]))
            for name in sorted(names)
            if before[name] != in_order(names[name])
        ]
    return tuple(told)


def _newest_text(stanzas: Sequence[bytes]) -> str:
    version = newest(stanzas)
    return "" if version is None else str(version)


def _by_name(stones: Iterable[Tombstone]) -> dict[tuple[str, str], Tombstone]:
    return {(stone.list_name, stone.name): stone for stone in stones}


def _covers(stone: Tombstone | None, version: DebVersion) -> bool:
    return stone is not None and version.sort_key() <= stone.version.sort_key()


def _united(into: TreeRoot, other: TreeRoot, edits: Edits, get: Get) -> tuple[Tombstone, ...]:
    """Unite the removals of both; none is left of what is there after the merge."""
    mine = _by_name(into.tombstones)
    stones = {place: stone for place, stone in mine.items() if not edits.get(place[0], {}).get(place[1])}
    reader = StanzaReader(into, get)
    for place, stone in sorted(_by_name(other.tombstones).items()):
        if place in mine:
            if place in stones and stones[place].version.sort_key() < stone.version.sort_key():
                stones[place] = stone
            continue
        list_name, name = place
        edited = edits.get(list_name, {})
        if not (edited[name] if name in edited else reader.find(list_name, name)):
            stones[place] = stone
    return tuple(stones[place] for place in sorted(stones))
