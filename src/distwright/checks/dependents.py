"""The job that finds who depends on a candidate in a state, and fetches what is needed to try: sources, and the packages of now."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, runtime_checkable

from distwright.archive.chosen import files_of
from distwright.archive.indexes import SOURCE
from distwright.archive.shelf import Mirrors, Shelf, no_mirrors
from distwright.archive.stanzas import stanzas_at
from distwright.archive.tree import TreeEntry
from distwright.builds.environment import EnvironmentRecipe
from distwright.checks.candidates import Candidate
from distwright.checks.reverse_depends import (
    BUILD_FIELDS,
    Dependent,
    SourceStanza,
    needing_to_run,
    provided_by,
    reverse_build_depends,
    with_tests_of,
)
from distwright.checks.words import shown
from distwright.errors import Refused, Unreachable
from distwright.formats.deb822 import raw_field
from distwright.jobs.order import PRIORITY_DAILY, JobOrder
from distwright.jobs.step import (
    Action,
    Conclusion,
    Context,
    Earlier,
    Inputs,
    JobKind,
    KindName,
    ShelfEntry,
    StepResult,
    Where,
)
from distwright.model import plain
from distwright.model.digests import Json, Sha256
from distwright.model.versions import DebVersion

KIND = KindName("package.dependents", 1)
_NAMES_SHOWN = 50
_LOST_LIMIT = 50  # sources that no mirror has any more, beside those that are found

# inputs: candidate (Candidate), environment (the state without it), depth, limit (of sources to build; tests are counted apart).


@runtime_checkable
class _Mirrored(Protocol):
    """A context that knows where archives are fetched now."""

    @property
    def mirrors(self) -> Mirrors:
        """Give mirrors by archive."""
        ...


@dataclass(frozen=True, slots=True)
class Found:
    """A source that is tried. level: as of Dependent, 0 if it is only tested. files: name -> digest."""

    name: str
    version: str
    level: int
    is_own: bool
    is_built: bool
    is_tested: bool
    files: Mapping[str, Sha256]

    def to_json(self) -> Json:
        """Give the part of a job's outputs."""
        return {
            "name": self.name, "version": self.version, "level": self.level, "own": self.is_own, "built": self.is_built,
            "tested": self.is_tested, "files": {name: str(digest) for name, digest in self.files.items()},
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Unfetched:
    """A source that no mirror has any more. is_built: it was to be built, not only to be tested."""

    name: str
    why: str
    is_built: bool


@dataclass(frozen=True, slots=True)
class FoundAll:
    """What the job found. debs: the candidate's packages as the state has them now, by file name. reference: its source now.

    build_needs: stanzas whose build dependencies are looked at. left: sources that the limit left out. unreadable: whose build
    dependencies cannot be read. lacking: packages of the candidate that the state does not have. unfetched: sources that no mirror
    has any more, and why.
    """

    found: tuple[Found, ...]
    debs: Mapping[str, Sha256]
    reference: Found | None
    build_needs: Sha256
    left: tuple[str, ...] = ()
    left_count: int = 0
    unreadable: tuple[str, ...] = ()
    lacking: tuple[str, ...] = ()
    unfetched: tuple[Unfetched, ...] = ()

    def to_json(self) -> dict[str, Json]:
        """Give the job's outputs."""
        return {
            "found": [one.to_json() for one in self.found],
            "debs": {name: str(digest) for name, digest in self.debs.items()},
            "reference": None if self.reference is None else self.reference.to_json(),
            "build_needs": str(self.build_needs),
            "left": list(self.left),
            "left_count": self.left_count,
            "unreadable": list(self.unreadable),
            "lacking": list(self.lacking),
            "unfetched": [[one.name, one.why, one.is_built] for one in self.unfetched],
        }


def found_all(outputs: Inputs) -> FoundAll:
    """Read a finished job's outputs."""
    return FoundAll(
        found=tuple(_found(plain.mapping({"row": row}, "row")) for row in plain.members(outputs, "found")),
        debs=plain.digest_map(outputs, "debs"),
        reference=None if outputs["reference"] is None else _found(plain.mapping(outputs, "reference")),
        build_needs=plain.digest(outputs, "build_needs"),
        left=plain.texts(outputs, "left"),
        left_count=plain.number(outputs, "left_count"),
        unreadable=plain.texts(outputs, "unreadable"),
        lacking=plain.texts(outputs, "lacking"),
        unfetched=tuple(_unfetched(row) for row in plain.members(outputs, "unfetched")),
    )


def _unfetched(row: Json) -> Unfetched:
    name, why, *more = row if isinstance(row, Sequence) and not isinstance(row, str) else ()
    return Unfetched(str(name), str(why), more != [False])  # which an older version did not write


def _found(row: plain.Plain) -> Found:
    return Found(
        plain.text(row, "name"), plain.text(row, "version"), plain.number(row, "level"), plain.flag(row, "own"),
        plain.flag(row, "built"), plain.flag(row, "tested"), plain.digest_map(row, "files"),
    )  # fmt: skip


def dependents_order(candidate: Candidate, reference: EnvironmentRecipe, *, depth: int, limit: int) -> JobOrder:
    """Order the search. limit: how many sources are built at most, and how many tested."""
    inputs: dict[str, Json] = {
        "candidate": candidate.to_json(),
        "environment": reference.to_json(),
        "depth": depth,
        "limit": limit,
    }
    return JobOrder(KIND, inputs, f"find what depends on {candidate.name}", priority=PRIORITY_DAILY)


@dataclass(slots=True)
class State:
    """The newest source and package of each name in a state, as its indexes have them."""

    sources: dict[str, SourceStanza] = field(default_factory=dict)
    packages: dict[str, tuple[int, bytes]] = field(default_factory=dict)

    def take(self, place: int, raw: bytes, *, is_own: bool, source: bool) -> None:
        name, version = _name_of(raw)
        if source:
            known = self.sources.get(name)
            is_ours_too = known is not None and is_own and not known.is_own and version == known.version
            if known is None or is_ours_too or _is_later(version, known.version):
                self.sources[name] = SourceStanza(name, version, place, is_own, raw)
        else:
            old = self.packages.get(name)
            if old is None or _is_later(version, _name_of(old[1])[1]):
                self.packages[name] = (place, raw)


def _perform(context: Context, inputs: Inputs, _earlier: Earlier) -> StepResult:
    candidate = Candidate.from_json(plain.mapping(inputs, "candidate"))
    recipe = EnvironmentRecipe.from_json(plain.mapping(inputs, "environment"))
    depth, limit = plain.number(inputs, "depth"), plain.number(inputs, "limit")
    state = read_state(context, recipe)
    refuse_older(candidate, {name: _name_of(raw)[1] for name, (_, raw) in state.packages.items()})
    context.log(f"{len(state.sources)} sources and {len(state.packages)} packages to look at")
    chosen = choose(candidate, list(state.sources.values()), [raw for _, raw in state.packages.values()], recipe, depth)
    context.log(f"{len(chosen.builds)} sources need it to be built, {len(chosen.tests)} have tests that use it")
    fetch = _Fetch(context, recipe)
    builds = fetch.sources([one.source for one in chosen.builds], limit)
    tests = fetch.sources(chosen.tests, limit)
    fetch.refuse_nothing()
    needed = {source.name: source for source in (*builds, *tests)}
    left = sorted(({one.source.name for one in chosen.builds} | {one.name for one in chosen.tests}) - needed.keys())
    files = fetch.files
    built, tested = {source.name for source in builds}, {source.name for source in tests}
    levels = {one.source.name: one.level for one in chosen.builds if one.source.name in built}
    found = tuple(
        Found(name, source.version, levels.get(name, 0), source.is_own, name in levels, name in tested, files[name])
        for name, source in needed.items()
        if name in files
    )
    ours = state.sources.get(candidate.source)
    of_now = None
    if ours is not None and (files_of_now := fetch.kept(ours.name, lambda: fetch.source(ours))) is not None:
        of_now = Found(
            ours.name, ours.version, 0, ours.is_own, is_built=False, is_tested=ours.has_tests, files=files_of_now
        )  # fmt: skip
    debs = fetch.kept(
        candidate.source,
        lambda: fetch.packages(state.packages[name] for name in candidate.packages if name in state.packages),
    )
    result = FoundAll(
        found=found,
        debs=debs or {},
        reference=of_now,
        build_needs=context.objects.put(
            _build_needs(source for source in state.sources.values() if _is_checked(source, needed))
        ),
        left=tuple(left[:_NAMES_SHOWN]),
        left_count=len(left),
        unreadable=chosen.unreadable[:_NAMES_SHOWN],
        lacking=tuple(sorted(set(candidate.packages) - set(state.packages))),
        unfetched=tuple(Unfetched(name, why, name in built) for name, why in fetch.lost.items()),
    )
    return StepResult({}, values=result.to_json())


def _is_checked(source: SourceStanza, needed: Mapping[str, SourceStanza]) -> bool:
    return source.is_own or source.name in needed


@dataclass(frozen=True, slots=True)
class Chosen:
    """Sources to build and to test, in the order that they are tried in."""

    builds: tuple[Dependent, ...]
    tests: tuple[SourceStanza, ...]
    unreadable: tuple[str, ...]


def choose(
    candidate: Candidate,
    sources: Sequence[SourceStanza],
    packages: Sequence[bytes],
    recipe: EnvironmentRecipe,
    depth: int,
) -> Chosen:
    """Say what a candidate may break (pure): what is built with it, directly or not, and what tests itself against it."""
    others = [source for source in sources if source.name != candidate.source]
    wanted = candidate.offered
    provides = {_name_of(raw)[0]: provided_by(raw) for raw in packages}
    built = reverse_build_depends(others, recipe.architecture, wanted, provides, depth)
    affected = needing_to_run(packages, wanted) | {one.source.name for one in built.builds}
    tests = with_tests_of(others, wanted, affected)
    return Chosen(built.builds, tuple(tests), built.unreadable)


def refuse_older(candidate: Candidate, versions: Mapping[str, str]) -> None:
    """Refuse a candidate that apt would not take, because the state has that version or a later one. Raises Refused."""
    for name, package in candidate.packages.items():
        now = versions.get(name)
        if now is not None and not _is_later(package.version, now):
            same = now == package.version
            what = "is there already" if same else f"is older than {now}, which is there"
            raise Refused(
                f"{name} {package.version} {what}: with the candidate nothing would be different",
                hint="give it a later version: dch -i",
            )


def read_state(context: Context, recipe: EnvironmentRecipe) -> State:
    """Read the indexes of all suites of a state."""
    state = State()
    for place, entry in enumerate(recipe.shelf):
        context.progress("read indexes", place, len(recipe.shelf), "suites")
        for source in (False, True):
            for raw in _stanzas(context, entry, recipe.components[entry.name], recipe.architecture, source=source):
                state.take(place, raw, is_own=entry.is_own, source=source)
    return state


def _stanzas(
    context: Context, entry: ShelfEntry, components: Iterable[str], architecture: str, *, source: bool
) -> Iterator[bytes]:
    kinds = (SOURCE,) if source else ("binary-all", f"binary-{architecture}")
    lists = {f"{component}/{kind}" for component in components for kind in kinds}
    return stanzas_at(context.objects, entry, lists)


class _Fetch:
    """Brings the files of sources and packages here. files: of sources, by name. lost: sources that cannot be fetched, and why."""

    def __init__(self, context: Context, recipe: EnvironmentRecipe) -> None:
        mirrors = context.mirrors if isinstance(context, _Mirrored) else no_mirrors
        self._context, self._recipe = context, recipe
        self._shelf = Shelf(recipe.shelf, context, context.paths.cache / "pool", mirrors=mirrors)
        self.files: dict[str, dict[str, Sha256]] = {}
        self.lost: dict[str, str] = {}
        self._error: Unreachable | Refused | None = None

    def sources(self, wanted: Sequence[SourceStanza], limit: int) -> list[SourceStanza]:
        """Fetch the first `limit` sources that can be fetched; give all that were tried. What a mirror has lost hides nobody."""
        tried: list[SourceStanza] = []
        have = 0
        for source in wanted[: limit + _LOST_LIMIT]:
            if have == limit:
                break
            self._context.check_cancelled()
            tried.append(source)
            if source.name not in self.files and source.name not in self.lost:
                self._try(source)
            have += source.name in self.files
            self._context.progress("fetch sources", have, min(limit, len(wanted)), "sources")
        return tried

    def refuse_nothing(self) -> None:
        """Raise why the last one could not be fetched, if not one could: then it is the mirror."""
        if self._error is not None and not self.files:
            raise self._error

    def _try(self, source: SourceStanza) -> None:
        if (files := self.kept(source.name, lambda: self.source(source))) is not None:
            self.files[source.name] = files

    def kept(self, name: str, fetch: Callable[[], dict[str, Sha256]]) -> dict[str, Sha256] | None:
        """Fetch something of a source; None if that cannot be, and then it is among what is lost."""
        try:
            return fetch()
        except (Unreachable, Refused) as error:
            self._context.log(f"{name}: {error.message}")
            self.lost[name] = shown(error.message)
            self._error = error
        return None

    def source(self, source: SourceStanza) -> dict[str, Sha256]:
        """Fetch the files of a source."""
        return self._files(source.place, TreeEntry("main/source", source.name, DebVersion(source.version), source.raw))

    def packages(self, wanted: Iterable[tuple[int, bytes]]) -> dict[str, Sha256]:
        """Fetch packages, by the place of their suite and their stanza."""
        found: dict[str, Sha256] = {}
        for place, raw in wanted:
            name, version = _name_of(raw)
            found |= self._files(place, TreeEntry("main/binary-all", name, DebVersion(version), raw))
        return found

    def _files(self, place: int, entry: TreeEntry) -> dict[str, Sha256]:
        archive = self._recipe.shelf[place].archive
        found: dict[str, Sha256] = {}
        for file in files_of([entry]):
            self._shelf.find(f"{archive}/{file.path}")[0].close()
            found[file.path.rpartition("/")[2]] = file.sha256
        return found


def _build_needs(sources: Iterable[SourceStanza]) -> bytes:
    """Write the stanzas that dose needs, with no field more."""
    fields = (b"Package", b"Version", b"Architecture", *BUILD_FIELDS, b"Build-Conflicts")
    paragraphs = []
    for source in sorted(sources, key=lambda source: source.name):
        said = [(name, raw_field(source.raw, name)) for name in fields]
        lines = [b"%b: %b\n" % (name, b" ".join(text.split())) for name, text in said if text]
        paragraphs.append(b"".join([*lines, b"Binary: x\n"]))
    return b"\n".join(paragraphs)


def _name_of(raw: bytes) -> tuple[str, str]:
    return (raw_field(raw, b"Package") or b"").decode(), (raw_field(raw, b"Version") or b"").decode()


def _is_later(version: str, than: str) -> bool:
    return version != than and DebVersion(version).sort_key() > DebVersion(than).sort_key()


def _conclude(_inputs: Inputs, earlier: Earlier, _now: datetime, _job: int) -> Conclusion:
    values = earlier["find"].values
    found = found_all(values)
    built, tested = sum(one.is_built for one in found.found), sum(one.is_tested for one in found.found)
    left = f", {found.left_count} left out by the limit" if found.left_count else ""
    return Conclusion(dict(values), f"{built} sources to build, {tested} to test{left}")


PACKAGE_DEPENDENTS = JobKind(KIND, (Action("find", _perform, Where.ANYWHERE),), _conclude)
