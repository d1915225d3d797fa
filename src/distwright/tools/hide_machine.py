"""Hide the machine from its own programs: run by the host's Python as root of a new mount namespace, in front of the program.

A script, not a module of ours, as `enter_root` is. mmdebstrap and sbuild are programs of the machine, but maintainer scripts run
below them, as root of a namespace, in a chroot that such a root can leave. What they find outside is what we put together here:
the machine's programs, what these need of /etc, devices, and the folder that we are started in, at its place. Nothing of it is
theirs to change but that folder and empty ones.

Arguments: program [argument …].
"""

import ctypes
import os
import sys

MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE, MNT_DETACH = 2, 4, 8, 4096, 16384, 1 << 18, 2
PROGRAMS = ("bin", "lib", "lib32", "lib64", "libx32", "sbin", "usr")
# Who is who, how programs and libraries are found, what perl and dpkg read. No configuration of any service.
SETTINGS = (
    *(
        "alternatives",
        "debian_version",
        "dpkg",
        "group",
        "hosts",
        "ld.so.cache",
        "ld.so.conf",
        "ld.so.conf.d",
        "localtime",
    ),
    *("login.defs", "nsswitch.conf", "os-release", "passwd", "perl", "protocols", "services", "subgid", "subuid"),
)
DEVICES = ("console", "full", "kvm", "null", "random", "tty", "urandom", "zero")
LINKS = (("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2"), ("ptmx", "pts/ptmx"))
EMPTY = ("mnt", "run", "tmp", "var/tmp")  # mmdebstrap mounts on /mnt
SIZE = "256m"  # of what is written to them; what is large goes to the folder

_libc = ctypes.CDLL(None, use_errno=True)


def check(result: int, what: str) -> None:
    """Stop with the reason if a system call failed."""
    if result != 0:
        sys.exit(f"sandbox: {what}: {os.strerror(ctypes.get_errno())}")


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """mount(2)."""
    arguments = [text.encode() or None for text in (source, target, kind)]
    check(_libc.mount(*arguments, ctypes.c_ulong(flags), data.encode() or None), f"mount {target}")


def show(place: str, root: str) -> None:
    """Show a file, folder or symlink of the machine at its place below `root`, if there is one."""
    source, target = f"/{place}", f"{root}/{place}"
    if os.path.islink(source):
        os.symlink(os.readlink(source), target)
    elif os.path.isdir(source):
        os.mkdir(target)
        mount(source, target, flags=MS_BIND | MS_REC)
    elif os.path.exists(source):
        with open(target, "wb"):
            pass
        mount(source, target, flags=MS_BIND)


def build(root: str, work: str, held: int) -> None:
    """Put together what is to be seen, below `root`. held: the folder `work`, which may be covered by now."""
    mount("tmpfs", root, "tmpfs", MS_NOSUID | MS_NODEV, f"mode=0755,size={SIZE}")
    for folder in ("etc", "dev", "dev/pts", "dev/shm", *EMPTY):
        os.makedirs(f"{root}/{folder}", exist_ok=True)
    for folder in ("tmp", "var/tmp"):
        os.chmod(f"{root}/{folder}", 0o1777)
    shown = (*PROGRAMS, *(f"etc/{name}" for name in SETTINGS), *(f"dev/{name}" for name in DEVICES), "sys")
    for place in shown:
        show(place, root)
    os.mkdir(f"{root}/proc")
    mount("proc", f"{root}/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)  # of the pid namespace that we are in
    for name, target in LINKS:
        os.symlink(target, f"{root}/dev/{name}")
    mount("tmpfs", f"{root}/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, f"mode=1777,size={SIZE}")
    mount("devpts", f"{root}/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=666")
    os.makedirs(f"{root}{work}", exist_ok=True)
    mount(f"/proc/self/fd/{held}", f"{root}{work}", flags=MS_BIND)  # not MS_REC: it may be covered by `root` itself


def enter(root: str, work: str) -> None:
    """Make `root` the root and let go of the machine's."""
    os.chdir(root)
    check(_libc.syscall(ctypes.c_long(SYS_PIVOT_ROOT), b".", b"."), "pivot_root")
    check(_libc.umount2(b".", MNT_DETACH), "umount of the machine's root")
    os.chdir(work)


SYS_PIVOT_ROOT = {
    "x86_64": 155,
    "aarch64": 41,
    "riscv64": 41,
    "i686": 217,
    "armv7l": 218,
    "ppc64le": 203,
    "s390x": 217,
}.get(os.uname().machine, 41)


def main() -> None:
    """Do it."""
    program, work = sys.argv[1:], os.getcwd()
    mask = os.umask(0o022)
    held = os.open(".", os.O_PATH | os.O_DIRECTORY)
    mount("none", "/", flags=MS_REC | MS_PRIVATE)
    build(work, work, held)
    os.close(held)
    enter(work, work)
    os.umask(mask)
    try:
        os.execvp(program[0], program)
    except OSError as error:
        sys.exit(f"sandbox: {program[0]}: {error.strerror}")


main()
