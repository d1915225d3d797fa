"""Enter a root for good: run by the host's Python as root of new mount and pid namespaces, in front of a sandboxed program.

A script, not a module of ours: the sandbox user may be unable to read our files, so its text is handed over by `-c`. It must use
system calls and not mount(8), for after pivot_root the programs are those of the new root, which may have no umount.

Arguments: `rooted` lower upper scratch merged work program [argument …]: the root is lower+upper, the program begins in /work.
Or `alone` program [argument …], for programs of the machine, below which maintainer scripts run as root of a namespace, in a
chroot that such a root can leave. What they find outside is what we put together: the machine's programs, what these need of
/etc, devices, and the folder that we are started in, at its place. Nothing of it is theirs to change but that folder and empty
ones. `machine` is the same with /dev/kvm, for QEMU: whoever has that is near the machine's kernel, and no package's script must be.

Either way nothing else of the machine is left to see, and of /sys not /sys/fs. Control groups are there: who was delegated them
owns them, is root inside, and could change them, and take away again whatever we would mount over them.
"""

import ctypes
import os
import sys

MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE, MNT_DETACH = 2, 4, 8, 4096, 16384, 1 << 18, 2
SYS_PIVOT_ROOT = {
    "x86_64": 155,
    "aarch64": 41,
    "riscv64": 41,
    "i686": 217,
    "armv7l": 218,
    "ppc64le": 203,
    "s390x": 217,
}.get(os.uname().machine, 41)
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
DEVICES = ("full", "null", "random", "tty", "urandom", "zero")
CONSOLE, KVM = "console", "kvm"
LINKS = (("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2"), ("ptmx", "pts/ptmx"))
EMPTY = ("mnt", "run", "tmp", "var/tmp")  # mmdebstrap mounts on /mnt
SIZE = ",size=256m"  # of what is written to them; what is large goes to the folder

_libc = ctypes.CDLL(None, use_errno=True)


def check(result: int, what: str) -> None:
    """Stop with the reason if a system call failed."""
    if result != 0:
        sys.exit(f"sandbox: {what}: {os.strerror(ctypes.get_errno())}")


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """mount(2)."""
    arguments = [text.encode() or None for text in (source, target, kind)]
    check(_libc.mount(*arguments, ctypes.c_ulong(flags), data.encode() or None), f"mount {target}")


def show(root: str, *places: str) -> None:
    """Show files, folders and symlinks of the machine at their places below `root`, those that there are."""
    for place in places:
        source, target = f"/{place}", f"{root}/{place}"
        if os.path.islink(source):
            os.symlink(os.readlink(source), target)
        elif os.path.isdir(source):
            os.makedirs(target, exist_ok=True)  # pathlib would double the start-up time
            mount(source, target, flags=MS_BIND | MS_REC)
        elif os.path.exists(source):
            with open(target, "wb"):
                pass
            mount(source, target, flags=MS_BIND)


def show_kernel(root: str, devices: tuple[str, ...], size: str) -> None:
    """Show what every program needs of the kernel; /proc is that of the pid namespace that we are in."""
    for folder in ("dev/pts", "dev/shm", "proc", "sys"):
        os.makedirs(f"{root}/{folder}", exist_ok=True)
    show(root, *(f"dev/{name}" for name in devices), *(f"sys/{name}" for name in os.listdir("/sys") if name != "fs"))
    for name, target in LINKS:
        link = f"{root}/dev/{name}"
        if os.path.lexists(link):
            os.unlink(link)
        os.symlink(target, link)
    mount("tmpfs", f"{root}/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, f"mode=1777{size}")
    mount("devpts", f"{root}/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=666")
    mount("proc", f"{root}/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)


def build_rooted(lower: str, upper: str, scratch: str, merged: str, work: str) -> None:
    """Put the root together below `merged`.

    Whoever spoilt it may have put symlinks there, which lead to the machine's own files until we have entered: nothing is made in
    a folder of the root, only in new file systems on top of it.
    """
    mount("overlay", merged, "overlay", data=f"lowerdir={lower},upperdir={upper},workdir={scratch},userxattr")
    for name in ("dev", "proc", "sys", "work"):
        place = f"{merged}/{name}"
        if not os.path.lexists(place):
            os.mkdir(place)
        if os.path.islink(place) or not os.path.isdir(place):
            sys.exit(f"sandbox: /{name} of the root is no folder")
    for name in ("dev", "sys"):
        mount("tmpfs", f"{merged}/{name}", "tmpfs", MS_NOSUID | MS_NODEV, f"mode=0755{SIZE}")
    show_kernel(merged, DEVICES, "")
    mount(work, f"{merged}/work", flags=MS_BIND)


def build_alone(root: str, held: int, more: tuple[str, ...]) -> None:
    """Put together what is to be seen of the machine, on top of the folder `root`, which `held` is and which stays there.

    more: devices, beside the ordinary ones.
    """
    mount("tmpfs", root, "tmpfs", MS_NOSUID | MS_NODEV, f"mode=0755{SIZE}")
    for folder in ("etc", *EMPTY):
        os.makedirs(f"{root}/{folder}", exist_ok=True)
    for folder in ("tmp", "var/tmp"):
        os.chmod(f"{root}/{folder}", 0o1777)
    show(root, *PROGRAMS, *(f"etc/{name}" for name in SETTINGS))
    show_kernel(root, (*DEVICES, CONSOLE, *more), SIZE)
    os.makedirs(f"{root}{root}", exist_ok=True)
    mount(f"/proc/self/fd/{held}", f"{root}{root}", flags=MS_BIND)  # not MS_REC: it is covered by `root` itself


def enter(root: str, work: str) -> None:
    """Make `root` the root, let go of the old one, and go to the folder `work` of the new one."""
    os.chdir(root)
    check(_libc.syscall(ctypes.c_long(SYS_PIVOT_ROOT), b".", b"."), "pivot_root")
    check(_libc.umount2(b".", MNT_DETACH), "umount of the machine's root")
    os.chdir(work)


def become(program: list[str]) -> None:
    """Become the program. Not os.execvp: it imports a module for its search, and the machine's modules may be gone."""
    names = program[:1] if "/" in program[0] else [f"{folder}/{program[0]}" for folder in os.environ["PATH"].split(":")]
    reason = "not found"
    for name in names:
        try:
            os.execv(name, program)
        except OSError as error:
            reason = error.strerror or reason
    sys.exit(f"sandbox: {program[0]}: {reason}")


def main() -> None:
    """Do it."""
    way, *words = sys.argv[1:]
    mask = os.umask(0o022)
    mount("none", "/", flags=MS_REC | MS_PRIVATE)
    if way == "rooted":
        lower, upper, scratch, merged, work, *program = words
        check(_libc.sethostname(b"distwright", 10), "sethostname")
        build_rooted(lower, upper, scratch, merged, work)
        enter(merged, "/work")
    else:
        program, here = words, os.getcwd()
        held = os.open(".", os.O_PATH | os.O_DIRECTORY)
        build_alone(here, held, (KVM,) if way == "machine" else ())
        os.close(held)
        enter(here, here)
    os.umask(mask)
    become(program)


main()
