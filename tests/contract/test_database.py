"""What every database does: SQLite and a real PostgreSQL (see conftest.py)."""

import gc
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from tests.worlds.state import OpenAgain, all_at_once, count_order, placed
from tests.worlds.times import NOW

import distwright.store.migrations
from distwright.errors import BadInput, Busy, DistwrightError, Refused
from distwright.model.digests import Sha256
from distwright.model.events import EVENT_SCHEMA, Event, EventKind
from distwright.store.database import Database, inserted_id
from distwright.store.events import append_event, cursor_of, events_after, move_cursor, newest_events
from distwright.store.holds import all_holds, replace_holds, serial_hold
from distwright.store.jobs import list_jobs
from distwright.store.migrations import NEWEST, is_empty, upgrade
from distwright.store.refs import refs_of, set_ref
from distwright.store.schema import events, metadata
from distwright.store.suites import find_pool_names, insert_pool_names
from distwright.store.times import from_text, to_text

EVENT = Event(EventKind.CONFIG_APPLIED, NOW, "c0ffee", {"commit": "c0ffee", "config": "0" * 64})


def test_migrations_make_exactly_the_schema(open_again: OpenAgain) -> None:
    with open_again().read() as tx:
        context = MigrationContext.configure(tx.connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []


def test_migrations_give_the_same_sql_as_the_schema(fresh: OpenAgain) -> None:
    """Autogenerate does not see everything (AUTOINCREMENT, order of letters), the database's own description does."""
    database = fresh()
    with database.write() as tx:
        metadata.create_all(tx.connection)
    by_schema = _described(database)
    with database.write() as tx:
        metadata.drop_all(tx.connection)
    assert upgrade(database)
    assert (_described(database), len(by_schema) > 20) == (by_schema, True)


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

    def count_up(database: Database) -> None:
        for _ in range(8):
            with database.write() as tx:
                move_cursor(tx, "reader", cursor_of(tx, "reader") + 1)

    all_at_once(open_again().url, count_up)
    with open_again().read() as tx:
        assert cursor_of(tx, "reader") == 32


def test_many_that_upgrade_at_once_make_one_schema(fresh: OpenAgain) -> None:
    all_at_once(fresh().url, upgrade)
    assert upgrade(fresh()) is False


def test_many_that_open_a_new_database_at_once_wait_for_each_other(tmp_path: Path) -> None:
    """SQLite refuses some of those that set its journal's mode at once, whatever their timeout: about one time in five."""
    for number in range(20):
        assert all_at_once(f"sqlite:///{tmp_path}/{number}.sqlite", is_empty) == [True] * 4


def test_upgrade_that_has_nothing_to_do_does_not_load_the_program_for_it(open_again: OpenAgain) -> None:
    """It would cost every command 0.08 s."""
    script = (
        "import sys\nfrom distwright.store.database import Database\nfrom distwright.store.migrations import upgrade\n"
    )
    script += "database = Database(sys.argv[1])\nprint(upgrade(database), 'alembic' in sys.modules)\ndatabase.close()\n"
    done = subprocess.run([sys.executable, "-c", script, open_again().url], capture_output=True, text=True)
    assert (done.stderr, done.stdout) == ("", "False False\n")


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


def test_same_order_from_many_writers_at_once_is_one_job(open_again: OpenAgain) -> None:
    numbers = all_at_once(open_again().url, lambda database: placed(database, count_order(), NOW).id)
    assert len(set(numbers)) == 1
    with open_again().read() as tx:
        assert [job.id for job in list_jobs(tx)] == numbers[:1]


def test_reader_that_follows_writers_misses_no_event(open_again: OpenAgain) -> None:
    """Numbers are given before the commit: a number that is seen must mean that all below it are to be seen."""
    writing = threading.Thread(
        target=lambda: all_at_once(open_again().url, lambda database: [_append(database) for _ in range(10)])
    )
    reading = Database(open_again().url)
    writing.start()
    seen: list[int] = []
    while writing.is_alive() or not seen or seen[-1] < _newest(reading):
        with reading.read() as tx:
            seen += [stored.number for stored in events_after(tx, seen[-1] if seen else 0)]
    writing.join()
    reading.close()
    with open_again().read() as tx:
        assert (seen, len(seen)) == ([stored.number for stored in events_after(tx, 0)], 40)


def test_second_writer_of_an_event_waits_for_the_first(open_again: OpenAgain) -> None:
    """Else a reader could see the second event, move on, and never see the first."""
    other = Database(open_again().url)
    second = threading.Thread(target=_append, args=(other,))
    with open_again().write() as tx:
        append_event(tx, EVENT)
        second.start()
        second.join(timeout=0.2)
        with open_again().read() as seeing:
            assert (second.is_alive(), events_after(seeing, 0)) == (True, [])
    second.join()
    other.close()
    with open_again().read() as tx:
        assert len(events_after(tx, 0)) == 2


def test_names_from_outside_have_any_length(open_again: OpenAgain) -> None:
    long = "refs/heads/" + "x" * 2000
    with open_again().write() as tx:
        set_ref(tx, "petrel", long, "0" * 64, NOW)
        replace_holds(tx, long, [serial_hold(long, "debian", "2026112301", "because")], NOW)
        insert_pool_names(tx, "petrel", [(long, Sha256("0" * 64))])
    with open_again().read() as tx:
        assert (list(refs_of(tx, "petrel")), [hold.holder for hold in all_holds(tx)]) == ([long], [long])
        assert list(find_pool_names(tx, "petrel", [long])) == [long]


def test_pool_names_come_in_any_number_and_keep_their_first_meaning(open_again: OpenAgain) -> None:
    first, second = Sha256("1" * 64), Sha256("2" * 64)
    paths = [f"pool/main/p/petrel/petrel_{number}_all.deb" for number in range(12_000)]
    with open_again().write() as tx:
        insert_pool_names(tx, "petrel", [])
        insert_pool_names(tx, "petrel", ((path, first) for path in paths[::2]))
        insert_pool_names(tx, "petrel", ((path, second) for path in paths))
        insert_pool_names(tx, "petrel", [("twice", first), ("twice", second)])
    with open_again().read() as tx:
        expected = {path: second if number % 2 else first for number, path in enumerate(paths)}
        assert find_pool_names(tx, "petrel", [*paths, "twice", "missing"]) == {**expected, "twice": first}
        assert find_pool_names(tx, "another", paths) == {}


def test_names_are_listed_byte_by_byte(open_again: OpenAgain) -> None:
    """Whatever language PostgreSQL's cluster was made for; both databases list alike."""
    names = ["B", "a", "a-b", "ab", "a~b", "ä", "Z"]
    with open_again().write() as tx:
        for name in names:
            replace_holds(tx, name, [serial_hold(name, "debian", "2026112301", "because")], NOW)
    with open_again().read() as tx:
        assert [hold.holder for hold in all_holds(tx)] == sorted(names)


def test_numbers_of_events_grow_and_are_never_given_twice(open_again: OpenAgain) -> None:
    """An event that was rolled back leaves no number behind that a reader may have seen."""
    numbers = []
    for _ in range(3):
        with open_again().write() as tx:
            numbers.append(append_event(tx, EVENT))
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


def test_forked_child_leaves_the_connections_of_its_parent_alone(open_again: OpenAgain) -> None:
    parent = open_again()
    with parent.read() as tx:
        assert cursor_of(tx, "reader") == 0
        pid = os.fork()
        if pid == 0:
            child = parent.reopen()
            with child.write() as own:
                move_cursor(own, "reader", 7)
            child.close()
            gc.collect()
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert cursor_of(tx, "reader") == 0, "still the moment at which it began to read"
    with parent.read() as tx:
        assert cursor_of(tx, "reader") == 7


def test_database_that_cannot_be_opened_is_named_without_its_password(tmp_path: Path) -> None:
    for method in ("read", "write"):
        database = Database(f"sqlite:///{tmp_path}/missing/db.sqlite")
        with pytest.raises(DistwrightError, match=r"missing/db\.sqlite does not work: unable to open"):  # noqa: SIM117
            with getattr(database, method)():
                pass


def test_server_that_does_not_answer_is_named_without_its_password(tmp_path: Path) -> None:
    database = Database(f"postgresql://petrel:sesame@/petrel?host={tmp_path}")
    with (
        pytest.raises(DistwrightError, match=r"petrel:\*\*\*@/petrel.* cannot be reached: ") as raised,
        database.read(),
    ):
        pass
    assert "sesame" not in str(raised.value)


def test_other_kind_of_database_is_refused() -> None:
    with pytest.raises(BadInput, match="of kind 'mysql' is not supported"):
        Database("mysql://petrel@localhost/petrel")


def test_reading_transaction_cannot_write(open_again: OpenAgain) -> None:
    """It would not have waited for its turn. A bug of ours, so the error is whatever the database says."""
    with pytest.raises((DistwrightError, sa.exc.DatabaseError), match=r"read-?only"), open_again().read() as tx:
        move_cursor(tx, "reader", 1)


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


def _append(database: Database) -> int:
    with database.write() as tx:
        return append_event(tx, EVENT)


def _newest(database: Database) -> int:
    with database.read() as tx:
        return max((stored.number for stored in newest_events(tx, 1)), default=0)


_SQLITE_TABLES = "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'alembic_version%'"
_POSTGRESQL_TABLES = """
    SELECT table_name, column_name, data_type, character_maximum_length, collation_name, is_nullable, column_default
        FROM information_schema.columns WHERE table_schema = 'public' AND table_name != 'alembic_version'
    UNION ALL
    SELECT tablename, indexname, indexdef, 0, '', '', ''
        FROM pg_indexes WHERE schemaname = 'public' AND tablename != 'alembic_version'
    UNION ALL
    SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), 0, '', '', ''
        FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text != 'alembic_version'
"""


def _described(database: Database) -> list[tuple[object, ...]]:
    with database.read() as tx:
        query = _SQLITE_TABLES if tx.connection.dialect.name == "sqlite" else _POSTGRESQL_TABLES
        # SQLite keeps the words of CREATE TABLE, and appends to them when a column is added later: blanks do not count.
        rows = [tuple(_in_one_line(value) for value in row) for row in tx.connection.execute(sa.text(query))]
    return sorted(rows, key=repr)


def _in_one_line(value: object) -> object:
    return re.sub(r"\s*([(),])\s*", r"\1", re.sub(r"\s+", " ", value)) if isinstance(value, str) else value
