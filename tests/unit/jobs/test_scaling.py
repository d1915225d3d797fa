"""When machines of a pool are to come, and when to go: decided of counts and times alone."""

from datetime import datetime, timedelta

import pytest
from tests.worlds.times import NOW

from distwright.config.load import parse_config
from distwright.config.tables_hosts import Pool
from distwright.errors import BadConfig
from distwright.jobs.scaling import GROW, SHRINK, Scaled, action_for
from distwright.store.pools import PoolLoad

TABLE = Pool(scale_command=("/usr/bin/true",), wait_minutes=5, idle_minutes=30, every_minutes=10, timeout_minutes=1)
IDLE, WORKS = PoolLoad(), PoolLoad(running=2)


def ago(minutes: float) -> datetime:
    return NOW - timedelta(minutes=minutes)


def waits(minutes: float, running: int = 0) -> PoolLoad:
    return PoolLoad(3, NOW - timedelta(minutes=minutes), running)


@pytest.mark.parametrize(
    ("load", "scaled", "action"),
    [
        (waits(4.9), Scaled(), ""),
        (waits(5), Scaled(), GROW),
        (waits(60, running=4), Scaled(), GROW),
        (waits(60), Scaled(is_open=True), ""),
        (waits(60), Scaled(grown=ago(9)), ""),
        (waits(60), Scaled(grown=ago(10)), GROW),
        (waits(60), Scaled(grown=ago(50), shrunk=ago(9)), ""),
        (WORKS, Scaled(busy=ago(90), grown=ago(90)), ""),
        (IDLE, Scaled(busy=ago(90)), ""),
        (IDLE, Scaled(busy=ago(29), grown=ago(90)), ""),
        (IDLE, Scaled(busy=ago(30), grown=ago(90)), SHRINK),
        (IDLE, Scaled(busy=ago(60), grown=ago(90), shrunk=ago(20), shrank=True), ""),
        (IDLE, Scaled(busy=ago(60), grown=ago(90), shrunk=ago(20), shrank=False), SHRINK),
        (IDLE, Scaled(busy=ago(60), grown=ago(90), shrunk=ago(5), shrank=False), ""),
        (IDLE, Scaled(busy=ago(60), grown=ago(90), shrunk=ago(99), shrank=True), SHRINK),
        (IDLE, Scaled(busy=ago(-60), grown=ago(90)), ""),
    ],
)
def test_action_follows_from_what_waits_and_what_was_done(load: PoolLoad, scaled: Scaled, action: str) -> None:
    assert action_for(TABLE, load, scaled, NOW) == action


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ('["add-builder"]', "'add-builder' is not the whole path of a program, which begins with /"),
        ("[]", "is an empty list"),
        ('"/usr/bin/true"', "is a string"),
        (r'["/usr/bin/true", "a\nb"]', "is not one printable line"),
    ],
)
def test_command_is_a_program_by_its_whole_path_and_no_line_for_a_shell(command: str, said: str) -> None:
    text = f'format = 1\n[site]\nname = "Petrel"\n[pool.arm64]\nscale_command = {command}\n'
    with pytest.raises(BadConfig) as refused:
        parse_config([("distwright.toml", text)])
    assert said in refused.value.message
