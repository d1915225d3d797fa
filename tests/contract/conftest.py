"""The databases of the contract: both that distwright knows, each empty and open as often as a test wants."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.worlds.postgres import PostgresCluster
from tests.worlds.state import OpenAgain

from distwright.store.database import Database
from distwright.store.migrations import upgrade

DATABASES = ("sqlite", "postgresql")


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Say how to reach a new, empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'db.sqlite'}"
    cluster: PostgresCluster = request.getfixturevalue("postgres")
    return cluster.new_database()


@pytest.fixture
def fresh(database_url: str) -> Iterator[OpenAgain]:
    """Give a way to open one new, empty database, as often as a test wants: as other processes do."""
    opened: list[Database] = []

    def open_again() -> Database:
        opened.append(Database(database_url, busy_timeout_s=0.05))
        return opened[-1]

    yield open_again
    for database in opened:
        database.close()


@pytest.fixture
def open_again(fresh: OpenAgain) -> OpenAgain:
    """Give a way to open a database of the present schema."""
    upgrade(fresh())
    return fresh
