"""Pools are looked at now and then: jobs that wait where nobody works any more, and machines that are to come or to go."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from distwright.config.model import Config
from distwright.config.tables_hosts import Pool
from distwright.jobs.order import DEFAULT_POOL, place_order
from distwright.jobs.pools import shared_pools
from distwright.jobs.scaling import BUSY_EVERY, GROW, SHRINK, Scaled, action_for, row_of, scale_order
from distwright.model.outcomes import JobState, Outcome
from distwright.model.records import Job
from distwright.store.database import Database, Transaction
from distwright.store.jobs import find_by_digest
from distwright.store.pools import PoolLoad, loads_of_pools, move_waiting
from distwright.store.timetable import serve, served_until

LOOK_EVERY = timedelta(seconds=10)


@dataclass(slots=True)
class PoolWatch:
    """Remembers when it looked. hint: says that a pool has work."""

    database: Database
    hint: Callable[[str], None]
    looked_at: datetime | None = None

    def look(self, config: Config, commit: str, now: datetime) -> list[str]:
        """Bring lost jobs to `local`, and order the commands that are due; name these orders. Whoever looks, each is ordered once.

        No command is run where the rows are in a file: no machine that it started could take a job of them.
        """
        if self.looked_at is not None and self.looked_at <= now < self.looked_at + LOOK_EVERY:
            return []
        self.looked_at = now
        known = shared_pools(self.database, config)
        with self.database.read() as tx:
            loads = loads_of_pools(tx, now)
        if any(load.waiting and pool not in known for pool, load in loads.items()):
            self._bring_back(known)
        if self.database.is_of_one_machine:
            return []
        at = now.replace(microsecond=0)
        return [name for pool, table in config.pools.items() for name in self._scale(table, pool, commit, at)]

    def _bring_back(self, known: Collection[str]) -> None:
        moved = 1
        while moved:
            with self.database.write() as tx:
                moved = move_waiting(tx, known, DEFAULT_POOL)
            self.hint(DEFAULT_POOL)

    def _scale(self, table: Pool, pool: str, commit: str, now: datetime) -> list[str]:
        with self.database.read() as tx:
            looked = _looked(tx, table, pool, now)
        if looked == _Looked():
            return []
        with self.database.write() as tx:
            looked = _looked(tx, table, pool, now)  # again: another worker may have been faster
            rows = served_until(tx)
            if looked.is_busy:
                serve(tx, row_of("busy", pool), rows.get(row_of("busy", pool)), now)
            if not looked.action:
                return []
            name = row_of(looked.action, pool)
            serve(tx, name, rows.get(name), now)
            order = scale_order(pool, looked.action, now)
            place_order(tx, order, now, config_commit=commit)
        self.hint(order.pool)
        return [order.title]


@dataclass(frozen=True, slots=True)
class _Looked:
    """action: what is to be ordered. is_busy: it is to be noted that the pool has work, or is known at all."""

    action: str = ""
    is_busy: bool = False


def _looked(tx: Transaction, table: Pool, pool: str, now: datetime) -> _Looked:
    load, rows = loads_of_pools(tx, now).get(pool, PoolLoad()), served_until(tx)
    busy, grown, shrunk = (rows.get(row_of(word, pool)) for word in ("busy", GROW, SHRINK))
    has_work = bool(load.waiting or load.running)
    last_grow, last_shrink = _last(tx, pool, GROW, grown), _last(tx, pool, SHRINK, shrunk)
    scaled = Scaled(
        busy=now if has_work else busy,
        grown=grown,
        shrunk=shrunk,
        is_open=any(job is not None and job.state is not JobState.DONE for job in (last_grow, last_shrink)),
        shrank=last_shrink is not None and last_shrink.outcome is Outcome.OK,
    )
    is_new = busy is None or (has_work and now - busy >= BUSY_EVERY)
    return _Looked(action_for(table, load, scaled, now), is_new)


def _last(tx: Transaction, pool: str, action: str, at: datetime | None) -> Job | None:
    return None if at is None else find_by_digest(tx, scale_order(pool, action, at).digest)
