"""A machine as small as can be for the driver of behaviour tests: Debian's kernel and busybox, with a login on its serial line.

It has what a test needs to see: a network that asks for an address, USB disks, and a screen of text. In /proc/cmdline `off` lets
it go off at once, and `silent` never say a word.
"""

import fcntl
import re
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from tests.system.line import CACHE
from tests.worlds.rootfs import BUSYBOX

from distwright.images.driving.hardware import Firmware, Hardware, Medium

COMMAND_LINE = "console=tty0 console=ttyS0 quiet panic=-1"
USER, PASSWORD = "user", "live"
SCREEN = "Petrel watches the harbour"
_MODULES = ("virtio_pci", "virtio_net", "xhci_pci", "usb_storage", "sd_mod", "ext4")
_INIT = f"""#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /tmp /mnt
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev; mount -t tmpfs tmp /tmp; chmod 1777 /tmp
grep -q silent /proc/cmdline && exec sleep 100000
grep -q ' off' /proc/cmdline && {{ echo going off >/dev/ttyS0; poweroff -f; }}
modprobe -a {" ".join(_MODULES)}
clear >/dev/tty0; echo '{SCREEN}' >/dev/tty0
ip link set lo up; ip link set eth0 up
udhcpc -q -n -s /bin/true -i eth0 >/dev/null 2>&1
while :; do getty -L 115200 ttyS0 vt100; done
"""


def small_machine(firmware: Firmware = Firmware.BIOS, more: str = "") -> Hardware:
    """Give the hardware of a small machine. more: words for its kernel."""
    kernel, initrd = _kernel_and_initrd()
    words = f"{COMMAND_LINE} {more}"
    return Hardware(
        firmware, Medium.KERNEL, "tcg", kernel=kernel, initrd=initrd, command_line=words, memory_mb=384, cpus=1
    )


@cache
def debian_kernel() -> Path:
    """Give a folder with `kernel` and, in `package`, its modules: unpacked once from Debian's package, and kept."""
    shown = subprocess.run(
        ["apt-cache", "show", "linux-image-amd64"], capture_output=True, text=True, check=True
    ).stdout
    match = re.search(r"^Depends: (linux-image-(\S+))", shown, re.MULTILINE)
    assert match is not None, shown
    place = CACHE / f"small-machine-{match[2]}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "small-machine.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            fresh = place.with_suffix(".new")
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir()
            _unpack(match[1], fresh)
            (fresh / "kernel").symlink_to(f"package/boot/vmlinuz-{match[2]}")
            fresh.rename(place)
    return place


@cache
def _kernel_and_initrd() -> tuple[Path, Path]:
    place = debian_kernel()
    initrd = place / "initrd"
    _pack(place, initrd)
    return place / "kernel", initrd


def modules_with_needs(kernel: Path, names: Sequence[str], root: Path) -> None:
    """Copy modules of a kernel, and those that they need, to where modprobe looks. kernel: as `debian_kernel` gave it."""
    [modules] = (kernel / "package/lib/modules").iterdir()
    target = root / "lib/modules" / modules.name
    target.mkdir(parents=True)
    for name in ("modules.dep", "modules.alias", "modules.symbols"):
        shutil.copy(modules / name, target / name)
    for file in _needed(modules, names):
        (target / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(modules / file, target / file)


def _unpack(package: str, folder: Path) -> None:
    subprocess.run(["apt-get", "-q", "download", package], cwd=folder, check=True, capture_output=True)
    [deb] = folder.glob("*.deb")
    subprocess.run(["dpkg-deb", "-x", deb.name, "package"], cwd=folder, check=True)
    deb.unlink()
    [version] = [path.name for path in (folder / "package/lib/modules").iterdir()]
    subprocess.run(
        [str(BUSYBOX), "depmod", "-b", str(folder / "package"), version], check=True, stderr=subprocess.DEVNULL
    )


def _pack(kernel: Path, target: Path) -> None:
    root = target.with_suffix(".root")
    shutil.rmtree(root, ignore_errors=True)
    for name in ("bin", "etc"):
        (root / name).mkdir(parents=True)
    shutil.copy(BUSYBOX, root / "bin/busybox")
    (root / "init").write_text(_INIT)
    (root / "init").chmod(0o755)
    coded = subprocess.run(
        [str(BUSYBOX), "mkpasswd", "-m", "md5", PASSWORD], capture_output=True, text=True, check=True
    )
    (root / "etc/passwd").write_text(f"root:x:0:0:root:/:/bin/sh\n{USER}:{coded.stdout.strip()}:0:0:user:/:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\n")
    modules_with_needs(kernel, _MODULES, root)
    names = "".join(f"{path.relative_to(root)}\n" for path in root.rglob("*"))
    with target.with_suffix(".new").open("wb") as out:
        argv = [str(BUSYBOX), "cpio", "-o", "-H", "newc"]
        subprocess.run(argv, cwd=root, input=names.encode(), stdout=out, stderr=subprocess.DEVNULL, check=True)
    target.with_suffix(".new").rename(target)
    shutil.rmtree(root)


def _needed(modules: Path, names: Sequence[str]) -> set[str]:
    lines = [line.partition(":") for line in (modules / "modules.dep").read_text().splitlines()]
    needs = {Path(file).stem.replace("-", "_"): (file, others.split()) for file, _, others in lines}
    return {one for name in names if name in needs for one in (needs[name][0], *needs[name][1])}
