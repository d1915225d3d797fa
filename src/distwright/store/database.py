"""One database, SQLite or PostgreSQL, behind short transactions."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from distwright.errors import Busy, DistwrightError, OutOfSpace

BUSY_TIMEOUT_S = 30


class Transaction:
    """One open transaction; the modules of `store` take it, nobody else looks inside."""

    def __init__(self, connection: sa.Connection) -> None:
        """Wrap a connection on which a transaction has begun."""
        self.connection = connection


class Database:
    """A pool of connections. Not to be carried across a fork: the child opens its own (see `reopen`)."""

    def __init__(self, url: str, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> None:
        """Open lazily; nothing is read or written before the first transaction. busy_timeout_s: patience with other writers."""
        self.url = url
        self._busy_timeout_s = busy_timeout_s
        self._engine = _engine(url, busy_timeout_s)

    @property
    def is_sqlite(self) -> bool:
        """Say whether this is the single-machine database."""
        return self._engine.dialect.name == "sqlite"

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """Begin a writing transaction, commit at the end, roll back on any error.

        Short by rule: no program, network or hashing inside. On SQLite it takes the write lock at once (BEGIN IMMEDIATE), so it
        never fails half-way for want of it. Raises Busy after `busy_timeout_s` of waiting, OutOfSpace when the disk is full.
        """
        with self._translated(), self._engine.connect() as connection:
            writing = connection.execution_options(distwright_write=True)
            with writing.begin():
                yield Transaction(writing)

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """Begin a reading transaction: one consistent view; never waits for a writer on SQLite (WAL)."""
        with self._translated(), self._engine.connect() as connection, connection.begin():
            yield Transaction(connection)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def reopen(self) -> "Database":
        """Give a database of the same URL with connections of its own, for a forked child; the parent's stay untouched."""
        self._engine.dispose(close=False)
        return Database(self.url, busy_timeout_s=self._busy_timeout_s)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sa.exc.DatabaseError as error:
            # Its other subclasses (IntegrityError, ProgrammingError, …) are bugs of ours and stay what they are.
            if type(error) not in (sa.exc.OperationalError, sa.exc.DatabaseError):
                raise
            raise _translate(error, self.url) from error


def damages(database: Database) -> list[str]:
    """Ask the database whether it is whole; give what it says is not. Reads all of it."""
    if not database.is_sqlite:
        return []
    with database.read() as tx:
        rows = [str(row[0]) for row in tx.connection.exec_driver_sql("PRAGMA quick_check(10)")]
    return [] if rows == ["ok"] else rows


def inserted_id(result: "sa.CursorResult[Any]") -> int:
    """Say which number the database gave to the row just inserted."""
    key = result.inserted_primary_key
    if key is None:
        raise DistwrightError("an insert gave no number", hint="report this as a bug of distwright")
    return int(key[0])


def _translate(error: sa.exc.DatabaseError, url: str) -> DistwrightError:
    text = str(error.orig)
    if "full" in text or "No space left" in text:
        return OutOfSpace(
            f"the disk of the database is full ({text})", hint="free some space, then run the same command again"
        )
    if "locked" in text or "busy" in text:
        return Busy(f"the database is held by another process ({text})", hint="distwright job list; then try again")
    shown = sa.make_url(url).render_as_string(hide_password=True)
    return DistwrightError(f"the database {shown} does not work: {text}", hint="distwright doctor")


def _engine(url: str, busy_timeout_s: float) -> sa.Engine:
    parsed = sa.make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return sa.create_engine(parsed, pool_pre_ping=True)
    engine = sa.create_engine(
        parsed,
        connect_args={"timeout": busy_timeout_s},
        # `sqlite://` is a database in memory (for tests): it lives in its one connection.
        poolclass=sa.pool.StaticPool if parsed.database is None else None,
    )

    @sa.event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, see _on_begin
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @sa.event.listens_for(engine, "begin")
    def _on_begin(connection: sa.Connection) -> None:
        is_write = connection.get_execution_options().get("distwright_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if is_write else "BEGIN")

    return engine
