"""Lines of states: which serials lie between two moments, and the trial of a package at one of them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from distwright.archive.snapshots import parse_snapshot
from distwright.builds.environment import EnvironmentRecipe
from distwright.config.model import Config
from distwright.errors import BadUsage, NotFound
from distwright.jobs.step import Inputs, ShelfEntry
from distwright.model import plain
from distwright.model.records import Snapshot
from distwright.store.archives import find_snapshot, find_snapshot_by_digest, list_snapshots
from distwright.store.database import Transaction
from distwright.store.holds import Hold, serial_hold
from distwright.store.objects import ObjectStore

Serials = Mapping[str, str]
"""Archive -> serial."""


@dataclass(frozen=True, slots=True)
class Step:
    """The snapshot by which a state differs from the one before it."""

    archive: str
    before: str
    serial: str


def is_before(one: Serials, other: Serials) -> bool:
    """Say whether a state is the other, or older: no archive is newer in it."""
    return one.keys() == other.keys() and all(serial <= other[archive] for archive, serial in one.items())


def steps_between(snapshots: Iterable[Snapshot], good: Serials, bad: Serials) -> tuple[Step, ...]:
    """Say which snapshots lead from one state to another, in the order in which they were taken.

    Raises BadUsage unless `good` is older: time has one direction here.
    """
    if not is_before(good, bad):
        raise BadUsage(
            f"{named(good)} is not older than {named(bad)}", hint="name the older serial by --good, the newer by --bad"
        )
    between = [row for row in snapshots if row.archive in bad and good[row.archive] < row.serial <= bad[row.archive]]
    steps: list[Step] = []
    at = dict(good)
    for row in sorted(between, key=lambda row: (row.taken_at, row.archive, row.serial)):
        if row.serial < at[row.archive]:
            continue  # taken later by a clock that went back
        steps.append(Step(row.archive, at[row.archive], str(row.serial)))
        at[row.archive] = str(row.serial)
    return tuple(steps)


def states_along(good: Serials, steps: Sequence[Step]) -> tuple[dict[str, str], ...]:
    """Give the states of a line: the first one, and what each step makes of it."""
    states = [dict(good)]
    for step in steps:
        states.append({**states[-1], step.archive: step.serial})
    return tuple(states)


def named(serials: Serials) -> str:
    """Name a state for people."""
    return ", ".join(f"{archive} {serial}" for archive, serial in sorted(serials.items()))


def snapshots_of(tx: Transaction, archives: Iterable[str]) -> list[Snapshot]:
    """List every snapshot of some archives."""
    return [row for archive in archives for row in list_snapshots(tx, archive)]


def recipe_of(inputs: Inputs) -> EnvironmentRecipe:
    """Read the environment that an order names."""
    return EnvironmentRecipe.from_json(plain.mapping(inputs, "environment"))


MadeOf = tuple[str, str, tuple[str, ...], tuple[str, ...]]
"""What stays of an environment while the states of its suites move: architecture, variant, packages added, names of suites."""


def made_of(recipe: EnvironmentRecipe) -> MadeOf:
    """Say what an environment is made of, at whatever states."""
    return recipe.architecture, recipe.variant, recipe.include, tuple(entry.name for entry in recipe.shelf)


def made_of_table(config: Config, environment: str) -> MadeOf:
    """Say what a configured environment is made of."""
    table = config.environments[environment]
    return table.architecture, table.variant, tuple(table.include), tuple(table.from_)


def archives_of(recipe: EnvironmentRecipe) -> tuple[str, ...]:
    """Name the recorded archives that an environment is made of."""
    return tuple(sorted({entry.archive for entry in recipe.shelf if not entry.is_own}))


def serials_in(tx: Transaction, recipe: EnvironmentRecipe) -> dict[str, str] | None:
    """Say at which serials an environment stands; None if one of its states is no snapshot here, or it holds packages back."""
    found: dict[str, str] = {}
    if recipe.pins:
        return None
    for entry in recipe.shelf:
        if not entry.is_own:
            row = find_snapshot_by_digest(tx, entry.archive, entry.document)
            if row is None:
                return None
            found[entry.archive] = str(row.serial)
    return found


def recipe_at(tx: Transaction, objects: ObjectStore, recipe: EnvironmentRecipe, serials: Serials) -> EnvironmentRecipe:
    """Give an environment at other serials: what is ours in it, and how it is made, stays. Raises NotFound for one that is gone."""
    shelf: list[ShelfEntry] = []
    dates = []
    for entry in recipe.shelf:
        if entry.is_own:
            shelf.append(entry)
            continue
        row = find_snapshot(tx, entry.archive, serials[entry.archive])
        recorded = None if row is None else parse_snapshot(objects.read(row.digest)).suites.get(entry.suite)
        if row is None or recorded is None:
            raise NotFound(
                f"snapshot {serials[entry.archive]} of {entry.archive} has no suite {entry.suite}, or is gone",
                hint=f"distwright snapshot list {entry.archive}",
            )
        shelf.append(replace(entry, document=row.digest))
        dates.append(recorded.date)
    return replace(recipe, shelf=tuple(shelf), epoch=int(max(dates).timestamp()))


def holds_on(serials: Serials, reason: str) -> list[Hold]:
    """Say that the snapshots of a state are needed."""
    return [serial_hold("", archive, serial, reason) for archive, serial in sorted(serials.items())]
