"""A whole Debian in QEMU, with Debian's kernel and distwright in it: a machine of somebody else, who reaches one server of ours.

Its root is made once by mmdebstrap and kept with the other dear things of the tests; nothing that it writes outlives it.
"""

import fcntl
import importlib.metadata
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import IO

from tests.system.line import CACHE
from tests.worlds.rootfs import BUSYBOX
from tests.worlds.small_machine import debian_kernel, modules_with_needs

from distwright.tools.qemu import accelerator
from distwright.tools.sandbox import Sandbox

ROOT = Path(__file__).parents[2]
SERVER = "http://archives.test:8000"  # in the guest: the one server, which must answer to that name
# What boots images and builds packages is not needed to build an image again.
_NOT_NEEDED = frozenset({"qemu-system-x86", "sbuild", "git", "python3-venv"})
_MODULES = ("virtio_pci", "virtio_blk", "virtio_net", "squashfs", "overlay", "crc32c_generic", "ext4")
_DISK_BYTES = 24 << 30  # sparse
_IN_INITRD = f"""#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /low /top /new
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
echo 0 >/proc/sys/kernel/printk
modprobe -a {" ".join(_MODULES)}
mount -t squashfs -o ro /dev/vda /low && mount -t ext4 /dev/vdb /top && mkdir -p /top/upper /top/overlay
mount -t overlay -o lowerdir=/low,upperdir=/top/upper,workdir=/top/overlay root /new
mkdir -p /new/guest /new/proc /new/sys /new/dev; mount --bind /top /new/guest
ip link set lo up; ip addr add 10.0.2.15/24 dev eth0; ip link set eth0 up
for one in proc sys dev; do mount --move /$one /new/$one; done
exec switch_root /new /guest/begin
"""
_BEGIN = """#!/bin/sh
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts; mount -t tmpfs shm /dev/shm; mount -t tmpfs run /run; mount -t cgroup2 cgroup /sys/fs/cgroup
hostname stranger
echo 10.0.2.100 archives.test >>/etc/hosts
export PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 PYTHONPATH=/guest/python
cd /guest
echo GUEST BEGINS
sh /guest/script 2>&1
echo GUEST ENDS $?
sync
echo o >/proc/sysrq-trigger
sleep 1000
"""
_DISTWRIGHT = """#!/usr/bin/python3
import sys
from distwright.cli.start import main
sys.exit(main())
"""
# As setup/debian makes it.
_USER = (
    'chroot "$1" useradd --system --user-group --home-dir /nonexistent --no-create-home --shell /usr/sbin/nologin distwright '
    '&& for file in subuid subgid; do echo distwright:100000:65536 >"$1/etc/$file"; done'
)


@dataclass(frozen=True)
class Guest:
    """A machine that is off. folder: for its disk and what it said."""

    folder: Path

    @property
    def said(self) -> str:
        """All that it printed so far."""
        path = self.folder / "serial"
        return path.read_text(errors="replace").replace("\r", "") if path.exists() else ""

    def run(self, script: str, files: dict[str, bytes], port: int, timeout_s: float) -> str:
        """Boot it, run a shell script as root in /guest, where the files are, and give what that printed.

        `distwright` is a command there. port: of the server on our loopback, which is all of the network that there is.
        """
        root = _guest_root()
        _fill_disk(self.folder, script, files)
        kernel = debian_kernel()
        initrd = self.folder / "initrd"
        _pack_initrd(self.folder / "initrd.root", kernel, initrd)
        how = accelerator(CACHE, Sandbox(None), kernel / "kernel")
        forward = f"guestfwd=tcp:10.0.2.100:8000-cmd:{BUSYBOX} nc 127.0.0.1 {port}"
        # One processor where it is emulated: a second loses timers (images/driving/hardware.py).
        argv = [
            "qemu-system-x86_64", "-accel", how, "-cpu", "max", "-smp", "2" if how == "kvm" else "1", "-m", "4096",
            "-nodefaults", "-display", "none", "-no-reboot", "-serial", f"file:{self.folder / 'serial'}",
            "-drive", f"file={root},if=virtio,format=raw,readonly=on",
            "-drive", f"file={self.folder / 'disk'},if=virtio,format=raw,cache=unsafe",
            "-netdev", f"user,id=net,restrict=on,{forward}", "-device", "virtio-net-pci,netdev=net,romfile=",
            "-kernel", str(kernel / "kernel"), "-initrd", str(initrd),
            "-append", "console=ttyS0 quiet panic=-1",
        ]  # fmt: skip
        done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout_s, check=False)
        said = self.said
        assert "GUEST BEGINS\n" in said, said[-3000:] + done.stderr
        output, separator, ended = said.partition("GUEST BEGINS\n")[2].partition("GUEST ENDS ")
        assert separator, said[-6000:]
        assert ended.startswith("0\n"), said[-6000:]
        return output


