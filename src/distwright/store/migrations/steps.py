"""Running the steps of a migration by Alembic; imported only when there is something to run."""

from collections.abc import Collection
from pathlib import Path

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext, RevisionStep, StampStep
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from distwright.store.schema import metadata


def known_versions() -> Collection[str]:
    """Say which versions of a database this program can bring forward."""
    return {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}


def run_steps(connection: Connection) -> None:
    """Run the steps that are missing, in the transaction that is open on this connection."""
    config = _config()
    scripts = ScriptDirectory.from_config(config)

    def steps(revision: object, _context: MigrationContext) -> list[StampStep | RevisionStep]:
        return scripts._upgrade_revs("head", revision)  # type: ignore[arg-type, return-value]  # noqa: SLF001  # as alembic.command does

    with EnvironmentContext(config, scripts, fn=steps) as environment:
        environment.configure(connection=connection, target_metadata=metadata, transaction_per_migration=False)
        environment.run_migrations()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    return config
