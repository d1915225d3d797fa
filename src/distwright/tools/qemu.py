"""QEMU: how a virtual machine is started, and whether KVM really works here."""

import hashlib
import os
from pathlib import Path

from distwright.errors import ProgramFailed
from distwright.tools.run import Command, run
from distwright.tools.sandbox import Sandbox

QEMU = "qemu-system-x86_64"
EMULATION = "tcg,thread=multi"
_CANARY_TIMEOUT_S = 20
_CANARY_TEXT = b"Linux version"


def accelerator(cache: Path, sandbox: Sandbox, kernel: Path) -> str:
    """Say which accelerator to use: `kvm` if Linux really starts with it, emulation otherwise.

    /dev/kvm may open and a boot sector run, and a kernel still hang before its first line (seen with nested paravirtual KVM): so
    `kernel` itself is the canary, with a deadline. The answer is kept until the host's next boot, for that kernel: it is of
    an image, and must not decide for others.
    """
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    known = cache / f"accelerator-{boot}-{sandbox.user or os.geteuid()}-{_digest(kernel)}"
    if known.exists():
        return known.read_text().strip()
    answer = "kvm" if _kvm_boots(sandbox, kernel) else EMULATION
    partial = known.with_name(f"{known.name}.{os.getpid()}")
    partial.write_text(f"{answer}\n")
    partial.rename(known)
    return answer


def _digest(kernel: Path) -> str:
    with kernel.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _kvm_boots(sandbox: Sandbox, kernel: Path) -> bool:
    if not Path("/dev/kvm").exists():
        return False
    argv = (
        QEMU, "-accel", "kvm", "-m", "512", "-display", "none", "-no-reboot", "-serial", "stdio", "-monitor", "none",
        "-kernel", str(kernel), "-append", "console=ttyS0 panic=-1",
    )  # fmt: skip
    alone = sandbox.alone_argv(argv, sees_kvm=True)
    try:
        return run(Command(alone, timeout_s=_CANARY_TIMEOUT_S, until=_CANARY_TEXT, cwd=kernel.parent)).saw
    except ProgramFailed:
        return False
