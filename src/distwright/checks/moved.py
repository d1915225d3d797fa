"""What moved between two serials of an archive, by source package, and environments in which only a part of it has moved.

All packages of a source move together. Both serials stand on the shelf, and apt preferences say for each package of a source that
moved which version it takes. Pure, but for reading recorded indexes from the object store.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from distwright.archive.snapshots import RecordedSuite, parse_snapshot
from distwright.builds.environment import NEVER, EnvironmentRecipe
from distwright.errors import BadInput
from distwright.formats.compression import decompress, split_ending
from distwright.formats.deb822 import raw_field
from distwright.formats.packages import PackageEntry, iter_packages
from distwright.formats.relations import Relation, parse_relations
from distwright.model.versions import DebVersion, compare
from distwright.store.objects import ObjectStore

_INDEX_LIMIT_BYTES = 2 << 30
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


def packages_at(objects: ObjectStore, recipe: EnvironmentRecipe, archive: str) -> dict[str, PackageEntry]:
    """Give the packages that an environment can take from one of its recorded archives."""
    found: dict[str, PackageEntry] = {}
    for entry in recipe.shelf:
        if entry.archive != archive or entry.is_own:
            continue
        suite = parse_snapshot(objects.read(entry.document)).suites[entry.suite]
        for package in _packages(objects, suite, recipe.components[entry.name], recipe.architecture):
            known = found.get(package.name)
            if known is None or compare(known.version, package.version) < 0:
                found[package.name] = package
    return found


def _packages(
    objects: ObjectStore, suite: RecordedSuite, components: Iterable[str], architecture: str
) -> Iterator[PackageEntry]:
    wanted = {f"{component}/binary-{kind}/Packages" for component in components for kind in (architecture, "all")}
    for index in suite.indexes:
        stem, ending = split_ending(index.path)
        if stem in wanted:
            yield from iter_packages(decompress(objects.read(index.sha256), ending, limit_bytes=_INDEX_LIMIT_BYTES))


def moved_sources(before: Packages, after: Packages, closure: Collection[str] | None) -> tuple[MovedSource, ...]:
    """Say which sources moved of which `closure` has a package (None: all), each after those that it needs in their new version.

    One that needs another in its new version cannot be installed before that one has moved, so that a search by halves in this
    order seldom meets a mixture that apt refuses.
    """
    packages: dict[str, dict[str, tuple[str, str]]] = {}
    versions: dict[str, tuple[str, str]] = {}
    for name, of in sorted({**before, **after}.items()):
        old, new = before.get(name), after.get(name)
        if old is not None and new is not None and compare(old.version, new.version) == 0:
            continue
        packages.setdefault(of.source, {})[name] = (str(old.version) if old else "", str(new.version) if new else "")
        was, now = versions.get(of.source, ("", ""))
        versions[of.source] = (
            str(old.source_version) if old and old.source == of.source else was,
            str(new.source_version) if new else now,
        )
    moved = [
        MovedSource(source, *versions[source], of_source)
        for source, of_source in sorted(packages.items())
        if closure is None or any(name in closure for name in of_source)
    ]
    return _in_order(moved, before, after)


def _in_order(moved: Sequence[MovedSource], before: Packages, after: Packages) -> tuple[MovedSource, ...]:
    source_of = {name: one.source for one in moved for name in one.packages}
    needs = {one.source: _needs(one, source_of, before, after) - {one.source} for one in moved}
    ordered: list[MovedSource] = []
    placed: set[str] = set()
    left = list(moved)
    while left:
        # A ring of sources that need each other can only move together: it stays in the order of names.
        ready = next((one for one in left if needs[one.source] <= placed), left[0])
        ordered.append(ready)
        placed.add(ready.source)
        left.remove(ready)
    return tuple(ordered)


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
