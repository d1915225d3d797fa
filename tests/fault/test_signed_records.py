"""What we sign of recorded archives, killed at any write; a record on a full disk: the earlier state, then all of the new one."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.fault.test_full_disk import small_disk
from tests.worlds.archive import DATE, DAY, Upstream, make_deb, make_source, signer
from tests.worlds.killing import NEVER, run_killed_at
from tests.worlds.recorded import RecordedArchive, recorded_archive

from distwright.archive.fsck import check_tags
from distwright.archive.own_snapshots import drop_snapshots
from distwright.archive.prolonging import prolong_recorded
from distwright.archive.snapshots import PoolChoice
from distwright.archive.tags import TagRequest, tag_snapshots
from distwright.errors import NotFound, OutOfSpace
from distwright.model.digests import canonical_json
from distwright.signing.verify import Keyring
from distwright.store.archives import list_snapshots
from distwright.store.signed import list_tags

HELLO, SOURCE = make_deb("hello"), make_source("hello")
FILTERED = PoolChoice(("hello",), is_filtered=True)
INRELEASE = "dists/stable/InRelease"


@dataclass
class World:
    """An installation with one record, and the same for a child that will be killed."""

    archive: RecordedArchive
    serial: str
    manifest: bytes

    def in_a_child(self) -> RecordedArchive:
        context = replace(self.archive.context, database=self.archive.context.database.reopen())
        return RecordedArchive(self.archive.upstream, context)


def world(folder: Path) -> World:
    upstream = Upstream(valid_days=7)
    upstream.add(HELLO, SOURCE, make_deb("other"))
    upstream.publish(DATE)
    archive = recorded_archive(folder, upstream)
    row = archive.record().row
    package = {
        "name": "hello", "version": "1.0", "architecture": "amd64", "sha256": HELLO.sha256,
        "from": [f"debian/stable/{HELLO.pool_path()}"],
    }  # fmt: skip
    manifest = canonical_json({"format": 1, "states": {"debian/stable": row.digest}, "packages": [package]})
    return World(archive, row.serial, manifest)


def killed_anywhere(
    folder: Path, numbers: range, act: Callable[[World, RecordedArchive], object], see: Callable[[World, bool], None]
) -> None:
    """Kill an action at some of its writes; look at what is left, do it again, look at that. see: is told whether it is done."""
    outcomes = set()
    for number in (*numbers, NEVER):
        made = world(folder / str(number))

        def in_child(made: World = made) -> object:
            return act(made, made.in_a_child())

        was_killed = run_killed_at(number, in_child) is None
        outcomes.add(was_killed)
        if was_killed:
            see(made, False)  # noqa: FBT003
        act(made, made.archive)
        see(made, True)  # noqa: FBT003
    assert outcomes == {True, False}


def is_signed_by(content: bytes, key: str) -> bool:
    certificate = {"mirror": signer("mirror"), "upstream": signer("upstream")}[key].certificate()
    return bool(Keyring(certificate, key).verify_clear(content, "InRelease").signers)


def test_a_filtered_record_that_is_killed_leaves_the_earlier_one(tmp_path: Path) -> None:
    def see(made: World, is_done: bool) -> None:  # noqa: FBT001
        content = made.archive.read(INRELEASE)
        with made.archive.context.database.read() as tx:
            count = len(list_snapshots(tx, "debian"))
        assert count == 2 if is_done else count in (1, 2)
        assert is_signed_by(content, "upstream" if count == 1 else "mirror")
        if count == 2:
            assert b"X-Filtered" in content

    killed_anywhere(tmp_path, range(1, 160, 17), lambda _, archive: archive.record(FILTERED), see)


def test_a_snapshot_that_is_prolonged_and_killed_is_served_in_one_state_or_the_other(tmp_path: Path) -> None:
    def act(made: World, archive: RecordedArchive) -> None:
        with archive.context.database.read() as tx:
            [row] = list_snapshots(tx, "debian")
        if row.valid_until is None or row.valid_until < DATE + 50 * DAY:
            prolong_recorded(archive.context, "debian", made.serial, 60, "mirror")

    def see(made: World, is_done: bool) -> None:  # noqa: FBT001
        made.archive.context.clock = DATE + 8 * DAY
        content = made.archive.read(INRELEASE)
        assert is_signed_by(content, "mirror" if is_done or b"Mar 2024" in content else "upstream")
        made.archive.context.clock = DATE

    killed_anywhere(tmp_path, range(1, 30, 3), act, see)


def test_a_tag_that_is_killed_is_not_there_or_whole(tmp_path: Path) -> None:
    def act(made: World, archive: RecordedArchive) -> None:
        tag_snapshots(TagRequest(("debian",), "1.0", made.manifest), archive.context)

    def see(made: World, is_done: bool) -> None:  # noqa: FBT001
        context = made.archive.context
        folder = context.paths.public / "debian" / "snapshots" / "1.0"
        assert folder.exists() or not is_done
        if folder.exists():
            assert list(check_tags(context, "debian")) == []
            with context.database.read() as tx:
                assert len(list_tags(tx, "debian")) == 1

    killed_anywhere(tmp_path, range(1, 160, 13), act, see)


def test_a_drop_that_is_killed_can_be_done_again(tmp_path: Path) -> None:
    def act(made: World, archive: RecordedArchive) -> None:
        if made.archive is archive:
            with archive.context.database.read() as tx:
                if len(list_snapshots(tx, "debian")) < 2:
                    return
        drop_snapshots(archive.context, "debian", [made.serial])

    def see(made: World, is_done: bool) -> None:  # noqa: FBT001
        made.archive.read(INRELEASE)
        if is_done:
            with pytest.raises(NotFound):
                made.archive.read(f"{made.serial}/{INRELEASE}")

    outcomes = set()
    for number in (*range(1, 8), NEVER):
        made = world(tmp_path / str(number))
        made.archive.upstream.publish(DATE + DAY)
        made.archive.context.clock += DAY
        made.archive.record()

        def in_child(made: World = made) -> None:
            act(made, made.in_a_child())

        outcomes.add(run_killed_at(number, in_child) is None)
        see(made, False)  # noqa: FBT003
        act(made, made.archive)
        see(made, True)  # noqa: FBT003
    assert False in outcomes


@pytest.mark.system
@pytest.mark.skipif(os.geteuid() != 0, reason="a file system of our own that this process sees: run as root")
def test_a_listed_record_on_a_full_disk_says_so_and_goes_on_with_space() -> None:
    with small_disk("6m") as disk:
        upstream = Upstream()
        large = make_deb("large", content={"usr/share/large": os.urandom(3_000_000).hex()})
        upstream.add(large, HELLO, make_deb("needs", depends="large, hello"))
        upstream.publish(DATE)
        archive = recorded_archive(disk.seen / "state", upstream)
        (disk.seen / "ballast").write_bytes(bytes(4_000_000))
        with pytest.raises(OutOfSpace, match="no space left"):
            archive.record(PoolChoice(("needs",)))
        with archive.context.database.read() as tx:
            assert list_snapshots(tx) == []
        assert list((disk.seen / "state" / "objects" / "incoming").iterdir()) == []
        (disk.seen / "ballast").unlink()
        disk.grow("40m")
        assert archive.record(PoolChoice(("needs",))).is_new
        assert archive.context.objects.is_intact(large.sha256)
