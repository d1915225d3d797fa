"""Upgrade kits on real squashfs and FAT: whatever changed, a stick of one image becomes the other, bit for bit."""

import json
import os
import random
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.habits.samples import INPUTS
from tests.system.line import state_folder
from tests.worlds.installation import config
from tests.worlds.keys import signer
from tests.worlds.kits import (
    ENVIRONMENT,
    MTOOLS,
    ORDER,
    Node,
    Tree,
    Upgrading,
    apply_to,
    read_files,
    stick_files,
    usb_image,
    write_files,
)
from tests.worlds.rootfs import tool_root_tar
from tests.worlds.sticks import started_by_grub
from tests.worlds.work import kind_of, workshop

from distwright.cli.image_kit import apply_to_image
from distwright.errors import BadInput, NotAllowed, NotFound, OutOfSpace, Refused
from distwright.images.devices import apply_kit
from distwright.images.forms import form_inputs
from distwright.images.kits import IMAGE_KIT, publish
from distwright.images.usb import ESP_SECTOR
from distwright.jobs.step import Action, Inputs, StepResult
from distwright.model import plain
from distwright.model.outcomes import Outcome
from distwright.store.objects import sha256_of_file
from distwright.tools.sandbox import sandbox_for
from distwright.worker.execute import execute

pytestmark = pytest.mark.system
CAPABILITY = "\x01\0\0\x02\0\x20" + "\0" * 14


def noise(seed: int, size: int) -> bytes:
    """Give bytes that no compressor makes smaller, always the same."""
    return random.Random(seed).randbytes(size)  # noqa: S311  # no secret


def folder(mode: int = 0o755) -> Node:
    return Node(tarfile.DIRTYPE, mode=mode)


OLD: Tree = {
    "": folder(), "bin": folder(), "etc": folder(), "lib": folder(), "lib/modules": folder(), "lib/modules/6.1.0-50": folder(),
    "bin/tool": Node(content=noise(1, 300_000), mode=0o755),
    "bin/su": Node(content=noise(2, 9000), mode=0o4755),
    "bin/gone": Node(content=noise(3, 9000)),
    "etc/empty": Node(),
    "etc/config": Node(content=b"old\n"),
    "etc/odd name": Node(content=b"a [name] * with \\ signs\n"),
    "lib/large": Node(content=noise(4, 4096) * 10240),
    "lib/modules/6.1.0-50/net.ko": Node(content=noise(5, 200_000)),
    "lib/same": Node(content=noise(6, 400_000)),
    "lib/zero": Node(tarfile.CHRTYPE, mode=0o666),
}  # fmt: skip
NEW: Tree = {
    "": folder(), "bin": folder(), "etc": folder(0o750), "lib": folder(), "lib/modules": folder(),
    "lib/modules/6.1.0-57": folder(), "new": folder(),
    "bin/tool": Node(content=noise(1, 150_000) + b"a fix" + noise(1, 300_000)[150_000:], mode=0o755),
    "bin/su": Node(content=noise(2, 9000), mode=0o4755, owner=7, attributes={"security.capability": CAPABILITY}),
    "bin/su2": Node(tarfile.LNKTYPE, target="./bin/su", mode=0o4755, owner=7),
    "etc/empty": Node(mtime=5),
    "etc/config": Node(tarfile.SYMTYPE, target="../new/config", mode=0o777),
    "etc/odd name": Node(content=b"a [name] * with \\ signs\nand more\n"),
    "lib/large": Node(content=b"first" + noise(4, 4096) * 10240),
    "lib/modules/6.1.0-57/net.ko": Node(content=noise(5, 200_000) + b"patched"),
    "lib/same": Node(content=noise(6, 400_000)),
    "lib/zero": Node(tarfile.BLKTYPE, mode=0o660),
    "new/config": Node(content=b"new\n"),
}  # fmt: skip


@pytest.fixture(scope="module")
def upgrading(tmp_path_factory: pytest.TempPathFactory) -> Upgrading:
    return Upgrading(tmp_path_factory.mktemp("kit"), OLD, NEW, ORDER)


