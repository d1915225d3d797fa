"""Cells: a sandbox, an unpacked root and the folders of one program, as root and as a plain user make them."""

import os
import pwd
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from distwright.net.listen import LoopbackServer
from distwright.tools.run import Command, Finished, run
from distwright.tools.sandbox import SANDBOX_USER, Door, RootFolders, Sandbox

IS_ROOT = os.geteuid() == 0
HOST_SECRET = "host-secret"


@dataclass(frozen=True)
class Cell:
    """A sandbox, an unpacked root and folders for one program. prefix: what makes us the plain user, if we are root."""

    sandbox: Sandbox
    prefix: tuple[str, ...]
    folders: RootFolders
    home: Path

    def argv(self, *program: str, door: Door | None = None) -> tuple[str, ...]:
        """Give the words that run a program in the root."""
        return (*self.prefix, *self.sandbox.rooted_argv(self.folders, program, door))

    def run(self, *program: str, shelf: LoopbackServer | None = None, timeout_s: float = 60) -> Finished:
        """Run a program in the root."""
        return self._run(lambda door: self.argv(*program, door=door), shelf, timeout_s)

    def run_host_program(
        self, *program: str, shelf: LoopbackServer | None = None, timeout_s: float = 60, sees_kvm: bool = False
    ) -> Finished:
        """Run a program of this machine, as mmdebstrap and sbuild are; sees_kvm: as QEMU is."""

        def argv(door: Door | None) -> tuple[str, ...]:
            with acting_as(SANDBOX_USER if self.prefix else None):
                return (*self.prefix, *self.sandbox.alone_argv(program, door, sees_kvm=sees_kvm))

        return self._run(argv, shelf, timeout_s)

    def _run(
        self, argv: Callable[[Door | None], tuple[str, ...]], shelf: LoopbackServer | None, timeout_s: float
    ) -> Finished:
        with ExitStack() as stack:
            door = None if shelf is None else Door(stack.enter_context(shelf.door()), shelf.port)
            environment, channels = {"HOME": "/nonexistent"}, () if door is None else (door.channel,)
            # The first process of a namespace does not hear TERM unless it listens: no test waits for that.
            command = Command(
                argv(door), timeout_s, cwd=self.folders.work, environment=environment, keep_fds=channels, grace_s=0.5
            )
            return run(command)

    def shell(self, script: str, *, shelf: LoopbackServer | None = None) -> str:
        """Run a script that must succeed; give what it printed."""
        return self.run("sh", "-euc", script, shelf=shelf).checked().stdout.decode()

    @property
    def owner(self) -> int:
        """Who sandboxed programs are, seen from outside."""
        return pwd.getpwnam(SANDBOX_USER).pw_uid if IS_ROOT else os.getuid()


@contextmanager
def acting_as(user: str | None) -> Iterator[None]:
    """Be another user for what asks who we are."""
    if user is not None:
        entry = pwd.getpwnam(user)
        os.setegid(entry.pw_gid)
        os.seteuid(entry.pw_uid)
    try:
        yield
    finally:
        if user is not None:
            os.seteuid(0)
            os.setegid(0)
