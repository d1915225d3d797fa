"""Why a job waits, in words: when it is tried again, or who would take it and does not."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from distwright.config.model import Config
from distwright.jobs.order import DEFAULT_POOL
from distwright.model.outcomes import JobState
from distwright.model.records import Job
from distwright.site.hosts import HostRow, host_rows
from distwright.store.database import Database
from distwright.store.pools import loads_of_pools

SOON = timedelta(seconds=10)  # a worker that has nothing to do takes a job within two


def why_it_waits(database: Database, config: Config, job: Job, now: datetime) -> str:
    """Say why a queued job waits; "" if it is none, or its turn comes by itself."""
    if job.state is not JobState.QUEUED:
        return ""
    if job.not_before > now:
        return f"it is tried again at {job.not_before:%Y-%m-%d %H:%M:%S} UTC"
    with database.read() as tx:
        load = loads_of_pools(tx, now).get(job.pool)
    if now - job.not_before < SOON or (load is not None and load.running):
        return ""
    return nobody_takes(job.pool, host_rows(database, config, now))


def nobody_takes(pool: str, rows: Sequence[HostRow]) -> str:
    """Say who would take jobs of a pool in which none runs, and why not (pure); "" if a host is there for it."""
    hosts = [row for row in rows if row.table is not None and pool in row.table.pools]
    if any(row.state == "ready" and row.table is not None and row.table.role == "runner" for row in hosts):
        return ""
    option = "" if pool == DEFAULT_POOL else f" --pool {pool}"
    places = "; ".join(_place(row) for row in hosts)
    who = f"no host takes jobs of pool {pool} ({places})" if places else f"no job of pool {pool} runs"
    return f"{who}: look whether a worker of the server does, or begin one: distwright worker{option}"


def _place(row: HostRow) -> str:
    if row.table is not None and row.table.role == "builder":
        return f"{row.name} is a builder, to which a worker of the server goes" if row.state == "ready" else _state(row)
    if row.state == "silent" and row.heard is not None:
        return f"{row.name} is silent since {row.heard:%Y-%m-%d %H:%M:%S} UTC"
    return _state(row)


def _state(row: HostRow) -> str:
    return f"{row.name} is {row.state}"
