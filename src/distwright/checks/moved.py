"""What moved between two serials of an archive, by source package, and environments in which only a part of it has moved.

All packages of a source move together. Both serials stand on the shelf, and apt preferences say for each package of a source that
moved which version it takes. Pure, but for reading recorded indexes from the object store.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from heapq import heapify, heappop, heappush
from typing import Self

from distwright.archive.stanzas import stanzas_at
from distwright.builds.environment import NEVER, EnvironmentRecipe
from distwright.errors import BadInput
from distwright.formats.deb822 import raw_field
from distwright.formats.packages import PackageEntry, package_entry
from distwright.formats.relations import Relation, parse_relations
from distwright.model import plain
from distwright.model.digests import Json
from distwright.model.versions import DebVersion, compare
from distwright.store.objects import ObjectStore

_BEFORE = "before"

Packages = Mapping[str, PackageEntry]
"""Name -> the highest version that a state of an archive has."""


@dataclass(frozen=True, slots=True)
class MovedSource:
    """A source package that moved. before, after: its versions, "" where it is not.

    packages: name -> the versions that its package has before and after.
    """

    source: str
    before: str
    after: str
    packages: Mapping[str, tuple[str, str]]

    @property
    def name(self) -> str:
        """How people call what moved."""
        if not self.after:
            return f"{self.source} {self.before} (which is gone)"
        return f"{self.source} {self.after}" + (f" (before: {self.before})" if self.before else " (which is new)")


@dataclass(frozen=True, slots=True)
class Moved:
    """All sources that moved, by name. needs: source -> those that must have moved before it can be installed, if there are any."""

    sources: tuple[MovedSource, ...]
    needs: Mapping[str, frozenset[str]]

    def ordered(self, closure: Collection[str] | None = None) -> tuple[MovedSource, ...]:
        """Give those of which `closure` has a package (None: all), each after those of them that it needs; else by name.

        One that needs another in its new version cannot be installed before that one has moved, so that a search by halves in this
        order seldom meets a mixture that apt refuses. Sources that need each other can only move together: of a ring the first by
        name comes first. Time: n log n.
        """
        chosen = [one for one in self.sources if closure is None or any(name in closure for name in one.packages)]
        places = {one.source: place for place, one in enumerate(chosen)}
        needs = [[places[of] for of in self.needs.get(one.source, ()) if of in places] for one in chosen]
        return tuple(chosen[place] for place in _in_order(needs))

    def to_json(self) -> Json:
        """Give what is kept of it."""
        return {
            one.source: {
                "before": one.before,
                "after": one.after,
                "packages": {name: list(versions) for name, versions in one.packages.items()},
                "needs": sorted(self.needs.get(one.source, ())),
            }
            for one in self.sources
        }

    @classmethod
    def from_json(cls, given: plain.Plain) -> Self:
        """Read what `to_json` gave; raise BadInput."""
        rows = {source: plain.mapping(given, source) for source in sorted(given)}
        needs = {source: frozenset(plain.texts(row, "needs")) for source, row in rows.items()}
        sources = tuple(
            MovedSource(source, plain.text(row, "before"), plain.text(row, "after"), _versions(row))
            for source, row in rows.items()
        )
        return cls(sources, {source: of for source, of in needs.items() if of})


def _versions(row: plain.Plain) -> dict[str, tuple[str, str]]:
    packages = plain.mapping(row, "packages")
    return {name: (before, after) for name in sorted(packages) for before, after in [plain.texts(packages, name)]}


def packages_at(objects: ObjectStore, recipe: EnvironmentRecipe, archive: str) -> dict[str, PackageEntry]:
    """Give the packages that an environment can take from one of its recorded archives: some seconds for all of Debian."""
    found: dict[str, PackageEntry] = {}
    for entry in recipe.shelf:
        if entry.archive != archive or entry.is_own:
            continue
        kinds = (recipe.architecture, "all")
        lists = {f"{component}/binary-{kind}" for component in recipe.components[entry.name] for kind in kinds}
        for raw in stanzas_at(objects, entry, lists):
            package = package_entry(raw)
            known = found.get(package.name)
            if known is None or compare(known.version, package.version) < 0:
                found[package.name] = package
    return found


def moved_sources(before: Packages, after: Packages) -> Moved:
    """Say which sources moved between two states, and which of these need which."""
    packages: dict[str, dict[str, tuple[str, str]]] = {}
    versions: dict[str, tuple[str, str]] = {}
    for name, of in sorted({**before, **after}.items()):
        old, new = before.get(name), after.get(name)
        if old is not None and new is not None and _is_as_good(old.version, new.version):
            continue
        packages.setdefault(of.source, {})[name] = (str(old.version) if old else "", str(new.version) if new else "")
        was, now = versions.get(of.source, ("", ""))
        versions[of.source] = (
            str(old.source_version) if old and old.source == of.source else was,
            str(new.source_version) if new else now,
        )
    moved = tuple(MovedSource(source, *versions[source], packages[source]) for source in sorted(packages))
    source_of = {name: one.source for one in moved for name in one.packages}
    needs = {one.source: frozenset(_needs(one, source_of, before, after) - {one.source}) for one in moved}
    return Moved(moved, {source: of for source, of in needs.items() if of})


def _is_as_good(one: DebVersion, other: DebVersion) -> bool:
    return one == other or compare(one, other) == 0  # most are the same text, which needs no sort keys


def _in_order(needs: Sequence[Collection[int]]) -> Iterator[int]:
    """Order places: each time the first one all of whose needs are placed; if there is none, the first that is left."""
    missing = [len(of) for of in needs]
    needed_by: dict[int, list[int]] = {}
    for place, of in enumerate(needs):
        for needed in of:
            needed_by.setdefault(needed, []).append(place)
    ready = [place for place, count in enumerate(missing) if not count]
    heapify(ready)
    placed = [False] * len(needs)
    first_left = 0
    for _ in needs:
        while placed[first_left]:
            first_left += 1
        place = heappop(ready) if ready else first_left
        placed[place] = True
        yield place
        for other in needed_by.get(place, ()):
            missing[other] -= 1
            if not missing[other] and not placed[other]:  # else it was the first of a ring
                heappush(ready, other)


def _needs(one: MovedSource, source_of: Mapping[str, str], before: Packages, after: Packages) -> set[str]:
    """Name the sources that must have moved before this one can be installed."""
    return {
        source_of[relation.name]
        for name in one.packages
        if name in after
        for relation in _first_choices(after[name])
        if relation.name in source_of
        and not (relation.name in before and _satisfies(before[relation.name].version, relation))
    }


def _first_choices(package: PackageEntry) -> Iterator[Relation]:
    for field in (b"Pre-Depends", b"Depends"):
        text = raw_field(package.raw, field)
        if text:
            try:
                yield from (group[0] for group in parse_relations(text.decode(errors="replace")))
            except BadInput:  # an order is all that depends on it
                continue


def _satisfies(version: DebVersion, relation: Relation) -> bool:
    if not relation.version:
        return True
    sign = compare(version, DebVersion(relation.version))
    return {"<<": sign < 0, "<=": sign <= 0, "<": sign <= 0, "=": sign == 0, ">=": sign >= 0, ">": sign >= 0}.get(
        relation.relation, sign > 0
    )


def mixed_recipe(
    before: EnvironmentRecipe,
    after: EnvironmentRecipe,
    archive: str,
    held: Sequence[MovedSource],
    gone: Sequence[MovedSource],
) -> EnvironmentRecipe:
    """Give the environment `after` in which the sources `held` have not moved, while those in `gone` have.

    before: the same environment at the other serial of `archive`.
    """
    beside = f"{archive}~{_BEFORE}"
    old = [replace(entry, served_as=beside) for entry in before.shelf if entry.archive == archive]
    components = {entry.name: before.components[f"{archive}/{entry.suite}"] for entry in old}
    pins: dict[str, str] = {}
    for one in held:
        pins |= {name: was or NEVER + now for name, (was, now) in one.packages.items()}
    for one in gone:
        pins |= {name: now or NEVER + was for name, (was, now) in one.packages.items()}
    return replace(
        after,
        shelf=(*after.shelf, *old),
        components={**after.components, **components},
        pins=tuple(sorted(pins.items())),
    )
