"""A machine that works for another: it claims jobs of the server's table, and has objects and logs there."""

import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from distwright import __version__
from distwright.errors import (
    BadUsage,
    DatabaseLost,
    DistwrightError,
    NotFound,
    OutOfSpace,
    Refused,
    Unreachable,
    quoted,
)
from distwright.flow.engines.engine import Engine
from distwright.jobs.lease import HUNG_AFTER_S
from distwright.model import plain
from distwright.model.names import our_name
from distwright.model.records import HostHealth, Job
from distwright.net.home import HomeLink
from distwright.site.hosts import health_text, may_claim
from distwright.store.database import Database, is_reachable_elsewhere
from distwright.store.home_objects import HomeObjects
from distwright.store.home_place import HomePlace, keep_home, read_home
from distwright.store.jobs import running_jobs
from distwright.store.migrations import NEWEST, version_of
from distwright.store.paths import StatePaths
from distwright.tools.architectures import look_at_machine, own_architecture
from distwright.tools.interrupts import interrupts_noted
from distwright.worker.carrying import LogCarrier, carry, late_logs
from distwright.worker.loop import Worker

CACHE_LIMIT_BYTES = 64 << 30
_IDLE_S = 2.0
_GREET_EVERY_S = 5.0
_TRIM_EVERY_S = 600.0
_SHORT_S = 5.0
_LOG_READ_S = 10.0
_LATE_S = 60.0


@dataclass(slots=True)
class Away:
    """What a machine knows of the server that it works for."""

    paths: StatePaths
    database: Database
    place: HomePlace
    refused_logs: set[tuple[int, int]] = field(default_factory=set)

    def link(
        self,
        check_cancelled: Callable[[], None] = lambda: None,
        *,
        patience_s: float = HUNG_AFTER_S,
        read_s: float = 60.0,
    ) -> HomeLink:
        """Give a way to the server, for one thread."""
        return HomeLink(
            self.place.url, self.place.host, self.place.token, __version__, patience_s=patience_s, read_s=read_s,
            check_cancelled=check_cancelled, health=lambda: health_text(self.health()),
        )  # fmt: skip

    def health(self) -> HostHealth:
        """Say how this machine is now."""
        return HostHealth(shutil.disk_usage(self.paths.root).free, os.getloadavg()[0])

    def objects(self, check_cancelled: Callable[[], None] = lambda: None) -> HomeObjects:
        """Give the server's objects."""
        return HomeObjects(self.paths.objects, self.link(check_cancelled))

    def carrier_of(self, job: Job) -> LogCarrier:
        """Give who carries the log of an attempt to the server."""
        link = self.link(patience_s=0, read_s=_LOG_READ_S)
        return LogCarrier(link, job.id, job.fence, self.paths.job_log(job.id, job.fence))

    def table(self, tell: Callable[[str], None] | None = None) -> tuple[tuple[str, ...], int]:
        """Ask the server for the pools and the number of jobs at a time that it wants of this host. Raises Refused, NotAllowed.

        tell: hears that the server is silent, which is waited for then; without it, Unreachable is raised.
        """
        is_told = False
        while True:
            try:
                answer = self.link(patience_s=_SHORT_S).hello()
                break
            except Unreachable as error:
                if tell is None:
                    raise
                if not is_told:
                    tell(f"{error.message}: waiting for it")
                is_told = True
                time.sleep(_IDLE_S)
        if is_told and tell is not None:
            tell("the server answers again")
        wanted, own = plain.text(answer, "architecture"), own_architecture(look_at_machine().machine)
        if wanted != own:
            raise Refused(
                f"the server takes host {self.place.host} for a machine of {wanted}, this one is of {own}",
                hint="correct architecture in the host's table, on the server",
            )
        return plain.texts(answer, "pools"), plain.number(answer, "slots")

    def clock_behind(self, database: Database) -> timedelta:
        """Say how much this machine's clock is behind the server's, to a second or so."""
        return database.now() - datetime.now(UTC)

    def carry_late_logs(self, age_s: float = _LATE_S) -> None:
        """Carry logs of attempts that ended while the server was silent. Raises Unreachable.

        age_s: how long nobody has written to them; an attempt that lost its lease is stopped sooner.
        """
        logs = late_logs(self.paths.logs, time.time() - age_s)
        if not logs:
            return
        with self.database.read() as tx:
            running = {(job.id, job.fence) for job in running_jobs(tx)}
        link = self.link(patience_s=0, read_s=_LOG_READ_S)
        for job, fence, log in logs:
            if (job, fence) in running | self.refused_logs:
                continue
            try:
                carry(link, job, fence, log)
                log.unlink(missing_ok=True)
            except FileNotFoundError:  # another worker of this host has carried it meanwhile
                continue
            except OutOfSpace:  # there; the next look may find some
                continue
            except (NotFound, Refused):
                self.refused_logs.add((job, fence))  # stays here, for a person to look at

    def work(self, worker: Worker, engine: Engine, tell: Callable[[str], None], *, until_idle: bool) -> None:
        """Run portable jobs until interrupted, or until nothing is left to do; wait for a server that is silent.

        Raises Refused if the server is of another version by now, NotAllowed if this host is no longer one of its own.
        """
        round_ = _Round(self, worker, engine, tell)
        while True:
            with interrupts_noted():  # in the middle of a query, Ctrl-C would come out as an error of the driver
                is_idle = round_.is_idle()
            if is_idle and until_idle and not round_.is_lost:
                return
            if is_idle:
                engine.wait(tuple(worker.pools), _IDLE_S)


