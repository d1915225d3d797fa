"""Let clients trust a snapshot for longer: its Release with a later Valid-Until, signed by us."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from distwright.archive.needs import needed_by
from distwright.archive.resigned import (
    ResignedDocument,
    ResignedSuite,
    parse_resigned,
    release_files,
    with_valid_until,
)
from distwright.archive.snapshots import RecordedSuite, parse_snapshot
from distwright.errors import NotFound, Refused
from distwright.formats.release import parse_release
from distwright.jobs.step import Context
from distwright.model.digests import Sha256
from distwright.model.records import ResignedSnapshot, Snapshot
from distwright.store.archives import find_snapshot, list_snapshots
from distwright.store.database import Transaction
from distwright.store.holds import object_hold, replace_holds
from distwright.store.objects import ObjectStore
from distwright.store.signed import find_resigned, keep_resigned, set_valid_until

PROLONG_DAYS = 30
_DUE_SHARE = 3  # what is needed is prolonged by itself when this part of its time is left,
_DUE_LEAST, _DUE_MOST = timedelta(days=1), timedelta(days=PROLONG_DAYS) / _DUE_SHARE  # within these bounds


def prolong_recorded(context: Context, archive: str, serial: str, days: int, credential: str) -> datetime:
    """Sign a recorded snapshot anew, valid for so many days from now; give the end.

    Clients get it from the end of upstream's signature on. Suites without a Valid-Until stay as upstream signed them. Raises
    NotFound, and Refused if it never ends or ends later anyway.
    """
    now = context.now().replace(microsecond=0)
    until = now + timedelta(days=days)
    with context.database.read() as tx:
        row = find_snapshot(tx, archive, serial)
        before = find_resigned(tx, archive, serial)
    if row is None:
        raise NotFound(f"archive {archive} has no snapshot {serial}", hint=f"distwright snapshot list {archive}")
    refuse_shorter(row, until)
    known = {} if before is None else dict(parse_resigned(context.objects.read(before.document)).suites)
    signer = context.signer(credential)
    for name, suite in parse_snapshot(context.objects.read(row.digest)).suites.items():
        release = context.objects.read(_release(suite, known))
        end = parse_release(release).valid_until
        if end is not None:
            signed = release_files(with_valid_until(release, until), suite.inrelease, signer, context.objects)
            present = known.get(name, ResignedSuite({}, is_whole=False, since=end))
            known[name] = replace(present, files={**present.files, **signed})
    document = context.objects.put(ResignedDocument(known).to_bytes())
    with context.write() as tx:
        keep_resigned_document(tx, row, document, now)
        set_valid_until(tx, archive, serial, until)
    return until


def prolong_due(context: Context, archive: str, credential: str) -> list[str]:
    """Prolong what is needed and ends soon: serials that somebody holds, and the newest once it is past; give their names."""
    with context.database.read() as tx:
        due = due_snapshots(tx, archive, context.objects, context.now())
    for row in due:
        until = prolong_recorded(context, archive, row.serial, PROLONG_DAYS, credential)
        context.log(f"{archive} {row.serial} is signed by us now, valid until {until:%Y-%m-%d %H:%M}")
    return [row.serial for row in due]


def due_snapshots(tx: Transaction, archive: str, objects: ObjectStore, now: datetime) -> Sequence[Snapshot]:
    """List the recorded snapshots that `prolong_due` would prolong. Cost: their rows; of few, the document too."""
    rows = list_snapshots(tx, archive)
    return [row for number, row in enumerate(rows) if _is_due(tx, row, objects, now, is_newest=number == 0)]


def keep_resigned_document(tx: Transaction, row: Snapshot, document: Sha256, now: datetime) -> None:
    """Let a snapshot be served as a document says, and keep all that it names."""
    keep_resigned(tx, ResignedSnapshot(row.archive, row.serial, document, now))
    holder = resigned_holder(row.archive, row.serial)
    replace_holds(tx, holder, [object_hold(holder, document, "signed by us")], now)


def resigned_holder(archive: str, serial: str) -> str:
    """Name who holds what is signed of a snapshot."""
    return f"resigned {archive}/{serial}"


def refuse_shorter(row: Snapshot, until: datetime) -> None:
    """Raise Refused if a snapshot is valid until later than `until`, or for ever."""
    name = f"snapshot {row.serial} of {row.archive}"
    if row.valid_until is None:
        raise Refused(f"{name} has no end that could be prolonged", hint=f"distwright snapshot list {row.archive}")
    if row.valid_until >= until:
        raise Refused(f"{name} is valid until {row.valid_until:%Y-%m-%d %H:%M} already", hint="give more --days")


def _release(suite: RecordedSuite, known: Mapping[str, ResignedSuite]) -> Sha256:
    return known[suite.name].files["Release"] if suite.name in known else suite.release


def _is_due(tx: Transaction, row: Snapshot, objects: ObjectStore, now: datetime, *, is_newest: bool) -> bool:
    if row.valid_until is None:
        return False
    left = row.valid_until - now
    if is_newest and left < timedelta():
        return True
    if left >= _DUE_MOST or not needed_by(tx, row.archive, row.serial, now):
        return False
    resigned = find_resigned(tx, row.archive, row.serial)
    suites = parse_snapshot(objects.read(row.digest)).suites.values()
    signed_at = min(suite.date for suite in suites) if resigned is None else resigned.at
    return left < max((row.valid_until - signed_at) / _DUE_SHARE, _DUE_LEAST)
