"""binfmt_misc of the kernel: mounted and with an emulator for as long as a test needs it, and left as it was found."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BINFMT = Path("/proc/sys/fs/binfmt_misc")


@contextmanager
def emulating(handler: str) -> Iterator[None]:
    """Have the kernel run programs by a handler of Debian's qemu-user-static (`qemu-aarch64`). It takes root; fails without."""
    was_mounted = (BINFMT / "status").exists()
    if not was_mounted:
        _run("mount", "-t", "binfmt_misc", "binfmt_misc", str(BINFMT))
    try:
        was_enabled = (BINFMT / handler).exists()
        if not was_enabled:
            _run("update-binfmts", "--enable", handler)
        try:
            yield
        finally:
            if not was_enabled:
                _run("update-binfmts", "--disable", handler)
    finally:
        if not was_mounted:
            _run("umount", str(BINFMT))


def _run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(argv)}: {done.stderr} (as root: make setup-test)"