@cache
def _guest_root() -> Path:
    """Make a squashfs of Debian as this machine has it, with what distwright needs."""
    release = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    lines = (re.sub("#.*", "", line).strip() for line in (ROOT / "setup/packages.txt").read_text().splitlines())
    packages = ",".join(sorted({"util-linux", "passwd", *filter(None, lines)} - _NOT_NEEDED))
    argv = [
        "mmdebstrap", "--mode=unshare", "--variant=minbase", f"--include={packages}", "--customize-hook", _USER, "--dpkgopt",
        "path-exclude=/usr/share/doc/*", "--aptopt", "APT::Sandbox::User root", "--", release["VERSION_CODENAME"].strip('"'), "-",
    ]  # fmt: skip
    place = CACHE / f"guest-{sha256(repr(argv).encode()).hexdigest()[:16]}.squashfs"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "guest.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            fresh = place.with_suffix(".new")
            fresh.unlink(missing_ok=True)
            with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as making:
                _squash(making.stdout, fresh)
                told = b"" if making.stderr is None else making.stderr.read()
            assert making.returncode == 0, told.decode(errors="replace")[-3000:]
            fresh.rename(place)
    return place


def _squash(tar: IO[bytes] | None, target: Path) -> None:
    """Pack without compression: a machine that is emulated would unpack each page again."""
    argv = ["mksquashfs", "-", str(target), "-tar", "-noI", "-noD", "-noF", "-noX", "-quiet", "-no-progress"]
    subprocess.run(argv, stdin=tar, check=True, capture_output=True)


def _fill_disk(folder: Path, script: str, files: dict[str, bytes]) -> None:
    tree = folder / "tree"
    (tree / "python").mkdir(parents=True)
    shutil.copytree(
        ROOT / "src" / "distwright", tree / "python" / "distwright", ignore=shutil.ignore_patterns("__pycache__")
    )
    for name in re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements" / "run.txt").read_text(), re.MULTILINE):
        _copy_distribution(name, tree / "python")
    (tree / "upper/usr/local/bin").mkdir(parents=True)
    made = {
        "begin": _BEGIN.encode(),
        "script": script.encode(),
        "upper/usr/local/bin/distwright": _DISTWRIGHT.encode(),
        **files,
    }
    for path, content in made.items():
        (tree / path).write_bytes(content)
    for path in ("begin", "upper/usr/local/bin/distwright"):
        (tree / path).chmod(0o755)
    disk = folder / "disk"
    with disk.open("wb") as file:
        file.truncate(_DISK_BYTES)
    made_by = ["/sbin/mkfs.ext4", "-q", "-F", "-E", "root_owner=0:0,lazy_itable_init=1", "-d", str(tree), str(disk)]
    subprocess.run(made_by, check=True, capture_output=True)
    shutil.rmtree(tree)


def _copy_distribution(name: str, target: Path) -> None:
    for file in importlib.metadata.files(name) or ():
        source = Path(str(file.locate()))
        if ".." in file.parts or "__pycache__" in file.parts or not source.is_file():
            continue
        copy = target / file
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, copy)


def _pack_initrd(root: Path, kernel: Path, target: Path) -> None:
    (root / "bin").mkdir(parents=True)
    shutil.copy(BUSYBOX, root / "bin/busybox")
    (root / "init").write_text(_IN_INITRD)
    (root / "init").chmod(0o755)
    modules_with_needs(kernel, _MODULES, root)
    names = "".join(f"{path.relative_to(root)}\n" for path in root.rglob("*"))
    with target.open("wb") as out:
        argv = [str(BUSYBOX), "cpio", "-o", "-H", "newc"]
        subprocess.run(argv, cwd=root, input=names.encode(), stdout=out, stderr=subprocess.DEVNULL, check=True)
    shutil.rmtree(root)
