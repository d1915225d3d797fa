"""How untrusted programs are kept apart: another user, a process namespace that dies with us, a root of their own.

Started as root, sandboxed programs run as the system user `distwright` inside a pid namespace whose end is ours. Started as
a plain user they run as that user. Either way `rooted` shows them one root file system and the work folder, and no network,
by user namespaces; the kernel calls are tried and described in docs/design/0003.
"""

import os
import pwd
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from distwright.errors import NotFound
from distwright.tools.run import Command, run

SANDBOX_USER = "distwright"

_ENTER_ROOT = Path(__file__).with_name("enter_root.py")
_IN_USER_NAMESPACE = ("unshare", "--map-root-user", "--map-auto")
_PYTHON = ("/usr/bin/python3", "-I", "-S", "-c")
_ALONE = ("--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child")


@dataclass(frozen=True, slots=True)
class RootFolders:
    """Where a rooted program lives: an unpacked root (only read), and three empty folders and the work folder of the job."""

    lower: Path
    upper: Path
    scratch: Path
    merged: Path
    work: Path


@dataclass(frozen=True, slots=True)
class Sandbox:
    """Who runs sandboxed programs: `user` when we are root, otherwise ourselves (None)."""

    user: str | None

    def argv(self, program: Sequence[str]) -> tuple[str, ...]:
        """Wrap a program so that it and all it starts dies with the process that started it, and is not root."""
        if self.user is None:
            return ("setpriv", "--pdeathsig", "KILL", "--", *program)
        as_user = ("setpriv", "--reuid", self.user, "--regid", self.user, "--init-groups", "--pdeathsig", "KILL", "--")
        in_namespace = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--")
        return ("setpriv", "--pdeathsig", "KILL", "--", *in_namespace, *as_user, *program)

    def rooted_argv(self, folders: RootFolders, program: Sequence[str], *, reads_shelf: bool) -> tuple[str, ...]:
        """Wrap a program so that it also sees nothing but the root in `folders.lower` (its changes go to `upper`) and /work.

        It has no network, or this machine's if it must read the loopback shelf.
        """
        alone = _ALONE if reads_shelf else (*_ALONE, "--net")
        places = (folders.lower, folders.upper, folders.scratch, folders.merged, folders.work)
        inner = (*_IN_USER_NAMESPACE, *alone, *_PYTHON, _ENTER_ROOT.read_text(), *map(str, places), *program)
        return self.argv(inner)

    def make_folder(self, path: Path) -> None:
        """Make a folder that sandboxed programs may write to (its parents stay ours)."""
        path.mkdir(parents=True, exist_ok=True)
        self.give(path)

    def give(self, path: Path) -> None:
        """Give a file or folder of ours to the sandbox user."""
        if self.user is not None:
            entry = pwd.getpwnam(self.user)
            os.chown(path, entry.pw_uid, entry.pw_gid, follow_symlinks=False)

    def unpack(self, archive: Path, target: Path) -> None:
        """Unpack a root file system (tar, compressed or not) with its owners into the new folder `target`."""
        self.make_folder(target)
        script = 'umask 022; exec tar --extract --numeric-owner --exclude="./dev/*" --directory "$1" --file "$2"'
        inner = (*_IN_USER_NAMESPACE, "sh", "-c", script, "unpack", str(target), str(archive))
        run(Command(self.argv(inner), timeout_s=600)).checked()

    def remove(self, folder: Path) -> None:
        """Remove a folder with everything that sandboxed programs left in it, whoever owns it."""
        if not folder.exists():
            return
        # Not shutil.rmtree: a hostile program nests folders deeper than Python's stack.
        rm = ("rm", "-rf", "--one-file-system", "--", str(folder))
        if os.geteuid() != 0:
            run(Command(self.argv((*_IN_USER_NAMESPACE, *rm)), timeout_s=600))
        run(Command(rm, timeout_s=600)).checked()


def sandbox_for(uid: int) -> Sandbox:
    """Choose the sandbox for the user we run as; raise NotFound if root has no sandbox user to run programs as."""
    if uid != 0:
        return Sandbox(None)
    try:
        pwd.getpwnam(SANDBOX_USER)
    except KeyError:
        raise NotFound(f"system user {SANDBOX_USER} does not exist", hint="make setup") from None
    return Sandbox(SANDBOX_USER)
