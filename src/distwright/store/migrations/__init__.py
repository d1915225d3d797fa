"""Migrations, forward only: `upgrade` brings any older database to the schema of this version."""

from datetime import datetime

import sqlalchemy as sa

from distwright.errors import Busy, Refused, quoted
from distwright.store.database import Database, Transaction
from distwright.store.times import to_text

NEWEST = "0010"


def is_empty(database: Database) -> bool:
    """Say whether no distwright has ever written to this database."""
    with database.read() as tx:
        return version_of(tx) is None


def upgrade(database: Database) -> bool:
    """Bring the database to this version's schema, all steps in one transaction; say whether anything was done.

    Raises Refused for a database that a newer distwright has written, or that holds tables of somebody else; Busy while jobs run.
    """
    with database.read() as tx:
        current = version_of(tx)
    if current == NEWEST:
        return False
    # Here and not above: Alembic costs 0.08 s of CPU to import, and almost every start has nothing to migrate.
    from distwright.store.migrations.steps import known_versions, run_steps

    if current is not None and current not in known_versions():
        raise Refused(
            f"the database has schema {quoted(current)}, this version knows up to {NEWEST}",
            hint="install the newer distwright that wrote it, or restore a backup",
        )
    try:
        now = database.now()
        with database.write() as tx:
            if current is not None:
                _refuse_while_jobs_run(tx, now)
            run_steps(tx.connection)
    except sa.exc.ProgrammingError as error:
        raise Refused(
            f"the database cannot take the tables of distwright: {error.orig}",
            hint="give distwright a database of its own",
        ) from error
    return True


def _refuse_while_jobs_run(tx: Transaction, now: datetime) -> None:
    """Let the workers of an older version end what they do: they would go on with tables that they do not know."""
    running = sa.text("SELECT COUNT(*) FROM jobs WHERE state = 'running' AND lease_until > :now")
    if tx.connection.execute(running, {"now": to_text(now)}).scalar():
        raise Busy(
            "an older version of distwright runs jobs here, and this one would change its database",
            hint="end its workers (Ctrl-C, or systemctl), then run the same command again",
        )


def version_of(tx: Transaction) -> str | None:
    """Say which migration was the last to run; None for a new database."""
    if not sa.inspect(tx.connection).has_table("alembic_version"):
        return None
    found = tx.connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)
