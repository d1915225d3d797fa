"""What every engine does: hints that a pool has work. Lost or doubled hints cost time, never work; these are not lost."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from textwrap import dedent

import pytest
import sqlalchemy as sa
from tests.worlds.postgres import PostgresCluster, postgres_cluster

from distwright.errors import BadInput
from distwright.flow.engines.embedded import EmbeddedEngine
from distwright.flow.engines.engine import Engine
from distwright.flow.engines.on_postgresql import ProcrastinateEngine
from distwright.store.database import Database
from distwright.store.hints import SCHEMA, make_hint_schema

SOCKET = ".s.PGSQL.5432"
LONG_S = 60.0
"""Longer than any test takes: a hint that was lost shows as a test that hangs, not as one that is sometimes slow."""

OpenEngine = Callable[[], Engine]


@pytest.fixture(params=["embedded", "procrastinate"])
def open_engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenEngine]:
    """Give a way to connect to one engine, as often as a test wants: as other processes do."""
    if request.param == "embedded":
        yield lambda: EmbeddedEngine(tmp_path / "hints")
        return
    cluster: PostgresCluster = request.getfixturevalue("postgres")
    url, opened = cluster.new_database(), list[Database]()

    def open_again() -> Engine:
        opened.append(Database(url))
        return ProcrastinateEngine(opened[-1])

    yield open_again
    for database in opened:
        database.close()


def test_wait_without_a_hint_ends_with_no(open_engine: OpenEngine) -> None:
    assert open_engine().wait(("local",), 0) is False
    assert open_engine().wait(("local",), 0.01) is False


def test_hint_before_the_wait_is_not_lost(open_engine: OpenEngine) -> None:
    waiter = open_engine()
    open_engine().hint("local")
    assert waiter.wait(("local",), LONG_S) is True
    assert waiter.wait(("local",), 0) is False, "it was for one wait"


def test_hint_from_before_the_waiter_began_is_not_lost(open_engine: OpenEngine) -> None:
    open_engine().hint("local")
    assert open_engine().wait(("local",), LONG_S) is True


def test_hint_wakes_who_waits(open_engine: OpenEngine) -> None:
    waiter, answers = open_engine(), list[bool]()
    waiting = threading.Thread(target=lambda: answers.append(waiter.wait(("local",), LONG_S)))
    waiting.start()
    open_engine().hint("local")
    waiting.join()
    assert answers == [True]


def test_hint_that_is_passed_on_wakes_all_who_wait(open_engine: OpenEngine) -> None:
    """One hears it at least; whoever does gives the next one, as a worker that found work does."""
    woken = list[int]()

    def wait_and_pass_on(number: int) -> None:
        engine = open_engine()
        if engine.wait(("local",), LONG_S):
            woken.append(number)
            engine.hint("local")

    waiting = [threading.Thread(target=wait_and_pass_on, args=(number,)) for number in range(3)]
    for thread in waiting:
        thread.start()
    open_engine().hint("local")
    for thread in waiting:
        thread.join()
    assert sorted(woken) == [0, 1, 2]


def test_hint_right_after_a_wait_is_another_one(open_engine: OpenEngine) -> None:
    """However fast it comes."""
    waiter, hinter = open_engine(), open_engine()
    for _ in range(50):
        hinter.hint("local")
        assert waiter.wait(("local",), 0) is True


def test_many_hints_are_one_wake_up(open_engine: OpenEngine) -> None:
    waiter, hinter = open_engine(), open_engine()
    for _ in range(10):
        hinter.hint("local")
    assert [waiter.wait(("local",), 0) for _ in range(2)] == [True, False]


def test_waiter_hears_hints_for_its_pools_only(open_engine: OpenEngine) -> None:
    waiter, hinter = open_engine(), open_engine()
    hinter.hint("big")
    assert waiter.wait(("local", "small"), 0) is False
    hinter.hint("small")
    assert waiter.wait(("local", "small"), LONG_S) is True
    assert waiter.wait(("big",), LONG_S) is True


def test_hint_that_nobody_hears_fails_nothing(open_engine: OpenEngine) -> None:
    open_engine().hint("nobody-listens-here")


def test_what_cannot_name_a_pool_is_refused(open_engine: OpenEngine) -> None:
    with pytest.raises(BadInput, match="cannot name a pool"):
        open_engine().hint("../local")


def test_hint_comes_from_another_process(tmp_path: Path) -> None:
    script = dedent("""\
        import sys
        from pathlib import Path
        from distwright.flow.engines.embedded import EmbeddedEngine
        EmbeddedEngine(Path(sys.argv[1])).hint("local")
    """)
    waiter = EmbeddedEngine(tmp_path / "hints")
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "hints")]) as process:
        assert waiter.wait(("local",), LONG_S) is True
    assert process.returncode == 0


def test_hints_of_many_processes_at_once_wake_the_waiter(tmp_path: Path) -> None:
    waiter = EmbeddedEngine(tmp_path / "hints")
    children = []
    for _ in range(8):
        pid = os.fork()
        if pid == 0:
            EmbeddedEngine(tmp_path / "hints").hint("local")
            os._exit(0)
        children.append(pid)
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children] == [0] * 8
    assert [waiter.wait(("local",), 0) for _ in range(2)] == [True, False]


def test_engine_whose_files_were_removed_goes_on(tmp_path: Path) -> None:
    """`run/` may be emptied at any time."""
    waiter = EmbeddedEngine(tmp_path / "hints")
    waiter.hint("local")
    assert waiter.wait(("local",), 0) is True
    shutil.rmtree(tmp_path / "hints")
    waiter.hint("local")
    waiter.hint("local")
    assert waiter.wait(("local",), 0) is True


def test_hints_of_another_version_are_dropped_with_its_tables(postgres: PostgresCluster) -> None:
    database = Database(postgres.new_database())
    engine = ProcrastinateEngine(database)
    engine.hint("local")
    assert make_hint_schema(database, "CREATE TABLE other (number integer)", "0.0") is True
    assert make_hint_schema(database, "no SQL at all", "0.0") is False
    later = ProcrastinateEngine(database)
    assert later.wait(("local",), 0) is False
    later.hint("local")
    assert later.wait(("local",), 0) is True
    with database.read() as tx:
        assert tx.connection.exec_driver_sql(f"SELECT to_regclass('{SCHEMA}.other')").scalar() is None
    database.close()


def test_hint_that_somebody_took_and_died_with_does_not_hide_the_next(postgres: PostgresCluster) -> None:
    database = Database(postgres.new_database())
    engine = ProcrastinateEngine(database)
    engine.hint("local")
    with database.write() as tx:
        tx.connection.exec_driver_sql(f"SET LOCAL search_path = {SCHEMA}")
        tx.connection.exec_driver_sql("UPDATE procrastinate_jobs SET status = 'doing'")
    assert engine.wait(("local",), 0) is False
    engine.hint("local")
    assert engine.wait(("local",), 0) is True
    database.close()


def test_server_that_goes_away_fails_nothing_and_is_found_again() -> None:
    with postgres_cluster(is_durable=True) as cluster:
        database = Database(cluster.new_database())
        engine = ProcrastinateEngine(database)
        engine.hint("local")
        assert engine.wait(("local",), 0) is True
        cluster.stop()
        engine.hint("local")
        began = time.monotonic()
        assert engine.wait(("local",), 0.3) is False
        assert time.monotonic() - began > 0.2, "it does not ask all the time"
        cluster.start()
        engine.hint("local")
        assert engine.wait(("local",), 0) is True
        database.close()


def test_interrupt_ends_a_wait_whose_connections_are_being_made(postgres: PostgresCluster, tmp_path: Path) -> None:
    """Cancelled just then, the pool of connections would wait for itself, for ever."""
    url = sa.make_url(postgres.new_database())
    database = Database(url.render_as_string())
    ProcrastinateEngine(database).wait(("local",), 0)  # makes the tables
    database.close()
    with falling_silent(Path(str(url.query["host"])), tmp_path, 2) as silent:
        mine = url.update_query_dict({"host": str(tmp_path)}).render_as_string()
        with subprocess.Popen([sys.executable, "-c", WAITER, mine], stderr=subprocess.PIPE, text=True) as waiter:
            try:
                assert silent.wait(LONG_S), "it never came to its pool of connections"
                waiter.send_signal(signal.SIGINT)
                _, said = waiter.communicate(timeout=LONG_S)
            finally:
                waiter.kill()
    assert said.splitlines()[-1] == "KeyboardInterrupt", said


WAITER = dedent("""
    import sys
    from distwright.flow.engines.on_postgresql import ProcrastinateEngine
    from distwright.store.database import Database
    engine = ProcrastinateEngine(Database(sys.argv[1]))
    while True:
        engine.wait(("local",), 1)
""")


@contextmanager
def falling_silent(server: Path, door: Path, number: int) -> Iterator[threading.Event]:
    """Carry that many connections from a folder's socket to the server's; take all that come later, and never answer them."""
    silent = threading.Event()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while content := await reader.read(1 << 16):
                writer.write(content)
        writer.close()

    async def come(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        taken.append(writer)
        if len(taken) > number:
            silent.set()
            return
        far_reader, far_writer = await asyncio.open_unix_connection(server / SOCKET)
        await asyncio.gather(carry(reader, far_writer), carry(far_reader, writer))

    async def serve() -> None:
        async with await asyncio.start_unix_server(come, door / SOCKET):
            ready.set()
            await asyncio.to_thread(over.wait)
        for writer in taken:
            writer.close()

    taken: list[asyncio.StreamWriter] = []
    ready, over = threading.Event(), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert ready.wait(LONG_S)
        yield silent
    finally:
        over.set()
        thread.join()
