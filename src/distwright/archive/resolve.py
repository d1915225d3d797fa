"""Resolve once: from names in the configuration to digests that orders carry."""

import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from distwright.archive.access import Grant
from distwright.archive.publish import PublishRequest
from distwright.archive.snapshots import parse_snapshot
from distwright.config.model import Config
from distwright.config.tables_archive import OwnArchive, UpstreamArchive
from distwright.errors import BadInput, DistwrightError, NotAllowed, NotFound, Refused
from distwright.jobs.order import JobOrder
from distwright.jobs.step import KindName, ShelfEntry
from distwright.model.digests import Json, Sha256
from distwright.model.records import SuiteState
from distwright.signing.verify import Keyring
from distwright.store.archives import find_snapshot, live_publication, newest_snapshot
from distwright.store.database import Transaction
from distwright.store.holds import Hold, serial_hold
from distwright.store.objects import ObjectStore
from distwright.store.paths import StatePaths
from distwright.store.suites import get_suite
from distwright.tools.apt import AptSource

KEYRING_LIMIT_BYTES = 4 << 20  # Debian's own has 60 kB

RECORD_KIND = KindName("archive.record", 1)
ACCEPT_KIND = KindName("upload.accept", 1)
PUBLISH_KIND = KindName("suite.publish", 1)


DATED_AHEAD = timedelta(days=1)


class NotReadyError(DistwrightError):
    """What an order needs does not exist yet; it will be asked for again. ready_at: when that helps, if that is known."""

    exit_code = 11

    def __init__(self, message: str, *, hint: str, ready_at: datetime | None = None) -> None:
        """Keep the time too."""
        super().__init__(message, hint=hint)
        self.ready_at = ready_at


def check_date(what: str, date: datetime, now: datetime, *, hint: str = "correct the date in debian/changelog") -> None:
    """Raise NotReadyError for a changelog dated after `now`, as by a clock that is ahead; Refused if by more than a day."""
    if date <= now:
        return
    message = f"{what} is dated {date:%Y-%m-%d %H:%M}, in the future"
    if date - now > DATED_AHEAD:
        raise Refused(message, hint=hint)
    raise NotReadyError(message, hint=hint, ready_at=date)


@dataclass(frozen=True, slots=True)
class Ground:
    """What orders are resolved against. pins: archive -> serial to use instead of the newest. now: changelogs may not be later."""

    config: Config
    objects: ObjectStore
    paths: StatePaths
    now: datetime
    pins: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Resolved:
    """Suites by digest. components: by `archive/suite`. newest: date of the youngest recorded suite. serials: archive -> serial."""

    shelf: tuple[ShelfEntry, ...]
    components: Mapping[str, tuple[str, ...]]
    newest: datetime | None
    serials: Mapping[str, str]
    holds: tuple[Hold, ...]  # on the serials


def resolve_suites(tx: Transaction, ground: Ground, names: Sequence[str]) -> Resolved:
    """Say which states `archive/suite` names mean now.

    Raises NotReadyError if an archive has no snapshot yet, or an own suite was never published.
    """
    shelf: list[ShelfEntry] = []
    components: dict[str, tuple[str, ...]] = {}
    dates: list[datetime] = []
    serials: dict[str, str] = {}
    holds: list[Hold] = []
    for name in names:
        archive_name, _, suite = name.partition("/")
        archive = ground.config.archives[archive_name]
        components[name] = tuple(archive.components)
        if isinstance(archive, OwnArchive):
            shelf.append(_own_entry(tx, ground.config, archive_name, suite))
            continue
        pin = ground.pins.get(archive_name)
        row = newest_snapshot(tx, archive_name) if pin is None else find_snapshot(tx, archive_name, pin)
        if row is None:
            wanted = "snapshot" if pin is None else f"snapshot {pin}"
            raise NotReadyError(
                f"archive {archive_name} has no {wanted} yet", hint=f"distwright archive record {archive_name}"
            )
        recorded = parse_snapshot(ground.objects.read(row.digest)).suites.get(suite)
        if recorded is None:
            raise NotReadyError(
                f"snapshot {row.serial} of {archive_name} has no suite {suite}",
                hint=f"distwright archive record {archive_name}",
            )
        shelf.append(ShelfEntry(archive_name, suite, row.digest))
        dates.append(recorded.date)
        serials[archive_name] = row.serial
        holds.append(serial_hold("", archive_name, row.serial, name))
    return Resolved(tuple(shelf), components, max(dates, default=None), serials, tuple(holds))


