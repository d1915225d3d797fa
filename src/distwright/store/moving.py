"""Moving an installation's database from SQLite to PostgreSQL, while others may have it open: nobody writes to the wrong one.

The copy is one transaction of the new database, made under the write lock of the old one, and marked as a copy. Then the old one is
marked as moved, in the transaction that has its lock: from that commit on each transaction on it is refused (store/database.py).
Then the state names the new one, and the mark of the copy goes. Cut off anywhere, the same call begins again or goes on.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import sqlalchemy as sa

from distwright.errors import BadUsage, Refused
from distwright.store.database import MOVED, Database, Transaction
from distwright.store.durable import write_durably
from distwright.store.migrations import upgrade
from distwright.store.paths import StatePaths
from distwright.store.schema import metadata

_COPY = "distwright: a copy, not in use yet"
_CHUNK = 1000
_MARKED = metadata.tables["events"].name  # any table would do: the mark is its comment

Progress = Callable[[str, int, int], None]
"""Hears of each table: name, rows so far, rows in all."""


@dataclass(frozen=True, slots=True)
class Moved:
    """What was moved: table -> rows. is_resumed: an earlier call had made the copy."""

    rows: dict[str, int]
    is_resumed: bool


def move_database(paths: StatePaths, url: str, progress: Progress) -> Moved:
    """Move to the PostgreSQL database of `url`, which must be empty or hold what an earlier call left there.

    Raises BadUsage for another kind of database, or a password in the address; Refused for a database in use, or a state that is
    on PostgreSQL already; Busy while another process writes for long.
    """
    _check_address(url)
    if paths.database_url != paths.sqlite_url:
        raise Refused("this state is on PostgreSQL already", hint="distwright db show")
    old, new = Database(paths.sqlite_url, may_have_moved=True), Database(url)
    try:
        upgrade(old)
        upgrade(new)
        moved = _copied(old, new, progress)
        write_durably(paths.database_place, f"{url}\n".encode(), mode=0o600)
        with new.write() as tx:
            tx.connection.exec_driver_sql(f"COMMENT ON TABLE {_MARKED} IS NULL")
    finally:
        old.close()
        new.close()
    return moved


def _check_address(url: str) -> None:
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError:
        parsed = None
    if parsed is None or parsed.get_backend_name() != "postgresql" or not parsed.database:
        raise BadUsage(
            "that is no address of a PostgreSQL database", hint="give one like postgresql://USER@HOST/DATABASE"
        )
    if parsed.password is not None:
        raise BadUsage(
            "a password has no place in an address, which others may see",
            hint="put it into ~/.pgpass of who runs distwright, as libpq describes it",
        )


def _copied(old: Database, new: Database, progress: Progress) -> Moved:
    """Have a whole copy, and the old database marked."""
    with old.write() as source:
        is_moved = _is_moved(source)
        if not is_moved or _state_of(new) != "copy":
            if is_moved:
                raise Refused("the database has moved, but not there", hint="give the address that it was moved to")
            _copy(source, new, progress)
            source.connection.exec_driver_sql(f"PRAGMA user_version = {MOVED}")
        return Moved(_counts(source), is_resumed=is_moved)


def _copy(source: Transaction, new: Database, progress: Progress) -> None:
    with new.write() as target:
        if _state_of_transaction(target) == "used":
            raise Refused("the database there is in use", hint="give the address of an empty one")
        for table in reversed(metadata.sorted_tables):
            target.connection.execute(table.delete())
        for table in metadata.sorted_tables:
            _copy_table(source, target, table, progress)
        target.connection.exec_driver_sql(f"COMMENT ON TABLE {_MARKED} IS '{_COPY}'")


def _copy_table(source: Transaction, target: Transaction, table: sa.Table, progress: Progress) -> None:
    count = _count(source, table)
    done = 0
    for rows in _chunks(source, table):
        target.connection.execute(table.insert(), [dict(row._mapping) for row in rows])  # noqa: SLF001  # the public way to a dict
        done += len(rows)
        progress(table.name, done, count)
    if _digest(source, table) != _digest(target, table):
        raise Refused(f"table {table.name} is not the same there", hint="report this as a bug of distwright")
    key = table.autoincrement_column
    if key is not None and isinstance(key.type, sa.Integer) and key.autoincrement is True:
        last = source.connection.exec_driver_sql(
            "SELECT seq FROM sqlite_sequence WHERE name = ?", (table.name,)
        ).scalar()
        if last:
            target.connection.execute(
                sa.select(sa.func.setval(sa.func.pg_get_serial_sequence(table.name, key.name), int(last)))
            )


def _chunks(tx: Transaction, table: sa.Table) -> Iterator[list[sa.Row[tuple[object, ...]]]]:
    """Give the rows in the order of their key, some at a time."""
    query = sa.select(table).order_by(*table.primary_key.columns).execution_options(yield_per=_CHUNK)
    result = tx.connection.execute(query)
    yield from (list(part) for part in result.partitions(_CHUNK))


def _digest(tx: Transaction, table: sa.Table) -> str:
    """Sum up all rows; as a set, for the two databases need not sort alike."""
    total = 0
    for rows in _chunks(tx, table):
        for row in rows:
            total += int.from_bytes(hashlib.sha256(repr(tuple(row)).encode()).digest())
    return f"{total % (1 << 256):064x}"


def _counts(tx: Transaction) -> dict[str, int]:
    return {table.name: _count(tx, table) for table in metadata.sorted_tables}


def _count(tx: Transaction, table: sa.Table) -> int:
    return int(tx.connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())


def _is_moved(tx: Transaction) -> bool:
    return bool(tx.connection.exec_driver_sql("PRAGMA user_version").scalar() == MOVED)


def _state_of(new: Database) -> str:
    with new.read() as tx:
        return _state_of_transaction(tx)


def _state_of_transaction(tx: Transaction) -> str:
    """Say what a PostgreSQL database holds: `empty`, a `copy` that nobody uses, or one that is `used`."""
    comment = tx.connection.execute(
        sa.text(f"SELECT obj_description(to_regclass('{_MARKED}'), 'pg_class')")  # a name of ours
    ).scalar()
    if comment == _COPY:
        return "copy"
    is_empty = all(tx.connection.execute(sa.select(table).limit(1)).first() is None for table in metadata.sorted_tables)
    return "empty" if is_empty else "used"
