"""Which engine an installation has: it follows from where its job table is."""

from distwright.errors import NotFound
from distwright.flow.engines.embedded import EmbeddedEngine
from distwright.flow.engines.engine import Engine
from distwright.store.database import Database
from distwright.store.paths import StatePaths


def engine_of(database: Database, paths: StatePaths) -> Engine:
    """Give files of this machine beside SQLite, Procrastinate beside PostgreSQL. Raises NotFound if that is not installed."""
    if database.is_of_one_machine:
        return EmbeddedEngine(paths.root / "run" / "hints")
    # Here and not above: it is installed where PostgreSQL is used only, and takes 0.2 s to import.
    try:
        from distwright.flow.engines.on_postgresql import ProcrastinateEngine
    except ImportError as error:
        raise NotFound(
            f"the engine for PostgreSQL is not installed: {error}", hint="install distwright[postgresql] by pip"
        ) from error
    return ProcrastinateEngine(database)
