"""What ends soon and is needed: keys that sign or that we believe, snapshots, published suites. Read only; `renewing` acts.

A month before: what no machine can prolong (keys; a pinned serial of an archive without a key of ours). What renews itself is told
of only when that did not happen in time.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from distwright.archive.needs import needed_serials
from distwright.archive.snapshots import parse_snapshot
from distwright.config.model import Config
from distwright.config.tables_archive import OwnArchive, UpstreamArchive
from distwright.errors import DistwrightError
from distwright.formats.release import parse_release
from distwright.model.digests import Sha256
from distwright.model.records import Publication, Snapshot
from distwright.signing.policy import REFUSED, examine_certificates
from distwright.signing.verify import Keyring
from distwright.store.archives import list_publications, list_snapshots, newest_snapshot
from distwright.store.database import Database
from distwright.store.holds import Hold
from distwright.store.objects import ObjectStore

SOON = timedelta(days=31)


@dataclass(frozen=True, slots=True)
class Ending:
    """Something needed that ends. is_past: it has ended. hint: what to type."""

    subject: str
    what: str
    hint: str
    is_past: bool


@dataclass(frozen=True, slots=True)
class Served:
    """A served state of ours that ends. days: for how long it was signed."""

    row: Publication
    end: datetime
    days: int

    @property
    def name(self) -> str:
        """How people call it."""
        at = f"@{self.row.serial}" if self.row.serial else ""
        return f"{self.row.archive}/{self.row.suite}{at}"

    def is_due(self, now: datetime) -> bool:
        """Say whether it is time to sign it anew: half of its time is over."""
        return self.end - now < timedelta(days=self.days) / 2

    def is_late(self, now: datetime) -> bool:
        """Say whether that did not happen in time: three quarters are over."""
        return self.end - now < min(timedelta(days=self.days) / 4, SOON)


@dataclass(frozen=True, slots=True)
class Sight:
    """What is looked at. certificate: gives that of credentials; keyring: the bytes of one that a table names."""

    config: Config
    database: Database
    objects: ObjectStore
    certificate: Callable[..., bytes]
    keyring: Callable[[str], bytes]


def look_ahead(sight: Sight, now: datetime) -> list[Ending]:
    """List everything needed that has ended or ends soon."""
    return [*_of_keys(sight, now), *_of_snapshots(sight, now), *_of_suites(sight, now)]


def served_states(database: Database, objects: ObjectStore, now: datetime) -> list[Served]:
    """List the served states of ours that end and are needed: of suites, and of snapshots that somebody holds."""
    with database.read() as tx:
        rows, needed = list_publications(tx, state="live"), needed_serials(tx, now)
    found = []
    for row in rows:
        if row.serial and (row.archive, row.serial) not in needed:
            continue
        files = json.loads(objects.read(row.tree))["files"]
        release = parse_release(objects.read(Sha256(files["Release"])))
        if release.valid_until is not None:
            found.append(Served(row, release.valid_until, max(1, (release.valid_until - release.date).days)))
    return sorted(found, key=lambda served: served.name)


def judge_snapshot(row: Snapshot, holds: Sequence[Hold], now: datetime, *, is_newest: bool, has_key: bool) -> str:
    """Say what is wrong with the end of a recorded snapshot, "" if nothing.

    What is held is prolonged by itself by who has a key; the newest one is followed by the next record.
    """
    if row.valid_until is None or not (holds or is_newest):
        return ""
    is_past = row.valid_until <= now
    if not is_past and (not holds or has_key or row.valid_until - now > SOON):
        return ""
    who = f"needed by {holds[0].holder}" if holds else "the newest, which clients follow"
    return f"{'ended' if is_past else 'ends'} on {row.valid_until:%Y-%m-%d %H:%M} ({who})"


def _of_keys(sight: Sight, now: datetime) -> Iterator[Ending]:
    for name, table in sight.config.archives.items():
        for credential in _credentials(table):
            try:
                certificate = sight.certificate(credential)
            except DistwrightError:  # it was never made, or is out of reach: who signs with it says so
                continue
            for what, is_past in _problems(certificate, now):
                yield Ending(f"credential {credential}", what, f"distwright archive key {name} --check", is_past)
        if isinstance(table, UpstreamArchive):
            yield from _of_upstream_keys(sight, name, table, now)


def _credentials(table: OwnArchive | UpstreamArchive) -> Sequence[str]:
    if isinstance(table, OwnArchive):
        return table.credentials
    return () if table.key is None else (table.key.credential,)


def _of_upstream_keys(sight: Sight, name: str, table: UpstreamArchive, now: datetime) -> Iterator[Ending]:
    """Look at the keys that signed the newest record: as long as one of them is good, all is well."""
    with sight.database.read() as tx:
        row = newest_snapshot(tx, name)
    if row is None:
        return
    for suite in parse_snapshot(sight.objects.read(row.digest)).suites.values():
        signed = sight.objects.read(suite.inrelease)
        try:
            keyring = sight.keyring(table.keyring)
            signers = Keyring(keyring, table.keyring).verify_clear(signed, f"InRelease of {name}/{suite.name}").signers
            keys = [Keyring.joined([keyring], table.keyring, [signer]).content for signer in signers]
        except DistwrightError:  # the next record says so itself, in full
            continue
        problems = [_problems(key, now) for key in keys]
        if problems and all(problems):
            what = "; ".join(dict.fromkeys(what for some in problems for what, _ in some))
            is_past = all(past for some in problems for _, past in some)
            hint = f"install a newer {table.keyring}, then: distwright archive record {name}"
            yield Ending(f"keyring of {name}/{suite.name}", what, hint, is_past)


def _problems(certificates: bytes, now: datetime) -> list[tuple[str, bool]]:
    found = examine_certificates(certificates, now)
    return [(f"key {finding.subject} {finding.evidence}", finding.kind == REFUSED) for finding in found]


def _of_snapshots(sight: Sight, now: datetime) -> Iterator[Ending]:
    with sight.database.read() as tx:
        needed, rows = needed_serials(tx, now), list_snapshots(tx)
    newest: set[str] = set()
    for row in rows:  # by archive, newest first
        table = sight.config.archives.get(row.archive)
        is_newest, has_key = row.archive not in newest, isinstance(table, UpstreamArchive) and table.key is not None
        newest.add(row.archive)
        if not isinstance(table, UpstreamArchive):
            continue
        what = judge_snapshot(row, needed.get((row.archive, row.serial), ()), now, is_newest=is_newest, has_key=has_key)
        if what:
            record = f"distwright archive record {row.archive}"
            hint = record if has_key or is_newest else f"set key in [archive.{row.archive}], then: {record}"
            is_past = row.valid_until is not None and row.valid_until <= now
            yield Ending(f"snapshot {row.archive}/{row.serial}", what, hint, is_past)


def _of_suites(sight: Sight, now: datetime) -> Iterator[Ending]:
    for served in served_states(sight.database, sight.objects, now):
        if served.is_late(now):
            is_past = served.end <= now
            what = f"{'ended' if is_past else 'ends'} on {served.end:%Y-%m-%d %H:%M} for clients"
            yield Ending(f"suite {served.name}", what, "distwright archive record", is_past)
