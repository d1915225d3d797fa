"""A PostgreSQL server of the tests' own: a private cluster in a temporary folder, reached by its Unix socket only, or by TCP too.

PostgreSQL refuses to run as root; then the system user of Debian's package runs it. The cluster sorts text as English people do
(by ICU), not byte by byte as SQLite does: nothing may rely on either.
"""

import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from tests.worlds.servers import free_port

_SERVER_USER = "postgres"
_ROLE = "distwright"
_START_S = 30.0
_UNSAFE_AND_FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")
_numbers = itertools.count(1)


class PostgresCluster:
    """A server, which a test may stop and start again."""

    def __init__(self, programs: Path, folder: Path, *, is_durable: bool, address: str = "") -> None:
        """Run the server whose data and socket are in `folder`. is_durable: what is committed outlives a crash.

        address: where it listens for anybody who comes, beside its socket.
        """
        self._programs, self._folder = programs, folder
        self.address, self.port = address, free_port() if address else 5432
        self._settings = (
            *(() if is_durable else _UNSAFE_AND_FAST), f"listen_addresses={address}", f"port={self.port}",
        )  # fmt: skip
        self._server: subprocess.Popen[bytes] | None = None
        self._admin = sa.create_engine(self.url("postgres"), isolation_level="AUTOCOMMIT", poolclass=sa.pool.NullPool)

    def url(self, database: str) -> str:
        """Say how to reach a database."""
        return f"postgresql+psycopg://{_ROLE}@/{database}?host={self._folder}&port={self.port}"

    def tcp_url(self, url: str) -> str:
        """Say how to reach the database of an address by the network."""
        return f"postgresql://{_ROLE}@{self.address}:{self.port}/{sa.make_url(url).database}"

    def new_database(self) -> str:
        """Make an empty database and say how to reach it."""
        name = f"test{next(_numbers)}"
        with self._admin.connect() as connection:
            connection.execute(sa.text(f"CREATE DATABASE {name}"))
        return self.url(name)

    def listeners(self, database: str) -> int:
        """Say how many connections to a database wait for notifications."""
        with self._admin.connect() as connection:
            query = sa.text("SELECT count(*) FROM pg_stat_activity WHERE datname = :name AND query LIKE 'LISTEN%'")
            return int(connection.execute(query, {"name": database}).scalar_one())

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        log, deadline = self._folder / "log", time.monotonic() + _START_S
        while not self.is_up():
            assert time.monotonic() < deadline, f"the server does not start: {log.read_text()}"
            if (
                self._server is None or self._server.poll() is not None
            ):  # refused while processes of a killed one still end
                with log.open("ab") as out:
                    argv = _server(self._programs, self._folder, self._settings)
                    self._server = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
            time.sleep(0.02)

    def stop(self, number: int = signal.SIGQUIT) -> None:
        """End it at once, as after a crash, with all its connections."""
        if self._server is not None:
            self._server.send_signal(number)
            self._server.wait()
            self._server = None

    def is_up(self) -> bool:
        """Say whether the server takes connections."""
        try:
            with self._admin.connect():
                return True
        except sa.exc.OperationalError:
            return False


@contextmanager
def postgres_cluster(*, is_durable: bool = False, address: str = "") -> Iterator[PostgresCluster]:
    """Run a server until the block ends; fail, naming Debian's package, where there is none. address: for TCP."""
    programs = _programs()
    # Not below pytest's folder: another user cannot reach into it, and the path of a socket has at most 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="distwright-test-", dir="/tmp"))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, _SERVER_USER)
        _initdb(programs, folder)
        if address:
            with (folder / "data" / "pg_hba.conf").open("a") as rules:
                rules.write(f"host all all {address}/24 trust\n")
        cluster = PostgresCluster(programs, folder, is_durable=is_durable, address=address)
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()
    finally:
        shutil.rmtree(folder)


def _programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda file: int(file.parts[4]))
    assert found, "PostgreSQL is missing: setup/debian setup/packages-test.txt"
    return found[-1].parent


def _as_server_user(*command: str | Path) -> list[str]:
    """Run as who may run a server, and no longer than these tests, whatever ends them."""
    user = ["--reuid", _SERVER_USER, "--regid", _SERVER_USER, "--clear-groups"] if os.geteuid() == 0 else []
    return ["setpriv", *user, "--pdeathsig", "QUIT", "--", *map(str, command)]


def _initdb(programs: Path, folder: Path) -> None:
    language = ("--encoding=UTF8", "--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US")
    command = (
        programs / "initdb",
        "--no-sync",
        "--auth=trust",
        f"--username={_ROLE}",
        *language,
        "-D",
        folder / "data",
    )
    done = subprocess.run(_as_server_user(*command), stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr


def _server(programs: Path, folder: Path, more: Sequence[str]) -> list[str]:
    settings = (f"unix_socket_directories={folder}", "shared_buffers=16MB", *more)
    return _as_server_user(programs / "postgres", "-D", folder / "data", *(f"--{setting}" for setting in settings))
