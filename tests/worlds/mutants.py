"""Mutants of Petrel's image: each breaks one promise of its features, and no other.

A mutant is the image with one more squashfs, which live-boot lays over the others, or with another menu. So it is made in
seconds, and everything else of it is what was built.
"""

import subprocess
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
