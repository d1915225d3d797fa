"""A small installation for tests: a real database and object store in a folder, and the context that actions are given."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from textwrap import dedent
from weakref import WeakSet

from tests.worlds.archive import MIRROR, Upstream, UpstreamFetcher
from tests.worlds.keys import signer
from tests.worlds.times import NOW

from distwright.archive.resolve import Ground
from distwright.config.load import parse_config
from distwright.config.model import Config
from distwright.jobs.lease import fenced_write
from distwright.model.events import Event
from distwright.net.fetcher import Fetcher
from distwright.signing.joint import joint_signer
from distwright.signing.signer import Signer
from distwright.store.database import Database, Transaction
from distwright.store.events import events_after
from distwright.store.migrations import upgrade
from distwright.store.objects import FileObjects, ObjectStore
from distwright.store.paths import StatePaths

CONFIG = dedent("""\
    format = 1
    [site]
    name = "Petrel"
    [archive.debian]
    kind = "upstream"
    suites = ["stable"]
    keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
    origin = "Debian"
    label = "Debian"
    live_url = "https://archive.example/debian"
    [archive.security]
    kind = "upstream"
    suites = ["stable-security"]
    keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
    origin = "Debian"
    label = "Debian-Security"
    live_url = "https://security.example/debian-security"
    [archive.petrel]
    kind = "own"
    origin = "Petrel"
    label = "Petrel"
    live_url = "https://deb.petrel.example/petrel"
    live_key = "debian/petrel.asc"
    key = { credential = "petrel" }
    [suite.devel]
    archive = "petrel"
    [repo.greeter]
    package = true
    suite = "devel"
    environment = "build"
    [repo.live]
    [environment.build]
    from = ["debian/stable"]
    include = ["debhelper"]
    [environment.tools]
    from = ["debian/stable"]
    variant = "apt"
    include = ["xorriso"]
    [image.petrel]
    repo = "live"
    recipe = "images/petrel"
    from = ["debian/stable", "security/stable-security", "petrel/devel"]
    tools = "tools"
    boot_expect = "petrel greets you"
    kernel_options = ["quiet"]
""")


@cache
def config() -> Config:
    """Give the small configuration."""
    return parse_config([("distwright.toml", CONFIG)])


@dataclass(slots=True)
class WorldContext:
    """What an action is given, with a clock that stands until it is moved, and a log that can be read."""

    paths: StatePaths
    database: Database
    objects: ObjectStore
    fetcher: Fetcher
    config: Config = field(default_factory=config)
    alternates: Sequence[FileObjects] = ()
    job: int | None = None
    fence: int = 0
    clock: datetime = NOW
    lines: list[str] = field(default_factory=list)
    cancel_when: Callable[[], None] | None = None
    when_asked_the_time: Callable[[], None] | None = None

    def write(self) -> AbstractContextManager[Transaction]:
        """Begin a writing transaction, of the job if there is one."""
        return fenced_write(self.database, self.job, self.fence)

    def now(self) -> datetime:
        """The time; a test may let something else happen just before."""
        if self.when_asked_the_time is not None:
            self.when_asked_the_time()
        return self.clock

    def log(self, line: str) -> None:
        """Keep a line."""
        self.lines.append(line)

    def progress(self, stage: str, done: int, total: int, unit: str) -> None:
        """Nobody looks."""

    def check_cancelled(self) -> None:
        """Ask the test."""
        if self.cancel_when is not None:
            self.cancel_when()

    def signer(self, *credentials: str) -> Signer:
        """Give the keys of these names."""
        return joint_signer([signer(credential) for credential in credentials])

    def ground(self, pins: Mapping[str, str] | None = None) -> Ground:
        """Give what orders are resolved against."""
        return Ground(self.config, self.objects, self.paths, self.clock, dict(pins or {}))

    def events(self) -> list[Event]:
        """Give all events so far."""
        with self.database.read() as tx:
            return [stored.event for stored in events_after(tx, 0)]


_OPENED: WeakSet[Database] = WeakSet()


def close_worlds() -> None:
    """Close the connections of all installations; one that is used again opens new ones."""
    for database in list(_OPENED):
        database.close()


def make_context(folder: Path, upstream: Upstream | None = None) -> WorldContext:
    """Give the context of an empty installation below a folder, whose one mirror is `upstream`."""
    paths = StatePaths(folder)
    paths.make()
    (folder / "db.sqlite").write_bytes(_empty_database())
    fetcher = UpstreamFetcher({} if upstream is None else {MIRROR: upstream})
    database = Database(paths.database_url)
    _OPENED.add(database)
    return WorldContext(paths, database, FileObjects(paths.objects), fetcher)


@cache
def _empty_database() -> bytes:
    """Migrate once; every test begins with a copy."""
    with tempfile.TemporaryDirectory(prefix="distwright-world-") as place:
        database = Database(f"sqlite:///{place}/db.sqlite")
        upgrade(database)
        database.close()
        return (Path(place) / "db.sqlite").read_bytes()
