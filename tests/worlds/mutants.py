"""Mutants of Petrel's image: each breaks one promise of its features, and no other.

A mutant is the image with one more squashfs, which live-boot lays over the others, or with another menu. So it is made in
seconds, and everything else of it is what was built.
"""

import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

_UNITS = "usr/lib/systemd/system"
_LAYER = "/live/zz-mutant.squashfs"  # live-boot(7): the last by name lies on top
_MENU = "/boot/grub/grub.cfg"


@dataclass(frozen=True)
class Mutant:
    """What is changed. files: path below / -> content; links: path -> target; programs: of `files`, those that can be run.

    edits: path below / -> what is replaced in it, once; menu: what is replaced in GRUB's menu.
    """

    scenario: str
    files: Mapping[str, str] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    programs: tuple[str, ...] = ()
    edits: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    menu: tuple[str, str] | None = None
    firmware: str = "bios"


def service(
    scenario: str, script: str, *, kind: str = "oneshot", condition: str = "", firmware: str = "bios"
) -> Mutant:
    """Make a mutant in which a script runs as root before the greeting. script: for systemd, in which $ is $$."""
    before = "" if kind == "simple" else "Before=petrel-greeter.service\n"
    unit = (
        f"[Unit]\nDescription=A mutant\n{before}{condition}\n"
        f"[Service]\nType={kind}\n{'' if kind == 'simple' else 'RemainAfterExit=yes'}\nExecStart=/bin/bash -c '{script}'\n"
    )
    return Mutant(
        scenario,
        {f"{_UNITS}/mutant.service": unit},
        {f"{_UNITS}/multi-user.target.wants/mutant.service": "../mutant.service"},
        firmware=firmware,
    )


_ID = """#!/bin/sh
case "$*" in *--name*) echo guest ;; *) exec /usr/bin/id "$@" ;; esac
"""
_HAS_ADDRESS = "for i in $$(seq 60); do ip -4 -o address show scope global | grep -q inet && break; sleep 1; done"
MUTANTS = (
    Mutant("the boot menu starts Petrel by itself", menu=("Petrel", "Another")),
    service("it greets before the login", "echo Failed to start the kettle >/dev/ttyS0"),
    Mutant(
        "the user of the live system logs in, and may become root", {"usr/local/bin/id": _ID}, programs=("usr/local/bin/id",)
    ),
    Mutant("a wrong password is of no use", {"etc/pam.d/common-auth": "auth required pam_permit.so\n"}),
    # By what the scenario looks at; that what is not signed is refused: `with_unsigned_loader`.
    service(
        "it starts where only what is signed may", "umount /sys/firmware/efi/efivars", firmware="secure-boot",
        condition="After=sys-firmware-efi-efivars.mount\n",
    ),
    service("it was started by a UEFI", "mount -t tmpfs none /sys/firmware", firmware="uefi"),
    Mutant(
        "a disk that is plugged in is left as it is",
        {
            "usr/lib/udev/rules.d/99-mutant.rules": 'ACTION=="add", SUBSYSTEM=="block", KERNEL=="sd*", '
            "RUN+=\"/bin/sh -c 'echo mutant >/dev/%k'\"\n"
        },
    ),
    service(
        "with persistence, work outlives a restart", "rm -f /etc/mine", condition="ConditionKernelCommandLine=persistence\n"
    ),
    service(
        "it asks for an address, and for nothing else", f"{_HAS_ADDRESS}; echo hello >/dev/udp/10.0.2.2/53",
        condition="After=systemd-networkd.service\n",
    ),
    Mutant(
        "nobody can reach it but by names of the local network",
        {
            f"{_UNITS}/mutant.socket": "[Socket]\nListenStream=4444\nAccept=yes\n",
            f"{_UNITS}/mutant@.service": "[Service]\nExecStart=/bin/true\n",
        },
        {f"{_UNITS}/sockets.target.wants/mutant.socket": "../mutant.socket"},
    ),
    Mutant(
        "it has an address",
        {"etc/systemd/network/80-wired.network.d/mutant.conf": "[Network]\nAddress=10.0.2.99/24\n"},
    ),
    service("all that shall run does", "sleep 1; exit 1", kind="simple"),
    Mutant("the system says what it is", edits={"usr/lib/os-release": ("petrel-amd64-", "albatross-amd64-")}),
    Mutant(
        "packages are all configured",
        edits={"var/lib/dpkg/status": ("Status: install ok installed", "Status: install ok half-configured")},
    ),
    service(
        "the medium is read-only, and the system is not", "mount --bind /usr /usr && mount -o remount,bind,ro /usr"
    ),
    Mutant("it switches itself off", links={"etc/systemd/system/poweroff.target": "/dev/null"}),
    Mutant("nothing that is changed outlives a restart", {"etc/mine": "old\n"}),
)  # fmt: skip


# Of what the image does with a kit, and only asked for with one: so it is no mutant of the image itself.
UPGRADE = "a stick becomes this image, and keeps what it kept"
_SAYS_SO = """#!/bin/sh
echo "$1 is {target}"
"""
_EFI_TYPE = bytes.fromhex("28732ac11ff8d211ba4b00a0c93ec93b")  # c12a7328-f81f-11d2-ba4b-00a0c93ec93b, as GPT has it
_LOADER = "::/EFI/BOOT/grubx64.efi"
_SECTOR = 512


