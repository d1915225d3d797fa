"""Fixtures that all tests share, and one rule: only system tests may talk to anything but this machine."""

import signal
import sys
from collections.abc import Iterator
from ipaddress import ip_address

import pytest
from hypothesis import settings

from distwright.store.database import Database
from tests.worlds.installation import close_worlds
from tests.worlds.postgres import PostgresCluster, postgres_cluster
from tests.worlds.state import Clock, memory_database

_at_home = [True]
# How long an example takes says nothing: tests run beside each other, on machines that do other things.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@pytest.fixture
def database() -> Iterator[Database]:
    """Give an empty database of the present schema, in memory; its transactions must not overlap."""
    database = memory_database()
    yield database
    database.close()


@pytest.fixture
def clock() -> Clock:
    """Give a clock that stands until it is moved."""
    return Clock()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresCluster]:
    """Give a PostgreSQL server, started for the first test that asks."""
    with postgres_cluster() as cluster:
        yield cluster


@pytest.fixture(params=["sqlite", "postgresql"])
def work_database(request: pytest.FixtureRequest) -> str:
    """Say where workers have their job table: "" for the file of the state, else a new database of a server."""
    if request.param == "sqlite":
        return ""
    cluster: PostgresCluster = request.getfixturevalue("postgres")
    return cluster.new_database()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Say before a test's fixtures are made whether they may talk to the world."""
    _at_home[0] = item.get_closest_marker("system") is None


@pytest.fixture(autouse=True)
def _close_worlds() -> Iterator[None]:
    yield
    close_worlds()


def _refuse_the_world(event: str, arguments: tuple[object, ...]) -> None:
    if event != "socket.connect" or not _at_home[0]:
        return
    address = arguments[1]
    host = address[0] if isinstance(address, tuple) else "127.0.0.1"
    if not ip_address(str(host)).is_loopback:
        raise RuntimeError(f"a test talks to {address}: use a fake that passes the same contract")


# A shell that starts the tests in the background has them ignore Ctrl-C, and every program that they start too.
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.addaudithook(_refuse_the_world)