def release_fields(config: Config, archive_name: str, suite: str, settings: str = "") -> dict[str, str]:
    """Give what the Release of an own suite says, but for its Date (archive/indexes.py says what each field means).

    settings: the configured suite whose table counts; "" is the suite itself.
    """
    archive = config.archives[archive_name]
    if not isinstance(archive, OwnArchive):
        raise NotFound(f"archive {archive_name} is not our own", hint="distwright archive list")
    table = config.suites.get(settings or suite)
    if table is None:
        raise NotFound(f"suite {settings or suite} is not configured", hint="distwright suite list")
    is_its_own = suite == (settings or suite)  # a branch follows the settings of a suite, and does not take its names
    fields = {
        "Origin": archive.origin,
        "Label": archive.label,
        "Suite": suite,
        "Codename": (table.codename if is_its_own else None) or suite,
        "Description": table.description or archive.description or f"{archive.label} {suite}",
    }
    if table.version is not None:
        fields["Version"] = table.version
    if table.not_automatic:
        fields["NotAutomatic"] = "yes"
    if table.but_automatic_upgrades:
        fields["ButAutomaticUpgrades"] = "yes"
    if archive.signed_by:
        fields["Names-Keys"] = "yes"
    if table.valid_days is not None:
        fields["Valid-Days"] = str(table.valid_days)
    if archive.live_url is not None:
        fields["Snapshots"] = f"{archive.live_url.rstrip('/')}/snapshots/@SNAPSHOTID@/"
    return fields


def index_lists(archive: OwnArchive) -> tuple[str, ...]:
    """Give the lists that every suite of an archive must have an index for."""
    binary = [f"{component}/binary-{name}" for component in archive.components for name in archive.architectures]
    return (*binary, *(f"{component}/source" for component in archive.components))


def record_order(
    config: Config, name: str, *, url: str, keyring: Sha256, serial: str | None, requested: datetime
) -> JobOrder:
    """Order a record of an upstream archive. requested: makes each request a job of its own, for upstream may have moved."""
    archive = config.archives.get(name)
    if not isinstance(archive, UpstreamArchive):
        raise NotFound(f"archive {name} is no upstream archive", hint="distwright archive list")
    inputs: dict[str, Json] = {
        "archive": name,
        "suites": list(archive.suites),
        "components": list(archive.components),
        "architectures": list(archive.architectures),
        "sources": archive.sources,
        "translations": list(archive.translations),
        "origin": archive.origin or "",
        "label": archive.label or "",
        "accept_expired": archive.accept_expired,
        "udebs": archive.udebs,
        "contents": archive.contents,
        "all_forms": archive.all_forms,
        "pool": archive.pool,
        "packages": sorted(archive.packages) if archive.pool == "listed" else [],
        "recommends": archive.recommends,
        "pool_sources": archive.pool_sources,
        "filtered": archive.serve == "filtered",
        "credential": "" if archive.key is None else archive.key.credential,
        "url": url,
        "keyring": str(keyring),
        "keyring_name": archive.keyring,
        "serial": serial,
        "requested": requested.isoformat(),
    }
    if archive.installer:
        inputs["installer"] = True
    if archive.together_with:
        inputs["together"] = list(archive.together_with)
        inputs["together_packages"] = sorted(_listed_there(config, archive.together_with))
    return JobOrder(RECORD_KIND, inputs, f"record {name}")


def _listed_there(config: Config, suites: Sequence[str]) -> set[str]:
    """Name the packages that the archives of these suites list themselves."""
    tables = [config.archives.get(name.partition("/")[0]) for name in suites]
    return {
        package
        for table in tables
        if isinstance(table, UpstreamArchive) and table.pool == "listed"
        for package in table.packages
    }


def upstream_credential(config: Config, name: str) -> str:
    """Name the key that signs what we change of an upstream archive; raise NotFound, and Refused if it has none."""
    archive = config.archives.get(name)
    if not isinstance(archive, UpstreamArchive):
        raise NotFound(f"archive {name} is no upstream archive", hint="distwright archive list")
    if archive.key is None:
        raise Refused(
            f"archive {name} has no key of ours to sign with",
            hint=f'set key = {{ credential = "NAME" }} in [archive.{name}]',
        )
    return archive.key.credential


def accept_order(
    config: Config,
    suite: str,
    *,
    changes: Sha256,
    files: Mapping[str, str],
    source: str,
    version: str,
    signers: bytes = b"",
    grants: Sequence[Grant] = (),
    archive: str = "",
    came: Mapping[str, Json] | None = None,
) -> JobOrder:
    """Order the judgement of an upload.

    signers: certificates that may bring anything to this suite (our builder's); grants: what others may. archive: of the suite; ""
    is what its table says. came: how it came here and when (archive/incoming.py): makes each coming a job of its own.
    """
    inputs: dict[str, Json] = {
        "archive": archive or config.suites[suite].archive,
        "suite": suite,
        "changes": str(changes),
        "files": dict(files),
        "signers": signers.decode(),
    }
    if grants:
        inputs["grants"] = [grant.to_json() for grant in grants]
    if came:
        inputs["came"] = dict(came)
    return JobOrder(ACCEPT_KIND, inputs, f"accept {source} {version} into {suite}")


