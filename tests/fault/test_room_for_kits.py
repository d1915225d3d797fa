"""An upgrade by a kit asks for room before it writes, and whatever ends it takes its copies along: a full disk, a signal."""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from tests.fault.test_full_disk import small_disk
from tests.habits.samples import EPOCH
from tests.worlds.keys import signer
from tests.worlds.killing import NEVER, run_killed_at
from tests.worlds.kits import ORDER, Node, Upgrading, apply_to, read_files, write_files

from distwright.cli.image_kit import apply_to_image
from distwright.errors import OutOfSpace
from distwright.images import devices
from distwright.images.devices import apply_kit
from distwright.images.kits import publish

pytestmark = pytest.mark.system
OLD, NEW = (random.Random(seed).randbytes(1 << 20) for seed in (1, 2))  # noqa: S311  # no secret
TREES = (
    {"": Node(tarfile.DIRTYPE, mode=0o755), "one": Node(content=OLD)},
    {"": Node(tarfile.DIRTYPE, mode=0o755), "one": Node(content=NEW)},
)


@pytest.fixture(scope="module")
def upgrading(tmp_path_factory: pytest.TempPathFactory) -> Upgrading:
    return Upgrading(tmp_path_factory.mktemp("kit"), *TREES, {**ORDER, "epoch": EPOCH})


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the folder for what is temporary."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_a_file_that_has_no_room_beside_it_is_named_before_anything_is_written(
    upgrading: Upgrading, work: Path
) -> None:
    whole = upgrading.sticks[0].read_bytes()
    with small_disk(f"{len(whole) // 1024 + 200}k") as disk:
        device = disk.seen / "device.img"
        device.write_bytes(whole)
        where = re.escape(str(disk.seen))
        with pytest.raises(
            OutOfSpace, match=rf"[0-9]+ MB for the copy that .* in {where} are wanted, and 0 MB are free"
        ):
            apply_kit(upgrading.kit, device)
        assert device.read_bytes() == whole
        assert [path.name for path in disk.seen.iterdir()] == ["device.img"]
    assert list(work.iterdir()) == []


