"""Be at the states that another installation serves: the same snapshots under the same serials, its suites as it publishes them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from distwright.archive.from_outside import TakenSuite, take_suite
from distwright.config.model import Config
from distwright.config.tables_archive import OwnArchive, UpstreamArchive
from distwright.errors import BadInput, BadUsage, NotFound, Refused
from distwright.jobs.step import Context
from distwright.model import plain
from distwright.model.digests import Sha256
from distwright.model.serials import Serial
from distwright.net.fetcher import Fetcher
from distwright.signing.verify import Keyring
from distwright.store.archives import find_snapshot
from distwright.store.suites import get_suite

_PAGE_LIMIT_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Served:
    """A snapshot that is served elsewhere. digest: None if nobody said it."""

    archive: str
    serial: Serial
    url: str
    digest: Sha256 | None


def wanted_archives(config: Config, names: Sequence[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """Say which upstream archives, and which suites of own ones, builds need: of the archives named, or of all environments.

    Raises NotFound for an archive that is not configured.
    """
    unknown = [name for name in names if name not in config.archives]
    if unknown:
        raise NotFound(f"archive {', '.join(unknown)} is not configured", hint="distwright archive list")
    used = sorted({name for table in config.environments.values() for name in table.from_})
    pairs = [(archive, suite) for archive, _, suite in (name.partition("/") for name in used)]
    chosen = [pair for pair in pairs if not names or pair[0] in names]
    upstream = sorted({archive for archive, _ in chosen if isinstance(config.archives[archive], UpstreamArchive)})
    return upstream, [pair for pair in chosen if isinstance(config.archives[pair[0]], OwnArchive)]


def served_snapshot(fetcher: Fetcher, base: str, archive: str, serial: str | None) -> Served:
    """Ask a server which snapshot of an archive is its newest, or for one; raise NotFound, Unreachable, BadInput."""
    base = base.rstrip("/")
    page = fetcher.fetch_page(f"{base}/archive/{archive}.json", limit_bytes=_PAGE_LIMIT_BYTES)
    try:
        document: Mapping[str, object] = json.loads(b"" if page is None else page.content)
        rows = plain.members(dict(document), "snapshots")  # type: ignore[arg-type]
        found = [plain.mapping({"snapshot": row}, "snapshot") for row in rows]
        known = {plain.text(row, "serial"): plain.digest(row, "digest") for row in found}
    except (ValueError, TypeError, BadInput) as error:
        raise BadInput(
            f"{base}/archive/{archive}.json is not what distwright serve answers",
            hint="name the address that it is served at",
        ) from error
    chosen = max(known, default=None) if serial is None else serial
    if chosen is None or chosen not in known:
        raise NotFound(
            f"{base} serves no snapshot {serial or ''} of {archive}".replace("  ", " "),
            hint=f"see {base}/archive/{archive}",
        )
    return Served(archive, Serial(chosen), f"{base}/{archive}/{chosen}", known[chosen])


def check_same(context: Context, served: Served) -> None:
    """Raise Refused if what was recorded under a serial here is another state than where it came from."""
    with context.database.read() as tx:
        row = find_snapshot(tx, served.archive, served.serial)
    if row is None:
        raise NotFound(
            f"snapshot {served.serial} of {served.archive} was not recorded",
            hint=f"distwright archive record {served.archive}",
        )
    if served.digest is not None and row.digest != served.digest:
        raise Refused(
            f"snapshot {served.serial} of {served.archive} is {row.digest.short} here and {served.digest.short} at {served.url}",
            hint=f"use the same [archive.{served.archive}] as there, in another --state DIR",
        )


def take_suites(
    context: Context, base: str, suites: Sequence[tuple[str, str]], keyring: Keyring | None
) -> list[TakenSuite]:
    """Take suites of ours as they are published below `base`/ARCHIVE; raise BadUsage without a keyring, and as `take_suite`."""
    if suites and keyring is None:
        names = ", ".join("/".join(pair) for pair in suites)
        raise BadUsage(
            f"nobody said whose signature counts for {names}", hint="add --keyring FILE, the certificate that signs it"
        )
    taken = []
    for archive, suite in suites:
        with context.database.read() as tx:
            row = get_suite(tx, archive, suite)
        if keyring is not None:
            taken.append(take_suite(context, row, f"{base.rstrip('/')}/{archive}", keyring))
    return taken
