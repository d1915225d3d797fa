"""Wiring: reads the environment, files and the clock once, and builds the objects that faces use."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from distwright.archive.resolve import keyring_bytes, record_order, upstream_url
from distwright.config.load import parse_config
from distwright.config.model import Config
from distwright.config.tables_archive import UpstreamArchive
from distwright.errors import BadUsage, NotAllowed, NotFound
from distwright.flow.advance import advance
from distwright.flow.engines.embedded import EmbeddedEngine
from distwright.flow.rules import View
from distwright.jobs.order import JobOrder, place_order
from distwright.model.outcomes import JobState
from distwright.model.records import Job
from distwright.net.fetch import Fetcher, NetFetcher
from distwright.repos.pushes import take_in_pushes
from distwright.signing.signer import SequoiaSigner
from distwright.site.applied import CONFIG_FILE, CONFIG_FOLDER, load_applied
from distwright.store.database import Database
from distwright.store.jobs import list_jobs
from distwright.store.migrations import upgrade
from distwright.store.objects import FileObjects
from distwright.store.paths import StatePaths
from distwright.tools.apt import configured_proxy, configured_sources
from distwright.tools.sandbox import Sandbox, sandbox_for
from distwright.worker.context import JobContext
from distwright.worker.kinds import KINDS
from distwright.worker.loop import Watcher, Worker

AGENT = "distwright/0.1 (+https://distwright.example)"
ROOT_STATE = Path("/var/lib/distwright")


@dataclass(slots=True)
class App:
    """One opened installation. pins: archive -> serial that this command uses instead of the newest."""

    paths: StatePaths
    database: Database
    objects: FileObjects
    sandbox: Sandbox
    engine: EmbeddedEngine
    pins: dict[str, str] = field(default_factory=dict)
    fetch_from: dict[str, str] = field(default_factory=dict)

    def now(self) -> datetime:
        """The time, UTC."""
        return datetime.now(UTC)

    def config(self) -> Config:
        """Give the configuration in force; raise NotFound before the first apply."""
        return self.applied()[0]

    def applied(self) -> tuple[Config, str]:
        """Give the configuration in force and its commit; raise NotFound before the first apply."""
        found = load_applied(self.database, self.objects)
        if found is None:
            raise NotFound(
                "no configuration is applied here yet", hint="distwright config apply COMMIT, or distwright demo"
            )
        return found

    def view(self) -> View:
        """Give what flow rules see."""
        return View(self.config(), self.objects, self.paths, self.certificate, dict(self.pins))

    def certificate(self, credential: str) -> bytes:
        """Give the public certificate of a credential."""
        return SequoiaSigner(self.paths.key(credential)).certificate()

    def take_in(self) -> None:
        """Turn pushes into events and events into orders until nothing new happens."""
        while True:
            count = take_in_pushes(self.database, self.paths, sorted(self.config().repos), self.now())
            count += advance(self.database, self.view(), self.now(), self.engine.hint)
            if not count:
                return

    def order_record(self, name: str, serial: str | None) -> Job:
        """Order a record of an upstream archive, from where this machine fetches it."""
        config, commit = self.applied()
        archive = config.archives.get(name)
        if not isinstance(archive, UpstreamArchive):
            raise NotFound(f"archive {name} is no upstream archive", hint="distwright archive list")
        given = self.fetch_from.get(name)
        url = (
            given.rstrip("/")
            if given
            else upstream_url(name, archive, [] if archive.fetch_from else configured_sources())
        )
        keyring = self.objects.put(keyring_bytes(archive.keyring, self.paths.root))
        order = record_order(config, name, url=url, keyring=keyring, serial=serial, requested=self.now())
        return self.place(order, commit)

    def place(self, order: JobOrder, commit: str | None = None) -> Job:
        """Queue an order."""
        with self.database.write() as tx:
            job = place_order(tx, order, self.now(), config_commit=commit)
        self.engine.hint(order.pool)
        return job

    def worker(self, watcher: Watcher, *, may_wait_to_retry: bool, pools: Sequence[str] = ("local",)) -> Worker:
        """Give a worker of this process."""
        return Worker(
            database=self.database,
            paths=self.paths,
            sandbox=self.sandbox,
            kinds=KINDS,
            make_context=self.make_context,
            pools=pools,
            watcher=watcher,
            may_wait_to_retry=may_wait_to_retry,
        )

    def make_context(self, job: Job, tell: Callable[[str], None], is_cancelled: Callable[[], bool]) -> JobContext:
        """Build what a job's process uses; call it in that process."""
        database = self.database.reopen()
        found = load_applied(database, self.objects)
        if found is None:
            raise NotFound("no configuration is applied here", hint="distwright config apply COMMIT")
        return JobContext(
            database=database,
            objects=self.objects,
            fetcher=make_fetcher(),
            config=found[0],
            paths=self.paths,
            sandbox=self.sandbox,
            job=job.id,
            fence=job.fence,
            tell=tell,
            is_cancelled=is_cancelled,
        )

    def run_until_idle(self, watcher: Watcher) -> None:
        """Run everything that follows from the events so far, here and now, until nothing is left to do."""
        worker = self.worker(watcher, may_wait_to_retry=False)
        worker.clean_up()
        while True:
            self.take_in()
            if not worker.run_one() and not self._queued():
                return

    def _queued(self) -> bool:
        with self.database.read() as tx:
            queued = list_jobs(tx, states=[JobState.QUEUED], limit=100)
        return any(job.not_before <= self.now() for job in queued)