def test_a_folder_for_what_is_temporary_that_is_too_small_is_named(
    upgrading: Upgrading, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = tmp_path / "device.img"
    whole = upgrading.sticks[0].read_bytes()
    device.write_bytes(whole)
    with small_disk("40m") as disk:
        monkeypatch.setattr(tempfile, "tempdir", str(disk.seen))
        with pytest.raises(OutOfSpace, match=r"[0-9]+ MB for the kit and both live systems in ") as raised:
            apply_kit(upgrading.kit, device)
        assert str(disk.seen) in raised.value.message
        live = write_files(tmp_path / "live", upgrading.systems[0])
        with pytest.raises(OutOfSpace, match=r"[0-9]+ MB for the kit in "):
            apply_kit(upgrading.kit, live)
        assert list(disk.seen.iterdir()) == []
    assert (device.read_bytes(), read_files(live)) == (whole, upgrading.systems[0])
    assert not (tmp_path / ".device.img.new").exists()


@pytest.mark.parametrize("spare_kib", [4, 600, 1200, 1600])
def test_a_disk_that_somebody_else_fills_meanwhile_leaves_the_file_and_no_copy(
    upgrading: Upgrading, work: Path, monkeypatch: pytest.MonkeyPatch, spare_kib: int
) -> None:
    monkeypatch.setattr(devices, "want_room", lambda _wanted: None)  # there was room when it was asked
    whole = upgrading.sticks[0].read_bytes()
    with small_disk(f"{-(-len(whole) // 4096) * 4 + spare_kib}k") as disk:
        device = disk.seen / "device.img"
        device.write_bytes(whole)
        with pytest.raises(OutOfSpace, match="no space left"):
            apply_kit(upgrading.kit, device)
        assert device.read_bytes() == whole
        assert [path.name for path in disk.seen.iterdir()] == ["device.img"]
    assert list(work.iterdir()) == []


def test_what_a_try_that_was_cut_off_left_on_a_stick_counts_as_room(upgrading: Upgrading, tmp_path: Path) -> None:
    old, new = upgrading.systems
    with small_disk("10m") as disk:
        live = write_files(disk.seen / "live", {**old, "upgrade/live/filesystem.squashfs": bytes(7 << 20)})
        ended = apply_to(upgrading.unpacked(), live, TMPDIR=str(tmp_path))
        assert (ended.returncode, ended.stdout) == (0, f"{live} is petrel-amd64-1.0\n")
        assert read_files(live).items() >= new.items()


def test_a_stick_without_room_for_two_systems_is_named_and_stays(upgrading: Upgrading, work: Path) -> None:
    old = upgrading.systems[0]
    with small_disk("3m") as disk:
        live = write_files(disk.seen / "live", {**old, "mine": bytes(1 << 20)})
        with pytest.raises(OutOfSpace, match=r"has [0-9]+ KiB free, and the new system beside the old wants [0-9]+"):
            apply_kit(upgrading.kit, live)
        assert read_files(live) == {**old, "mine": bytes(1 << 20)}
        assert not (live / "upgrade").exists()
    assert list(work.iterdir()) == []


def test_a_kit_of_an_earlier_version_says_its_room_too(upgrading: Upgrading, tmp_path: Path, work: Path) -> None:
    shutil.copytree(upgrading.unpacked(), tmp_path / "kit")
    script = tmp_path / "kit" / "apply"
    text, count = re.subn(
        r'    room "\$PWD" (\d+) .*', r'    free=99999999\n    [ "$free" -gt \1 ] || exit 1', script.read_text()
    )
    assert count == 1
    script.write_text(text)
    kit = tmp_path / "old.kit.tar"
    subprocess.run(("tar", "-cf", str(kit), "-C", str(tmp_path), "kit"), check=True)
    live = write_files(tmp_path / "live", upgrading.systems[0])
    assert apply_kit(kit, live) == f"{live} is petrel-amd64-1.0"
    assert list(work.iterdir()) == []


def interrupted(number: int, moment: str, action: Callable[[], object]) -> Callable[[], object]:
    """Run an action that gets a signal just before it starts a program, or changes a file, whose words have `moment` in them."""

    def run() -> object:
        sent: list[int] = []

        def watch(event: str, arguments: tuple[object, ...]) -> None:
            if not sent and ".device.img.new" in str(arguments) and moment in f"{event} {arguments}":
                sent.append(number)
                os.kill(os.getpid(), number)

        sys.addaudithook(watch)
        try:
            action()
        except (KeyboardInterrupt, click.Abort):
            return None
        raise AssertionError(f"not interrupted: {sent}")

    return run


@pytest.mark.parametrize(
    ("number", "moment"),
    [
        (signal.SIGINT, "--reflink"), (signal.SIGTERM, "mdel"), (signal.SIGHUP, "/again/"), (signal.SIGTERM, "sync"),
        (signal.SIGINT, "os.chmod"),
    ],
)  # fmt: skip
def test_a_signal_leaves_the_file_as_it_was_and_no_copy(
    upgrading: Upgrading, tmp_path: Path, work: Path, number: int, moment: str
) -> None:
    publish(upgrading.context, upgrading.inputs, upgrading.earlier)
    public = upgrading.context.paths.public / "images" / "upgrades" / "petrel-amd64-0.9"
    device, keyring = tmp_path / "device.img", tmp_path / "images.asc"
    whole = upgrading.sticks[0].read_bytes()
    device.write_bytes(whole)
    keyring.write_bytes(signer("image").certificate())
    words = [str(public / "petrel-amd64-1.0.kit.tar"), str(device), "--keyring", str(keyring)]
    apply = interrupted(number, moment, lambda: apply_to_image.main(words, standalone_mode=False))
    assert run_killed_at(NEVER, apply) is not None
    assert device.read_bytes() == whole
    assert sorted(path.name for path in tmp_path.iterdir()) == ["device.img", "images.asc", "work"]
    assert list(work.iterdir()) == []
