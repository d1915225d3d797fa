"""Limits as values: what is not there is not written, and what was passed has a name."""

from dataclasses import replace

import pytest

from distwright.errors import BadInput
from distwright.jobs.limits import NO_LIMITS, Limits, blames_machine, is_limit, limits_of_machine, words_of
from distwright.jobs.step import Plan, PlannedCommand


def test_limits_come_back_from_json_and_none_are_not_written() -> None:
    limits = Limits(memory_mb=4096, processes=3)
    assert limits.to_json() == {"memory_mb": 4096, "processes": 3}
    assert Limits.from_json(limits.to_json()) == limits
    assert (NO_LIMITS.to_json(), Limits.from_json({})) == ({}, NO_LIMITS)
    command = PlannedCommand(("true",), 1)
    assert "limits" not in str(command.to_json())
    assert "keep_log" not in str(Plan((command,)).to_json())
    limited = Plan((PlannedCommand(("true",), 1, limits=limits),), keep_log="log")
    assert Plan.from_json(limited.to_json()) == limited


def test_what_a_plan_does_not_say_the_machine_does() -> None:
    machine = limits_of_machine(64_000, 400_000)
    assert NO_LIMITS.or_else(machine) == machine
    assert Limits(memory_mb=1, hours=3).or_else(machine) == replace(machine, memory_mb=1, hours=3)
    assert (machine.memory_mb, machine.disk_mb) == (32_000, 65536)
    small, smaller = limits_of_machine(12_000, 40_000), limits_of_machine(4000, 40_000)
    assert [one.memory_mb for one in (small, smaller)] == [8192, 3000], "never all of it"
    assert small.disk_mb == 20_000
    assert machine.hours == 0, "each command says its time"


def test_machine_is_to_blame_only_for_a_low_limit_of_its_own() -> None:
    low, high = Limits(disk_mb=500, memory_mb=500, processes=3), Limits(disk_mb=50_000, memory_mb=9000, processes=3)
    for what, given, planned, blamed in (
        ("disk", low, NO_LIMITS, True),
        ("memory", low, NO_LIMITS, True),
        ("disk", low, Limits(disk_mb=500), False),
        ("disk", high, NO_LIMITS, False),
        ("process", low, NO_LIMITS, False),
        ("time", low, NO_LIMITS, False),
    ):
        assert blames_machine(words_of(what, 500), planned, given) is blamed, (what, given, planned)
    assert not blames_machine("", NO_LIMITS, low)


@pytest.mark.parametrize("value", [{"memory_mb": -1}, {"memory_mb": "1"}, {"memory": 1}, {"memory_mb": True}, 3])
def test_what_is_no_limit_is_refused(value: object) -> None:
    with pytest.raises(BadInput):
        Limits.from_json(value)  # type: ignore[arg-type]


def test_only_these_limits_are_limits() -> None:
    names = [words_of(what, 3) for what in ("memory", "disk", "output", "fetch", "process")]
    assert names == [
        "memory limit of 3 MB",
        "disk limit of 3 MB",
        "output limit of 3 MB",
        "fetch limit of 3 MB",
        "process limit of 3",
    ]
    assert all(map(is_limit, names))
    assert not any(map(is_limit, ["", "time limit of 3 s", "'panic' in its output", "a memory limit of 3 MB"]))