def make_fetcher() -> Fetcher:
    """Give the fetcher of this machine, with apt's proxy."""
    return NetFetcher(agent=AGENT, proxy=configured_proxy())


def state_folder(given: str | None, environment: Mapping[str, str], uid: int) -> Path:
    """Say where the state is: as given, as DISTWRIGHT_STATE says, /var/lib/distwright for root, ./state otherwise."""
    chosen = given or environment.get("DISTWRIGHT_STATE")
    if chosen:
        return Path(chosen).absolute()
    return ROOT_STATE if uid == 0 else Path("state").absolute()


def open_app(state: str | None, *, create: bool = False) -> App:
    """Open the installation; raise NotFound if there is none (and create is not wanted), NotAllowed if it is not ours."""
    paths = StatePaths(state_folder(state, os.environ, os.geteuid()))
    if create:
        try:
            paths.make()
        except PermissionError as error:
            raise NotAllowed(
                f"{error.filename} cannot be written", hint="choose another place with --state DIR"
            ) from error
    if not (paths.root / "db.sqlite").exists() and not create:
        raise NotFound(
            f"there is no distwright state in {paths.root}",
            hint="distwright demo makes one; or name another with --state DIR",
        )
    if not os.access(paths.root, os.W_OK):
        raise NotAllowed(
            f"{paths.root} cannot be written", hint="run as its owner, or choose another place with --state DIR"
        )
    database = Database(paths.database_url)
    upgrade(database)
    objects = FileObjects(paths.objects)
    return App(paths, database, objects, sandbox_for(os.geteuid()), EmbeddedEngine(paths.root / "run" / "hints"))


def config_files(given: str | None) -> dict[str, str]:
    """Read configuration files: of a folder (`distwright.toml`, `distwright.d/*.toml`), or one file; raise NotFound."""
    place = Path(given or os.environ.get("DISTWRIGHT_CONFIG") or ".")
    if place.is_dir():
        found = [
            file for file in (place / CONFIG_FILE, *sorted((place / CONFIG_FOLDER).glob("*.toml"))) if file.is_file()
        ]
    else:
        found = [place] if place.is_file() else []
    if not found:
        raise NotFound(f"there is no {CONFIG_FILE} in {place}", hint="name it with --config PATH")
    base = place if place.is_dir() else place.parent
    try:
        return {str(file.relative_to(base)): file.read_text() for file in found}
    except UnicodeDecodeError as error:
        raise BadUsage(f"a configuration file is not UTF-8 text: {error}", hint="file distwright.toml") from error


def read_config(given: str | None) -> Config:
    """Read and check configuration files; raise BadConfig with every problem."""
    return parse_config(sorted(config_files(given).items()))
