"""The engine of many machines: Procrastinate, over the PostgreSQL that has the job table. A hint is one of its jobs.

It has one waiting hint for each pool at most, and one waiter takes it: whoever finds work gives the next hint (worker/loop.py).
"""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from importlib import metadata
from typing import Any

import procrastinate
from procrastinate import exceptions
from procrastinate.schema import SchemaManager

from distwright.model.names import our_name
from distwright.store.database import Database
from distwright.store.hints import CONNECT_S, LOST, OPTIONS, conninfo_of, hint_connection, make_hint_schema
from distwright.tools.interrupts import Interrupts, interrupts_noted

_TASK = "wake"
_POLL_S = 1.0
_LOST = (exceptions.ConnectorException, *LOST)


class ProcrastinateEngine:
    """Hints through PostgreSQL. While the server cannot be reached hints are lost and waiters sleep: work is in the job table."""

    def __init__(self, database: Database) -> None:
        """Use the server of `database`; Procrastinate's tables are made there with the first hint or wait."""
        self._database = database
        self._conninfo = conninfo_of(database)
        self._is_ready = False

    def hint(self, pool: str) -> None:
        """Say that `pool` has work; nothing if that is said already."""
        name = our_name(pool, "pool")
        with contextlib.suppress(exceptions.AlreadyEnqueued, *_LOST), self._connected() as connection:
            app = procrastinate.App(connector=procrastinate.SyncPsycopgConnector())
            app.configure_task(_TASK, queue=name, queueing_lock=name, connection=connection).defer()

    def wait(self, pools: tuple[str, ...], timeout_s: float) -> bool:
        """Wait for a hint."""
        until = time.monotonic() + timeout_s
        names = [our_name(pool, "pool") for pool in pools]
        with contextlib.suppress(*_LOST):
            with self._connected():
                pass  # a pool would try again and again, for seconds
            # Ctrl-C would cancel what makes connections just then, and the pool would wait for that for ever.
            with interrupts_noted() as noted:
                return asyncio.run(_wait(self._conninfo, names, timeout_s, noted))
        time.sleep(max(0.0, min(until - time.monotonic(), _POLL_S)))
        return False

    @contextlib.contextmanager
    def _connected(self) -> Iterator[Any]:
        """Connect, with Procrastinate's tables there. Where anything fails they are looked for anew the next time."""
        try:
            if not self._is_ready:
                make_hint_schema(self._database, SchemaManager.get_schema(), metadata.version("procrastinate"))
                self._is_ready = True
            with hint_connection(self._database) as connection:
                yield connection
        except _LOST:
            self._is_ready = False
            raise


async def _wait(conninfo: str, pools: list[str], timeout_s: float, noted: Interrupts) -> bool:
    """Take what hints are there; if there is none, wait for one, or for an interrupt."""
    woken, interrupted = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    noted.wake = lambda: loop.call_soon_threadsafe(interrupted.set)
    if noted:
        return False
    try:
        return await _wait_over(conninfo, pools, timeout_s, woken, interrupted)
    finally:
        noted.wake = None


async def _wait_over(
    conninfo: str, pools: list[str], timeout_s: float, woken: asyncio.Event, interrupted: asyncio.Event
) -> bool:
    """Wait for a hint, over connections of its own, which are closed at the end."""
    connector = procrastinate.PsycopgConnector(
        conninfo=conninfo,
        kwargs={"options": OPTIONS, "connect_timeout": CONNECT_S},
        min_size=0,
        max_size=3,
        timeout=CONNECT_S,
    )
    app = procrastinate.App(connector=connector)

    @app.task(name=_TASK)
    async def wake() -> None:
        woken.set()

    async def work(*, wait: bool) -> None:
        await app.run_worker_async(
            queues=pools, wait=wait, install_signal_handlers=False, delete_jobs="always",
            fetch_job_polling_interval=_POLL_S,
        )  # fmt: skip

    async with app.open_async():
        await work(wait=False)
        if woken.is_set() or timeout_s <= 0:
            return woken.is_set()
        waits = (work(wait=True), woken.wait(), interrupted.wait())
        tasks = [asyncio.create_task(each) for each in waits]
        try:
            await asyncio.wait(tasks, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
        for end in ends:
            if isinstance(end, Exception):
                raise end
        return woken.is_set()
