"""Phased updates: apt upgrades by itself on the share of the machines that a suite says, and on all once it says nothing."""

from pathlib import Path

import pytest
from tests.worlds.apt import Apt, make_apt_of
from tests.worlds.archive import MadeDeb, make_deb
from tests.worlds.commands import CommandLine, command_line

MACHINES = [f"{number:032x}" for number in range(20)]


def program(version: str) -> list[MadeDeb]:
    """Two packages of one source."""
    return [make_deb("hello", version), make_deb("hello-data", version, architecture="all", source="hello")]


@pytest.fixture
def line(tmp_path: Path) -> CommandLine:
    """Version 2.0 of hello is in devel."""
    line = command_line(tmp_path)
    line.publish("devel", *program("2.0"))
    return line


@pytest.fixture
def apt(line: CommandLine, tmp_path: Path) -> Apt:
    """A machine that has 1.0."""
    url = f"copy:{line.state}/public/petrel"
    apt = make_apt_of(tmp_path / "apt", line.run("archive", "sources", "petrel", "devel", "--url", url).text)
    apt.install(*program("1.0"))
    return apt


def phase(line: CommandLine, percent: int) -> None:
    done = line.run("suite", "phase", "devel", str(percent), "hello", "--publish")
    assert done.exit_code == 0, done.said


def upgraded(apt: Apt, machine: str = MACHINES[0], *options: str) -> list[str]:
    updated = apt.update()
    assert (updated.exit_code, updated.complaints) == (0, [])
    return apt.plan("-o", f"APT::Machine-ID={machine}", *options, "upgrade")


ALL = ["hello [1.0] (2.0 Petrel:devel [amd64])", "hello-data [1.0] (2.0 Petrel:devel [all])"]


def test_nobody_upgrades_at_first_and_everybody_in_the_end(line: CommandLine, apt: Apt) -> None:
    assert upgraded(apt) == ALL
    phase(line, 0)
    assert upgraded(apt) == []
    assert upgraded(apt, MACHINES[0], "-o", "APT::Get::Always-Include-Phased-Updates=true") == ALL
    assert "2.0 500 (phased 0%)" in apt.run("apt-cache", "policy", "hello").stdout
    phase(line, 100)
    assert upgraded(apt) == ALL


def test_share_of_the_machines_grows_with_the_percentage_and_packages_of_a_source_go_together(
    line: CommandLine, apt: Apt
) -> None:
    before: set[str] = set()
    for percent, least, most in ((20, 1, 10), (80, 10, 19)):
        phase(line, percent)
        apt.update()
        plans = {machine: apt.plan("-o", f"APT::Machine-ID={machine}", "upgrade") for machine in MACHINES}
        assert all(plan in ([], ALL) for plan in plans.values())
        chosen = {machine for machine, plan in plans.items() if plan}
        assert least <= len(chosen) <= most
        assert before <= chosen
        before = chosen


def test_who_asks_for_the_package_gets_it_whatever_the_share_is(line: CommandLine, apt: Apt) -> None:
    phase(line, 0)
    assert upgraded(apt) == []
    assert apt.plan("-o", f"APT::Machine-ID={MACHINES[0]}", "install", "hello") == ALL
    apt.install()
    assert apt.plan("install", "hello") == ["hello (2.0 Petrel:devel [amd64])"]


def test_next_version_is_for_all(line: CommandLine, apt: Apt) -> None:
    phase(line, 0)
    line.publish("devel", *program("3.0"))
    assert [text.split()[2] for text in upgraded(apt)] == ["(3.0", "(3.0"]


def test_package_that_brings_its_share_along_keeps_it(line: CommandLine, apt: Apt) -> None:
    """XB-Phased-Update-Percentage in debian/control."""
    line.publish("devel", make_deb("hello", "3.0", fields={"Phased-Update-Percentage": "0"}))
    assert [text.split()[0] for text in upgraded(apt)] == ["hello-data"]
