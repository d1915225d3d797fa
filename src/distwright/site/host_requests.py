"""What the server does for machines that work for it. Each request is safe to repeat; who asks was authenticated before."""

import os
from collections.abc import Callable, Mapping
from typing import BinaryIO

from distwright import __version__
from distwright.config.model import Config
from distwright.jobs.step import JobKind
from distwright.mirrors import make_fetcher
from distwright.model.digests import Json, Sha256
from distwright.model.records import HostState
from distwright.site.hosts import (
    attempt_of_host,
    authenticated,
    exchange,
    leased_by_host,
    read_health,
    refuse_version,
    seen,
)
from distwright.site.places import alternates
from distwright.store.arriving import Arrivals
from distwright.store.database import Database
from distwright.store.logs import append_log
from distwright.store.objects import FileObjects
from distwright.store.paths import StatePaths
from distwright.tools.sandbox import Sandbox
from distwright.worker.asked import AskedContext, perform_asked


class HostRequests:
    """Answers hosts, from several threads."""

    def __init__(
        self,
        database: Database,
        objects: FileObjects,
        paths: StatePaths,
        sandbox: Sandbox,
        config: Callable[[], Config],
        kinds: Mapping[str, JobKind],
    ) -> None:
        """config: gives the one in force. kinds: of jobs whose actions may be asked for."""
        self._database, self._objects, self._paths = database, objects, paths
        self._sandbox, self._config, self._kinds = sandbox, config, kinds
        self._arrivals = Arrivals(objects, paths.objects)
        self._arrivals.drop_stale()

    def enrol(self, name: str, token: str, version: str) -> dict[str, Json]:
        """Take a one-time token for the lasting one; say where the server reaches the database. Raises NotAllowed, Refused."""
        now = self._database.now()
        lasting = exchange(self._database, self._config(), name, token, version, now, wanted=__version__)
        return {"token": lasting, "database": self._database.shown, "host": name}

    def host(self, name: str, token: str, version: str, health: str = "") -> HostState:
        """Say which host asks; raise NotAllowed, Refused for another version of distwright. health: what it says of itself."""
        host = authenticated(self._database, self._config(), name, token)
        refuse_version(version, __version__)
        seen(self._database, host, __version__, self._database.now(), read_health(health))
        return host

    def hello(self, host: HostState) -> dict[str, Json]:
        """Say what a host is here."""
        table = self._config().hosts[host.name]
        return {
            "pools": list(table.pools),
            "slots": table.slots,
            "draining": host.is_draining,
            "architecture": table.architecture,
        }

    def has(self, digest: Sha256) -> bool:
        """Say whether an object is here."""
        return self._objects.has(digest)

    def touch(self, digest: Sha256) -> bool:
        """Say whether an object is here, and let it count as kept just now."""
        return self._objects.touch(digest)

    def open(self, digest: Sha256) -> BinaryIO:
        """Open an object; raise Lost."""
        return self._objects.open(digest)

    def offer(self, host: HostState, digest: Sha256) -> dict[str, Json]:
        """Say from where on a host shall send an object."""
        return _offset_json(self._arrivals.offset(host.name, digest))

    def take(self, host: HostState, digest: Sha256, offset: int, content: bytes, size: int) -> dict[str, Json]:
        """Take a piece of an object, and say from where on to send more. Raises Refused, Busy, OutOfSpace."""
        return _offset_json(self._arrivals.append(host.name, digest, offset, content, size))

    def log(self, host: HostState, job: int, fence: int, offset: int, content: bytes) -> dict[str, Json]:
        """Take a piece of the log of an attempt that is, or was, this host's; say how long it is. Raises NotFound, OutOfSpace."""
        attempt_of_host(self._database, host.name, job, fence)
        return {"size": append_log(self._paths.job_log(job, fence), offset, content)}

    def act(self, host: HostState, job_id: int, fence: int, step: str, earlier: Json) -> dict[str, Json]:
        """Do an action of a job that this host holds. Raises NotFound, Refused, and what the action raises."""
        job = leased_by_host(self._database, host.name, job_id, fence)
        context = AskedContext(
            database=self._database,
            objects=self._objects,
            fetcher=make_fetcher(),
            config=self._config(),
            paths=self._paths,
            sandbox=self._sandbox,
            job=job.id,
            fence=fence,
            tell=lambda _line: None,
            is_cancelled=lambda: False,
            alternates=alternates(os.environ),
        )
        return perform_asked(self._kinds, job, step, earlier, context)


def _offset_json(offset: int | None) -> dict[str, Json]:
    return {"here": offset is None, "offset": offset or 0}
