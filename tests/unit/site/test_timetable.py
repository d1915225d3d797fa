"""What is due when, and that it is ordered once, whoever looks and whatever the clock does."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.worlds.installation import WorldContext, config, make_context

from distwright.config.model import Config
from distwright.errors import NotFound
from distwright.jobs.order import JobOrder
from distwright.jobs.step import KindName
from distwright.model.events import EventKind
from distwright.site.timetable import Entry, Timetable, entries, latest_due
from distwright.store.jobs import list_jobs

DAY = datetime(2026, 11, 30, tzinfo=UTC)
NAMES = {"record debian": Entry("record", "debian", times=("06:15", "18:15"))}


def at(hour: int, minute: int = 0, days: int = 0) -> datetime:
    return DAY + timedelta(days=days, hours=hour, minutes=minute)


def recorded_at(*times: str) -> Config:
    debian = config().archives["debian"].model_copy(update={"record_at": times})
    return replace(config(), archives={**config().archives, "debian": debian})


@pytest.mark.parametrize(
    ("now", "due"),
    [
        (at(6, 14), at(18, 15, days=-1)),
        (at(6, 15), at(6, 15)),
        (at(18, 14), at(6, 15)),
        (at(23, 59), at(18, 15)),
        (at(7, 15).astimezone(), at(6, 15)),
    ],
)
def test_the_last_time_of_day_that_is_not_to_come_counts(now: datetime, due: datetime) -> None:
    assert latest_due(NAMES["record debian"], now) == due


def test_each_so_many_minutes_are_the_same_moments_on_every_machine() -> None:
    entry = Entry("fetch", "petrel", minutes=15)
    assert [latest_due(entry, at(3, minute)) for minute in (0, 14, 15, 59)] == [at(3), at(3), at(3, 15), at(3, 45)]


def test_what_tables_say_makes_the_timetable() -> None:
    assert entries(config()) == []
    elsewhere = config().repos["live"].model_copy(update={"url": "https://forge.example/live.git", "fetch_minutes": 5})
    whole = replace(recorded_at("06:15"), repos={**config().repos, "live": elsewhere})
    assert entries(whole) == [Entry("record", "debian", times=("06:15",)), Entry("fetch", "live", minutes=5)]


class Looker:
    """Somebody who looks at the timetable, with a clock of his own."""

    def __init__(self, context: WorldContext, *, fails: bool = False) -> None:
        self.context, self.fails = context, fails
        self.table = Timetable(context.database, context.objects, self.order, lambda _pool: None)

    def order(self, entry: Entry, due: datetime) -> JobOrder:
        if self.fails:
            raise NotFound("there is no mirror", hint="distwright archive list")
        return JobOrder(KindName("archive.record", 1), {"of": entry.of, "due": due.isoformat()}, entry.name)

    def look(self, now: datetime, table: Config | None = None) -> list[str]:
        return self.table.order_due(table or recorded_at("06:15", "18:15"), "c0ffee", now)


def dues(context: WorldContext) -> list[str]:
    with context.database.read() as tx:
        return sorted(str(job.inputs["due"]) for job in list_jobs(tx, limit=100))


def test_a_new_entry_waits_for_its_time_and_is_ordered_once(tmp_path: Path) -> None:
    context = make_context(tmp_path)
    looker = Looker(context)
    assert looker.look(at(5)) == []
    assert looker.look(at(6, 14)) == []
    assert looker.look(at(6, 15)) == ["record debian"]
    assert looker.look(at(6, 16)) == []
    assert dues(context) == ["2026-11-30T06:15:00+00:00"]


def test_two_who_look_at_the_same_moment_order_it_once(tmp_path: Path) -> None:
    context = make_context(tmp_path)
    one, other = Looker(context), Looker(context)
    one.look(at(5))
    assert (one.look(at(6, 15)), other.look(at(6, 15))) == (["record debian"], [])
    assert len(dues(context)) == 1


def test_times_that_nobody_was_there_for_are_made_up_for_by_one(tmp_path: Path) -> None:
    context = make_context(tmp_path)
    Looker(context).look(at(5))
    assert Looker(context).look(at(20, days=3)) == ["record debian"]
    assert dues(context) == ["2026-12-03T18:15:00+00:00"]


def test_a_clock_that_is_set_back_orders_nothing_again(tmp_path: Path) -> None:
    context = make_context(tmp_path)
    looker = Looker(context)
    looker.look(at(5))
    assert looker.look(at(6, 15)) == ["record debian"]
    assert looker.look(at(5, 50)) == []
    assert Looker(context).look(at(6, 20)) == []
    assert len(dues(context)) == 1


def test_what_cannot_be_ordered_is_told_once_and_waits_for_its_next_time(tmp_path: Path) -> None:
    context = make_context(tmp_path)
    looker = Looker(context, fails=True)
    looker.look(at(5))
    assert (looker.look(at(6, 15)), looker.look(at(6, 30)), dues(context)) == ([], [], [])
    told = [event for event in context.events() if event.kind is EventKind.WARNING_RAISED]
    assert [(event.subject, event.body["what"]) for event in told] == [("record debian", "there is no mirror")]
    looker.fails = False
    assert looker.look(at(18, 15)) == ["record debian"]


def test_a_job_that_is_lost_with_its_worker_leaves_either_both_or_none(tmp_path: Path) -> None:
    """Order and row of the timetable are one transaction: what stops it between them leaves neither."""
    context = make_context(tmp_path)
    looker = Looker(context)
    looker.look(at(5))

    def stop(_entry: Entry, _due: datetime) -> JobOrder:
        raise KeyboardInterrupt

    stopped = Timetable(context.database, context.objects, stop, lambda _pool: None)
    with pytest.raises(KeyboardInterrupt):
        stopped.order_due(recorded_at("06:15"), "c0ffee", at(6, 15))
    assert Looker(context).look(at(6, 16)) == ["record debian"]
