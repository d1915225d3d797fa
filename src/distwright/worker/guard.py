"""What keeps one program within its limits: a control group where one is delegated to us, else a watchdog; and the disk gauge."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from distwright.jobs.limits import Limits
from distwright.tools.du import taken
from distwright.tools.sandbox import Sandbox
from distwright.worker.cgroups import Group, base_of, look_for_groups, make_group
from distwright.worker.space import DiskGauge
from distwright.worker.watchdog import Watchdog, guarded, killed_for_memory


@dataclass(frozen=True, slots=True)
class Guard:
    """Who looks at one program."""

    limits: Limits
    group: Group | None = None
    watchdog: Watchdog | None = None
    disk: DiskGauge | None = None
    killed_before: int = 0

    def wrapped(self, argv: Sequence[str]) -> tuple[str, ...]:
        """Put before a program what it must begin with."""
        if not self.limits.are_watched:
            return tuple(argv)
        if self.group is not None:
            return self.group.entered(guarded(argv, Limits()))
        return guarded(argv, self.limits)

    def look(self, pid: int) -> str:
        """Name the limit that the program whose first process is `pid` has passed; cheap enough to be called all the time."""
        found = "" if self.group is None else self.group.look()
        found = found or ("" if self.watchdog is None else self.watchdog.look(pid))
        return found or ("" if self.disk is None else self.disk.look(pid))

    def last_look(self) -> str:
        """Say whether the kernel has ended a program that is no more for passing a limit."""
        return "" if self.group is None else self.group.look()

    def was_robbed(self, exit_code: int) -> bool:
        """Say whether a program that is no more, and has passed no limit, ended badly and the machine's memory may be why.

        A program some of whose processes were taken may say so in any way, so its exit code says nothing. Without a group nobody
        knows whose process it was: then the doubt is for the program, which is tried again.
        """
        if exit_code == 0:
            return False
        return killed_for_memory() > self.killed_before if self.group is None else self.group.has_lost()


@contextlib.contextmanager
def guarding(limits: Limits, work: Path, sandbox: Sandbox, name: str) -> Iterator[Guard]:
    """Guard a program that works below `work`, as long as the block lasts. name: of its control group."""
    with contextlib.ExitStack() as stack:
        group = watchdog = disk = None
        if limits.memory_mb or limits.processes:
            group = _group(limits, name)
            watchdog = Watchdog(limits) if group is None else None
        if group is not None:
            stack.callback(group.close)
        if limits.disk_mb:
            disk = DiskGauge(work, limits.disk_mb, lambda is_cancelled: taken(work, sandbox, is_cancelled))
            stack.callback(disk.close)
        yield Guard(limits, group, watchdog, disk, killed_for_memory())


def _group(limits: Limits, name: str) -> Group | None:
    base = base_of(look_for_groups())
    if base.folder is None:
        return None
    try:
        return make_group(base, name, limits)
    except OSError:
        return None  # it looked as if we could; the watchdog can everywhere
