"""Killed anywhere, what changes suites leaves the old state or the new one, goes on when it is run again, and loses nothing."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.worlds.archive import make_deb, make_source, signer
from tests.worlds.client import see_suite
from tests.worlds.installation import WorldContext
from tests.worlds.killing import NEVER, run_killed_at
from tests.worlds.suite import OwnSuite, own_suite

from distwright.archive.adding import add_packages, files_below
from distwright.archive.changing import root_of
from distwright.archive.indexes import pool_of
from distwright.archive.own_snapshots import drop_snapshots, publish_snapshot, take_snapshot
from distwright.archive.suites import Who, branch_suite, merge_suite, packages_of
from distwright.errors import NotFound
from distwright.model.serials import Serial
from distwright.store.archives import list_publications, list_snapshots
from distwright.store.locks import locked
from distwright.store.suites import list_revisions, list_suites

WHO = Who("user ada")
SERIAL = "2030010101"


@dataclass(frozen=True)
class Case:
    """What is killed. prepare: makes the old state. act: what is killed and then run again, by whoever ran it."""

    prepare: Callable[[OwnSuite], None]
    act: Callable[[WorldContext], object]


def add(context: WorldContext) -> None:
    place = str(context.paths.root.parent / "files")
    add_packages(context, "petrel", "devel", files_below([place]), link=False, actor="user ada", reason="")


def ready_to_add(suite: OwnSuite) -> None:
    suite.publish(suite.version("1.0"))
    place = suite.context.paths.root.parent / "files"
    place.mkdir()
    for number in range(3):
        deb = make_deb(f"package-{number}")
        (place / deb.file_name).write_bytes(deb.content)
    for name, content in make_source("package-0").files.items():
        (place / name).write_bytes(content)


def ready_to_merge(suite: OwnSuite) -> None:
    suite.version("1.0")
    branch_suite(suite.context, "petrel", "topic", "devel", "base", WHO)
    topic = OwnSuite(suite.context, "topic")
    topic.version("2.0")
    suite.publish(suite.version("1.0"))


def merge(context: WorldContext) -> None:
    merge_suite(context, "petrel", "devel", "topic", WHO, dry_run=False)


def ready_to_snapshot(suite: OwnSuite) -> None:
    suite.publish(suite.version("1.0"))


def snapshot(context: WorldContext) -> None:
    """Take a snapshot unless there is one, as somebody does who runs it again, and serve it."""
    with context.database.read() as tx:
        found = list_snapshots(tx, "petrel")
    row = found[0] if found else take_snapshot(context, "petrel", [], Serial(SERIAL))
    publish_snapshot(context, "petrel", row.serial)


def ready_to_drop(suite: OwnSuite) -> None:
    ready_to_snapshot(suite)
    snapshot(suite.context)


def drop(context: WorldContext) -> None:
    drop_snapshots(context, "petrel", [SERIAL])


CASES = {
    "add": Case(ready_to_add, add),
    "merge": Case(ready_to_merge, merge),
    "snapshot": Case(ready_to_snapshot, snapshot),
    "drop": Case(ready_to_drop, drop),
}


def ready(case: Case, folder: Path) -> OwnSuite:
    folder.mkdir()
    suite = own_suite(folder / "state")
    case.prepare(suite)
    return suite


def in_a_child(suite: OwnSuite, case: Case) -> Callable[[], object]:
    return lambda: case.act(replace(suite.context, database=suite.context.database.reopen()))


def state(suite: OwnSuite) -> object:
    """Give what counts: what suites have and how they came to it, snapshots, what is served."""
    context = suite.context
    with context.database.read() as tx:
        suites = list_suites(tx)
        steps = [
            [(row.action, row.before, row.after) for row in list_revisions(tx, "petrel", row.name)] for row in suites
        ]
        snapshots = [(row.serial, row.digest) for row in list_snapshots(tx, "petrel")]
        live = sorted((row.suite, row.serial, row.revision) for row in list_publications(tx, state="live"))
    packages = [list(packages_of(context.objects, row)) for row in suites]
    served = {serial: see(suite, serial) for _, serial, _ in live if serial}
    folders = sorted(path.name for path in (suite.archive / "snapshots").glob("*"))
    return (
        [(row.name, row.revision) for row in suites],
        steps,
        snapshots,
        live,
        packages,
        served,
        folders,
        suite.see().packages,
    )


def see(suite: OwnSuite, serial: str) -> list[str]:
    return see_suite(suite.archive / "snapshots" / serial, "devel", signer("petrel").certificate()).packages


def assert_nothing_is_lost(suite: OwnSuite) -> None:
    """Every leaf and every file of the pool of every suite's state is here and whole; what is served is what it says."""
    context = suite.context
    with context.database.read() as tx:
        suites = list_suites(tx)
    for row in suites:
        root = root_of(context, row)
        leaves = [leaf.digest for members in root.lists.values() for leaf in members]
        files = [file.sha256 for file in pool_of(root, context.objects.read)]
        assert all(context.objects.is_intact(digest) for digest in (row.revision, *leaves, *files))
    assert suite.see().packages
    with locked(context.paths.lock("archive-petrel"), patience_s=0):
        pass


def assert_survives_kill_at(number: int, case: Case, folder: Path, before: object, after: object) -> bool:
    """Kill before change `number`, look, run again, look; say whether it was killed at all."""
    suite = ready(case, folder)
    killed = run_killed_at(number, in_a_child(suite, case)) is None
    assert_nothing_is_lost(suite)
    between = suite.see().packages
    assert between == (before[-1] if isinstance(before, tuple) else None)
    try:
        case.act(suite.context)
    except NotFound:  # a drop that had been done when it was killed
        assert case.act is drop
    assert_nothing_is_lost(suite)
    assert state(suite) == after
    return killed


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, object, object]]:
    """For each case: how many changes it makes, and the states before and after it."""
    found = {}
    for name, case in CASES.items():
        folder = tmp_path_factory.mktemp(name)
        counted = ready(case, folder / "counted")
        count = run_killed_at(NEVER, in_a_child(counted, case))
        assert count is not None
        suite = ready(case, folder / "plain")
        before = state(suite)
        case.act(suite.context)
        found[name] = (count, before, state(suite))
        assert found[name][1] != found[name][2]
        assert state(counted) == found[name][2]
    return found


@pytest.mark.parametrize("name", CASES)
def test_killed_at_some_changes_all_the_way_it_ends_in_the_same_state(
    tmp_path: Path, name: str, undisturbed: dict[str, tuple[int, object, object]]
) -> None:
    count, before, after = undisturbed[name]
    killed = [
        assert_survives_kill_at(number, CASES[name], tmp_path / str(number), before, after)
        for number in range(1, count + 1, max(1, count // 12))
    ]
    assert sum(killed) >= len(killed) - 1


@pytest.mark.full
@pytest.mark.parametrize("name", CASES)
def test_killed_at_every_change_it_ends_in_the_same_state(
    tmp_path: Path, name: str, undisturbed: dict[str, tuple[int, object, object]]
) -> None:
    count, before, after = undisturbed[name]
    for number in range(1, count + 3):
        assert_survives_kill_at(number, CASES[name], tmp_path / str(number), before, after)
