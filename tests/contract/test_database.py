"""What every database does. SQLite so far; another one joins by one more name in DATABASES."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from tests.worlds.state import count_order, placed
from tests.worlds.times import NOW

import distwright.store.migrations
from distwright.errors import BadInput, Busy, DistwrightError, Refused
from distwright.model.events import EVENT_SCHEMA, Event, EventKind
from distwright.store.database import Database, inserted_id
from distwright.store.events import append_event, cursor_of, events_after, move_cursor
from distwright.store.jobs import list_jobs
from distwright.store.migrations import NEWEST, upgrade
from distwright.store.schema import events, metadata
from distwright.store.times import from_text, to_text

OpenAgain = Callable[[], Database]
DATABASES = ("sqlite",)


@pytest.fixture(params=DATABASES)
def fresh(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenAgain]:
    """Give a way to open one new, empty database, as often as a test wants: as other processes do."""
    urls = {"sqlite": f"sqlite:///{tmp_path / 'db.sqlite'}"}
    opened: list[Database] = []

    def open_again() -> Database:
        opened.append(Database(urls[request.param], busy_timeout_s=0.05))
        return opened[-1]

    yield open_again
    for database in opened:
        database.close()


@pytest.fixture
def open_again(fresh: OpenAgain) -> OpenAgain:
    """Give a way to open a database of the present schema."""
    upgrade(fresh())
    return fresh


def test_migrations_make_exactly_the_schema(open_again: OpenAgain) -> None:
    with open_again().read() as tx:
        context = MigrationContext.configure(tx.connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []


def test_migrations_give_the_same_sql_as_the_schema(open_again: OpenAgain, tmp_path: Path) -> None:
    """Autogenerate does not see everything (AUTOINCREMENT, unnamed constraints), the text of the tables does."""
    by_schema = Database(f"sqlite:///{tmp_path / 'by-schema.sqlite'}")
    with by_schema.write() as tx:
        metadata.create_all(tx.connection)
    described = [_described(database) for database in (open_again(), by_schema)]
    by_schema.close()
    assert described[0] == described[1]


def test_upgrade_twice_does_nothing_the_second_time(fresh: OpenAgain) -> None:
    assert [upgrade(fresh()), upgrade(fresh())] == [True, False]


def test_newest_migration_is_the_one_that_the_code_names() -> None:
    folder = Path(distwright.store.migrations.__file__).parent
    assert ScriptDirectory(str(folder)).get_current_head() == NEWEST


def test_database_of_a_newer_version_is_refused_and_left_alone(open_again: OpenAgain) -> None:
    with open_again().write() as tx:
        tx.connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(Refused, match=f"the database has schema '9999', this version knows up to {NEWEST}"):
        upgrade(open_again())
    with open_again().read() as tx:
        assert MigrationContext.configure(tx.connection).get_current_revision() == "9999"


def test_upgrade_that_fails_leaves_nothing_behind(fresh: OpenAgain) -> None:
    with fresh().write() as tx:
        tx.connection.execute(sa.text("CREATE TABLE uploads (other INTEGER)"))
    with pytest.raises(DistwrightError):
        upgrade(fresh())
    with fresh().read() as tx:
        assert sa.inspect(tx.connection).get_table_names() == ["uploads"]


def test_write_is_kept_when_the_block_ends_and_undone_when_it_raises(open_again: OpenAgain) -> None:
    database = open_again()
    with database.write() as tx:
        move_cursor(tx, "reader", 1)

    def write_and_raise() -> None:
        with database.write() as tx:
            move_cursor(tx, "reader", 2)
            raise BadInput("no", hint="no")

    with pytest.raises(BadInput, match="no"):
        write_and_raise()
    with open_again().read() as tx:
        assert cursor_of(tx, "reader") == 1


def test_write_transactions_come_one_after_the_other(open_again: OpenAgain) -> None:
    """Each reads a number and writes the next one: none is lost though four run at once."""
    databases = [Database(open_again().url) for _ in range(4)]

    def count_up(database: Database) -> None:
        for _ in range(8):
            with database.write() as tx:
                move_cursor(tx, "reader", cursor_of(tx, "reader") + 1)

    threads = [threading.Thread(target=count_up, args=(database,)) for database in databases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for database in databases:
        database.close()
    with open_again().read() as tx:
        assert cursor_of(tx, "reader") == 32


def test_write_that_waits_too_long_for_another_is_busy(open_again: OpenAgain) -> None:
    with (
        open_again().write(),
        pytest.raises(Busy, match="the database is held by another process"),
        open_again().write(),
    ):
        pass


def test_reader_sees_one_moment_and_waits_for_no_writer(open_again: OpenAgain) -> None:
    reading, writing = open_again(), open_again()
    with reading.read() as before:
        assert cursor_of(before, "reader") == 0
        with writing.write() as tx:
            move_cursor(tx, "reader", 1)
            assert cursor_of(before, "reader") == 0
        assert cursor_of(before, "reader") == 0
    with reading.read() as after:
        assert cursor_of(after, "reader") == 1


def test_same_order_from_two_writers_is_one_job(open_again: OpenAgain) -> None:
    jobs = [placed(open_again(), count_order(), NOW) for _ in range(2)]
    assert jobs[0] == jobs[1]
    with open_again().read() as tx:
        assert list_jobs(tx) == [jobs[0]]


def test_numbers_of_events_grow_and_are_never_given_twice(open_again: OpenAgain) -> None:
    """An event that was rolled back leaves no number behind that a reader may have seen."""
    event = Event(EventKind.CONFIG_APPLIED, NOW, "c0ffee", {"commit": "c0ffee", "config": "0" * 64})
    numbers = []
    for _ in range(3):
        with open_again().write() as tx:
            numbers.append(append_event(tx, event))
            tx.connection.execute(events.delete())
    assert numbers == sorted(set(numbers))


def test_event_of_a_newer_schema_or_kind_is_refused(open_again: OpenAgain) -> None:
    row = {"schema": EVENT_SCHEMA + 1, "kind": "config.applied", "at": to_text(NOW), "subject": "x", "body": "{}"}
    other = {**row, "schema": EVENT_SCHEMA, "kind": "moon.landed"}
    for wrong, complaint in (
        (row, "has schema 2, this version reads up to 1"),
        (other, "is of kind 'moon.landed'"),
    ):
        with open_again().write() as tx:
            tx.connection.execute(events.delete())
            number = inserted_id(tx.connection.execute(events.insert().values(**wrong)))
        with open_again().read() as tx, pytest.raises(Refused, match=f"event {number} {complaint}"):
            events_after(tx, 0)


def test_foreign_key_without_its_target_is_a_bug_and_not_written(open_again: OpenAgain) -> None:
    with pytest.raises(sa.exc.IntegrityError), open_again().write() as tx:
        tx.connection.execute(metadata.tables["waiting_events"].insert().values(reader="x", number=99, reason="x"))


def test_child_database_leaves_the_connections_of_its_parent_alone(open_again: OpenAgain) -> None:
    parent = open_again()
    with parent.read() as tx:
        assert cursor_of(tx, "reader") == 0
        child = parent.reopen()
        with child.write() as own:
            move_cursor(own, "reader", 7)
        child.close()
        assert cursor_of(tx, "reader") == 0
    with parent.read() as tx:
        assert cursor_of(tx, "reader") == 7


def test_database_that_cannot_be_opened_is_named_without_its_password(tmp_path: Path) -> None:
    for method in ("read", "write"):
        database = Database(f"sqlite:///{tmp_path}/missing/db.sqlite")
        with pytest.raises(DistwrightError, match=r"missing/db\.sqlite does not work: unable to open"):  # noqa: SIM117
            with getattr(database, method)():
                pass


def test_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "db.sqlite").write_bytes(b"bit rot, all of it\n" * 100)
    for method in ("read", "write"):
        database = Database(f"sqlite:///{tmp_path}/db.sqlite")
        with pytest.raises(DistwrightError, match=r"db\.sqlite does not work: file is not a database"):  # noqa: SIM117
            with getattr(database, method)():
                pass


def test_sqlite_keeps_what_it_said_it_kept(tmp_path: Path) -> None:
    with Database(f"sqlite:///{tmp_path}/db.sqlite").read() as tx:
        asked = {name: tx.connection.execute(sa.text(f"PRAGMA {name}")).scalar() for name in _PRAGMAS}
    assert asked == _PRAGMAS


def test_times_are_kept_to_the_microsecond_and_sort_as_text() -> None:
    later = NOW.replace(microsecond=1)
    assert [from_text(to_text(moment)) for moment in (NOW, later)] == [NOW, later]
    assert to_text(NOW) < to_text(later)
    with pytest.raises(BadInput, match="without a zone"):
        to_text(NOW.replace(tzinfo=None))


_PRAGMAS = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def _described(database: Database) -> dict[str, str]:
    with database.read() as tx:
        rows = tx.connection.execute(sa.text("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"))
        # A table that a migration made anew has its name in quotes.
        return {name: sql.replace('"', "") for name, sql in rows if name != "alembic_version"}
