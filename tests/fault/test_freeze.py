"""Killed anywhere, freezing leaves the old state or the new one: pins file by file, an exception with its row or neither."""

import contextlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tests.unit.archive.test_exceptions import ALL, Suites
from tests.worlds.installation import WorldContext
from tests.worlds.killing import NEVER, killed_before_each_change, run_killed_at

from distwright.archive.pin_files import read_pins, save_pins
from distwright.archive.pins import freeze
from distwright.errors import Refused
from distwright.model.records import FreezeException
from distwright.model.serials import Serial
from distwright.store.exceptions import list_exceptions

OLD, NEW = Serial("2024011001"), Serial("2024020101")
ARCHIVES = ("debian", "security")


def in_a_child(suites: Suites, act: Callable[[Suites], object]) -> Callable[[], object]:
    def run() -> object:
        suites.context = replace(suites.context, database=suites.context.database.reopen())
        return act(suites)

    return run


def let_in(suites: Suites) -> None:
    suites.let_in()


def ready_to_let_in(folder: Path) -> Suites:
    folder.mkdir()
    return Suites(folder)


def state(suites: Suites) -> tuple[dict[str, str], list[str | None]]:
    return suites.versions(), [row.ended_why for row in exceptions(suites.context)]


def exceptions(context: WorldContext) -> list[FreezeException]:
    with context.database.read() as tx:
        return list_exceptions(tx, ended=True)


def test_packages_and_the_row_of_their_exception_come_together(tmp_path: Path) -> None:
    before: tuple[dict[str, str], list[str | None]] = ({}, [])
    after: tuple[dict[str, str], list[str | None]] = (ALL, [None])
    for _, suites in killed_before_each_change(
        lambda name: ready_to_let_in(tmp_path / name), lambda suites: in_a_child(suites, let_in), more_than=3
    ):
        assert state(suites) in (before, after)
        with contextlib.suppress(Refused):  # it was done when it was killed
            suites.let_in()
        assert state(suites) == after


def test_each_pin_is_the_old_one_or_the_new_one_and_the_next_command_goes_on(tmp_path: Path) -> None:
    newest = dict.fromkeys(ARCHIVES, NEW)

    def ready(name: str) -> Path:
        save_pins(tmp_path / name, {"debian": OLD})
        return tmp_path / name

    counted = ready("counted")
    count = run_killed_at(NEVER, lambda: save_pins(counted, newest))
    assert count is not None
    for number in range(1, count + 1):
        top = ready(str(number))
        assert run_killed_at(number, lambda top=top: save_pins(top, newest)) is None  # type: ignore[misc]
        found = read_pins(top, ARCHIVES)
        assert found["debian"] in (OLD, NEW)
        assert found.get("security", NEW) == NEW
        save_pins(top, {**freeze(found, newest), "debian": NEW})
        assert read_pins(top, ARCHIVES) == newest
        assert sorted(path.name for path in top.rglob("*") if path.is_file()) == ["serial", "serial"]
