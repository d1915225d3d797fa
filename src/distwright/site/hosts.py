"""Other machines that work for this one: who they are, what proves it, and how they are.

A host has a table in the configuration, and a token. It gets that in exchange for one that a person carried over, which counts once
and for an hour. Only sums of tokens are kept: they are random and long, so a plain SHA-256 hides them.
"""

import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from distwright.config.model import Config
from distwright.config.tables_hosts import Host
from distwright.errors import BadInput, NotAllowed, NotFound, Refused, quoted
from distwright.jobs.lease import LEASE_S, host_of
from distwright.jobs.order import get_job
from distwright.model.digests import Json, Sha256, sha256_of
from distwright.model.names import our_name
from distwright.model.outcomes import JobState
from distwright.model.records import HostHealth, HostState, Job
from distwright.store.database import Database
from distwright.store.hosts import find_host, keep_token, list_hosts, offer_enrolment, see_host, set_draining
from distwright.store.jobs import attempts_of, running_jobs

ENROL_WITHIN = timedelta(hours=1)
SEEN_EVERY = timedelta(seconds=15)
SILENT_AFTER = timedelta(seconds=LEASE_S)
_LOAD_LIMIT = 10_000
_HEALTH = re.compile(r"(\d{1,18}) (\d{1,5}\.\d{2})")
_NOBODY = Sha256("0" * 64)
# What proves a builder is kept at the same place (site/builders.py), and is public: it has not the shape of a token.
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class HostRow:
    """A host as people see it. state: not enrolled, to be enrolled, silent, draining, ready. running: its jobs.

    heard: when it was heard of last: by a request, or the renewal of a lease.
    """

    name: str
    state: str
    table: Host | None
    known: HostState | None
    running: tuple[int, ...]
    heard: datetime | None = None


def enrol(database: Database, config: Config, name: str, now: datetime) -> str:
    """Give a one-time token, with which a machine may become this host within an hour. Raises NotFound, Refused."""
    if name not in config.hosts:
        raise NotFound(
            f"the configuration has no [host.{quoted(name)[1:-1]}]",
            hint="write the table, then: distwright config apply COMMIT",
        )
    if config.hosts[name].role != "runner":
        raise Refused(f"{name} is a builder, which we go to", hint=f"run distwright host enrol {name} again")
    if database.is_of_one_machine:
        raise Refused(
            "the rows of this installation are in a file, which no other machine can reach",
            hint="distwright db migrate --to postgresql://USER@HOST/DATABASE",
        )
    token = secrets.token_urlsafe(32)
    with database.write() as tx:
        offer_enrolment(tx, name, _sum_of(token), now + ENROL_WITHIN)
    return token


def exchange(
    database: Database, config: Config, name: str, token: str, version: str, now: datetime, *, wanted: str = ""
) -> str:
    """Take a one-time token for the lasting one, which counts from then on; an earlier one no more. Raises NotAllowed.

    wanted: the version that it must have, "" for any. Only who has the token learns of it by Refused, and the token still counts.
    """
    lasting = secrets.token_urlsafe(32)
    with database.write() as tx:
        known = find_host(tx, name) if _is_name(name) else None
        is_right = _is_token(token, None if known is None else known.enrol_hash)
        in_time = known is not None and known.enrol_until is not None and now < known.enrol_until
        if not (is_right and in_time and _is_runner(config, name)):
            raise NotAllowed("this one-time token does not count, or no more", hint="distwright host enrol NAME")
        refuse_version(version, wanted or version)
        keep_token(tx, name, _sum_of(lasting), version, now)
    return lasting


def authenticated(database: Database, config: Config, name: str, token: str) -> HostState:
    """Say which host proves itself with this token; raise NotAllowed. Takes as long for a wrong name as for a wrong token."""
    known = None
    if _is_name(name):
        with database.read() as tx:
            known = find_host(tx, name)
    is_right = _is_token(token, None if known is None else known.token_hash) and _TOKEN.fullmatch(token)
    if not is_right or known is None or not _is_runner(config, name):
        raise NotAllowed("no host that is configured here has this name and token", hint="distwright host enrol NAME")
    return known


def seen(database: Database, host: HostState, version: str, now: datetime, health: HostHealth | None = None) -> None:
    """Note that a host lives, and how it says that it is; at most four times a minute, for each is a write."""
    is_late = host.last_seen is None or now - host.last_seen > SEEN_EVERY
    if is_late or host.version != version or (health is not None and host.health is None):
        with database.write() as tx:
            see_host(tx, host.name, version, now, health)


def may_claim(database: Database, name: str, version: str, now: datetime, health: HostHealth | None = None) -> bool:
    """Say whether a host may take new jobs, and note that it lives. Raises NotFound."""
    with database.read() as tx:
        host = find_host(tx, name)
    if host is None:
        raise NotFound(f"the server knows no host {name} any more", hint="distwright host enrol NAME, on the server")
    seen(database, host, version, now, health)
    return not host.is_draining


def drain(database: Database, name: str, *, is_draining: bool) -> None:
    """Let a host end what it runs and take nothing new, or take jobs again. Raises NotFound."""
    with database.write() as tx:
        if not set_draining(tx, name, is_draining=is_draining):
            raise NotFound(f"no host {quoted(name)} was enrolled", hint="distwright host list")


