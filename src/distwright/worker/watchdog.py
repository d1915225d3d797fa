"""Limits where no cgroup keeps them: look at everything that descends from a program, and say when it has passed one.

A look costs about a millisecond for a build of twenty processes, and the next one waits until it was less than one per cent of
a core. What grows between two looks is bounded by the rlimits and the order of the out-of-memory killer (see `guarded`).
"""

import contextlib
import os
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from distwright.jobs.limits import Limits, words_of

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_SHORTEST_S, _LONGEST_S = 0.2, 2.0
_SHARE = 100  # a look may cost this part of the time until the next one
# RLIMIT_NPROC counts what the user has in all jobs together (and in every namespace below, user_namespaces(7)), so it cannot
# be the limit of one: it only keeps a fork bomb from filling the machine between two looks.
_TASKS_AT_LEAST, _TASKS_FACTOR = 8192, 4
_ESCAPED = re.compile(rb"\\([0-3][0-7]{2})")
_BADNESS = 500  # proc_pid_oom_score_adj(5): long before anything of the machine or of ours


@dataclass(frozen=True, slots=True)
class Use:
    """What a program and everything that it started take. memory_bytes: what nobody else shares; tasks: threads, all told."""

    memory_bytes: int
    tasks: int


def passed(limits: Limits, use: Use) -> str:
    """Name the limit that this use has passed, as `CommandEnd.cut` does; "" for none."""
    if limits.processes and use.tasks > limits.processes:
        return words_of("process", limits.processes)
    if limits.memory_mb and use.memory_bytes > limits.memory_mb << 20:
        return words_of("memory", limits.memory_mb)
    return ""


def next_look_s(cost_s: float) -> float:
    """Say how long to wait after a look that took so much of a processor."""
    return min(_LONGEST_S, max(_SHORTEST_S, cost_s * _SHARE))


def guarded(argv: Sequence[str], limits: Limits) -> tuple[str, ...]:
    """Put before a program what bounds it between two looks, and what ends it first when the machine has no memory left.

    No RLIMIT_AS or RLIMIT_DATA: sanitizers and the runtimes of Go, Java and Haskell reserve far more than they use. No
    RLIMIT_FSIZE: it counts the length of sparse files, which test suites make by the terabyte.
    """
    tasks = max(_TASKS_AT_LEAST, _TASKS_FACTOR * limits.processes)
    rlimits = ("--core=0:0", *((f"--nproc={tasks}:{tasks}",) if limits.processes else ()))
    return ("choom", "--adjust", str(_BADNESS), "--", "prlimit", *rlimits, "--", *argv)


@dataclass(slots=True)
class Watchdog:
    """Looks at one program while it runs."""

    limits: Limits
    _next: float = 0.0

    def look(self, pid: int) -> str:
        """Look if it is time to, at the program whose first process this is; name the limit that it has passed."""
        if time.monotonic() < self._next:
            return ""
        began = time.thread_time()
        found = self._look(pid)
        self._next = time.monotonic() + next_look_s(time.thread_time() - began)
        return found

    def _look(self, pid: int) -> str:
        most = self.limits.processes
        pids, tasks = tree_of(pid, most or None)
        if not self.limits.memory_mb:
            return passed(self.limits, Use(0, tasks))
        memory = sum(map(_private_bytes, pids)) + tmpfs_bytes(pids)
        found = passed(self.limits, Use(memory, tasks))
        if found.startswith(
            "memory"
        ):  # what parent and child share was counted twice: only now is it worth to look closer
            exact = sum(map(_proportional_bytes, pids)) + tmpfs_bytes(pids)
            found = passed(self.limits, Use(exact, tasks))
        return found


def tree_of(pid: int, most_tasks: int | None = None) -> tuple[list[int], int]:
    """List a process and all that descend from it, and count their threads; stop when there are more than `most_tasks`.

    Linux keeps children by the thread that forked them; those of a process that ended are children of the first process of their
    pid namespace, which descends from `pid` as well.
    """
    found: list[int] = []
    tasks, left = 0, [pid]
    while left and (most_tasks is None or tasks <= most_tasks):
        one = left.pop()
        try:
            threads = os.listdir(f"/proc/{one}/task")  # noqa: PTH208  # twice as fast; this runs several times a second
        except OSError:
            continue
        found.append(one)
        tasks += len(threads)
        for thread in threads:
            left += map(int, _read(f"/proc/{one}/task/{thread}/children").split())
    return found, tasks


def killed_for_memory() -> int:
    """Say how many processes the out-of-memory killers of this machine have taken since it started (proc_vmstat(5))."""
    words = next((line.split() for line in _read("/proc/vmstat").splitlines() if line.startswith(b"oom_kill ")), [])
    return int(words[1]) if words else 0


def has_children_files() -> bool:
    """Say whether this kernel lists the children of a thread, without which nobody can watch."""
    return Path("/proc/thread-self/children").exists()


def tmpfs_bytes(pids: Sequence[int]) -> int:
    """Say what is in the tmpfs of their mount namespaces that we have not ourselves: /dev/shm, and what they mounted."""
    ours = {device for device, _ in _tmpfs_of("self")}
    found: dict[str, int] = {}
    namespaces: dict[str, int] = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            namespaces.setdefault(os.readlink(f"/proc/{pid}/ns/mnt"), pid)  # noqa: PTH115  # as above
    for pid in namespaces.values():
        for device, place in _tmpfs_of(str(pid)):
            if device not in ours and device not in found:
                with contextlib.suppress(OSError):
                    status = os.statvfs(f"/proc/{pid}/root{place}")
                    found[device] = (status.f_blocks - status.f_bfree) * status.f_frsize
    return sum(found.values())


def _tmpfs_of(pid: str) -> Iterator[tuple[str, str]]:
    """Give device and place of each tmpfs that a process sees (proc_pid_mountinfo(5))."""
    for line in _read(f"/proc/{pid}/mountinfo").splitlines():
        before, _, after = line.partition(b" - ")
        if after.startswith(b"tmpfs "):
            words = before.split()
            place = _ESCAPED.sub(lambda match: bytes([int(match[1], 8)]), words[4])
            yield words[2].decode(), os.fsdecode(place)


def _private_bytes(pid: int) -> int:
    """Give what a process has in memory but no file or tmpfs has: cheap, and too much where it shares it with its children."""
    words = _read(f"/proc/{pid}/statm").split()
    return (int(words[1]) - int(words[2])) * _PAGE_BYTES if len(words) > 2 else 0


def _proportional_bytes(pid: int) -> int:
    """Give its part of it: dear, for the kernel looks at every page. What we may not ask of is counted as above."""
    for line in _read(f"/proc/{pid}/smaps_rollup").splitlines():
        if line.startswith(b"Pss_Anon:"):
            return int(line.split()[1]) << 10
    return _private_bytes(pid)


def _read(path: str) -> bytes:
    """Read a file of /proc; nothing if its process has ended."""
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""