@dataclass(slots=True)
class _Round:
    """One look after the other at whether there is work, and whether it may be taken."""

    away: Away
    worker: Worker
    engine: Engine
    tell: Callable[[str], None]
    is_lost: bool = False
    is_clean: bool = False
    greeted: float = -1e9
    trimmed: float = -1e9

    def is_idle(self) -> bool:
        """Run a job if there is one and the server answers; say whether there was none to run. What is wrong is said once."""
        try:
            had_one = self.run_one()
        except (DatabaseLost, Unreachable) as error:
            self.not_heard(error)
            return True
        self.heard()
        return not had_one

    def run_one(self) -> bool:
        """Run a job if there is one and we may; say whether there was."""
        if not self.is_clean:
            self.worker.clean_up()
            self.is_clean = True
        moment = time.monotonic()
        if moment - self.greeted > _GREET_EVERY_S or self.is_lost:
            self.away.link(patience_s=0, read_s=_SHORT_S).hello()
            self.away.carry_late_logs()
            self.greeted = moment
        if moment - self.trimmed > _TRIM_EVERY_S:
            self.away.objects().trim(CACHE_LIMIT_BYTES)
            self.trimmed = moment
        database = self.away.database
        host, health = self.away.place.host, self.away.health()
        return may_claim(database, host, __version__, database.now(), health) and self.worker.run_one()

    def heard(self) -> None:
        """Say that the server is there again, if it was not."""
        if self.is_lost:
            self.tell("the server answers again")
        self.is_lost = False

    def not_heard(self, error: DistwrightError) -> None:
        """Say once that the server is silent."""
        if not self.is_lost:
            self.tell(f"{error.message}: waiting for it")
        self.is_lost = True


def away_of(paths: StatePaths, database: Database, *, may_be_away: bool) -> Away | None:
    """Say for whom this machine works; None if it is a server itself. Raises Refused if it may not be so for this command."""
    place = read_home(paths)
    if place is None:
        return None
    if not may_be_away:
        raise Refused(
            f"this machine is host {place.host} of {place.url}: only jobs run here",
            hint="run this on the server itself",
        )
    return Away(paths, database, place)


def refuse_other_schema(database: Database, place: HomePlace) -> None:
    """Refuse a database of another version: only the server changes it. Raises Refused."""
    with database.read() as tx:
        found = version_of(tx)
    if found != NEWEST:
        raise Refused(
            f"the database of {place.url} has schema {quoted(str(found))}, this version of distwright wants {NEWEST}",
            hint="install the same version of distwright on both machines",
        )


def join(paths: StatePaths, url: str, name: str, token: str, database_url: str | None) -> HomePlace:
    """Make this state one that works for the server at `url`, as this host. Raises Refused, NotAllowed, Unreachable, BadUsage.

    token: the one-time one. database_url: how this machine reaches the database, if not as the server says.
    """
    our_name(name, "host")
    parts = urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in ("127.0.0.1", "::1", "localhost"):
        raise BadUsage(
            f"{quoted(url)} is not https://, and the token would be read on the way", hint="name the https:// address"
        )
    if read_home(paths) is None and paths.has_database:
        raise Refused(f"{paths.root} is an installation of its own", hint="use another place with --state DIR")
    answer = HomeLink(url, name, token, __version__, patience_s=_SHORT_S).enrol()
    place = HomePlace(url.rstrip("/"), name, plain.text(answer, "token"))
    address = database_url or plain.text(answer, "database")
    if not is_reachable_elsewhere(address):
        raise BadUsage(
            f"the database is at {quoted(address)}, which this machine cannot reach",
            hint="use a new one-time token, and name it: --database postgresql://USER@HOST/DATABASE",
        )
    keep_home(paths, place, address)
    paths.make()
    return place


def own_pools(pools: Sequence[str], table: Sequence[str]) -> tuple[str, ...]:
    """Choose the pools of a worker: as asked for, else as the server says. Raises BadUsage for one that is not this host's."""
    wrong = sorted(set(pools) - set(table))
    if wrong:
        raise BadUsage(
            f"pool {', '.join(wrong)} is none of this host's: {', '.join(table)}",
            hint="write it into pools of the host's table, on the server",
        )
    return tuple(pools or table)