def kit_that_does_nothing(kit: Path, target: str, made: Path) -> Path:
    """Make a kit whose program says that the medium is the new image, and leaves it as it is. Everything else of it stays."""
    with tarfile.open(kit, "r:") as source, tarfile.open(made, "w", format=tarfile.PAX_FORMAT) as tar:
        for member in source:
            content = source.extractfile(member) if member.isreg() else None
            if member.name.removeprefix("./") == "kit/apply":
                text = _SAYS_SO.format(target=target).encode()
                member.size, content = len(text), io.BytesIO(text)
            tar.addfile(member, content)
    return made


def with_unsigned_loader(image: Path, folder: Path) -> Path:
    """Make an ISO whose GRUB for UEFI has lost its signature; every byte that is run stays as it is."""
    made, loader = folder / "unsigned.iso", folder / "grubx64.efi"
    shutil.copyfile(image, made)
    place = f"{made}@@{_efi_partition(made)}"
    environment = {**os.environ, "MTOOLS_SKIP_CHECK": "1", "MTOOLSRC": "/dev/null"}
    subprocess.run(["mcopy", "-n", "-i", place, _LOADER, str(loader)], check=True, env=environment)
    loader.write_bytes(unsigned(loader.read_bytes()))
    subprocess.run(["mcopy", "-o", "-i", place, str(loader), _LOADER], check=True, env=environment)
    return made


def unsigned(program: bytes) -> bytes:
    """Take the signature from an EFI program: its header names none any more. Source: Microsoft's PE Format, "Data Directories"."""
    header = int.from_bytes(program[0x3C:0x40], "little")
    assert program[header : header + 4] == b"PE\0\0"
    options = header + 24
    assert program[options : options + 2] == b"\x0b\x02", "PE32+"
    certificates = options + 112 + 4 * 8  # the fifth directory: where, how long
    assert program[certificates : certificates + 8] != bytes(8), "it has no signature"
    return program[:certificates] + bytes(8) + program[certificates + 8 :]


def _efi_partition(image: Path) -> int:
    """Say where in an ISO the file system of its EFI partition begins, in bytes."""
    with image.open("rb") as file:
        file.seek(2 * _SECTOR)
        entries = file.read(128 * 128)
    found = [entries[at : at + 128] for at in range(0, len(entries), 128) if entries[at : at + 16] == _EFI_TYPE]
    assert len(found) == 1, f"{image} has {len(found)} EFI partitions"
    return int.from_bytes(found[0][32:40], "little") * _SECTOR


def mutated(image: Path, mutant: Mutant, folder: Path) -> Path:
    """Make the mutant's ISO; everything that makes the image start stays as it is."""
    made = folder / "mutant.iso"
    changes: list[str] = []
    if mutant.menu is not None:
        menu = folder / "grub.cfg"
        _xorriso("-osirrox", "on", "-indev", str(image), "-extract", _MENU, str(menu))
        menu.chmod(0o644)
        changes += ["-map", _replaced(menu, mutant.menu), _MENU]
    if mutant.files or mutant.links or mutant.edits:
        changes += ["-map", str(_layer(image, mutant, folder)), _LAYER]
    return changed_image(image, made, *changes)


def changed_image(image: Path, made: Path, *changes: str) -> Path:
    """Make an image that starts as this one does. changes: commands of xorriso."""
    _xorriso("-indev", str(image), "-outdev", str(made), "-boot_image", "any", "replay", "-padding", "0", *changes)
    return made


def _layer(image: Path, mutant: Mutant, folder: Path) -> Path:
    tree, squashfs = folder / "tree", folder / "filesystem.squashfs"
    if mutant.edits:
        _xorriso("-osirrox", "on", "-indev", str(image), "-extract", "/live/filesystem.squashfs", str(squashfs))
    contents = dict(mutant.files)
    for path, words in mutant.edits.items():
        shown = subprocess.run(["unsquashfs", "-cat", str(squashfs), path], check=True, capture_output=True, text=True)
        (folder / "edited").write_text(shown.stdout)
        contents[path] = Path(_replaced(folder / "edited", words)).read_text()
    for path, content in contents.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text(content)
        (tree / path).chmod(0o755 if path in mutant.programs else 0o644)
    for path, target in mutant.links.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).symlink_to(target)
    for one in (tree, *(place for place in tree.rglob("*") if place.is_dir())):
        one.chmod(0o755)
    layer = folder / "layer.squashfs"
    subprocess.run(["mksquashfs", str(tree), str(layer), "-all-root", "-no-progress", "-quiet"], check=True)
    return layer


def _replaced(file: Path, words: tuple[str, str]) -> str:
    text = file.read_text()
    assert words[0] in text, f"{words[0]!r} is not in {file.name}"
    file.write_text(text.replace(words[0], words[1], 1))
    return str(file)


def _xorriso(*words: str) -> None:
    done = subprocess.run(["xorriso", "-abort_on", "FAILURE", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
