"""Snapshots of our own archives: rows of any size of suite, served apart, dropped only when nobody needs them."""

import os
from pathlib import Path

import pytest
from tests.worlds.archive import signer
from tests.worlds.client import see_suite
from tests.worlds.suite import OwnSuite, own_suite

from distwright.archive.own_snapshots import drop_snapshots, parse_own_snapshot, publish_snapshot, take_snapshot
from distwright.archive.suites import Who, branch_suite
from distwright.errors import BadInput, DistwrightError, NotFound, Refused
from distwright.model.events import EventKind
from distwright.model.serials import Serial
from distwright.store.archives import list_snapshots
from distwright.store.holds import all_holds, replace_holds, serial_hold


@pytest.fixture
def suite(tmp_path: Path) -> OwnSuite:
    """Version 1.0 is there."""
    suite = own_suite(tmp_path)
    suite.version("1.0")
    return suite


def seen(suite: OwnSuite, serial: str) -> list[str]:
    return see_suite(suite.archive / "snapshots" / serial, "devel", signer("petrel").certificate()).packages


def serials(suite: OwnSuite) -> list[str]:
    with suite.context.database.read() as tx:
        return [row.serial for row in list_snapshots(tx, "petrel")]


def test_a_snapshot_stays_as_it_is_while_the_suite_moves_on(suite: OwnSuite) -> None:
    first = take_snapshot(suite.context, "petrel", [])
    suite.version("2.0")
    second = take_snapshot(suite.context, "petrel", ["devel"])
    assert int(second.serial) == int(first.serial) + 1
    for row, packages in ((first, ["hello 1.0", "world 1.0"]), (second, ["hello 2.0", "world 1.0"])):
        (made,) = publish_snapshot(suite.context, "petrel", row.serial)
        assert (made.serial, made.state, seen(suite, row.serial)) == (row.serial, "live", packages)
        assert publish_snapshot(suite.context, "petrel", row.serial) == [made]
    kinds = [event.subject for event in suite.context.events() if event.kind is EventKind.SNAPSHOT_RECORDED]
    assert kinds == [f"petrel/{first.serial}", f"petrel/{second.serial}"]
    assert serials(suite) == [second.serial, first.serial]


def test_the_trace_says_which_snapshot_is_the_newest(suite: OwnSuite) -> None:
    trace = suite.archive / "project/trace/petrel"
    first, second = (take_snapshot(suite.context, "petrel", []) for _ in range(2))
    date = f"{second.taken_at:%a %b %d %H:%M:%S UTC %Y}"
    assert trace.read_text() == f"{date}\nArchive: petrel\nSerial: {second.serial}\n"
    drop_snapshots(suite.context, "petrel", [second.serial])
    assert trace.read_text().endswith(f"Serial: {first.serial}\n")
    drop_snapshots(suite.context, "petrel", [first.serial])
    assert not trace.exists()


def test_suites_of_one_state_and_a_suite_named_twice_are_taken(suite: OwnSuite) -> None:
    branch_suite(suite.context, "petrel", "copy", "devel", "base", Who("user ada"))
    row = take_snapshot(suite.context, "petrel", ["copy", "devel", "devel"])
    held = parse_own_snapshot(suite.context.objects.read(row.digest)).suites
    assert list(held) == ["copy", "devel"]
    assert held["copy"][0] == held["devel"][0]


def test_a_snapshot_that_was_cut_off_before_it_was_served_can_be_taken_again(suite: OwnSuite) -> None:
    """The command that takes it and serves it is typed again with the serial that it had."""
    row = take_snapshot(suite.context, "petrel", [], Serial("2030010105"))
    assert take_snapshot(suite.context, "petrel", [], Serial("2030010105")) == row
    assert serials(suite) == ["2030010105"]
    assert [event.kind for event in suite.context.events()].count(EventKind.SNAPSHOT_RECORDED) == 1


