"""How untrusted programs are kept apart: another user, a process namespace that dies with us, a root of their own.

Started as root, sandboxed programs run as the system user `distwright` inside a pid namespace whose end is ours. Started as
a plain user they run as that user. Either way they have a network of their own, in which there is nothing, or a `Door` to the
shelf; and they see the machine's programs and their work folder, or, `rooted`, one root file system and the work folder. See
docs/design/0003.
"""

import contextlib
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
_ALONE = ("--mount", "--pid", "--ipc", "--uts", "--net", "--cgroup", "--fork", "--kill-child")
_OPEN_DOOR = Path(__file__).with_name("open_door.py")
# What newuidmap needs where it is not set-uid root, for root is not mapped; see `_in_namespaces`.
_MAPPING_CAPS = "-all,+setuid,+setgid"


@dataclass(frozen=True, slots=True)
class Door:
    """The only way out of a program's network namespace: what it gets at 127.0.0.1:`port` is served by us.

    channel: a descriptor of a Unix socket; who holds its other end receives the socket that listens inside, and accepts on it.
    """

    channel: int
    port: int

    @property
    def opened(self) -> tuple[str, ...]:
        """The words before a program that open it; they need to be root of the namespace."""
        return (*_PYTHON, _OPEN_DOOR.read_text(), str(self.channel), str(self.port))


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
        """Wrap a program of our own making so that it and all it starts dies with the process that started it, and is not root."""
        if self.user is None:
            return ("setpriv", "--pdeathsig", "KILL", "--", *program)
        return self._as_user(program)

    def alone_argv(
        self, program: Sequence[str], door: Door | None = None, *, sees_kvm: bool = False
    ) -> tuple[str, ...]:
        """Wrap a program of the machine as `argv` does, with no network but the door, and no file but what programs need.

        It must be started in its work folder, the only one that it can change or that keeps anything. sees_kvm: /dev/kvm is there,
        for QEMU; never for what runs scripts of packages.
        """
        way = "machine" if sees_kvm else "alone"
        before = (*(() if door is None else door.opened), *_PYTHON, _ENTER_ROOT.read_text(), way)
        if self.user is not None:
            return self._as_user(program, namespaces=("--net", "--ipc", "--uts", "--cgroup"), before=before)
        return self.argv(_in_namespaces(program, before, keeps_ids=door is not None))

    def rooted_argv(self, folders: RootFolders, program: Sequence[str], door: Door | None = None) -> tuple[str, ...]:
        """Wrap a program as `alone_argv` does, so that it also sees nothing but /work and the root in `folders.lower`.

        Its changes of the root go to `upper`.
        """
        places = (folders.lower, folders.upper, folders.scratch, folders.merged, folders.work)
        opened = () if door is None else door.opened
        entering = (*_PYTHON, _ENTER_ROOT.read_text(), "rooted", *map(str, places))
        return self.argv((*_IN_USER_NAMESPACE, *_ALONE, *opened, *entering, *program))

    def _as_user(
        self, program: Sequence[str], *, namespaces: tuple[str, ...] = (), before: tuple[str, ...] = ()
    ) -> tuple[str, ...]:
        user = str(self.user)
        as_user = ("setpriv", "--reuid", user, "--regid", user, "--init-groups", "--pdeathsig", "KILL", "--")
        in_namespace = ("unshare", "--pid", *namespaces, "--fork", "--kill-child", "--mount-proc", "--")
        return ("setpriv", "--pdeathsig", "KILL", "--", *in_namespace, *before, *as_user, *program)

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
        """Unpack a root file system (a plain tar: no larger than it is) with its owners into the new folder `target`."""
        self.make_folder(target)
        script = 'umask 022; exec tar --extract --numeric-owner --exclude="./dev/*" --directory "$1" --file - <"$2"'
        inner = (*_IN_USER_NAMESPACE, "sh", "-c", script, "unpack", str(target), str(archive))
        run(Command(self.argv(inner), timeout_s=600)).checked()

    def as_all_ids(self, program: Sequence[str]) -> tuple[str, ...]:
        """Wrap a program of ours so that it may look into every folder that sandboxed programs left, whoever owns it there."""
        return tuple(program) if os.geteuid() == 0 else self.argv((*_IN_USER_NAMESPACE, *program))

    def remove(self, folder: Path) -> None:
        """Remove a folder with everything that sandboxed programs left in it, whoever owns it."""
        if not folder.exists():
            return
        # Not shutil.rmtree: a hostile program nests folders deeper than Python's stack.
        rm = ("rm", "-rf", "--one-file-system", "--", str(folder))
        if os.geteuid() != 0:
            run(Command(self.as_all_ids(rm), timeout_s=600))
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


def _in_namespaces(program: Sequence[str], before: tuple[str, ...], *, keeps_ids: bool) -> tuple[str, ...]:
    """Put a plain user's program into a network, a mount and a pid namespace, prepared by `before`, as himself.

    Only root of a user namespace may make them. keeps_ids: in that user namespace everybody keeps his number, the user and his
    subordinate ids; and newuidmap, which is not set-uid there, is lent the two capabilities that it needs to map them once more.
    """
    mapped = _own_ids() if keeps_ids else ("--map-current-user",)
    caps = _MAPPING_CAPS if keeps_ids else "-all"
    kept = ("setpriv", "--inh-caps", caps, "--ambient-caps", caps, "--pdeathsig", "KILL", "--")
    namespaces = ("--mount", "--net", "--pid", "--ipc", "--uts", "--cgroup", "--fork", "--kill-child")
    return ("unshare", "--keep-caps", *mapped, *namespaces, "--", *before, *kept, *program)


def _own_ids() -> tuple[str, ...]:
    """Give the options of unshare(1) by which we and our subordinate ids keep their numbers."""
    user, group = os.geteuid(), os.getegid()
    first_user, users = _subordinate_ids(Path("/etc/subuid"), user)
    first_group, groups = _subordinate_ids(Path("/etc/subgid"), user)
    return (
        f"--map-user={user}", f"--map-users={first_user},{first_user},{users}",
        f"--map-group={group}", f"--map-groups={first_group},{first_group},{groups}",
    )  # fmt: skip


def _subordinate_ids(table: Path, user: int) -> tuple[int, int]:
    """Give the first range of a user in /etc/subuid or /etc/subgid (subuid(5)); raise NotFound."""
    names = {str(user)}
    with contextlib.suppress(KeyError):
        names.add(pwd.getpwuid(user).pw_name)
    for line in table.read_text().splitlines() if table.exists() else ():
        name, _, numbers = line.partition(":")
        first, _, count = numbers.partition(":")
        if name in names and first.isdigit() and count.isdigit():
            return int(first), int(count)
    raise NotFound(f"user {user} has no subordinate ids in {table}", hint="distwright doctor")
