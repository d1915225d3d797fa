"""Where an engine on PostgreSQL keeps its hints: a schema of their own, which is worth nothing and may be dropped at any time."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import sqlalchemy as sa

from distwright.errors import BadUsage, DistwrightError
from distwright.store.database import Database, with_patience

SCHEMA = "distwright_hints"
OPTIONS = f"-c search_path={SCHEMA}"  # of libpq: of each connection that hints go over
CONNECT_S = 5
LOST = (psycopg.Error, DistwrightError)
_VERSION = re.compile(r"[\w.+-]{1,60}")


def make_hint_schema(database: Database, sql: str, version: str) -> bool:
    """Have the tables of `version` and no others, made by `sql` if they are not there; say whether they were made.

    Those of another version are dropped with all hints: whoever waits looks into the job table from time to time all the same.
    """
    if not _VERSION.fullmatch(version):
        raise BadUsage(f"{version!r} is no version", hint="report this as a bug of distwright")
    with database.write() as tx:
        present = tx.connection.exec_driver_sql(
            "SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = %(name)s", {"name": SCHEMA}
        ).scalar()
        if present == version:
            return False
        tx.connection.exec_driver_sql(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE; CREATE SCHEMA {SCHEMA}")
        tx.connection.exec_driver_sql(f"SET LOCAL search_path = {SCHEMA}")
        tx.connection.exec_driver_sql(sql.replace("%", "%%"))
        tx.connection.exec_driver_sql(f"COMMENT ON SCHEMA {SCHEMA} IS '{version}'")
    return True


def conninfo_of(database: Database) -> str:
    """Give the address of a PostgreSQL database as libpq takes it."""
    return with_patience(sa.make_url(database.url)).set(drivername="postgresql").render_as_string(hide_password=False)


@contextmanager
def hint_connection(database: Database) -> Iterator["psycopg.Connection[tuple[object, ...]]"]:
    """Connect to where the hints are, for one statement or some. Raises one of LOST if that cannot be done."""
    with psycopg.connect(conninfo_of(database), options=OPTIONS, connect_timeout=CONNECT_S) as connection:
        yield connection
