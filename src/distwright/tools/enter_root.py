"""Enter a root file system for good: run by the host's Python inside a new user, mount and pid namespace, as its root.

A script, not a module of ours: the sandbox user may be unable to read our files, so its text is handed over by `-c`. It must use
system calls and not mount(8), for after pivot_root the programs are those of the new root, which may have no umount.

Arguments: lower upper scratch merged work program [argument …]. The program begins in /work of lower+upper; nothing else of the
machine is left to see.
"""

import ctypes
import os
import sys

MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE, MNT_DETACH = 2, 4, 8, 4096, 16384, 1 << 18, 2
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")

_libc = ctypes.CDLL(None, use_errno=True)


def check(result: int, what: str) -> None:
    """Stop with the reason if a system call failed."""
    if result != 0:
        sys.exit(f"sandbox: {what}: {os.strerror(ctypes.get_errno())}")


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """mount(2)."""
    arguments = [text.encode() or None for text in (source, target, kind)]
    check(_libc.mount(*arguments, ctypes.c_ulong(flags), data.encode() or None), f"mount {target}")


def build(lower: str, upper: str, scratch: str, merged: str, work: str) -> None:
    """Put the root together below `merged`."""
    mount("none", "/", flags=MS_REC | MS_PRIVATE)
    mount("overlay", merged, "overlay", data=f"lowerdir={lower},upperdir={upper},workdir={scratch},userxattr")
    for folder in ("dev/shm", "dev/pts", "proc", "sys", "work"):
        os.makedirs(f"{merged}/{folder}", exist_ok=True)  # pathlib would double the start-up time
    for name in DEVICES:
        with open(f"{merged}/dev/{name}", "wb"):
            pass
        mount(f"/dev/{name}", f"{merged}/dev/{name}", flags=MS_BIND)
    mount("tmpfs", f"{merged}/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777")
    mount("devpts", f"{merged}/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=666")
    for name, target in (
        ("fd", "/proc/self/fd"),
        ("stdin", "fd/0"),
        ("stdout", "fd/1"),
        ("stderr", "fd/2"),
        ("ptmx", "pts/ptmx"),
    ):
        link = f"{merged}/dev/{name}"
        if os.path.lexists(link):
            os.unlink(link)
        os.symlink(target, link)
    mount("/sys", f"{merged}/sys", flags=MS_BIND | MS_REC)
    mount("proc", f"{merged}/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    mount(work, f"{merged}/work", flags=MS_BIND)


def enter(merged: str) -> None:
    """Make `merged` the root and let go of the old one."""
    os.chdir(merged)
    check(_libc.syscall(ctypes.c_long(SYS_PIVOT_ROOT), b".", b"."), "pivot_root")
    check(_libc.umount2(b".", MNT_DETACH), "umount of the machine's root")
    os.chdir("/work")


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
    lower, upper, scratch, merged, work, *program = sys.argv[1:]
    check(_libc.sethostname(b"distwright", 10), "sethostname")
    build(lower, upper, scratch, merged, work)
    enter(merged)
    # Not os.execvp: it imports a module for its search, and the machine's modules are gone.
    names = program[:1] if "/" in program[0] else [f"{folder}/{program[0]}" for folder in os.environ["PATH"].split(":")]
    reason = "not found"
    for name in names:
        try:
            os.execv(name, program)
        except OSError as error:
            reason = error.strerror or reason
    sys.exit(f"sandbox: {program[0]}: {reason}")


main()
