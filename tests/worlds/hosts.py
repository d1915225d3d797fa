"""A server and a machine that works for it: two states, one database, HTTP between them, each in processes of its own."""

import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from tests.worlds.archive import UpstreamFetcher
from tests.worlds.installation import CONFIG
from tests.worlds.processes import wait_until
from tests.worlds.servers import free_port
from tests.worlds.work import IsCancelled, Onlooker, Tell, Workshop, ended, workshop
from uvicorn.protocols.http.h11_impl import H11Protocol

from distwright.config.load import parse_config
from distwright.flow.engines.embedded import EmbeddedEngine
from distwright.jobs.step import JobKind
from distwright.model.records import Job
from distwright.net.fetcher import Fetcher
from distwright.site.away import Away, join
from distwright.site.host_requests import HostRequests
from distwright.site.hosts import enrol
from distwright.store.database import Database
from distwright.store.home_place import read_home
from distwright.store.paths import StatePaths
from distwright.tools.sandbox import Sandbox
from distwright.web.hosts import Hosts
from distwright.worker.asked import asker
from distwright.worker.context import JobContext
from distwright.worker.loop import Worker

HOST = "anvil"
HOSTED = parse_config(
    [("distwright.toml", f'{CONFIG}\n[host.{HOST}]\nrole = "runner"\n[host.tongs]\nrole = "runner"\n')]
)
Kinds = Mapping[str, JobKind]


@dataclass
class Homestead:
    """The server. kinds: whose actions may be asked for. pid: of the process that answers hosts, None while it is away."""

    shop: Workshop
    port: int = field(default_factory=free_port)
    kinds: Kinds = field(default_factory=dict)
    pid: int | None = None

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def requests(self, database: Database | None = None) -> HostRequests:
        """Give what answers."""
        shop = self.shop
        return HostRequests(
            database or shop.database, shop.objects, shop.paths, shop.sandbox, lambda: HOSTED, self.kinds
        )

    def start(self) -> None:
        """Answer hosts from now on."""
        self.pid = _forked(self._serve)
        try:
            wait_until(self._answers, "the server answers hosts")
        except BaseException:
            self.stop()
            raise

    def stop(self, number: int = signal.SIGKILL) -> None:
        """End it."""
        if self.pid is not None:
            os.kill(self.pid, number)
            ended(self.pid)
            self.pid = None

    def _serve(self) -> None:
        os.setsid()
        database = self.shop.database.reopen()
        application = Starlette(routes=Hosts(self.requests(database)).routes())
        # Nothing is imported here: this is a copy of a process that has run hundreds of tests.
        config = uvicorn.Config(
            application,
            port=self.port,
            http=H11Protocol,
            ws="none",
            lifespan="off",
            log_level="error",
            access_log=False,
        )
        uvicorn.Server(config).run()

    def _answers(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False


@dataclass
class Outpost:
    """A machine that works for it. enter: called in its processes before they do anything, to be where it is."""

    away: Away
    sandbox: Sandbox = field(default_factory=lambda: Sandbox(None))
    enter: Callable[[], None] = field(default=lambda: None)
    started: list[int] = field(default_factory=list)
    fetcher: Fetcher = field(default_factory=lambda: UpstreamFetcher({}))

    def make_context(self, job: Job, tell: Tell, is_cancelled: IsCancelled) -> JobContext:
        """Give the context of an attempt in a forked process, as a worker wants it."""

        def check() -> None:
            context.check_cancelled()

        context = JobContext(
            database=self.away.database.reopen(lost_patience_s=60.0),
            objects=self.away.objects(check),
            fetcher=self.fetcher,
            config=HOSTED,
            paths=self.away.paths,
            sandbox=self.sandbox,
            job=job.id,
            fence=job.fence,
            tell=tell,
            is_cancelled=is_cancelled,
        )
        context.clock_behind = self.away.clock_behind(context.database)
        context.ask = asker(context, self.away.link(check).act)
        return context

    def worker(self, kinds: Kinds) -> Worker:
        """Give a worker of this process."""
        away = replace(self.away, database=self.away.database.reopen())
        return Worker(
            database=away.database,
            paths=away.paths,
            sandbox=self.sandbox,
            kinds=kinds,
            make_context=self.make_context,
            pools=["local"],
            watcher=Onlooker(),
            renew_every_s=0.05,
            cancel_grace_s=1.0,
            host=away.place.host,
            carrier_of=away.carrier_of,
        )

    def start(self, kinds: Kinds, jobs: int = 1, change: Callable[[Worker], None] = lambda _worker: None) -> int:
        """Fork a worker that runs so many jobs, and is changed before; give its process number."""

        def work() -> None:
            os.setsid()
            self.enter()
            worker = self.worker(kinds)
            change(worker)
            worker.clean_up()
            left = jobs
            while left:
                had_one = worker.run_one()
                left -= had_one
                if not had_one:
                    time.sleep(0.02)

        self.started.append(_forked(work))
        return self.started[-1]

    def work(self, kinds: Kinds, said: Path) -> int:
        """Fork a worker as the command starts it, who writes what it tells to a file; give its process number."""

        def tell(text: str) -> None:
            with said.open("a") as file:
                file.write(f"{text}\n")

        def act() -> None:
            os.setsid()
            worker = self.worker(kinds)
            away = replace(self.away, database=worker.database)
            away.work(worker, EmbeddedEngine(said.parent / "hints"), tell, until_idle=False)

        self.started.append(_forked(act))
        return self.started[-1]

    def close(self) -> None:
        """End the workers that a test has left, and all connections."""
        for pid in self.started:
            with suppress(ChildProcessError):  # it has ended, and somebody knows
                if os.waitpid(pid, os.WNOHANG) == (0, 0):
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)
        self.away.database.close()


def homestead(folder: Path, url: str, kinds: Kinds | None = None) -> Homestead:
    """Make a server below a folder, whose rows are at `url`."""
    return Homestead(workshop(folder / "home", Sandbox(None), url), kinds=kinds or {})


def outpost(home: Homestead, folder: Path, database_url: str, name: str = HOST, url: str = "") -> Outpost:
    """Enrol a machine whose state is below a folder. url: where it finds the server, if not on loopback."""
    database = home.shop.database
    token = enrol(database, HOSTED, name, database.now())
    paths = StatePaths(folder / name)
    join(paths, url or home.url, name, token, database_url)
    place = read_home(paths)
    assert place is not None
    return Outpost(Away(paths, Database(paths.database_url), place))


@contextmanager
def answering(home: Homestead) -> Iterator[Homestead]:
    """Have a server answer until the block ends."""
    home.start()
    try:
        yield home
    finally:
        home.stop()


def _forked(action: Callable[[], None]) -> int:
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        action()
        status = 0
    except KeyboardInterrupt:
        status = 130
    finally:
        if status == 1:
            traceback.print_exc()
        os._exit(status)