def test_a_kit_makes_every_file_of_the_new_image_and_keeps_its_mark_and_what_is_not_ours(
    upgrading: Upgrading, tmp_path: Path
) -> None:
    upgrading.prove()
    old, new = upgrading.systems
    live = write_files(
        tmp_path / "live", {**old, "notes.txt": b"the owner's", "live/more.squashfs": b"the owner's, too"}
    )
    ended = apply_to(upgrading.unpacked(), live)
    assert (ended.returncode, ended.stdout) == (0, f"{live} is petrel-amd64-1.0\n")
    mark = {path: content for path, content in old.items() if path.startswith(".disk/id/")}
    assert read_files(live) == {
        **new, **mark, "notes.txt": b"the owner's", "live/more.squashfs": b"the owner's, too",
    }  # fmt: skip
    again = apply_to(upgrading.unpacked(), live)
    assert (again.returncode, again.stdout) == (0, ended.stdout)


def test_a_kit_is_small_and_of_large_files_has_only_what_is_new(upgrading: Upgrading) -> None:
    pieces = sum(file.stat().st_size for file in (upgrading.unpacked() / "pieces").glob("*.zst"))
    assert pieces < 40_000 < len(upgrading.systems[1]["live/filesystem.squashfs"])
    assert len(list((upgrading.unpacked() / "pieces").glob("*.zst"))) > 2


