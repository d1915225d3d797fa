"""What comes out of an image build beside the ISO, made by the real programs on small trees."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest
from tests.habits.samples import EARLIER, EPOCH, INPUTS
from tests.worlds.installation import config
from tests.worlds.sticks import started_by_grub

from distwright.errors import BadInput
from distwright.images.copyrights import COLLECT, read_copyrights
from distwright.images.forms import form_inputs
from distwright.images.recipe_files import ImageFile, tar_of
from distwright.images.usb import plan_usb
from distwright.jobs.step import Inputs
from distwright.model.digests import sha256_of

pytestmark = pytest.mark.system
ROOM_MB = 16
USB: Inputs = {
    **INPUTS["image.build"], **form_inputs(config(), "petrel", "1.0"), "outputs": ["iso", "usb"], "persistence_mb": ROOM_MB,
}  # fmt: skip
LIVE = {
    name: hashlib.shake_256(name.encode()).digest(size)
    for name, size in (("filesystem.squashfs", 3_000_001), ("vmlinuz", 50_000), ("initrd.img", 70_000))
}
SECTOR = 512
BOOT_IMG = Path("/usr/lib/grub/i386-pc/boot.img")
DISKBOOT_IMG = Path("/usr/lib/grub/i386-pc/diskboot.img")


def run_script(folder: Path, text: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a script of ours as a runner does: in its folder, with nothing but what is said."""
    script = folder / "script.sh"
    script.write_text(text)
    script.chmod(0o755)
    environment: Mapping[str, str] = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC", "SOURCE_DATE_EPOCH": str(EPOCH), **more,
    }  # fmt: skip
    return subprocess.run(
        [str(script)],
        cwd=folder,
        env=environment,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_the_copyright_files_of_what_is_installed_are_collected_and_read(tmp_path: Path) -> None:
    """This machine stands for the image: it is a Debian with links among its copyright files."""
    tars = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir(mode=0o700 if name == "one" else 0o755)
        ended = run_script(folder, COLLECT)
        assert (ended.returncode, ended.stdout) == (0, "")
        tars.append((folder / "copyrights.tar").read_bytes())
    assert tars[0] == tars[1]
    with (tmp_path / "one" / "copyrights.tar").open("rb") as file:
        found = read_copyrights(file)
    with tarfile.open(tmp_path / "one" / "copyrights.tar") as tar:
        members = {member.name: member for member in tar}
    assert list(members) == sorted(members)
    assert {(one.mtime, one.uid, one.gid, one.mode, one.type) for one in members.values()} == {
        (EPOCH, 0, 0, 0o644, tarfile.REGTYPE)
    }
    assert {"dpkg", "libc6"} <= set(found)
    assert any(Path("/", name).is_symlink() or Path("/", name).parent.is_symlink() for name in members)
    assert found["adduser"] is not None


def make_usb(
    folder: Path, inputs: Inputs = USB, placed: Mapping[str, bytes] = MappingProxyType({}), **more: str
) -> subprocess.CompletedProcess[str]:
    """Run the plan of the USB image on a small live system."""
    folder.mkdir(exist_ok=True)
    plan = plan_usb(inputs, EARLIER)
    for name, text in plan.write.items():
        (folder / name).write_text(text)
    for name, content in {**LIVE, **placed}.items():
        if not (folder / name).exists():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(content)
    [command] = plan.commands
    return run_script(folder, plan.write["usb.sh"], **dict(command.environment), **more)


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("usb")
    ended = make_usb(folder)
    assert ended.returncode == 0, ended.stdout
    return folder / "usb.img"


def own_medium(*files: ImageFile) -> tuple[Inputs, dict[str, bytes]]:
    """Give an order whose recipe has a menu, files and a script for the medium, and what its plan places."""
    placed = {
        "medium.tar": tar_of(files, EPOCH),
        "medium-hooks/0001-mark.hook.binary": b"#!/bin/sh\nmkdir -p by/hook\nls live >by/hook/live\n",
    }
    menu = "source /boot/grub/more.cfg\nmenuentry 'Own' {\n    linux /live/vmlinuz boot=live $persistence\n}\n"
    inputs: Inputs = {
        **USB, "menu": menu, "medium": sha256_of(placed["medium.tar"]), "medium_hooks": {"0001-mark.hook.binary": sha256_of(b"")},
    }  # fmt: skip
    return inputs, placed


def test_what_the_recipe_puts_on_the_medium_is_on_the_stick_too(tmp_path: Path) -> None:
    inputs, placed = own_medium(
        ImageFile("boot/grub/more.cfg", b"set more=1\n", is_executable=False),
        ImageFile("docs/A rather long name.txt", b"read me\n", is_executable=False),
    )
    for folder, umask in (("one", 0o022), ("two", 0o077)):
        before = os.umask(umask)
        try:
            ended = make_usb(tmp_path / folder, inputs, placed)
        finally:
            os.umask(before)
        assert ended.returncode == 0, ended.stdout
    disk = tmp_path / "one" / "usb.img"
    assert disk.read_bytes() == (tmp_path / "two" / "usb.img").read_bytes()
    live = str(cut(disk, 2, tmp_path / "live.img"))
    assert printed("mtype", "-i", live, "::/docs/A rather long name.txt") == "read me\n"
    assert printed("mtype", "-i", live, "::/by/hook/live") == "filesystem.squashfs\ninitrd.img\nvmlinuz\n"
    assert printed("mtype", "-i", live, "::/boot/grub/more.cfg") == "set more=1\n"
    menu = printed("mtype", "-i", live, "::/boot/grub/grub.cfg")
    assert "set persistence=persistence\n" in menu
    assert "source /boot/grub/more.cfg\n" in menu
    names = printed("mdir", "-b", "-/", "-i", live, "::/")
    assert {"::/live/filesystem.squashfs", "::/EFI/BOOT/grubx64.efi", "::/boot/grub/i386-pc/normal.mod"} <= set(
        names.splitlines()
    )


@pytest.mark.parametrize(
    ("file", "said"),
    [
        (ImageFile("link", b"", is_executable=False, link="live"), "FAT has no links, no such names"),
        (ImageFile("what?", b"", is_executable=False), "FAT has no links, no such names"),
        (ImageFile("Live/x", b"", is_executable=False), "differ in case only"),
    ],
)
def test_what_fat_cannot_have_is_named(tmp_path: Path, file: ImageFile, said: str) -> None:
    ended = make_usb(tmp_path / "usb", *own_medium(file))
    assert ended.returncode == 1
    assert said in ended.stdout
    assert file.path.split("/")[0].lower() in ended.stdout.splitlines()[-1]


def test_a_menu_that_would_not_keep_what_the_stick_has_room_for_is_refused() -> None:
    inputs: Inputs = {**USB, "menu": "menuentry 'Own' { linux /live/vmlinuz boot=live }\n"}
    with pytest.raises(BadInput, match="own boot menu never says persistence"):
        plan_usb(inputs, EARLIER)


def printed(*argv: str) -> str:
    """Run a program that must do well; give what it printed."""
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def partitions(disk: Path) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(printed("sfdisk", "--json", str(disk)))["partitiontable"]["partitions"]
    return found


def cut(disk: Path, number: int, target: Path) -> Path:
    """Write a partition to a file of its own."""
    part = partitions(disk)[number - 1]
    with disk.open("rb") as file:
        file.seek(int(part["start"]) * SECTOR)
        target.write_bytes(file.read(int(part["size"]) * SECTOR))
    return target


def test_the_same_live_system_gives_the_same_disk_and_another_gives_other_names(disk: Path, tmp_path: Path) -> None:
    """In another folder, by another user's umask, at another time."""
    other = tmp_path / "elsewhere"
    other.mkdir()
    old = os.umask(0o077)
    try:
        assert make_usb(other).returncode == 0
    finally:
        os.umask(old)
    assert (other / "usb.img").read_bytes() == disk.read_bytes()
    (other / "vmlinuz").write_bytes(b"another kernel")
    assert make_usb(other).returncode == 0
    first, second = ([part["uuid"] for part in partitions(one)] for one in (disk, other / "usb.img"))
    assert len({*first, *second}) == 6


def test_the_partitions_are_grubs_the_live_system_and_what_is_kept(disk: Path) -> None:
    assert "No errors detected" in printed("sfdisk", "--verify", str(disk))
    found = [(part["name"], part["type"], int(part["start"])) for part in partitions(disk)]
    esp_sectors = int(partitions(disk)[1]["size"])
    assert found == [
        ("GRUB", "21686148-6449-6E6F-744E-656564454649", 2048),
        ("live", "C12A7328-F81F-11D2-BA4B-00A0C93EC93B", 4096),
        ("persistence", "0FC63DAF-8483-4772-8E79-3D69D8477DE4", 4096 + esp_sectors),
    ]
    assert int(partitions(disk)[2]["size"]) * SECTOR == ROOM_MB << 20
    uuids = [part["uuid"] for part in partitions(disk)]
    assert all(re.fullmatch(r"[0-9A-F]{8}-[0-9A-F]{4}-8[0-9A-F]{3}-8[0-9A-F]{3}-[0-9A-F]{12}", uuid) for uuid in uuids)


def test_the_boot_sectors_are_grubs_with_what_its_setup_program_would_write(disk: Path) -> None:
    """The bytes that differ from GRUB's own files are exactly those that util/setup.c changes."""
    with disk.open("rb") as file:
        mbr, _ = file.read(SECTOR), file.seek(2048 * SECTOR)
        core = file.read(SECTOR)
    plain, changed = (
        BOOT_IMG.read_bytes()[:440],
        {at: mbr[at] for at in range(440) if mbr[at] != BOOT_IMG.read_bytes()[at]},
    )
    assert changed == {0x5C: 0, 0x5D: 8, 0x66: 0x90, 0x67: 0x90}
    assert (plain[0x5C:0x64], plain[0x66:0x67], mbr[0x5C:0x64]) == (
        (1).to_bytes(8, "little"), b"\xeb", (2048).to_bytes(8, "little"),
    )  # fmt: skip
    diskboot = DISKBOOT_IMG.read_bytes()
    assert core[:0x1F4] == diskboot[:0x1F4]
    sectors = -(-(disk.parent / "core.img").stat().st_size // SECTOR)
    assert core[0x1F4:] == (2049).to_bytes(8, "little") + (sectors - 1).to_bytes(2, "little") + b"\x20\x08"
    assert (mbr[446 + 4], mbr[446]) == (0xEE, 0)
    assert mbr[462:478] == b"\x80" + bytes(11) + (1).to_bytes(4, "little")
    assert mbr[510:] == b"\x55\xaa"


def test_the_live_system_is_whole_on_fat_and_its_times_are_those_of_the_image(disk: Path, tmp_path: Path) -> None:
    fat = cut(disk, 2, tmp_path / "fat.img")
    printed("fsck.vfat", "-n", str(fat))
    for name, content in LIVE.items():
        printed("mcopy", "-i", str(fat), f"::/live/{name}", str(tmp_path / name))
        assert (tmp_path / name).read_bytes() == content
    listed = printed("mdir", "-/", "-a", "-i", str(fat))
    assert set(re.findall(r"\d{4}-\d{2}-\d{2} +\d+:\d{2}", listed)) == {"2024-01-10  12:00"}
    menu = printed("mtype", "-i", str(fat), "::/boot/grub/grub.cfg")
    [found] = re.findall(r"/\.disk/id/([0-9a-f]{32})\n", menu)
    assert found in printed("mdir", "-b", "-i", str(fat), "::/.disk/id")
    efi = {"BOOTX64.EFI": "/usr/lib/shim/shimx64.efi.signed", "mmx64.efi": "/usr/lib/shim/mmx64.efi.signed"}
    for name, source in efi.items():
        printed("mcopy", "-i", str(fat), f"::/EFI/BOOT/{name}", str(tmp_path / name))
        assert (tmp_path / name).read_bytes() == Path(source).read_bytes()


def test_the_room_is_an_ext4_that_live_boot_finds_and_that_knows_no_other_time(disk: Path, tmp_path: Path) -> None:
    room = cut(disk, 3, tmp_path / "room.img")
    printed("e2fsck", "-fn", str(room))
    assert printed("debugfs", "-R", "cat persistence.conf", str(room)) == "/ union\n"
    assert printed("blkid", "-p", "-s", "LABEL", "-o", "value", str(room)) == "persistence\n"
    said = printed("dumpe2fs", "-h", str(room))
    for path in ("/", "lost+found", "persistence.conf"):
        said += printed("debugfs", "-R", f"stat {path}", str(room))
    stamps = {int(value, 16) for value in re.findall(r"time: 0x([0-9a-f]{8})", said)}
    assert stamps == {EPOCH}
    assert len(re.findall(r"\d\d:\d\d:\d\d 2024", said)) == len(re.findall(r"\d\d:\d\d:\d\d 20\d\d", said)) > 10


def test_a_disk_without_room_keeps_nothing(tmp_path: Path) -> None:
    assert make_usb(tmp_path, {**USB, "persistence_mb": 0}).returncode == 0
    assert [part["name"] for part in partitions(tmp_path / "usb.img")] == ["GRUB", "live"]


def test_what_does_not_fit_on_fat_is_refused_by_its_name(tmp_path: Path) -> None:
    with (tmp_path / "filesystem.squashfs").open("wb") as file:
        file.truncate(1 << 32)
    ended = make_usb(tmp_path)
    assert ended.returncode == 1
    assert ended.stdout == (
        "filesystem.squashfs has 4294967296 bytes, and a file on FAT at most 4294967295: make it smaller, or leave usb out of the "
        "outputs\n"
    )


def test_tools_that_lack_a_program_are_named(tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("sh", "mkfs.ext4", "debugfs"):
        found = shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin")
        assert found is not None
        (programs / name).symlink_to(found)
    ended = make_usb(tmp_path, PATH=str(programs))
    assert ended.returncode == 1
    assert ended.stdout.startswith("the tools of the image have no sfdisk: add fdisk and e2fsprogs to the include")


@pytest.mark.parametrize("firmware", ["bios", "uefi"])
def test_the_disk_starts_and_grub_finds_the_live_system(disk: Path, tmp_path: Path, firmware: str) -> None:
    """The kernel is none, so GRUB says so: then it has started, found its menu and read the file that the menu names."""
    said = started_by_grub(disk, tmp_path, firmware)
    assert b"invalid magic number" in said
    assert b"Petrel 1.0" in said
