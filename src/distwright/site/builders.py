"""Builders of this installation: enrolled by a line that a person carries over once, known by their ssh host key from then on.

What proves a builder is its host key: an object, whose digest stands where a runner has the sum of its token. We go to builders
with one key of ours, which opens nothing there but the one command; they never come to us.
"""

import contextlib
import secrets
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path

from distwright import __version__
from distwright.config.model import Config
from distwright.config.tables_hosts import Host
from distwright.errors import BadInput, NotAllowed, NotFound, Refused, Unreachable, quoted
from distwright.formats.enrolment import EnrolmentLine, host_key, is_voucher
from distwright.formats.frames import Note
from distwright.model import plain
from distwright.model.digests import Sha256
from distwright.model.records import HostState
from distwright.site.hosts import ENROL_WITHIN, version_problem
from distwright.store.database import Database
from distwright.store.holds import object_hold, replace_holds
from distwright.store.hosts import find_host, keep_token, list_hosts, offer_enrolment
from distwright.store.objects import ObjectStore
from distwright.store.paths import StatePaths, half_made
from distwright.tools.link import Link, refused_note
from distwright.tools.run import Command, conversing
from distwright.tools.ssh import make_ssh_key, public_ssh_key, ssh_argv, ssh_place
from distwright.worker.builders import Builder

_ANSWER_S, _NOTE_BYTES = 180.0, 1 << 16  # a busy machine takes its time
_KEY_LIMIT_BYTES = 4096
_MOST_VOUCHERS = 32


def is_builder(config: Config, name: str) -> bool:
    """Say whether a host is a builder."""
    return name in config.hosts and config.hosts[name].role == "builder"


def enrol_builder(database: Database, paths: StatePaths, config: Config, name: str, now: datetime) -> EnrolmentLine:
    """Give the line with which a machine may become this builder within an hour; make our key if there is none. Raises NotFound."""
    _table(config, name)
    make_ssh_key(_key(paths))
    line = EnrolmentLine(secrets.token_urlsafe(32), public_ssh_key(_key(paths)))
    with database.write() as tx:
        offer_enrolment(tx, name, line.sum, now + ENROL_WITHIN)
    return line


def meet(
    database: Database, objects: ObjectStore, paths: StatePaths, config: Config, name: str, now: Callable[[], datetime]
) -> str:
    """Go to a builder that has the line by now, and know it by its host key from then on; give that key.

    Raises Refused if no line is waiting to be used, NotAllowed if the machine cannot vouch for its host key, Unreachable, NotFound.
    """
    table = _table(config, name)
    with database.read() as tx:
        waiting = _waiting(find_host(tx, name), name, now())
    nonce = secrets.token_hex(32)
    with _learning(paths, name) as learned:
        argv = ssh_argv(ssh_place(str(table.address)), name, _key(paths), learned, learns=True)
        with conversing(Command(argv, 0, grace_s=1)) as pipes, Link(
            pipes.back, pipes.to, said=pipes.said, note_limit_bytes=_NOTE_BYTES, silence_s=_ANSWER_S
        ) as link:  # fmt: skip
            key = _vouched(link, learned, waiting, nonce, name)
            kept = objects.put(f"{key}\n".encode())
            with database.write() as tx:
                if _waiting(find_host(tx, name), name, now()) != waiting:
                    raise Refused(f"{name} was enrolled anew meanwhile", hint=f"distwright host enrol {name}")
                keep_token(tx, name, kept, __version__, now())
                replace_holds(tx, f"builder {name}", [object_hold("", kept, "its ssh host key")], now())
            link.part("met")
    return key


def builders_for(
    database: Database, objects: ObjectStore, paths: StatePaths, config: Config, pool: str
) -> tuple[Builder, ...]:
    """Give the builders that steps of a job of this pool may be carried out on: enrolled, not draining; by name."""
    return _enrolled(database, objects, paths, {
        name: host for name, host in config.hosts.items() if host.role == "builder" and pool in host.pools
    })  # fmt: skip


def every_builder(
    database: Database, objects: ObjectStore, paths: StatePaths, config: Config
) -> tuple[Builder, ...]:  # fmt: skip
    """Give all builders that may have work: enrolled, not draining; by name. Raises OSError where the state is not ours."""
    return _enrolled(database, objects, paths, {
        name: host for name, host in config.hosts.items() if host.role == "builder"
    })  # fmt: skip


