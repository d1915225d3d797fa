"""Rows that freezing asks for: holds that end, and exceptions with what became of them."""

from dataclasses import replace

from tests.worlds.state import OpenAgain
from tests.worlds.times import DAY, NOW

from distwright.model.records import FreezeException
from distwright.store.exceptions import end_exception, insert_exception, list_exceptions
from distwright.store.holds import add_holds, drop_hold, holds_of, holds_of_kind, holds_on, serial_hold

ROW = FreezeException(
    0, "petrel", "1.0", "hello", "2.0", "petrel/devel", "petrel/stable", "", "a crash", "user ada", NOW
)


def test_a_hold_that_ends_does_not_count_afterwards_and_others_of_its_holder_stay(open_again: OpenAgain) -> None:
    ending = serial_hold("user ada", "debian", "2024011001", "a demo", NOW + DAY)
    lasting = serial_hold("user ada", "debian", "2024011002", "a fair")
    with open_again().write() as tx:
        add_holds(tx, "user ada", [ending, lasting], NOW)
    with open_again().read() as tx:
        assert holds_of(tx, "user ada") == holds_of_kind(tx, "serial") == [ending, lasting]
        assert holds_of_kind(tx, "object") == []
        assert holds_on(tx, "serial", ending.target) == [ending]
        assert holds_on(tx, "serial", ending.target, NOW + DAY / 2) == [ending]
        assert holds_on(tx, "serial", ending.target, NOW + DAY) == []
        assert holds_on(tx, "serial", lasting.target, NOW + 1000 * DAY) == [lasting]
    with open_again().write() as tx:
        drop_hold(tx, ending)
    with open_again().read() as tx:
        assert holds_of(tx, "user ada") == [lasting]


def test_an_exception_is_over_once_and_stays_in_the_list_of_all(open_again: OpenAgain) -> None:
    with open_again().write() as tx:
        first = insert_exception(tx, ROW)
        second = insert_exception(tx, replace(ROW, suite="2.0"))
    with open_again().write() as tx:
        assert end_exception(tx, first, "stable has 2.1", NOW + DAY)
        assert not end_exception(tx, first, "something else", NOW + 2 * DAY)
    over = replace(ROW, id=first, ended_at=NOW + DAY, ended_why="stable has 2.1")
    lasting = replace(ROW, id=second, suite="2.0")
    with open_again().read() as tx:
        assert list_exceptions(tx) == list_exceptions(tx, "petrel", "2.0") == [lasting]
        assert list_exceptions(tx, ended=True) == [over, lasting]
        assert list_exceptions(tx, "petrel", "1.0") == list_exceptions(tx, "other", ended=True) == []
