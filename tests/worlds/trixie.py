"""The apt of Debian 13, in a root that is made once and kept with the other dear things of the tests."""

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

from tests.system.line import CACHE

from distwright.tools.apt import configured_sources

_ENTER = """\
set -eu
mount --rbind /dev "$1/dev"
mount --rbind /proc "$1/proc"
mount --bind "$2" "$1/mnt"
exec chroot "$1" sh -c 'cd /mnt/here; exec "$@"' sh "${@:3}"
"""


def apt_3(folder: Path) -> tuple[str, ...]:
    """Give what begins a program in the root; there, `folder` is /mnt and the working folder /mnt/here."""
    namespace = ("unshare", "--mount") if os.geteuid() == 0 else ("unshare", "--mount", "--map-root-user")
    return (*namespace, "bash", "-c", _ENTER, "bash", str(_root()), str(folder))


def _root() -> Path:
    root = CACHE / "trixie-apt"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "trixie-apt.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not root.exists():
            _make(root)
    return root


def _make(root: Path) -> None:
    """Make it from where this machine has Debian. What is in /dev is the machine's, so a plain user can unpack it."""
    mirror = next(row.url for row in configured_sources() if (row.origin, row.label) == ("Debian", "Debian"))
    tar, partial = root.with_name("trixie-apt.tar"), root.with_name("trixie-apt.new")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
    source = f"deb [signed-by={keyring}] {mirror} trixie main"
    argv = ("mmdebstrap", "--quiet", "--variant=apt", "--format=tar", "trixie", str(tar), source)
    subprocess.run(argv, check=True, timeout=600, stdin=subprocess.DEVNULL)
    subprocess.run(
        ("tar", "--extract", "--file", str(tar), "--directory", str(partial), "--exclude=./dev/*"), check=True
    )
    tar.unlink()
    partial.rename(root)
