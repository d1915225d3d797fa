"""Migrations, forward only: `upgrade` brings any older database to the schema of this version."""

from pathlib import Path

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext, RevisionStep, StampStep
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from distwright.errors import Refused, quoted
from distwright.store.database import Database
from distwright.store.schema import metadata

NEWEST = "0001"


def is_empty(database: Database) -> bool:
    """Say whether no distwright has ever written to this database."""
    with database.read() as tx:
        return MigrationContext.configure(tx.connection).get_current_revision() is None


def upgrade(database: Database) -> bool:
    """Bring the database to this version's schema, all steps in one transaction; say whether anything was done.

    Raises Refused for a database that a newer distwright has written.
    """
    with database.read() as tx:
        current = MigrationContext.configure(tx.connection).get_current_revision()
    if current == NEWEST:
        return False
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    scripts = ScriptDirectory.from_config(config)
    if current is not None and current not in {script.revision for script in scripts.walk_revisions()}:
        raise Refused(
            f"the database has schema {quoted(current)}, this version knows up to {NEWEST}",
            hint="install the newer distwright that wrote it, or restore a backup",
        )

    def steps(revision: object, _context: MigrationContext) -> list[StampStep | RevisionStep]:
        return scripts._upgrade_revs("head", revision)  # type: ignore[arg-type, return-value]  # noqa: SLF001  # as alembic.command does

    with database.write() as tx, EnvironmentContext(config, scripts, fn=steps) as environment:
        _run(environment, tx.connection)
    return True


def _run(environment: EnvironmentContext, connection: Connection) -> None:
    environment.configure(connection=connection, target_metadata=metadata, transaction_per_migration=False)
    environment.run_migrations()
