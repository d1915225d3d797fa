"""State for tests of the lower rooms: a clock that stands, a database in memory, orders of a made-up kind."""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from tests.worlds.times import NOW

from distwright.jobs.order import JobOrder, place_order
from distwright.jobs.step import KindName
from distwright.model.digests import Json
from distwright.model.records import Job
from distwright.store.database import Database
from distwright.store.migrations import upgrade

_T = TypeVar("_T")
OpenAgain = Callable[[], Database]
"""A way to open one database as often as a test wants: as other processes do."""

COUNT = KindName("count", 1)
"""A kind of job that no version of distwright has."""


@dataclass(slots=True)
class Clock:
    """A clock that stands until it is moved."""

    at: datetime = NOW

    def now(self) -> datetime:
        """The time."""
        return self.at

    def forward(self, seconds: float) -> datetime:
        """Move it, and say the time."""
        self.at += timedelta(seconds=seconds)
        return self.at


def memory_database() -> Database:
    """Give an empty, migrated database in memory; its transactions must not overlap."""
    database = Database("sqlite://")
    upgrade(database)
    return database


def count_order(
    number: int = 1,
    *,
    kind: KindName = COUNT,
    title: str = "",
    pool: str = "local",
    priority: int = 40,
    share: str = "",
) -> JobOrder:
    """Give an order of the made-up kind; another number is another job."""
    inputs: Mapping[str, Json] = {"number": number}
    return JobOrder(kind, inputs, title or f"count to {number}", priority=priority, pool=pool, share=share)


def placed(database: Database, order: JobOrder, now: datetime = NOW) -> Job:
    """Queue an order in a transaction of its own."""
    with database.write() as tx:
        return place_order(tx, order, now)


def all_at_once(url: str, action: Callable[[Database], _T]) -> list[_T]:
    """Do the same four times at once, each with connections of its own."""
    databases, start = [Database(url) for _ in range(4)], threading.Barrier(4)

    def act(database: Database) -> _T:
        start.wait()
        return action(database)

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(act, databases))
    for database in databases:
        database.close()
    return done
