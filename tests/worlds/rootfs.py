"""Root file systems as small as can be: busybox with files of several owners, and one with the tools that images are made with."""

import io
import shutil
import subprocess
import tarfile
from functools import cache
from pathlib import Path

BUSYBOX = Path("/bin/busybox")
_APPLETS = """
    cat chmod chown chroot cp dmesg echo env head hostname id kill ln ls mkdir mknod mount nc pwd rm setsid sh sleep stat touch true
    umount wget yes
"""
# In every Debian: essential, or of priority required.
_TOOLS = """
    awk cat chmod chown cp dash date dd env find grep hostname id install ln ls mkdir mount nproc perl pivot_root readlink rm sed
    setarch setsid sleep sort stat tar taskset touch umount uname unshare
"""
# cap_net_raw, permitted and effective, as capabilities(7) has it in version 2.
CAPABILITY = "\x01\0\0\x02\0\x20" + "\0" * 14


@cache
def root_tar() -> bytes:
    """Give the tar. /etc/owned belongs to 1000:50, /bin/su is set-uid root, /dev/sda is a disk that unpacking must leave out."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for folder in ("./", "./bin", "./dev", "./etc", "./home", "./proc", "./root", "./sys", "./tmp"):
            tar.addfile(_member(folder, tarfile.DIRTYPE, 0o1777 if folder == "./tmp" else 0o755))
        for name, mode in (("./bin/busybox", 0o755), ("./bin/su", 0o4755)):
            member = _member(name, tarfile.REGTYPE, mode)
            member.size = BUSYBOX.stat().st_size
            with BUSYBOX.open("rb") as content:
                tar.addfile(member, content)
        for applet in _APPLETS.split():
            link = _member(f"./bin/{applet}", tarfile.SYMTYPE, 0o777)
            link.linkname = "busybox"
            tar.addfile(link)
        owned = _member("./etc/owned", tarfile.REGTYPE, 0o640)
        owned.uid, owned.gid, owned.size = 1000, 50, 3
        tar.addfile(owned, io.BytesIO(b"me\n"))
        disk = _member("./dev/sda", tarfile.BLKTYPE, 0o666)
        disk.devmajor = 8
        tar.addfile(disk)
    return out.getvalue()


@cache
def tool_root_tar(*more: str) -> bytes:
    """Give a tar with GNU's and Linux's tools as this machine has them: to make images in, and an image to be customised.

    more: further programs by name, and files by path.

    /dev/console is a device node, /usr/bin/one and /usr/bin/two are one file of 1000:50, /usr/bin/ping has a capability.
    """
    names = [name for name in (*_TOOLS.split(), *more) if "/" not in name]
    programs = {Path(shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin") or name) for name in names}
    files = [Path(name) for name in more if "/" in name]
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        console = _member("./dev/console", tarfile.CHRTYPE, 0o666)
        console.devmajor, console.devminor = 5, 1
        tar.addfile(_member("./dev/", tarfile.DIRTYPE, 0o755))
        tar.addfile(console)
        for folder in ("./", "./boot", "./etc", "./proc", "./root", "./run", "./sys", "./tmp", "./usr", "./var"):
            tar.addfile(_member(folder, tarfile.DIRTYPE, 0o1777 if folder == "./tmp" else 0o755))
        for name, target in (("bin", "bin"), ("sbin", "bin"), ("lib", "lib"), ("lib64", "lib64")):
            tar.addfile(_link(f"./{name}", f"usr/{target}"))
        for file in sorted(programs | set().union(*map(_libraries, programs))):
            place = (
                f"./usr/bin/{file.name}"
                if file in programs
                else f"./usr/{str(file).partition('lib')[1]}{str(file).partition('lib')[2]}"
            )
            _add(tar, _member(place, tarfile.REGTYPE, 0o755), file.read_bytes())
        for file in files:
            _add(tar, _member(f".{file}", tarfile.REGTYPE, 0o644), file.read_bytes())
        tar.addfile(_link("./usr/bin/sh", "dash"))
        for words in sorted(Path("/usr/share/locale").glob("??/LC_MESSAGES/tar.mo")):
            _add(tar, _member(f".{words}", tarfile.REGTYPE, 0o644), words.read_bytes())
        owned = _member("./usr/bin/one", tarfile.REGTYPE, 0o4750)
        owned.uid, owned.gid = 1000, 50
        _add(tar, owned, b"me\n")
        other = _member("./usr/bin/two", tarfile.LNKTYPE, 0o4750)
        other.uid, other.gid, other.linkname = 1000, 50, "./usr/bin/one"
        tar.addfile(other)
        ping = _member("./usr/bin/ping", tarfile.REGTYPE, 0o755)
        ping.pax_headers = {"SCHILY.xattr.security.capability": CAPABILITY}
        _add(tar, ping, b"#!/bin/sh\n")
        _add(tar, _member("./usr/lib/os-release", tarfile.REGTYPE, 0o644), b"ID=small\n")
    return out.getvalue()


def _libraries(program: Path) -> set[Path]:
    with program.open("rb") as file:
        if file.read(2) == b"#!":
            return set()
    shown = subprocess.run(("ldd", str(program)), stdout=subprocess.PIPE, check=True, text=True).stdout
    return {Path(word) for word in shown.split() if word.startswith("/")}


def _add(tar: tarfile.TarFile, member: tarfile.TarInfo, content: bytes) -> None:
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def _link(name: str, target: str) -> tarfile.TarInfo:
    link = _member(name, tarfile.SYMTYPE, 0o777)
    link.linkname = target
    return link


def _member(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.mode, member.mtime = kind, mode, 1_700_000_000
    return member