def test_the_same_two_images_give_the_same_kit_on_any_number_of_processors(
    upgrading: Upgrading, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    once = sha256_of_file(upgrading.kit)
    programs = tmp_path / "bin"
    programs.mkdir()
    for count in (1, 5):
        (programs / "nproc").write_text(f"#!/bin/sh\necho {count}\n")
        (programs / "nproc").chmod(0o755)
        monkeypatch.setitem(ENVIRONMENT, "PATH", f"{programs}:{ENVIRONMENT['PATH']}")
        other = Upgrading(tmp_path / f"other-{count}", OLD, NEW, ORDER)
        assert sha256_of_file(other.kit) == once


def test_a_device_image_is_upgraded_and_what_is_behind_the_live_system_stays(
    upgrading: Upgrading, tmp_path: Path
) -> None:
    device = tmp_path / "device.img"
    device.write_bytes(upgrading.sticks[0].read_bytes())
    said = apply_kit(upgrading.kit, device)
    old, new = upgrading.systems
    mark = {path: content for path, content in old.items() if path.startswith(".disk/id/")}
    assert said.endswith(" is petrel-amd64-1.0")
    assert stick_files(device, tmp_path / "found") == {**new, **mark}
    assert device.read_bytes().endswith(b"what is kept" * 100)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_link_to_a_device_stays_and_what_it_leads_to_is_upgraded(upgrading: Upgrading, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    device, link, second = tmp_path / "images" / "device.img", tmp_path / "stick.img", tmp_path / "again.img"
    device.write_bytes(upgrading.sticks[0].read_bytes())
    device.chmod(0o640)
    os.chown(device, 7 if os.geteuid() == 0 else -1, -1)
    before = device.stat()
    link.symlink_to("images/device.img")
    second.symlink_to(link)
    apply_kit(upgrading.kit, second)
    assert (link.readlink(), second.readlink()) == (Path("images/device.img"), link)
    assert stick_files(device, tmp_path / "found").items() >= upgrading.systems[1].items()
    assert (device.stat().st_mode, device.stat().st_uid) == (before.st_mode, before.st_uid)
    assert sorted(path.name for path in tmp_path.rglob("*.new")) == []


def test_what_cannot_be_replaced_is_said_before_anything_is_done(upgrading: Upgrading, tmp_path: Path) -> None:
    device = tmp_path / "device.img"
    whole = upgrading.sticks[0].read_bytes()
    device.write_bytes(whole)
    device.chmod(0o444)
    with pytest.raises(NotAllowed, match=r"device\.img is not to be written to: nothing was changed"):
        apply_kit(upgrading.kit, device)
    (tmp_path / "nowhere").symlink_to("gone.img")
    (tmp_path / "circle").symlink_to("circle")
    for name in ("nowhere", "circle", "gone"):
        with pytest.raises(NotFound, match=f"{name} leads to no file"):
            apply_kit(upgrading.kit, tmp_path / name)
    (tmp_path / "node").symlink_to("/dev/null")
    os.mkfifo(tmp_path / "pipe")
    for name in ("node", "pipe"):
        with pytest.raises(BadInput, match=f"{name} is neither a file nor a folder"):
            apply_kit(upgrading.kit, tmp_path / name)
    assert device.read_bytes() == whole
    assert Path("/dev/null").is_char_device()
    assert {path.name for path in tmp_path.iterdir()} == {"device.img", "nowhere", "circle", "node", "pipe"}


def test_a_folder_in_which_no_copy_can_be_made_is_named(upgrading: Upgrading, tmp_path: Path) -> None:
    """As root, whom modes of folders do not stop: a name that is too long for the one of the copy."""
    device = tmp_path / f"{'d' * 251}.img"
    whole = upgrading.sticks[0].read_bytes()
    device.write_bytes(whole)
    with pytest.raises(NotAllowed, match="File name too long: nothing was changed"):
        apply_kit(upgrading.kit, device)
    assert device.read_bytes() == whole


def test_a_folder_where_a_device_is_mounted_is_upgraded_in_place(upgrading: Upgrading, tmp_path: Path) -> None:
    old, new = upgrading.systems
    live = write_files(tmp_path / "live", old)
    assert apply_kit(upgrading.kit, live) == f"{live} is petrel-amd64-1.0"
    assert read_files(live) == {**new, **{path: b"" for path in old if path.startswith(".disk/id/")}}


def test_another_system_is_refused_and_left_as_it_is(upgrading: Upgrading, tmp_path: Path) -> None:
    device = tmp_path / "device.img"
    whole = upgrading.sticks[0].read_bytes()
    old = upgrading.systems[0]
    spoilt = whole.replace(old["EFI/BOOT/grubx64.efi"], old["EFI/BOOT/grubx64.efi"].swapcase())
    assert spoilt != whole
    device.write_bytes(spoilt)
    with pytest.raises(Refused, match=r"has not the files of petrel-amd64-0\.9: nothing was changed"):
        apply_kit(upgrading.kit, device)
    assert device.read_bytes() == spoilt
    device.write_bytes(b"no stick" * 1000)
    with pytest.raises(BadInput, match="is no USB image of ours"):
        apply_kit(upgrading.kit, device)


def test_a_live_partition_that_is_too_small_is_named_and_the_device_stays(tmp_path: Path) -> None:
    grown = {**OLD, "lib/other": Node(content=noise(9, 40 << 20))}
    one = Upgrading(tmp_path, OLD, grown, ORDER, mib=(36, 80))
    device = tmp_path / "device.img"
    device.write_bytes(one.sticks[0].read_bytes())
    before = sha256_of_file(device)
    with pytest.raises(OutOfSpace, match=r"live partition of device\.img is too small for live/filesystem\.squashfs"):
        apply_kit(one.kit, device)
    assert sha256_of_file(device) == before


def test_a_kit_whose_bytes_were_changed_changes_nothing(upgrading: Upgrading, tmp_path: Path) -> None:
    kit = tmp_path / "kit"
    shutil.copytree(upgrading.unpacked(), kit)
    [*_, largest] = sorted((kit / "pieces").glob("*.zst"), key=lambda file: file.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 1
    largest.write_bytes(content)
    live = write_files(tmp_path / "live", upgrading.systems[0])
    ended = apply_to(kit, live)
    assert ended.returncode == 1
    assert "nothing was changed" in ended.stdout
    assert read_files(live) == upgrading.systems[0]
    assert not (live / "upgrade").exists()


def test_the_kernel_comes_from_the_new_squashfs_if_that_has_it(tmp_path: Path) -> None:
    boot = {"boot": folder(), "boot/vmlinuz-6.1.0-57-amd64": Node(content=noise(11, 50_000))}
    for number, tree in enumerate(({**NEW, **boot}, NEW)):
        one = Upgrading(tmp_path / str(number), OLD, tree, ORDER, kernels=(b"kernel 1", noise(11, 50_000)))
        one.prove()
        assert (one.unpacked() / "files" / "live" / "vmlinuz").exists() == bool(number)


def test_what_an_image_excludes_is_in_no_kit_either(tmp_path: Path) -> None:
    one = Upgrading(tmp_path, OLD, NEW, ORDER)
    excludes = one.objects.put(b"lib/same\n")
    one.order = {**ORDER, "excludes": str(excludes)}
    one.prove()
    whole = Upgrading(tmp_path / "whole", OLD, NEW, ORDER).systems[1]
    assert len(one.systems[1]["live/filesystem.squashfs"]) < len(whole["live/filesystem.squashfs"]) - 400_000


def test_an_image_of_which_only_the_kernel_is_new_has_no_pieces(tmp_path: Path) -> None:
    one = Upgrading(tmp_path, OLD, OLD, ORDER, initrds=(b"same", b"same"))
    one.prove()
    assert [file.name for file in (one.unpacked() / "pieces").iterdir()] == ["list"]
    assert sorted(path.name for path in (one.unpacked() / "files" / "live").iterdir()) == ["vmlinuz"]


_LIBRARIES = "/usr/lib/x86_64-linux-gnu"
TOOLS = (
    "awk", "bash", "cmp", "cut", "df", "diff", "dirname", "head", "ldd", "mcopy", "mksquashfs", "mktemp", "mv", "nproc",
    "sha256sum", "sync", "tail", "unsquashfs", "xargs", "zstd", f"{_LIBRARIES}/libgcc_s.so.1",
    f"{_LIBRARIES}/gconv/gconv-modules.cache", f"{_LIBRARIES}/gconv/IBM850.so",
)  # fmt: skip


def test_the_steps_run_in_a_root_that_has_nothing_else_and_give_the_same_kit() -> None:
    with state_folder() as home:
        sandbox = sandbox_for(os.geteuid())
        sandbox.make_folder(home / "shop")
        shop = workshop(home / "shop", sandbox)
        one = Upgrading(home / "made", OLD, NEW, ORDER)
        for digest in one.objects.digests():
            shop.objects.put(one.objects.read(digest))
        images = [shop.objects.put_file(stick) for stick in one.sticks]
        assert [str(digest) for digest in images] == [plain.mapping(one.inputs, side)["usb"] for side in ("from", "to")]
        given = {
            "tools": shop.objects.put(tool_root_tar(*TOOLS)),
            "customise": shop.objects.put(one.objects.read(one.root)),
        }

        def give(name: str) -> Action:
            return Action(name, lambda _context, _inputs, _earlier: StepResult({"root": given[name]}))

        steps = [step for step in IMAGE_KIT.steps if step.name in ("survey", "cut", "make", "prove")]
        ending = execute(kind_of(give("tools"), give("customise"), *steps), one.inputs, shop.context())
        assert ending.outcome is Outcome.OK, f"{shop.log()}\n{ending.message}"
        assert (ending.outputs or {})["make/kit"] == sha256_of_file(one.kit)
        shop.database.close()
        sandbox.remove(home)


def test_the_command_believes_the_signed_description_and_no_other(
    upgrading: Upgrading, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    size = publish(upgrading.context, upgrading.inputs, upgrading.earlier).values["size_bytes"]
    public = upgrading.context.paths.public / "images" / "upgrades" / "petrel-amd64-0.9"
    assert size == (public / "petrel-amd64-1.0.kit.tar").stat().st_size
    device, ours, theirs = tmp_path / "device.img", tmp_path / "images.asc", tmp_path / "petrel.asc"
    before = upgrading.sticks[0].read_bytes()
    device.write_bytes(before)
    ours.write_bytes(signer("image").certificate())
    theirs.write_bytes(signer("petrel").certificate())
    words = [str(public / "petrel-amd64-1.0.kit.tar"), str(device), "--json", "--keyring"]
    with pytest.raises(Refused):
        apply_to_image.main([*words, str(theirs)], standalone_mode=False)
    assert device.read_bytes() == before
    apply_to_image.main([*words, str(ours)], standalone_mode=False)
    assert json.loads(capsys.readouterr().out) == {
        "device": str(device), "from": "petrel-amd64-0.9", "to": "petrel-amd64-1.0",
    }  # fmt: skip
    assert stick_files(device, tmp_path / "found").items() >= upgrading.systems[1].items()


@dataclass(frozen=True)
class RealSticks:
    """USB images as a build makes them, and the kit between them."""

    upgrading: Upgrading
    kit: Path
    sticks: tuple[Path, Path]


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> RealSticks:
    one = Upgrading(tmp_path_factory.mktemp("real"), OLD, NEW, ORDER)
    built: Inputs = {
        **INPUTS["image.build"], **form_inputs(config(), "petrel", "1.0"), "outputs": ["iso", "usb"],
        "persistence_mb": 4, "upgrade_mb": 70,
    }  # fmt: skip
    one.order = {**built, **ORDER}
    kernels = (b"old kernel" * 100, b"new kernel" * 100)
    old, new = (
        usb_image(
            {**one.order, "disk_info": name}, files["live/filesystem.squashfs"], kernel, kernel[::-1],
            one.folder / f"usb-{name}", one.objects,
        )
        for name, files, kernel in zip(("old", "new"), one.systems, kernels, strict=True)
    )  # fmt: skip
    one.sticks = (old, new)
    one.prove()
    return RealSticks(one, one.kit, (old, new))


def test_a_stick_of_a_build_becomes_the_next_build_in_place_with_all_that_it_keeps(
    real: RealSticks, tmp_path: Path
) -> None:
    device = tmp_path / "device.img"
    device.write_bytes(real.sticks[0].read_bytes())
    apply_kit(real.kit, device)
    old, new = (stick_files(stick, tmp_path / f"stick-{number}") for number, stick in enumerate(real.sticks))
    mark = {path: content for path, content in old.items() if path.startswith(".disk/id/")}
    assert stick_files(device, tmp_path / "found") == {**new, **mark}
    esp = slice(ESP_SECTOR * 512, real.sticks[0].stat().st_size - (6 << 20))
    before, after = real.sticks[0].read_bytes(), device.read_bytes()
    assert after[: esp.start] == before[: esp.start]
    assert after[esp.stop + (1 << 20) :] == before[esp.stop + (1 << 20) :]


@pytest.mark.parametrize("firmware", ["bios", "uefi"])
@pytest.mark.parametrize("moment", ["between", "after"])
def test_a_stick_starts_the_new_system_while_it_is_upgraded_and_afterwards(
    real: RealSticks, tmp_path: Path, firmware: str, moment: str
) -> None:
    """Its kernel is none, which GRUB says when it has read it. Between, there is one in upgrade/ alone."""
    device = tmp_path / "device.img"
    device.write_bytes(real.sticks[0].read_bytes())
    if moment == "after":
        apply_kit(real.kit, device)
    else:
        fat = ("-i", f"{device}@@{ESP_SECTOR * 512}")
        menu = real.upgrading.unpacked() / "menu"
        for argv in (
            ("mmd", *fat, "::/upgrade", "::/upgrade/live"),
            ("mmove", *fat, "::/live/vmlinuz", "::/upgrade/live/vmlinuz"),
            ("mcopy", *fat, "-o", str(menu), "::/boot/grub/grub.cfg"),
        ):
            subprocess.run(argv, check=True, capture_output=True, env={**ENVIRONMENT, **MTOOLS})
    said = started_by_grub(device, tmp_path, firmware)
    assert b"invalid magic number" in said
    assert b"Petrel 1.0" in said
    assert b"not found" not in said


CONTENTS = st.one_of(
    st.just(b""), st.binary(max_size=200),
    st.builds(
        lambda seed, cut, more: noise(seed, 20_000)[cut:] + more, st.integers(0, 3), st.integers(0, 500), st.binary(max_size=9)
    ),
)  # fmt: skip
NAMES = st.sampled_from([
    "a", "b1", "b2", "c-1.0.so", "c-1.1.so", "ü", "with blank", "it's", "-e", "[x]*?", "back\\slash", ".dot", "new\nline",
    "latin-\udce9",
])  # fmt: skip


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    """Folders, files, links of both kinds, nodes; modes, owners, times and attributes that are any."""
    found: dict[str, Node] = {
        "": folder(),
        "one": folder(),
        "two": folder(draw(st.sampled_from([0o755, 0o1777, 0o2750]))),
    }
    files: list[str] = []
    for place in draw(st.lists(st.tuples(st.sampled_from(["", "one/", "two/"]), NAMES), unique=True, max_size=9)):
        path = "".join(place)
        kind = draw(st.sampled_from([tarfile.REGTYPE] * 4 + [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE]))
        if kind == tarfile.LNKTYPE:
            earlier = [file for file in files if file < path]
            if earlier:
                found[path] = Node(kind, target=f"./{draw(st.sampled_from(earlier))}")
            continue
        found[path] = Node(
            kind,
            content=draw(CONTENTS) if kind == tarfile.REGTYPE else b"",
            target="anywhere/at all" if kind == tarfile.SYMTYPE else "",
            mode=draw(st.sampled_from([0o644, 0o4755, 0o2755, 0o600, 0])),
            owner=draw(st.sampled_from([0, 1, 1000, 65534])),
            mtime=draw(st.integers(0, 2**31)),
            attributes=draw(st.sampled_from([None, None, {"user.note": "x"}, {"security.capability": CAPABILITY}])),
        )
        if kind == tarfile.REGTYPE:
            files.append(path)
    return found


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(old=trees(), new=trees(), number=st.integers(0, 1 << 60))
def test_any_tree_becomes_any_other(tmp_path: Path, old: Tree, new: Tree, number: int) -> None:
    one = Upgrading(tmp_path / str(number), old, new, ORDER)
    one.prove()
    shutil.rmtree(one.folder)
