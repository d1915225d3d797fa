"""A build of somebody else, done again from its .buildinfo: in an environment of the same versions, as far as serials reach."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from distwright.archive.resolve import Ground
from distwright.archive.snapshots import parse_snapshot
from distwright.builds.archive_source import Recorded, read_recorded
from distwright.builds.environment import EnvironmentRecipe
from distwright.builds.reach import Reach, State, Versions, reach, versions_at
from distwright.builds.resolve import GivenSource, given_order, table_from
from distwright.config.model import Config
from distwright.config.tables_archive import UpstreamArchive
from distwright.errors import BadInput, NotFound
from distwright.formats.buildinfo import BuildInfo, parse_buildinfo
from distwright.formats.clearsign import without_armour
from distwright.jobs.order import JobOrder
from distwright.jobs.step import ShelfEntry
from distwright.model.digests import Sha256
from distwright.store.archives import list_snapshots
from distwright.store.database import Database
from distwright.store.holds import serial_hold

_LIMIT_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Compared:
    """A package that the .buildinfo names. verdict: same, differs, or not built."""

    name: str
    verdict: str


def read_buildinfo(file: Path) -> BuildInfo:
    """Read a .buildinfo; a signature on it is not looked at, for what is claimed is put to the test. Raises NotFound, BadInput."""
    try:
        with file.open("rb") as opened:
            content = opened.read(_LIMIT_BYTES + 1)
    except OSError as error:
        raise NotFound(f"{file} cannot be read: {error.strerror}", hint="name a .buildinfo file") from error
    if len(content) > _LIMIT_BYTES:
        raise BadInput(f"{file} has more than {_LIMIT_BYTES >> 20} MiB", hint="name a .buildinfo file")
    return parse_buildinfo(without_armour(content))


def reach_of(context: Recorded, environment: str, info: BuildInfo, look: Callable[[], None] = lambda: None) -> Reach:
    """Say how far the serials of an environment's archives reach. look: called for each serial, may raise to stop.

    Reads one Packages of each serial that is not like another: about a second each for Debian. Raises BadInput if the build was
    for another architecture, NotFound if nothing is recorded.
    """
    table = context.config.environments[environment]
    if info.build_architecture != table.architecture:
        raise BadInput(
            f"it was built on {info.build_architecture}, and environment {environment} is of {table.architecture}",
            hint="name another: --environment NAME",
        )
    wanted = {name.partition(":")[0]: version for name, version in info.installed_build_depends}
    states = list(_states(context, environment))
    if not states:
        raise NotFound(
            f"nothing is recorded of what environment {environment} is made of",
            hint="distwright archive record ARCHIVE",
        )
    known: dict[tuple[Sha256, ...], Versions] = {}
    offers = []
    for state in states:
        look()
        key = tuple(index.plain for index in state.suite.indexes)
        if key not in known:
            components = context.config.archives[state.archive].components
            known[key] = versions_at(context.objects, state, wanted, components, table.architecture)
        offers.append((state, known[key]))
    return reach(wanted, offers)


def recipe_of(config: Config, environment: str, reached: Reach) -> EnvironmentRecipe:
    """Make the environment: of its suites at those serials, with those versions whatever else the serials have."""
    table = config.environments[environment]
    shelf: list[ShelfEntry] = []
    for state in reached.states:
        is_second = state.name in {entry.name for entry in shelf}
        served_as = f"{state.archive}~{state.serial}" if is_second else ""
        shelf.append(ShelfEntry(state.archive, state.suite.name, state.document, served_as=served_as))
    return EnvironmentRecipe(
        shelf=tuple(shelf),
        components={entry.name: tuple(config.archives[entry.archive].components) for entry in shelf},
        variant=table.variant,
        include=(),
        architecture=table.architecture,
        epoch=max(int(state.suite.date.timestamp()) for state in reached.states),
        pins=reached.pins,
    )


def source_of(context: Recorded, environment: str, info: BuildInfo) -> GivenSource:
    """Find the source in the newest serial that has it, and keep its files; raise NotFound."""
    wanted = f"{info.source}={info.source_version}"
    for state in _states(context, environment):
        try:
            return read_recorded(context, state.name, wanted, state.serial)
        except NotFound:
            continue
    raise NotFound(
        f"no recorded serial has source {info.source} {info.source_version}", hint="name its file: --dsc PATH_OR_URL"
    )


def reproduction_order(
    database: Database, ground: Ground, source: GivenSource, environment: str, reached: Reach
) -> JobOrder:
    """Order the build in that environment; nothing of it is uploaded."""
    order, _ = given_order(database, ground, source, suite=None, environment=environment)
    recipe = recipe_of(ground.config, environment, reached)
    holds = tuple(serial_hold("", state.archive, state.serial, state.name) for state in reached.states)
    return replace(
        order,
        inputs={**order.inputs, "environment": recipe.to_json()},
        title=f"reproduce {source.name} {source.version}",
        holds=holds,
    )


def compared(info: BuildInfo, built: Mapping[str, Sha256]) -> tuple[Compared, ...]:
    """Compare what was built with what the .buildinfo says; its source is what we were given, so packages only."""
    return tuple(
        Compared(file.name, _verdict(file.sha256, built.get(file.name)))
        for file in info.checksums
        if file.name.endswith((".deb", ".udeb"))
    )


def _verdict(theirs: Sha256, ours: Sha256 | None) -> str:
    if ours is None:
        return "not built"
    return "same" if ours == theirs else "differs"


def is_rebuilt_binary(info: BuildInfo) -> bool:
    """Say whether Debian built it again without a new source (a binNMU): its packages bear a version and an entry of their own."""
    return info.version != info.source_version


def _states(context: Recorded, environment: str) -> Iterator[State]:
    """Give the states of an environment's recorded suites, by suite, newest first; one that is like a newer one is left out."""
    objects = context.objects
    for name in table_from(context.config, environment):
        archive, _, suite_name = name.partition("/")
        if not isinstance(context.config.archives[archive], UpstreamArchive):
            continue
        with context.database.read() as tx:
            rows = list_snapshots(tx, archive)
        seen: set[Sha256] = set()
        for row in sorted(rows, key=lambda row: row.serial, reverse=True):
            suite = parse_snapshot(objects.read(row.digest)).suites.get(suite_name)
            if suite is not None and suite.release not in seen:
                seen.add(suite.release)
                yield State(archive, row.serial, suite, row.digest)