def host_rows(database: Database, config: Config, now: datetime) -> list[HostRow]:
    """List the hosts that are configured or were enrolled, by name."""
    with database.read() as tx:
        known = {host.name: host for host in list_hosts(tx)}
        running = running_jobs(tx)
    rows = []
    for name in sorted({*config.hosts, *known}):
        table, state = config.hosts.get(name), known.get(name)
        jobs = [job for job in running if job.lease_holder and host_of(job.lease_holder) == name]
        heard = _heard(state, jobs)
        rows.append(HostRow(name, _state(state, table, heard, now), table, state, tuple(job.id for job in jobs), heard))
    return rows


def health_text(health: HostHealth) -> str:
    """Write how a machine is, as it says with each request: free bytes and load."""
    return f"{health.free_bytes} {min(health.load, _LOAD_LIMIT):.2f}"


def read_health(text: str) -> HostHealth | None:
    """Read what a machine says of itself; None for anything else than `health_text` writes."""
    found = _HEALTH.fullmatch(text) if text.isascii() else None
    return None if found is None else HostHealth(int(found[1]), float(found[2]))


def attempt_of_host(database: Database, host: str, job_id: int, fence: int) -> Job:
    """Find the job of an attempt that this host has, or had. Raises NotFound for any other."""
    with database.read() as tx:
        job = get_job(tx, job_id)
        for attempt in attempts_of(tx, job_id):
            if attempt.fence == fence and host_of(attempt.holder) == host:
                return job
    raise NotFound(f"host {host} has no attempt {fence} of job {job_id}", hint=f"distwright job show {job_id}")


def leased_by_host(database: Database, host: str, job_id: int, fence: int) -> Job:
    """Find a job that this host works on now. Raises NotFound; Refused if it has lost it."""
    job = attempt_of_host(database, host, job_id, fence)
    if job.state is not JobState.RUNNING or job.fence != fence:
        raise Refused(f"attempt {fence} has lost job {job_id}", hint=f"distwright job show {job_id}")
    return job


def refuse_version(theirs: str, ours: str) -> None:
    """Raise Refused for a host of another version."""
    if problem := version_problem(theirs, ours):
        raise Refused(problem, hint="install the same version of distwright on both machines")


def version_problem(theirs: str, ours: str) -> str:
    """Say why a host of another version may do nothing here; "" for one of ours: both write the same rows and plans."""
    if theirs == ours:
        return ""
    return f"the server is distwright {ours}, this machine has {quoted(theirs, 40) if theirs else 'not said which'}"


def host_json(row: HostRow) -> dict[str, Json]:
    """Give a host for lists."""
    health = row.known.health if row.known else None
    return {
        "host": row.name,
        "state": row.state,
        "role": row.table.role if row.table else "",
        "pools": list(row.table.pools) if row.table else [],
        "slots": row.table.slots if row.table else 0,
        "architecture": row.table.architecture if row.table else "",
        "running": list(row.running),
        "version": row.known.version if row.known else "",
        "last heard": "" if row.heard is None else f"{row.heard:%Y-%m-%d %H:%M:%S}",
        "free bytes": None if health is None else health.free_bytes,
        "free disk": "" if health is None else f"{health.free_bytes / (1 << 30):.1f} GiB",
        "load": "" if health is None else f"{health.load:.2f}",
        "note": note_of(row),
    }


def note_of(row: HostRow) -> str:
    """Say what is odd about a host, and what to type; "" if nothing is."""
    if row.state != "silent" or row.heard is None:
        return ""
    jobs = f"; job {', '.join(map(str, row.running))} comes back when its lease ends" if row.running else ""
    return f"not heard of since {row.heard:%Y-%m-%d %H:%M:%S} UTC{jobs}; look whether its worker runs: distwright doctor, there"


def _heard(known: HostState | None, jobs: Sequence[Job]) -> datetime | None:
    """Say when a host was heard of last: it renews the leases of its jobs while it says nothing else."""
    lease = timedelta(seconds=LEASE_S)
    times = [job.lease_until - lease for job in jobs if job.lease_until is not None]
    if known is not None and known.last_seen is not None:
        times.append(known.last_seen)
    return max(times, default=None)


def _state(known: HostState | None, table: Host | None, heard: datetime | None, now: datetime) -> str:
    if table is None:
        return "not configured any more"
    if known is None or known.token_hash is None:
        waits = known is not None and known.enrol_until is not None and now < known.enrol_until
        return "to be enrolled" if waits else "not enrolled"
    if table.role == "builder":  # which says nothing unless it is asked to work
        return "draining" if known.is_draining else "ready"
    if heard is None or now - heard > SILENT_AFTER:
        return "silent"
    return "draining" if known.is_draining else "ready"


def _is_runner(config: Config, name: str) -> bool:
    """Say whether a host comes to us: a builder never does, we go there."""
    table = config.hosts.get(name)
    return table is not None and table.role == "runner"


def _is_name(name: str) -> bool:
    try:
        our_name(name, "host")
    except BadInput:
        return False
    return True


def _is_token(token: str, kept: Sha256 | None) -> bool:
    """Compare in constant time, also with nothing."""
    is_same = hmac.compare_digest(_sum_of(token), kept or _NOBODY)
    return is_same and kept is not None


def _sum_of(token: str) -> Sha256:
    return sha256_of(token.encode(errors="surrogatepass"))
