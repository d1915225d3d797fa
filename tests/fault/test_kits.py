"""A device whose upgrade is cut off at any moment starts as the old system or as the new one, and the next try ends it."""

import os
import random
import re
import shutil
import signal
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Mapping
from itertools import count
from pathlib import Path

import pytest
from tests.habits.samples import EPOCH
from tests.worlds.killing import run_killed_at
from tests.worlds.kits import NEW, OLD, ORDER, Node, Upgrading, apply_to, read_files, stick_files, write_files

from distwright.images.devices import apply_kit

CHANGES = ("mv", "rm", "cp", "sync")
TREES = (
    {"": Node(tarfile.DIRTYPE, mode=0o755), "one": Node(content=b"old\n" * 9000), "two": Node(content=b"2" * 70000)},
    {"": Node(tarfile.DIRTYPE, mode=0o755), "one": Node(content=b"new\n" * 9000), "two": Node(content=b"2" * 70000)},
)


@pytest.fixture(scope="module")
def upgrading(tmp_path_factory: pytest.TempPathFactory) -> Upgrading:
    return Upgrading(tmp_path_factory.mktemp("kit"), *TREES, {**ORDER, "epoch": EPOCH})


def starts_as(live: Path, upgrading: Upgrading) -> str:
    """Say which system the loader of a device starts, by its menu and the files that this names; fail if it is neither."""
    found = read_files(live)
    old, new = upgrading.systems
    menu = found["boot/grub/grub.cfg"]
    [mark] = re.findall(rb"/(\.disk/id/[0-9a-f]+)\n", menu)
    assert mark.decode() in found
    assert all(found[path] in (old[path], new[path]) for path in old if path.startswith("EFI/"))
    between = (upgrading.unpacked() / "menu").read_bytes()
    name, system = (OLD, old) if menu == old["boot/grub/grub.cfg"] else (NEW, new)
    assert menu in (system["boot/grub/grub.cfg"], between)
    for path in ("live/vmlinuz", "live/initrd.img", "live/filesystem.squashfs"):
        place = f"upgrade/{path}" if menu == between and f"upgrade/{path}" in found else path
        assert found[place] == system[path], place
    return name


def cut_off(upgrading: Upgrading, live: Path, environment: Mapping[str, str], *, after_s: float | None = None) -> bool:
    """Apply the kit in a session of its own, which dies at once with all that is in it; say whether it died."""
    with subprocess.Popen(
        (str(upgrading.unpacked() / "apply"), str(live)), env=dict(environment), start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        if after_s is not None:
            try:
                process.wait(after_s)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
        return process.wait() == -signal.SIGKILL


def ends_well(upgrading: Upgrading, live: Path) -> None:
    """Apply it again, to the end."""
    ended = apply_to(upgrading.unpacked(), live)
    assert ended.returncode == 0, ended.stdout
    old, new = upgrading.systems
    marks = {path: content for path, content in old.items() if path.startswith(".disk/id/")}
    assert read_files(live) == {**new, **marks}
    assert not (live / "upgrade").exists()


@pytest.fixture
def counting(tmp_path: Path) -> Path:
    """Give a folder of programs that count what changes the device, and end the session before number $KILL_AT."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in CHANGES:
        real = shutil.which(name, path=os.defpath)
        (programs / name).write_text(
            "#!/bin/sh\n"
            'count=$(($(cat "$COUNT") + 1))\n'
            'echo "$count" >"$COUNT"\n'
            '[ "$count" != "$KILL_AT" ] || kill -KILL 0\n'
            f'exec {real} "$@"\n'
        )
        (programs / name).chmod(0o755)
    return programs


def test_a_device_that_is_cut_off_before_any_change_starts_as_one_of_both(
    upgrading: Upgrading, counting: Path, tmp_path: Path
) -> None:
    seen: list[str] = []
    number = 0
    while True:
        number += 1
        live = write_files(tmp_path / f"live-{number}", upgrading.systems[0])
        work, count = tmp_path / f"tmp-{number}", tmp_path / "count"
        work.mkdir()
        count.write_text("0\n")
        environment = {
            "PATH": f"{counting}:{os.defpath}", "TMPDIR": str(work), "COUNT": str(count), "KILL_AT": str(number),
        }  # fmt: skip
        was_killed = cut_off(upgrading, live, environment)
        seen.append(starts_as(live, upgrading))
        if not was_killed:
            break
        ends_well(upgrading, live)
        shutil.rmtree(live)
    assert seen == sorted(seen), "once it is the new one it stays the new one"
    assert seen.count(OLD) > 3
    assert seen.count(NEW) > 8


@pytest.mark.parametrize("seed", range(6))
def test_a_device_that_is_cut_off_at_any_time_starts_as_one_of_both(
    upgrading: Upgrading, tmp_path: Path, seed: int
) -> None:
    whole = write_files(tmp_path / "whole", upgrading.systems[0])
    began = time.monotonic()
    ends_well(upgrading, whole)
    took_s = time.monotonic() - began
    live = write_files(tmp_path / "live", upgrading.systems[0])
    cut_off(
        upgrading,
        live,
        {"PATH": os.defpath, "TMPDIR": str(tmp_path)},
        after_s=random.Random(seed).random() * took_s,  # noqa: S311  # no secret
    )
    assert starts_as(live, upgrading) in (OLD, NEW)
    ends_well(upgrading, live)


def test_what_a_try_of_another_kit_left_is_no_part_of_a_system_that_is_new_already(
    upgrading: Upgrading, tmp_path: Path
) -> None:
    live = write_files(tmp_path / "live", {**upgrading.systems[1], "upgrade/live/vmlinuz": b"half of another ker"})
    ended = apply_to(upgrading.unpacked(), live)
    assert ended.returncode == 0, ended.stdout
    assert read_files(live) == upgrading.systems[1]


def test_the_file_of_a_device_is_whole_whenever_its_upgrade_is_killed(
    upgrading: Upgrading, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the copy that takes its place is finished nothing touches it; from there on each change is tried."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    whole, kit = upgrading.sticks[0].read_bytes(), upgrading.kit
    device, link = tmp_path / "device.img", tmp_path / "link.img"
    link.symlink_to(device)
    seen = []
    for number in count(1):
        device.write_bytes(whole)
        changes = run_killed_at(number, lambda: apply_kit(kit, link), since=".device.img.new")
        assert link.is_symlink()
        seen.append(device.read_bytes() == whole)
        if changes is not None:  # it was not killed any more
            break
    assert seen == sorted(seen, reverse=True), "the old one until it is the new one"
    assert (seen[0], seen[-1]) == (True, False)
    device.write_bytes(whole)
    apply_kit(kit, device)
    assert stick_files(device, tmp_path / "found").items() >= upgrading.systems[1].items()
    assert not (tmp_path / ".device.img.new").exists()
