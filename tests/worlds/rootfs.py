"""A root file system as small as can be: busybox, and files of several owners."""

import io
import tarfile
from functools import cache
from pathlib import Path

BUSYBOX = Path("/bin/busybox")
_APPLETS = """
    cat chmod chown chroot cp dmesg echo env head hostname id kill ln ls mkdir mknod mount nc pwd rm setsid sh sleep stat touch true
    umount wget yes
"""


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


def _member(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.mode, member.mtime = kind, mode, 1_700_000_000
    return member