def publish_order(
    config: Config, suite: str, revision: Sha256, added: Sequence[str], changed_at: datetime, *, settings: str = ""
) -> JobOrder:
    """Order the publishing of a suite's revision.

    added: binary packages that the upload behind it brought. changed_at: when the suite came to this revision; makes a return to an
    earlier one a job of its own. settings: the configured suite whose table counts; "" is the suite itself.
    """
    name = config.suites[settings or suite].archive
    archive = config.archives[name]
    if not isinstance(archive, OwnArchive):
        raise NotFound(f"archive {name} is not our own", hint="distwright archive list")
    inputs: dict[str, Json] = {
        "archive": name,
        "suite": suite,
        "revision": str(revision),
        "lists": list(index_lists(archive)),
        "fields": dict(release_fields(config, name, suite, settings)),
        "credentials": list(archive.credentials),
        "added": list(added),
        "contents": archive.contents,
        "pdiffs": archive.pdiffs,
        "changed_at": changed_at.isoformat(),
    }
    return JobOrder(PUBLISH_KIND, inputs, f"publish {name}/{suite}")


def publish_request(config: Config, row: SuiteState, *, serial: str = "", again: bool = False) -> PublishRequest:
    """Ask for the present state of a suite to be served; serial: in this snapshot of ours."""
    archive = config.archives[row.archive]
    if not isinstance(archive, OwnArchive):
        raise NotFound(f"archive {row.archive} is not our own", hint="distwright archive list")
    fields = release_fields(config, row.archive, row.name, row.settings)
    return PublishRequest(
        row.archive,
        row.name,
        row.revision,
        index_lists(archive),
        fields,
        serial=serial,
        again=again,
        contents=archive.contents,
        pdiffs=archive.pdiffs,
    )


def upstream_url(name: str, archive: UpstreamArchive, sources: Sequence[AptSource]) -> str:
    """Say where to fetch an archive: its fetch_from, or as this machine's apt does; raise NotFound if apt has no such archive.

    apt's entry fits if it names one of the suites and its Release, if apt has read it, says nothing else than the archive's origin
    and label (other vendors call their suites after Debian's); or else if its Release says exactly these (so that a machine with
    Debian 13 finds Debian 12 on the same mirror). Raises Refused for an entry with a password in it.
    """
    if archive.fetch_from:
        return str(archive.fetch_from).rstrip("/")
    fitting = [
        source for source in sources if _may_be(archive.origin, source.origin) and _may_be(archive.label, source.label)
    ]
    by_suite = [source.url for source in fitting if source.suite in archive.suites]
    by_label = [source.url for source in fitting if archive.label and source.label]
    for url in (*by_suite, *by_label):
        if "@" in url:  # never shown, and never kept: rows, logs and pages would have it
            raise Refused(
                f"apt's source for archive {name} has a user name or password in its URL",
                hint="put them into /etc/apt/auth.conf.d, see apt_auth.conf(5); or set fetch_from to a mirror that needs none",
            )
        return url.rstrip("/")
    raise NotFound(
        f"this machine's apt has no source for archive {name} ({', '.join(archive.suites)})",
        hint=f'set fetch_from = "…" in [archive.{name}], or add the archive to /etc/apt/sources.list.d and run apt-get update',
    )


def relative_keyrings(config: Config) -> list[str]:
    """List the keyrings that are files of the configuration itself, not of the machine."""
    upstream = [archive.keyring for archive in config.archives.values() if isinstance(archive, UpstreamArchive)]
    named = {*upstream, *(grant.keyring for grant in config.uploads.values())}
    return sorted(path for path in named if not path.startswith("/"))


def machine_keyring(path: str) -> bytes:
    """Read a keyring of this machine, which is to be kept and shown; raise NotFound, NotAllowed, or BadInput for anything else."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise BadInput(f"keyring {path} is not a file", hint="name a file of OpenPGP certificates")
            content = file.read(KEYRING_LIMIT_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(
            f"keyring {path} does not exist", hint="apt-get install debian-archive-keyring, or name another file"
        ) from None
    except PermissionError:
        raise NotAllowed(f"keyring {path} cannot be read by this user", hint=f"ls -l {path}") from None
    except OSError as error:
        raise BadInput(
            f"keyring {path} cannot be read: {error.strerror}", hint="name a file of OpenPGP certificates"
        ) from error
    return checked_keyring(content, path)


def checked_keyring(content: bytes, path: str) -> bytes:
    """Give the content of a keyring back if it is certificates and nothing secret; raise BadInput otherwise."""
    if len(content) > KEYRING_LIMIT_BYTES:
        raise BadInput(
            f"keyring {path} has more than {KEYRING_LIMIT_BYTES >> 20} MiB", hint="name a file of OpenPGP certificates"
        )
    if Keyring(content, path).has_secrets:
        raise BadInput(f"keyring {path} holds a secret key", hint="give its public part: sq key extract-cert")
    return content


def _may_be(wanted: str | None, found: str) -> bool:
    return not wanted or not found or wanted == found


def _own_entry(tx: Transaction, config: Config, archive: str, suite: str) -> ShelfEntry:
    row = get_suite(tx, archive, suite)
    if live_publication(tx, archive, suite) is None:
        raise NotReadyError(f"suite {archive}/{suite} was never published", hint="push a tag of a package to its repo")
    fields = tuple(sorted(release_fields(config, archive, suite, row.settings).items()))
    table = config.archives[archive]
    lists = index_lists(table) if isinstance(table, OwnArchive) else ()
    return ShelfEntry(archive, suite, row.revision, is_own=True, fields=fields, lists=lists)
