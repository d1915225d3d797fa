"""Who depends on packages: sources that need them to be built, and packages that need them to run. Pure, on stanzas of indexes.

Names only: whether a version fits is for apt to say, in the trial.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from distwright.errors import BadInput
from distwright.formats.deb822 import raw_field
from distwright.formats.relations import Relation, parse_relations
from distwright.formats.sources import iter_source_files
from distwright.formats.values import comma_list, source_field

BUILD_FIELDS = (b"Build-Depends", b"Build-Depends-Arch", b"Build-Depends-Indep")
RUN_FIELDS = (b"Pre-Depends", b"Depends")
_NAME_BYTES = re.compile(rb"[a-z0-9][a-z0-9.+-]+")


@dataclass(frozen=True, slots=True)
class SourceStanza:
    """A source of a state, the newest of its name there. place: of the suite that has it, in the order that apt is told."""

    name: str
    version: str
    place: int
    is_own: bool
    raw: bytes

    @property
    def binaries(self) -> tuple[str, ...]:
        """The packages that it builds, as its .dsc says."""
        return tuple(comma_list(_text(self.raw, b"Binary")))

    @property
    def size_bytes(self) -> int:
        """The size of its files, which says roughly how long it builds; 0 if they cannot be read."""
        try:
            return sum(size for _, _, size in iter_source_files(self.raw))
        except BadInput:
            return 0

    @property
    def has_tests(self) -> bool:
        """Say whether it has tests for autopkgtest."""
        return any(suite.startswith("autopkgtest") for suite in comma_list(_text(self.raw, b"Testsuite")))

    @property
    def triggers(self) -> frozenset[str]:
        """Packages that its tests need beside its own."""
        return frozenset(comma_list(_text(self.raw, b"Testsuite-Triggers")))


@dataclass(frozen=True, slots=True)
class Dependent:
    """A source that needs something to be built. level: 1 needs the packages themselves, 2 what those of level 1 build, and on."""

    source: SourceStanza
    level: int


@dataclass(frozen=True, slots=True)
class Dependents:
    """builds: our own first, then by level, the small ones first, so that a limit leaves out little.

    unreadable: sources whose build dependencies dpkg would not read either.
    """

    builds: tuple[Dependent, ...]
    unreadable: tuple[str, ...] = field(default=())


def needed_to_build(raw: bytes, architecture: str, wanted: Collection[str]) -> set[str]:
    """Say which of the wanted names a source needs to be built here, without build profiles. Raises BadInput.

    Of alternatives the first counts, as for sbuild. Source: deb-src-control(5).
    """
    found: set[str] = set()
    for name in BUILD_FIELDS:
        text = raw_field(raw, name)
        if not text or not _may_name(text, wanted):
            continue
        for group in parse_relations(text.decode(), for_build=True):
            active = [one for one in group if is_active(one, architecture)]
            if active and active[0].name in wanted:
                found.add(active[0].name)
    return found


def is_active(relation: Relation, architecture: str) -> bool:
    """Say whether a build dependency counts on an architecture, built there, for there, without profiles."""
    if relation.architecture not in ("", "any", "native", architecture):
        return False
    is_negative = bool(relation.limits) and relation.limits[0].startswith("!")
    names_us = any(_fits(limit.removeprefix("!"), architecture) for limit in relation.limits)
    if relation.limits and names_us == is_negative:
        return False
    return not relation.profiles or any(
        all(word.startswith("!") for word in profiles) for profiles in relation.profiles
    )


def _fits(limit: str, architecture: str) -> bool:
    """Match an architecture wildcard of Debian Policy 11.1, for the Linux architectures that we build for."""
    *system, processor = limit.split("-")
    *_, ours = architecture.split("-")
    return processor in ("any", ours) and all(part in ("any", "linux", "gnu") for part in system)


def reverse_build_depends(
    sources: Sequence[SourceStanza],
    architecture: str,
    first: Collection[str],
    provides: Mapping[str, Collection[str]],
    depth: int,
) -> Dependents:
    """Find the sources that need packages to be built, and, `depth` times, those that need what these build.

    first: names of the packages and of what they provide. provides: virtual names by package, of the others.
    """
    left = {source.name: source for source in sources}
    wanted = frozenset(first)
    found: list[Dependent] = []
    unreadable: set[str] = set()
    for level in range(1, depth + 1):
        new: list[SourceStanza] = []
        for source in left.values():
            try:
                if needed_to_build(source.raw, architecture, wanted):
                    new.append(source)
            except (BadInput, UnicodeDecodeError):
                unreadable.add(source.name)
        found += [Dependent(source, level) for source in new]
        for source in new:
            del left[source.name]
        built = [name for source in new for name in source.binaries]
        wanted = frozenset([*built, *(virtual for name in built for virtual in provides.get(name, ()))])
        if not wanted:
            break
    return Dependents(tuple(sorted(found, key=_order)), tuple(sorted(unreadable)))


def _order(one: Dependent) -> tuple[bool, int, int, str]:
    return not one.source.is_own, one.level, one.source.size_bytes, one.source.name


def needing_to_run(packages: Iterable[bytes], wanted: Collection[str]) -> set[str]:
    """Name the sources of packages that need one of the wanted names to run, in any alternative. packages: stanzas."""
    found: set[str] = set()
    for raw in packages:
        for name in RUN_FIELDS:
            text = raw_field(raw, name)
            if text and _may_name(text, wanted) and _names_one(text, wanted):
                found.add(source_of(raw))
    return found


def source_of(raw: bytes) -> str:
    """Say which source a package comes from."""
    written = raw_field(raw, b"Source")
    return source_field(written.decode())[0] if written else _text(raw, b"Package")


def provided_by(raw: bytes) -> tuple[str, ...]:
    """Name what a package provides, without versions; nothing if it cannot be read."""
    text = raw_field(raw, b"Provides")
    if not text:
        return ()
    try:
        return tuple(one.name for group in parse_relations(text.decode()) for one in group)
    except (BadInput, UnicodeDecodeError):
        return ()


def with_tests_of(
    sources: Iterable[SourceStanza], names: Collection[str], affected: Collection[str]
) -> list[SourceStanza]:
    """Give the sources whose tests say something about packages: those affected, and those that name one as trigger."""
    chosen = [
        source
        for source in sources
        if source.has_tests and (source.name in affected or not source.triggers.isdisjoint(names))
    ]
    return sorted(chosen, key=lambda source: (not source.is_own, source.size_bytes, source.name))


def _names_one(text: bytes, wanted: Collection[str]) -> bool:
    try:
        return any(one.name in wanted for group in parse_relations(text.decode()) for one in group)
    except (BadInput, UnicodeDecodeError):
        return False


def _may_name(text: bytes, wanted: Collection[str]) -> bool:
    """Sort out quickly what does not even have one of the names as a word: nearly everything."""
    return any(name.decode() in wanted for name in _NAME_BYTES.findall(text))


def _text(raw: bytes, name: bytes) -> str:
    return (raw_field(raw, name) or b"").decode(errors="replace")
