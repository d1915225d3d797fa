"""One database, SQLite or PostgreSQL, behind short transactions."""

import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from distwright.errors import (
    BadInput,
    Busy,
    DatabaseLost,
    DiskFailed,
    DistwrightError,
    NotFound,
    OutOfSpace,
    Refused,
    quoted,
)

BUSY_TIMEOUT_S = 30
MOVED = 77  # PRAGMA user_version of an SQLite database whose installation is on PostgreSQL now (store/moving.py)
_AGAIN_S = 0.02
_LOST_AGAIN_S = 0.5
# A cable that is cut says nothing: without these, a query would wait for a quarter of an hour, and a job's lease with it.
PATIENCE: Mapping[str, int] = {
    "connect_timeout": 10, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 20_000,
}  # fmt: skip
_WRITERS = 0x64697374  # key of PostgreSQL's advisory lock that every writer holds: "dist"
# A writer of which PostgreSQL hears nothing for so long is gone, its cable cut perhaps; less than others wait for the lock.
_SILENT_WRITER_S = 15


class Transaction:
    """One open transaction; the modules of `store` take it, nobody else looks inside."""

    def __init__(self, connection: sa.Connection) -> None:
        """Wrap a connection on which a transaction has begun."""
        self.connection = connection


class Database:
    """A pool of connections. Not to be carried across a fork: the child opens its own (see `reopen`)."""

    def __init__(
        self,
        url: str,
        *,
        busy_timeout_s: float = BUSY_TIMEOUT_S,
        lost_patience_s: float = 0.0,
        may_have_moved: bool = False,
        engine: sa.Engine | None = None,
    ) -> None:
        """Open lazily; nothing is read or written before the first transaction. busy_timeout_s: patience with other writers.

        lost_patience_s: patience with a server that is away, when a transaction begins. may_have_moved: also a database that was
        moved away is opened; else each transaction on it raises Refused. engine: one of this address, to share.
        """
        self.url = url
        self._busy_timeout_s = busy_timeout_s
        self._lost_patience_s = lost_patience_s
        self._engine = engine or _engine(url, busy_timeout_s, may_have_moved=may_have_moved)

    @property
    def is_of_one_machine(self) -> bool:
        """Whether it is a file, which only this machine can open."""
        return self._engine.dialect.name == "sqlite"

    @property
    def shown(self) -> str:
        """Its address as people may read it: a path, or a server without a password."""
        url = sa.make_url(self.url)
        return (url.database or self.url) if self.is_of_one_machine else url.render_as_string(hide_password=True)

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """Begin a writing transaction, commit at the end, roll back on any error.

        Writers come one after the other on both databases: each takes the one write lock at once (BEGIN IMMEDIATE; an advisory
        lock), so what it has read stays true until it commits, numbers of events are in the order of commits, and nothing fails
        half-way for want of a lock. Short by rule: no program, network or hashing inside. Raises Busy after `busy_timeout_s` of
        waiting, OutOfSpace when the disk is full.
        """
        with self._translated(), self._begun(is_write=True) as tx:
            yield tx

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """Begin a reading transaction: one consistent view (WAL; REPEATABLE READ) that waits for no writer."""
        with self._translated(), self._begun(is_write=False) as tx:
            yield tx

    def now(self) -> datetime:
        """Give the time that leases are reckoned by, UTC: this machine's, or the server's where many machines share it."""
        if self.is_of_one_machine:
            return datetime.now(UTC)
        with self.read() as tx:
            at = tx.connection.exec_driver_sql("SELECT clock_timestamp()").scalar_one()
        if not isinstance(at, datetime):
            raise DistwrightError(f"the server gave {at!r} for the time", hint="report this as a bug of distwright")
        return at.astimezone(UTC)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def reopen(self, *, lost_patience_s: float | None = None) -> "Database":
        """Give a database of the same URL with connections of its own, for a forked child; the parent's stay untouched.

        lost_patience_s: another patience with a server that is away. The engine stays, for it knows what this process has asked
        before: a new one would compile each statement again, and ask the server who it is.
        """
        self._engine.dispose(close=False)
        patience_s = self._lost_patience_s if lost_patience_s is None else lost_patience_s
        return Database(self.url, busy_timeout_s=self._busy_timeout_s, lost_patience_s=patience_s, engine=self._engine)

    @contextmanager
    def _begun(self, *, is_write: bool) -> Iterator[Transaction]:
        """Begin a transaction; while the server is away and there is patience, try again: nothing was said to it yet."""
        until = time.monotonic() + self._lost_patience_s
        with ExitStack() as stack:
            while True:
                try:
                    connection = self._opened(stack, is_write=is_write)
                    break
                except sa.exc.OperationalError as error:
                    if not _is_lost(error) or time.monotonic() >= until:
                        raise
                    time.sleep(_LOST_AGAIN_S)
            yield Transaction(connection)

    def _opened(self, stack: ExitStack, *, is_write: bool) -> sa.Connection:
        """Open a connection with a transaction, both of which end with `stack`."""
        with ExitStack() as opened:
            connection = opened.enter_context(self._engine.connect())
            if is_write:
                connection = connection.execution_options(distwright_write=True)
            opened.enter_context(connection.begin())
            stack.enter_context(opened.pop_all())
        return connection

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sa.exc.DatabaseError as error:
            # Its other subclasses (IntegrityError, ProgrammingError, …) are bugs of ours and stay what they are.
            if type(error) not in (sa.exc.OperationalError, sa.exc.DatabaseError):
                raise
            raise _translate(error, self.url) from error


