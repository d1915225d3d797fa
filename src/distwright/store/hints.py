"""Where an engine on PostgreSQL keeps its hints: a schema of their own, which is worth nothing and may be dropped at any time."""

import re

from distwright.errors import BadUsage
from distwright.store.database import Database

SCHEMA = "distwright_hints"
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
