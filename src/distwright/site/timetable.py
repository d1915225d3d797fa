"""What is done at its time: upstream archives recorded, repos of other forges fetched. Workers look; no other timer is needed.

The times are settings of what they are for. Of those that passed while nobody looked, the last one counts for all.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from distwright.config.model import Config
from distwright.config.tables_archive import UpstreamArchive
from distwright.errors import DistwrightError
from distwright.jobs.order import JobOrder, place_order
from distwright.model.events import Event, EventKind
from distwright.store.database import Database
from distwright.store.events import append_event
from distwright.store.objects import ObjectStore
from distwright.store.timetable import serve, served_until

LOOK_EVERY = timedelta(seconds=10)
RECORD, FETCH = "record", "fetch"


@dataclass(frozen=True, slots=True)
class Entry:
    """What is due at times of the day (`HH:MM`, UTC), or each so many minutes. what: RECORD or FETCH; of: whose."""

    what: str
    of: str
    times: tuple[str, ...] = ()
    minutes: int = 0

    @property
    def name(self) -> str:
        """Its name in the table of what was served."""
        return f"{self.what} {self.of}"


def entries(config: Config) -> list[Entry]:
    """List the timetable that a configuration means."""
    recorded = [
        Entry(RECORD, name, times=archive.record_at)
        for name, archive in config.archives.items()
        if isinstance(archive, UpstreamArchive) and archive.record_at
    ]
    fetched = [
        Entry(FETCH, name, minutes=repo.fetch_minutes) for name, repo in config.repos.items() if repo.url is not None
    ]
    return [*recorded, *fetched]


def latest_due(entry: Entry, now: datetime) -> datetime:
    """Say when an entry was due last, at `now` or before."""
    if entry.minutes:
        step = entry.minutes * 60
        return datetime.fromtimestamp(int(now.timestamp()) // step * step, UTC)
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    clock = [timedelta(hours=int(time[:2]), minutes=int(time[3:])) for time in entry.times]
    return max(due for day in (0, 1) for each in clock if (due := midnight - timedelta(days=day) + each) <= now)


@dataclass(slots=True)
class Timetable:
    """Orders what is due. order: makes the order of an entry for a time; hint: says that a pool has work."""

    database: Database
    objects: ObjectStore
    order: Callable[[Entry, datetime], JobOrder]
    hint: Callable[[str], None]
    looked_at: datetime | None = None

    def order_due(self, config: Config, commit: str, now: datetime) -> list[str]:
        """Order what is due, each time of each entry once, whoever looks; give the names of what was ordered.

        A new entry waits for its next time. What cannot be ordered is told by an event, and waits for its next time, too.
        """
        if self.looked_at is not None and self.looked_at <= now < self.looked_at + LOOK_EVERY:
            return []
        self.looked_at = now
        wanted = entries(config)
        if not wanted:
            return []
        with self.database.read() as tx:
            served = served_until(tx)
        due = [(entry, served.get(entry.name), latest_due(entry, now)) for entry in wanted]
        return [
            entry.name
            for entry, before, time in due
            if (before is None or before < time) and self._serve(entry, before, time, commit, now)
        ]

    def _serve(self, entry: Entry, before: datetime | None, time: datetime, commit: str, now: datetime) -> bool:
        if before is None:
            self._begin(entry, time)
            return False
        order, warning = self._made(entry, time, now)
        with self.database.write() as tx:
            if not serve(tx, entry.name, before, time):
                return False  # another worker was faster
            if order is not None:
                place_order(tx, order, now, config_commit=commit, objects=self.objects)
            for event in warning:
                append_event(tx, event)
        if order is not None:
            self.hint(order.pool)
        return order is not None

    def _begin(self, entry: Entry, time: datetime) -> None:
        with self.database.write() as tx:
            serve(tx, entry.name, None, time)

    def _made(self, entry: Entry, time: datetime, now: datetime) -> tuple[JobOrder | None, Sequence[Event]]:
        try:
            return self.order(entry, time), ()
        except DistwrightError as error:
            body = {"about": entry.name, "what": error.message, "hint": error.hint}
            return None, (Event(EventKind.WARNING_RAISED, now, entry.name, body),)