def damages(database: Database, *, thoroughly: bool = False) -> list[str]:
    """Ask the database whether it is whole; give what it says is not. Reads all of it.

    thoroughly: whether indexes say what tables say, too.
    """
    with database.read() as tx:
        if tx.connection.dialect.name != "sqlite":
            return []
        rows = [
            str(row[0])
            for row in tx.connection.exec_driver_sql(f"PRAGMA {'integrity_check' if thoroughly else 'quick_check'}(10)")
        ]
    return [] if rows == ["ok"] else rows


def with_patience(url: sa.URL) -> sa.URL:
    """Give an address of PostgreSQL under which a server that is silent is given up soon; what it says itself counts."""
    return url.update_query_dict({name: str(value) for name, value in PATIENCE.items() if name not in url.query})


def is_reachable_elsewhere(url: str) -> bool:
    """Say whether an address of PostgreSQL names a server by the network: not a file, not a socket of this machine."""
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError:
        return False
    hosts = [parsed.host or "", *([str(parsed.query["host"])] if "host" in parsed.query else [])]
    return parsed.get_backend_name() == "postgresql" and any(host and not host.startswith(("/", "@")) for host in hosts)


def inserted_id(result: "sa.CursorResult[Any]") -> int:
    """Say which number the database gave to the row just inserted."""
    key = result.inserted_primary_key
    if key is None:
        raise DistwrightError("an insert gave no number", hint="report this as a bug of distwright")
    return int(key[0])


def _is_lost(error: sa.exc.DatabaseError) -> bool:
    """Say whether there was no connection to speak on, or it broke."""
    if not isinstance(error, sa.exc.OperationalError) or isinstance(error.orig, sqlite3.Error):
        return False
    return error.connection_invalidated or error.statement is None


def _is_full(error: BaseException | None) -> bool:
    """Say whether the disk is full, by the code of the database: words may come from a name."""
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    return getattr(error, "sqlstate", None) == "53100"


def _translate(error: sa.exc.DatabaseError, url: str) -> DistwrightError:
    text = str(error.orig).strip()
    if _is_full(error.orig):
        return OutOfSpace(
            f"the disk of the database is full ({text})", hint="free some space, then run the same command again"
        )
    if "disk I/O" in text:
        return DiskFailed(
            f"the disk of the database does not work ({text})",
            hint="look whether it is full (df -h), and what the kernel says of it (dmesg); then run the same command again",
        )
    if "locked" in text or "busy" in text or "lock timeout" in text:
        return Busy(f"the database is held by another process ({text})", hint="distwright job list; then try again")
    shown = sa.make_url(url).render_as_string(hide_password=True)
    if _is_lost(error):
        return DatabaseLost(
            f"the database {shown} cannot be reached: {text.splitlines()[0] if text else 'the connection broke'}",
            hint="look whether PostgreSQL runs and lets us in (distwright doctor); then run the same command again",
        )
    return DistwrightError(f"the database {shown} does not work: {text}", hint="distwright doctor")


def _engine(url: str, busy_timeout_s: float, *, may_have_moved: bool) -> sa.Engine:
    parsed = sa.make_url(url)
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        return _sqlite(parsed, busy_timeout_s, may_have_moved=may_have_moved)
    if backend == "postgresql":
        return _postgresql(parsed, busy_timeout_s)
    raise BadInput(f"a database of kind {quoted(backend)} is not supported", hint="use sqlite:///… or postgresql://…")


def _sqlite(url: sa.URL, busy_timeout_s: float, *, may_have_moved: bool) -> sa.Engine:
    engine = sa.create_engine(
        url,
        connect_args={"timeout": busy_timeout_s},
        # `sqlite://` is a database in memory (for tests): it lives in its one connection.
        poolclass=sa.pool.StaticPool if url.database is None else None,
    )

    @sa.event.listens_for(engine, "connect")
    def _on_connect(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, see _on_begin
        _use_wal(connection, busy_timeout_s)
        for pragma in ("synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @sa.event.listens_for(engine, "begin")
    def _on_begin(connection: sa.Connection) -> None:
        is_write = _is_write(connection)
        connection.exec_driver_sql(f"PRAGMA query_only={'OFF' if is_write else 'ON'}")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if is_write else "BEGIN")
        if not may_have_moved and connection.exec_driver_sql("PRAGMA user_version").scalar() == MOVED:
            connection.exec_driver_sql("ROLLBACK")
            raise Refused(
                "the database of this state has moved to PostgreSQL",
                hint="run this again; if it still says so: distwright db migrate --to ADDRESS, as before",
            )

    return engine


def _use_wal(connection: sqlite3.Connection, patience_s: float) -> None:
    """Have a write-ahead log. Of many that open a new database at once, SQLite refuses some without waiting for the others."""
    until = time.monotonic() + patience_s
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(_AGAIN_S)
        else:
            return


def _postgresql(url: sa.URL, busy_timeout_s: float) -> sa.Engine:
    try:
        patient = with_patience(url).set(drivername="postgresql+psycopg")
        engine = sa.create_engine(patient, pool_pre_ping=True)
    except ImportError as error:
        raise NotFound(
            f"the driver of PostgreSQL is not installed: {error}",
            hint="install python3-psycopg, or distwright[postgresql] by pip",
        ) from error
    # READ COMMITTED and the lock first: each statement then sees all that earlier writers have committed. The lock is the
    # transaction's own, so it ends with it, or with its connection.
    write = f"""
        SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE;
        SET LOCAL lock_timeout = {max(1, round(busy_timeout_s * 1000))};
        SET LOCAL idle_in_transaction_session_timeout = {_SILENT_WRITER_S * 1000};
        SELECT pg_advisory_xact_lock({_WRITERS})
    """
    read = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"

    @sa.event.listens_for(engine, "begin")
    def _on_begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql(write if _is_write(connection) else read)

    return engine


def _is_write(connection: sa.Connection) -> bool:
    return bool(connection.get_execution_options().get("distwright_write", False))
