"""A publish that is cut off anywhere: clients go on seeing one whole state, and a repetition ends as if nothing had happened."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from tests.worlds.apt import make_apt
from tests.worlds.archive import signer
from tests.worlds.client import SeenSuite
from tests.worlds.killing import NEVER, run_killed_at
from tests.worlds.suite import LISTS, OwnSuite, own_suite

from distwright.archive.publish import PublishRequest, publish
from distwright.errors import OutOfSpace, Refused
from distwright.model.digests import Sha256
from distwright.model.events import EventKind
from distwright.store.objects import FileObjects, ObjectWriter

SWITCH = ".new-devel"
OLD, NEW = ["hello 1.0", "world 1.0"], ["hello 2.0", "world 1.0"]


def ready(folder: Path) -> tuple[OwnSuite, Sha256]:
    """Version 1.0 is published; give the revision of 2.0, which is not."""
    suite = own_suite(folder)
    suite.publish(suite.version("1.0"))
    return suite, suite.version("2.0")


def in_a_child(suite: OwnSuite) -> OwnSuite:
    """Give the same suite with a database connection of its own, as the process of a job has."""
    context = suite.context
    return replace(suite, context=replace(context, database=context.database.reopen()))


def changes_of_a_publish(folder: Path) -> int:
    suite, revision = ready(folder)
    count = run_killed_at(NEVER, lambda: in_a_child(suite).publish(revision))
    assert count is not None
    assert suite.see().packages == NEW
    return count


def published(suite: OwnSuite) -> tuple[SeenSuite, list[Sha256], list[tuple[Sha256, str]]]:
    """Give what counts after a publish: what clients see, what was announced, which publications are not discarded."""
    announced = [Sha256(str(e.body["revision"])) for e in suite.context.events() if e.kind is EventKind.SUITE_PUBLISHED]
    states = [(revision, state) for _, revision, state in suite.publications() if state != "discarded"]
    seen = suite.see()
    return replace(seen, release=""), announced, states


def assert_survives_kill_at(number: int, folder: Path, expected: object, *, since: str = "") -> list[str]:
    """Kill a publish before its change `number`, look, publish again, look; give what was served in between."""
    suite, revision = ready(folder)
    run_killed_at(number, lambda: in_a_child(suite).publish(revision), since=since)
    packages = suite.see().packages
    assert packages in (OLD, NEW)
    suite.publish(revision)
    assert published(suite) == expected
    assert "building" not in [state for _, _, state in suite.publications()]
    assert not list((suite.archive / "dists").glob(".new*"))
    return packages


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, object]:
    """About how many changes a publish makes (object folders are made as needed), and what it leaves."""
    folder = tmp_path_factory.mktemp("undisturbed")
    count = changes_of_a_publish(folder / "counted")
    suite, revision = ready(folder / "plain")
    suite.publish(revision)
    return count, published(suite)


def test_killed_at_some_changes_all_the_way_a_publish_ends_in_the_same_state(
    tmp_path: Path, undisturbed: tuple[int, object]
) -> None:
    count, expected = undisturbed
    assert count > 100
    for number in range(2, count, 9):
        assert_survives_kill_at(number, tmp_path / str(number), expected)


def test_killed_around_the_switch_clients_see_the_old_state_before_it_and_the_new_one_after(
    tmp_path: Path, undisturbed: tuple[int, object]
) -> None:
    seen = [
        assert_survives_kill_at(number, tmp_path / str(number), undisturbed[1], since=SWITCH) for number in range(1, 6)
    ]
    assert seen == [
        OLD,
        OLD,
        OLD,
        NEW,
        NEW,
    ]  # remove, symlink, rename: then the folder is synced, and the row is written


def test_killed_around_the_switch_a_real_apt_reads_the_old_state_or_the_new_one(tmp_path: Path) -> None:
    for number, expected in ((1, OLD), (3, OLD), (4, NEW)):
        suite, revision = ready(tmp_path / f"state-{number}")
        kill_a_publish(suite, revision, number, SWITCH)
        apt = make_apt(tmp_path / f"apt-{number}", f"copy:{suite.archive}", signer("petrel").certificate())
        for packages in (expected, NEW):
            updated = apt.update()
            assert (updated.exit_code, updated.complaints, apt.candidates()) == (0, [], packages)
            assert apt.download("hello", "world").exit_code == 0
            suite.publish(revision)


@pytest.mark.full
def test_killed_at_every_change_a_publish_ends_in_the_same_state(
    tmp_path: Path, undisturbed: tuple[int, object]
) -> None:
    count, expected = undisturbed
    for number in range(1, count + 5):
        assert_survives_kill_at(number, tmp_path / str(number), expected)


def test_killed_on_the_first_publish_of_a_suite_nothing_is_served_or_everything(tmp_path: Path) -> None:
    whole = own_suite(tmp_path / "whole")
    whole.publish(whole.version("1.0"))
    for number, since in ((1, ""), (40, ""), (90, ""), (3, SWITCH), (4, SWITCH)):
        suite = own_suite(tmp_path / str(number))
        kill_a_publish(suite, suite.version("1.0"), number, since)
        assert (suite.archive / "dists" / "devel").exists() == ((number, since) == (4, SWITCH))
        if (number, since) == (4, SWITCH):
            assert suite.see().packages == OLD
        suite.publish(suite.version("1.0"))
        assert published(suite) == published(whole)


def test_killed_around_its_second_name_a_suite_has_it_after_the_next_publish(tmp_path: Path) -> None:
    for number in range(1, 5):
        suite, revision = ready(tmp_path / str(number))
        suite.fields = {"Codename": "petrel-2"}
        kill_a_publish(suite, revision, number, ".new-petrel-2")
        assert suite.see().packages == NEW
        second = suite.archive / "dists" / "petrel-2"
        assert second.exists() is (number > 3)  # remove, symlink, rename
        suite.publish(revision)
        assert second.readlink() == Path("devel")
        assert not list((suite.archive / "dists").glob(".new*"))


def test_killed_twice_at_different_changes_a_publish_still_ends_in_the_same_state(
    tmp_path: Path, undisturbed: tuple[int, object]
) -> None:
    for index, (first, second) in enumerate((((40, ""), (70, "")), ((3, SWITCH), (2, "")), ((3, SWITCH), (1, SWITCH)))):
        suite, revision = ready(tmp_path / str(index))
        for number, since in (first, second):
            kill_a_publish(suite, revision, number, since)
            assert suite.see().packages in (OLD, NEW)
        suite.publish(revision)
        assert published(suite) == undisturbed[1]


def test_a_newer_revision_after_a_kill_leaves_only_the_newer(tmp_path: Path) -> None:
    for number, since in ((60, ""), (4, SWITCH)):
        suite, revision = ready(tmp_path / str(number))
        kill_a_publish(suite, revision, number, since)
        newest = suite.version("3.0")
        suite.publish(newest)
        assert suite.see().packages == ["hello 3.0", "world 1.0"]
        assert suite.publications()[-1][1:] == (newest, "live")
        suite.publish(revision)
        assert suite.see().packages == ["hello 3.0", "world 1.0"]


def kill_a_publish(suite: OwnSuite, revision: Sha256, number: int, since: str = "") -> None:
    assert run_killed_at(number, lambda: in_a_child(suite).publish(revision), since=since) is None


def other_disk() -> Path | None:
    """Give a folder on another file system than /tmp, where hard links to objects are impossible; None if there is none."""
    place = Path("/dev/shm")
    return place if place.is_dir() and place.stat().st_dev != Path("/tmp").stat().st_dev else None


@pytest.mark.skipif(other_disk() is None, reason="needs /dev/shm on a file system of its own")
def test_killed_on_another_disk_no_half_copied_file_is_ever_taken_for_a_whole_one(tmp_path: Path) -> None:
    disk = other_disk()
    assert disk is not None
    public = disk / f"distwright-test-{os.getpid()}"
    try:
        for number in range(30, 130, 9):
            suite, revision = with_public_at(public / str(number), tmp_path / str(number))
            kill_a_publish(suite, revision, number)
            assert suite.see().packages in (OLD, NEW)
            suite.publish(revision)
            assert suite.see().packages == NEW
    finally:
        shutil.rmtree(public)


def with_public_at(place: Path, folder: Path) -> tuple[OwnSuite, Sha256]:
    place.mkdir(parents=True)
    folder.mkdir()
    (folder / "public").symlink_to(place)
    return ready(folder)


class FullDisk(FileObjects):
    """An object store whose disk is full after some objects more."""

    def __init__(self, root: Path, room: int) -> None:
        super().__init__(root)
        self.room = room

    @contextmanager
    def writing(self, expect: Sha256 | None = None) -> Iterator[ObjectWriter]:
        self._take()
        with super().writing(expect) as writer:
            yield writer

    def place(self, digest: Sha256, target: Path) -> None:
        self._take()
        super().place(digest, target)

    def _take(self) -> None:
        if self.room <= 0:
            raise OutOfSpace("no space left", hint="free some space (df -h), then run the same command again")
        self.room -= 1


@pytest.mark.parametrize("room", [0, 3, 9, 12, 15, 20])
def test_a_full_disk_stops_the_publish_the_old_state_stays_and_with_space_it_goes_on(
    tmp_path: Path, room: int, undisturbed: tuple[int, object]
) -> None:
    suite, revision = ready(tmp_path)
    objects = suite.context.objects
    suite.context.objects = FullDisk(suite.context.paths.objects, room)
    with pytest.raises(OutOfSpace):
        suite.publish(revision)
    assert suite.see().packages == OLD
    suite.context.objects = objects
    suite.publish(revision)
    assert published(suite) == undisturbed[1]


class PulledCard:
    """A signer whose card is pulled out between two signatures."""

    fingerprints = ("0" * 40,)

    def certificate(self) -> bytes:
        return b""

    def sign_clear(self, text: bytes) -> bytes:
        return b"signed: " + text

    def sign_detached(self, content: bytes) -> bytes:
        raise Refused("the card does not answer", hint="gpg --card-status")


def test_a_signer_that_fails_half_way_leaves_the_old_state(tmp_path: Path) -> None:
    suite, revision = ready(tmp_path)
    request = PublishRequest("petrel", "devel", revision, LISTS, {"Suite": "devel", "Codename": "devel"})
    with pytest.raises(Refused, match="the card does not answer"):
        publish(request, suite.context, PulledCard())
    assert suite.see().packages == OLD
    assert [state for _, _, state in suite.publications()] == ["live"]