def test_serials_only_grow_and_unknown_names_are_not_found(suite: OwnSuite) -> None:
    take_snapshot(suite.context, "petrel", [], Serial("2030010105"))
    branch_suite(suite.context, "petrel", "copy", "devel", "base", Who("user ada"))
    with pytest.raises(Refused, match="2030010105 is not later than 2030010105"):
        take_snapshot(suite.context, "petrel", [], Serial("2030010105"))
    assert take_snapshot(suite.context, "petrel", []).serial == "2030010106"
    for call in (
        lambda: take_snapshot(suite.context, "petrel", ["nothing"]),
        lambda: take_snapshot(suite.context, "debian", []),
        lambda: publish_snapshot(suite.context, "petrel", "1999010101"),
        lambda: publish_snapshot(suite.context, "debian", "2030010105"),
        lambda: drop_snapshots(suite.context, "petrel", ["1999010101"]),
        lambda: drop_snapshots(suite.context, "debian", ["2030010105"]),
        lambda: drop_snapshots(suite.context, "petrel", ["1999010101"], dry_run=True),
    ):
        with pytest.raises(NotFound):
            call()
    assert serials(suite) == ["2030010106", "2030010105"]


def test_the_serial_of_a_dropped_snapshot_is_never_given_again(suite: OwnSuite) -> None:
    """What a client, a pin or a mirror knows by it must not become something else."""
    first, second = (take_snapshot(suite.context, "petrel", []).serial for _ in range(2))
    drop_snapshots(suite.context, "petrel", [first, second])
    suite.version("2.0")
    with pytest.raises(Refused, match=f"{second} is not later than {second}"):
        take_snapshot(suite.context, "petrel", [], second)
    assert int(take_snapshot(suite.context, "petrel", []).serial) == int(second) + 1


def test_a_snapshot_that_is_held_stays_and_so_do_all_that_were_named_with_it(suite: OwnSuite) -> None:
    rows = [take_snapshot(suite.context, "petrel", []) for _ in range(2)]
    for row in rows:
        publish_snapshot(suite.context, "petrel", row.serial)
    with suite.context.database.write() as tx:
        hold = serial_hold("image petrel 1.0", "petrel", rows[0].serial, "built from it")
        replace_holds(tx, hold.holder, [hold], suite.context.clock)
    named = [rows[1].serial, rows[0].serial]
    for dry_run in (True, False):
        with pytest.raises(Refused, match=f"{rows[0].serial} is needed by image petrel 1.0: built from it"):
            drop_snapshots(suite.context, "petrel", named, dry_run=dry_run)
    assert serials(suite) == named
    assert [seen(suite, row.serial) for row in rows] == [["hello 1.0", "world 1.0"]] * 2


def test_a_dropped_snapshot_is_neither_listed_nor_served_nor_holds_anything(suite: OwnSuite) -> None:
    rows = [take_snapshot(suite.context, "petrel", []) for _ in range(2)]
    for row in rows:
        publish_snapshot(suite.context, "petrel", row.serial)
    drop_snapshots(suite.context, "petrel", [rows[0].serial], dry_run=True)
    assert len(serials(suite)) == 2
    drop_snapshots(suite.context, "petrel", [rows[0].serial])
    assert serials(suite) == [rows[1].serial]
    assert sorted(path.name for path in (suite.archive / "snapshots").iterdir()) == [rows[1].serial]
    assert seen(suite, rows[1].serial) == ["hello 1.0", "world 1.0"]
    with suite.context.database.read() as tx:
        holders = {hold.holder for hold in all_holds(tx)}
    assert (f"snapshot petrel/{rows[0].serial}" in holders, f"snapshot petrel/{rows[1].serial}" in holders) == (
        False,
        True,
    )


def test_a_name_that_is_no_serial_is_never_a_path(suite: OwnSuite) -> None:
    (suite.archive / "snapshots").mkdir(parents=True)
    (suite.context.paths.public / "precious").mkdir()
    for name in ("../../precious", "..", ".", ""):
        with pytest.raises(DistwrightError):
            drop_snapshots(suite.context, "petrel", [name])
    assert (suite.context.paths.public / "precious").is_dir()


def test_a_snapshot_costs_few_inodes(suite: OwnSuite) -> None:
    suite.publish(suite.version("1.0"))
    publish_snapshot(suite.context, "petrel", take_snapshot(suite.context, "petrel", []).serial)
    before = inodes(suite.context.paths.root)
    publish_snapshot(suite.context, "petrel", take_snapshot(suite.context, "petrel", []).serial)
    assert inodes(suite.context.paths.root) - before <= 14


def inodes(root: Path) -> int:
    return len({(Path(folder) / name).lstat().st_ino for folder, folders, files in os.walk(root)
                for name in (*folders, *files)})  # fmt: skip


def test_a_document_of_another_kind_is_refused() -> None:
    for content in (b'{"format":2,"own":{}}', b'{"format":1}'):
        with pytest.raises(BadInput, match="no snapshot of an archive of ours"):
            parse_own_snapshot(content)
