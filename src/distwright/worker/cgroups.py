"""Limits kept by the kernel: a control group (version 2) for one program, where such groups are delegated to us.

See cgroups(7) and https://systemd.io/CGROUP_DELEGATION: whoever is delegated a group may make groups below it, if no process stays
in the group itself. So processes of ours move to a leaf of it first.
"""

import contextlib
import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from distwright.jobs.limits import Limits, words_of

_LEAF = "distwright"
_WANTED = frozenset({"memory", "pids"})
_GONE_WITHIN_S = 5.0
_ENTER = 'echo 0 >"$0"; exec "$@"'
_INSIDE = "inside"
# Of memory.events: `oom` counts what our limit refused, `oom_kill` whom any out-of-memory killer took, the machine's too.
_OUT_OF_MEMORY = re.compile(rb"^oom [1-9]", re.MULTILINE)
_KILLED = re.compile(rb"^oom_kill [1-9]", re.MULTILINE)
_FORK_REFUSED = re.compile(rb"^max [1-9]", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Found:
    """What there is of version 2. group: the folder that we are in, None without one; is_top: the root of the hierarchy."""

    group: Path | None
    controllers: frozenset[str] = frozenset()
    is_top: bool = False
    is_writable: bool = False
    is_delegated: bool = False


@dataclass(frozen=True, slots=True)
class Base:
    """Where groups of programs are made, or why there are none (`reason`). moves: our processes must move to a leaf before."""

    folder: Path | None
    reason: str = ""
    moves: bool = False


def base_of(found: Found) -> Base:
    """Decide where to make groups."""
    if found.group is None:
        return Base(None, "no cgroup version 2 is mounted")
    if not found.controllers >= _WANTED:
        missing = " and ".join(sorted(_WANTED - found.controllers))
        return Base(None, f"the cgroup version 2 that we are in has no controller for {missing}")
    if not found.is_writable or not (found.is_delegated or found.is_top):
        return Base(None, f"the cgroup {found.group} is not delegated to us (systemd: Delegate=yes)")
    return Base(found.group, moves=not found.is_top)


def find_group(mountinfo: str, membership: str) -> tuple[Path, bool] | None:
    """Give the folder of the group that we are in, and whether it is the top; from proc_pid_mountinfo(5) and proc_pid_cgroup(5)."""
    own = next((line[3:] for line in membership.splitlines() if line.startswith("0::/")), None)
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        words = before.split()
        if after.startswith("cgroup2 ") and own is not None and words[3] == "/" and "/.." not in own:
            return Path(words[4] + own.rstrip("/")), own == "/"
    return None


def look_for_groups() -> Found:
    """Look at what this machine has and lets us do."""
    found = find_group(_text(Path("/proc/self/mountinfo")), _text(Path("/proc/self/cgroup")))
    if found is None:
        return Found(None)
    group, is_top = found
    if group.name == _LEAF:  # we have moved already, or were started by one who had
        group = group.parent
    return Found(
        group,
        frozenset(_text(group / "cgroup.controllers").split()),
        is_top,
        os.access(group, os.W_OK) and os.access(group / "cgroup.procs", os.W_OK),
        _is_delegated(group),
    )


def make_group(base: Base, name: str, limits: Limits) -> "Group":
    """Make a group with these limits, and one in it for the program. Raises OSError where the kernel refuses after all.

    Whoever mounts this file system inside sees the inner group at its top, which has no limits to lift and may have no group below.
    No controller is passed down, so the outer one counts all that happens in it.
    """
    assert base.folder is not None  # noqa: S101  # whoever calls has asked `base_of`
    control = base.folder / "cgroup.subtree_control"
    if not set(_text(control).split()) >= _WANTED:
        if base.moves:
            _move_to_leaf(base.folder)
        control.write_text("+memory +pids")
    folder = base.folder / name
    _remove(folder)
    folder.mkdir()
    if limits.memory_mb:
        (folder / "memory.max").write_text(str(limits.memory_mb << 20))
        (folder / "memory.oom.group").write_text("1")
        with contextlib.suppress(FileNotFoundError):  # a kernel without swap
            (folder / "memory.swap.max").write_text("0")
    if limits.processes:
        (folder / "pids.max").write_text(str(limits.processes))
    (folder / _INSIDE).mkdir()
    (folder / "cgroup.max.descendants").write_text("1")
    return Group(folder, limits)


def passed(limits: Limits, pids_events: bytes, memory_events: bytes, pids_peak: bytes = b"") -> str:
    """Name the limit of ours that a group has passed, by its pids.events, memory.events and pids.peak; "" for none.

    Before Linux 6.11 a fork that a group above has refused, TasksMax of our service say, is counted here as well; then there never
    were as many as our limit. A kernel that has no peak is believed.
    """
    if limits.processes and _FORK_REFUSED.search(pids_events) and not _is_below(pids_peak, limits.processes):
        return words_of("process", limits.processes)
    if limits.memory_mb and _OUT_OF_MEMORY.search(memory_events) and _KILLED.search(memory_events):
        return words_of("memory", limits.memory_mb)
    return ""


def _is_below(pids_peak: bytes, processes: int) -> bool:
    return pids_peak.strip().isdigit() and int(pids_peak) < processes


@dataclass(frozen=True, slots=True)
class Group:
    """The group of one program and all that it starts."""

    folder: Path
    limits: Limits

    def entered(self, argv: Sequence[str]) -> tuple[str, ...]:
        """Wrap a program so that it begins in the group."""
        return ("sh", "-euc", _ENTER, str(self.folder / _INSIDE / "cgroup.procs"), *argv)

    def look(self) -> str:
        """Name the limit that was passed, as `CommandEnd.cut` does: the kernel has refused or killed already."""
        events = (_read(self.folder / name) for name in ("pids.events", "memory.events", "pids.peak"))
        return passed(self.limits, *events)

    def has_lost(self) -> bool:
        """Say whether a process was taken or refused: by the machine or a group above us, if no limit was passed."""
        refused = _FORK_REFUSED.search(_read(self.folder / "pids.events"))
        return refused is not None or _KILLED.search(_read(self.folder / "memory.events")) is not None

    def close(self) -> None:
        """End what is left in it, and remove it."""
        _remove(self.folder)


def _remove(folder: Path) -> None:
    deadline = time.monotonic() + _GONE_WITHIN_S
    while folder.exists():
        with contextlib.suppress(OSError):
            (folder / "cgroup.kill").write_text("1")
        try:
            for inner in sorted(folder.rglob("*/"), reverse=True):
                inner.rmdir()
            folder.rmdir()
        except OSError:
            if time.monotonic() > deadline:
                return  # the next attempt of that name tries again
            time.sleep(0.02)


def _move_to_leaf(folder: Path) -> None:
    """Move every process of a delegated group to a leaf of it; those that end meanwhile are no loss."""
    leaf = folder / _LEAF
    leaf.mkdir(exist_ok=True)
    for pid in _text(folder / "cgroup.procs").split():
        with contextlib.suppress(ProcessLookupError):
            (leaf / "cgroup.procs").write_text(pid)


def _is_delegated(group: Path) -> bool:
    for name in ("user.delegate", "trusted.delegate"):
        with contextlib.suppress(OSError):
            if os.getxattr(group, name) == b"1":
                return True
    return False


def _text(path: Path) -> str:
    return _read(path).decode(errors="replace")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