def _enrolled(
    database: Database, objects: ObjectStore, paths: StatePaths, tables: Mapping[str, Host]
) -> tuple[Builder, ...]:  # fmt: skip
    if not tables:
        return ()
    with database.read() as tx:
        known = {host.name: host for host in list_hosts(tx)}
    found = []
    for name, table in sorted(tables.items()):
        key = _pinned(known.get(name), objects)
        if key is not None:
            place = ssh_place(str(table.address))
            found.append(Builder(name, ssh_argv(place, name, _key(paths), _known_hosts(paths, name, key)), table.slots))
    return tuple(found)


def _table(config: Config, name: str) -> Host:
    if not is_builder(config, name):
        raise NotFound(
            f"the configuration has no builder {quoted(name)}",
            hint='write [host.NAME] with role = "builder", then: distwright config apply COMMIT',
        )
    return config.hosts[name]


def _key(paths: StatePaths) -> Path:
    return paths.keys / "builders.ssh"


def _waiting(known: HostState | None, name: str, now: datetime) -> Sha256:
    """Give the sum of the secret that is waiting to be used. Raises Refused."""
    if known is None or known.enrol_hash is None or known.enrol_until is None or now >= known.enrol_until:
        raise Refused(
            f"no line is waiting for {name}, or no more",
            hint=f"run distwright host enrol {name}, then builder join there",
        )
    return known.enrol_hash


@contextlib.contextmanager
def _learning(paths: StatePaths, name: str) -> Iterator[Path]:
    """Give a place for a host key that is not believed yet."""
    learned = half_made(_folder(paths) / f"{name}.learned")
    learned.unlink(missing_ok=True)
    try:
        yield learned
    finally:
        for left in (learned, learned.with_name(f"{learned.name}.old")):
            left.unlink(missing_ok=True)


def _vouched(link: Link, learned: Path, secret_sum: Sha256, nonce: str, name: str) -> str:
    """Ask for vouchers, and give the host key that ssh saw, if one of them is for that."""
    try:
        link.say("meet", nonce=nonce, version=__version__)
        note = link.hear(_ANSWER_S)
        if not isinstance(note, Note) or note.says not in ("vouched", "refused"):
            raise refused_note(note, "vouched")
        if note.says == "refused":
            raise Unreachable(quoted(plain.text(note.values, "why"), 300), hint="run distwright builder join there")
        vouchers, version = plain.texts(note.values, "vouchers")[:_MOST_VOUCHERS], plain.text(note.values, "version")
        key = host_key(learned.read_text()[:_KEY_LIMIT_BYTES].partition(" ")[2])
    except (BadInput, Unreachable, OSError) as error:
        said = str(error) if isinstance(error, OSError) else error.message
        raise Unreachable(
            f"builder {name}: {said}", hint=f"see that ssh reaches it, then: distwright host meet {name}"
        ) from error
    if not any(is_voucher(given, secret_sum, nonce, key) for given in vouchers):
        raise NotAllowed(
            f"what answers as {name} does not know the line, or has another host key: {key}",
            hint=f"run distwright host enrol {name}, and give the line to distwright builder join there",
        )
    if problem := version_problem(version, __version__):
        raise Refused(problem, hint="install the same version on both machines")
    return key


def _pinned(known: HostState | None, objects: ObjectStore) -> str | None:
    """Give the host key of a builder that may have work; None if it may not."""
    if known is None or known.token_hash is None or known.is_draining or not objects.has(known.token_hash):
        return None
    try:
        return host_key(objects.read(known.token_hash).decode())
    except (BadInput, ValueError):  # of another host that had this name, and was no builder
        return None


def _known_hosts(paths: StatePaths, name: str, key: str) -> Path:
    """Write the one key that ssh shall accept, unless it is written."""
    place, text = _folder(paths) / f"{name}.known_hosts", f"{name} {key}\n"
    if not place.exists() or place.read_text() != text:
        fresh = half_made(place)
        fresh.write_text(text)
        fresh.rename(place)
    return place


def _folder(paths: StatePaths) -> Path:
    folder = paths.root / "run" / "builders"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
