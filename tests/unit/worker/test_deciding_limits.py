"""Decisions about limits, apart from looking: what is passed, when to look again, where groups can be made."""

from pathlib import Path

import pytest

from distwright.jobs.limits import Limits
from distwright.tools.du import Taken
from distwright.worker.cgroups import Base, Found, base_of, find_group
from distwright.worker.cgroups import passed as passed_in_group
from distwright.worker.space import Free, has_passed, may_have_passed
from distwright.worker.watchdog import Use, guarded, next_look_s, passed

LIMITS = Limits(memory_mb=10, processes=5)
MB = 1 << 20


def test_limit_that_is_passed_is_named() -> None:
    uses = [Use(10 * MB, 5), Use(10 * MB + 1, 5), Use(0, 6), Use(99 * MB, 99)]
    named = ["", "memory limit of 10 MB", "process limit of 5", "process limit of 5"]
    assert [passed(LIMITS, use) for use in uses] == named
    assert passed(Limits(disk_mb=1), Use(99 * MB, 99)) == ""


def test_next_look_waits_until_this_one_was_one_per_cent() -> None:
    assert [next_look_s(cost) for cost in (0, 0.001, 0.005, 0.5)] == [0.2, 0.2, 0.5, 2.0]


def test_bounds_between_two_looks_leave_room_for_other_jobs_of_the_same_user() -> None:
    assert guarded(("x",), LIMITS)[-3:] == ("--nproc=8192:8192", "--", "x")
    assert guarded(("x",), Limits(processes=5000))[-3] == "--nproc=20000:20000"
    assert guarded(("x",), Limits(memory_mb=1))[-3:] == ("--core=0:0", "--", "x")


FREE = Free(100 * MB, 1000)
GROWN = {
    "nothing": (FREE, False),
    "as much as it may": (Free(90 * MB, 1000), False),
    "more": (Free(89 * MB, 1000), True),
    "less, for somebody freed": (Free(200 * MB, 1000), False),
    "inodes": (Free(100 * MB, -2000), True),
}


@pytest.mark.parametrize(("free", "may_be"), GROWN.values(), ids=GROWN)
def test_folder_cannot_have_grown_by_more_than_the_file_system_lost(free: Free, *, may_be: bool) -> None:
    assert may_have_passed(Taken(0, 0), FREE, free, 10 * MB) is may_be


def test_inodes_count_for_four_kibibytes_each() -> None:
    assert (has_passed(Taken(0, 2560), 10 * MB), has_passed(Taken(0, 2561), 10 * MB)) == (False, True)


REFUSED = b"max 3\n"


@pytest.mark.parametrize(
    ("events", "peak", "cut"),
    [
        (REFUSED, b"5\n", "process limit of 5"),
        (REFUSED, b"", "process limit of 5"),
        (REFUSED, b"4\n", ""),
        (b"max 0\n", b"5\n", ""),
    ],
)
def test_a_fork_that_a_group_above_has_refused_passes_no_limit_of_ours(events: bytes, peak: bytes, cut: str) -> None:
    assert passed_in_group(LIMITS, events, b"", peak) == cut


MOUNTS = """\
22 27 0:21 / /sys rw,nosuid - sysfs sysfs rw
30 22 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
31 22 0:27 / /sys/fs/cgroup rw,nosuid,nodev,noexec - cgroup2 cgroup2 rw,nsdelegate
"""
V1 = "4:memory:/x\n"


def test_group_that_we_are_in_is_found() -> None:
    assert find_group(MOUNTS, f"{V1}0::/system.slice/distwright.service\n") == (
        Path("/sys/fs/cgroup/system.slice/distwright.service"),
        False,
    )
    assert find_group(MOUNTS, "0::/\n") == (Path("/sys/fs/cgroup"), True)
    for mounts, membership in (
        (MOUNTS, V1),
        ("", "0::/\n"),
        (MOUNTS, "0::/../other\n"),
        (MOUNTS.replace(" / /sys/fs/cgroup rw,n", " /a /sys/fs/cgroup rw,n"), "0::/\n"),
    ):
        assert find_group(mounts, membership) is None


EVENTS = "low 0\nhigh 0\nmax {}\noom {}\noom_kill {}\noom_group_kill {}\n"
OF_GROUPS = {
    "nothing": (EVENTS.format(0, 0, 0, 0), 0, ""),
    "our limit": (EVENTS.format(30, 1, 2, 1), 0, "memory limit of 10 MB"),
    "the machine's memory": (EVENTS.format(0, 0, 2, 0), 0, ""),
    "the machine's, after its files were dropped from memory": (EVENTS.format(30, 0, 2, 0), 0, ""),
    "refused and not killed": (EVENTS.format(30, 1, 0, 0), 0, ""),
    "forks": (EVENTS.format(0, 0, 0, 0), 3, "process limit of 5"),
}


@pytest.mark.parametrize(("memory", "refused", "named"), OF_GROUPS.values(), ids=OF_GROUPS)
def test_limit_is_named_only_if_it_was_ours(memory: str, refused: int, named: str) -> None:
    assert passed_in_group(LIMITS, f"max {refused}\n".encode(), memory.encode()) == named


GROUP, BOTH = Path("/sys/fs/cgroup/x"), frozenset({"cpu", "memory", "pids"})
FOUND = {
    "no version 2": (Found(None), Base(None, "no cgroup version 2 is mounted")),
    "version 1 has them": (
        Found(GROUP, frozenset({"pids"}), is_writable=True, is_delegated=True),
        Base(None, "the cgroup version 2 that we are in has no controller for memory"),
    ),
    "somebody else's": (
        Found(GROUP, BOTH), Base(None, f"the cgroup {GROUP} is not delegated to us (systemd: Delegate=yes)"),
    ),
    "writable, but systemd's": (
        Found(GROUP, BOTH, is_writable=True), Base(None, f"the cgroup {GROUP} is not delegated to us (systemd: Delegate=yes)"),
    ),
    "delegated": (Found(GROUP, BOTH, is_writable=True, is_delegated=True), Base(GROUP, moves=True)),
    "all of it": (Found(GROUP, BOTH, is_top=True, is_writable=True), Base(GROUP)),
}  # fmt: skip


@pytest.mark.parametrize(("found", "base"), FOUND.values(), ids=FOUND)
def test_groups_are_made_where_they_are_delegated(found: Found, base: Base) -> None:
    assert base_of(found) == base
