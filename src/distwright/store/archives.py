"""Rows of archives: snapshots by serial, publications."""

from collections.abc import Iterable
from datetime import datetime

import sqlalchemy as sa

from distwright.errors import NotFound
from distwright.model.digests import Sha256
from distwright.model.events import EventKind
from distwright.model.records import Publication, Snapshot
from distwright.model.serials import Serial
from distwright.store.database import Transaction, inserted_id
from distwright.store.schema import events, publications, snapshots
from distwright.store.times import from_text, maybe_from_text, to_text

_ASKED_AT_ONCE = 500  # parameters of a query: a database has a limit


def insert_snapshot(tx: Transaction, row: Snapshot) -> None:
    """Add a snapshot; its serial must be new in its archive."""
    tx.connection.execute(
        snapshots.insert().values(
            archive=row.archive,
            serial=row.serial,
            digest=row.digest,
            taken_at=to_text(row.taken_at),
            valid_until=None if row.valid_until is None else to_text(row.valid_until),
            fetched_from=row.fetched_from,
        )
    )


def newest_snapshot(tx: Transaction, archive: str) -> Snapshot | None:
    """Find the snapshot with the highest serial."""
    query = sa.select(snapshots).where(snapshots.c.archive == archive).order_by(snapshots.c.serial.desc()).limit(1)
    row = tx.connection.execute(query).first()
    return None if row is None else _snapshot(row)


def newest_serial(tx: Transaction, archive: str) -> Serial | None:
    """Find the serial that was given last, be its snapshot dropped or not: the events keep it, and none is given twice."""
    given = sa.and_(
        events.c.kind == EventKind.SNAPSHOT_RECORDED.value, events.c.subject.startswith(f"{archive}/", autoescape=True)
    )
    # From the end: the log is long, and an archive's last snapshot is seldom far back.
    subject = tx.connection.execute(
        sa.select(events.c.subject).where(given).order_by(events.c.number.desc()).limit(1)
    ).scalar()
    row = newest_snapshot(tx, archive)
    known = [] if subject is None else [Serial(str(subject).removeprefix(f"{archive}/"))]
    return max([*known, *([] if row is None else [row.serial])], default=None)


def find_snapshot(tx: Transaction, archive: str, serial: str) -> Snapshot | None:
    """Find a snapshot by its serial."""
    query = sa.select(snapshots).where(snapshots.c.archive == archive, snapshots.c.serial == serial)
    row = tx.connection.execute(query).first()
    return None if row is None else _snapshot(row)


def find_snapshot_by_digest(tx: Transaction, archive: str, digest: Sha256) -> Snapshot | None:
    """Find the newest snapshot of an archive with this document."""
    query = (
        sa.select(snapshots)
        .where(snapshots.c.archive == archive, snapshots.c.digest == digest)
        .order_by(snapshots.c.serial.desc())
        .limit(1)
    )
    row = tx.connection.execute(query).first()
    return None if row is None else _snapshot(row)


def find_snapshots_by_digests(tx: Transaction, digests: Iterable[Sha256]) -> list[Snapshot]:
    """Find the newest snapshot of each archive with each of these documents; most digests are of something else."""
    wanted = sorted(set(digests))
    found: dict[tuple[str, Sha256], Snapshot] = {}
    for start in range(0, len(wanted), _ASKED_AT_ONCE):
        query = sa.select(snapshots).where(snapshots.c.digest.in_(wanted[start : start + _ASKED_AT_ONCE]))
        for row in map(_snapshot, tx.connection.execute(query.order_by(snapshots.c.serial))):
            found[row.archive, row.digest] = row
    return list(found.values())


def delete_snapshot(tx: Transaction, archive: str, serial: str) -> None:
    """Forget a snapshot; what it named may then be collected."""
    tx.connection.execute(snapshots.delete().where(snapshots.c.archive == archive, snapshots.c.serial == serial))


def list_snapshots(tx: Transaction, archive: str | None = None) -> list[Snapshot]:
    """List snapshots by archive, newest serial first."""
    query = sa.select(snapshots).order_by(snapshots.c.archive, snapshots.c.serial.desc())
    if archive is not None:
        query = query.where(snapshots.c.archive == archive)
    return [_snapshot(row) for row in tx.connection.execute(query)]


def insert_publication(tx: Transaction, row: Publication) -> int:
    """Add a publication (its `id` is ignored) and return its number."""
    return inserted_id(
        tx.connection.execute(
            publications.insert().values(
                archive=row.archive,
                suite=row.suite,
                revision=row.revision,
                tree=row.tree,
                state=row.state,
                at=to_text(row.at),
                serial=row.serial,
            )
        )
    )


def set_publication_state(tx: Transaction, publication_id: int, state: str) -> None:
    """Move a publication to another state."""
    tx.connection.execute(publications.update().where(publications.c.id == publication_id).values(state=state))


def set_publication_states(tx: Transaction, numbers: Iterable[int], state: str) -> None:
    """Move many publications to another state."""
    rows = [{"number": number} for number in sorted(numbers)]
    if rows:
        query = publications.update().where(publications.c.id == sa.bindparam("number")).values(state=state)
        tx.connection.execute(query, rows)


def retire_publications(tx: Transaction, numbers: Iterable[int], now: datetime) -> None:
    """Note that publications are served no more, since now: who has read their InRelease has a while to read the rest."""
    rows = [{"number": number} for number in sorted(numbers)]
    if rows:
        query = publications.update().where(publications.c.id == sa.bindparam("number"))
        tx.connection.execute(query.values(state="retired", retired_at=to_text(now)), rows)


def get_publication(tx: Transaction, number: int) -> Publication:
    """Find a publication; raise NotFound."""
    row = tx.connection.execute(sa.select(publications).where(publications.c.id == number)).first()
    if row is None:
        raise NotFound(f"publication {number} does not exist", hint="distwright suite list")
    return _publication(row)


def list_publications(
    tx: Transaction,
    *,
    state: str | None = None,
    archive: str | None = None,
    suite: str | None = None,
    revision: Sha256 | None = None,
) -> list[Publication]:
    """List publications, newest first: all, or those of one state, archive, suite, revision."""
    query = sa.select(publications).order_by(publications.c.id.desc())
    for name, value in (("state", state), ("archive", archive), ("suite", suite), ("revision", revision)):
        if value is not None:
            query = query.where(publications.c[name] == value)
    return [_publication(row) for row in tx.connection.execute(query)]


def live_publication(tx: Transaction, archive: str, suite: str, serial: str = "") -> Publication | None:
    """Find what is served of a suite, or of a suite in a snapshot of ours."""
    query = (
        sa.select(publications)
        .where(
            publications.c.archive == archive,
            publications.c.suite == suite,
            publications.c.serial == serial,
            publications.c.state == "live",
        )
        .order_by(publications.c.id.desc())
        .limit(1)
    )
    row = tx.connection.execute(query).first()
    return None if row is None else _publication(row)


def _snapshot(row: sa.Row[tuple[object, ...]]) -> Snapshot:
    return Snapshot(
        archive=row.archive,
        serial=Serial(row.serial),
        digest=Sha256(row.digest),
        taken_at=from_text(row.taken_at),
        valid_until=maybe_from_text(row.valid_until),
        fetched_from=row.fetched_from,
    )


def _publication(row: sa.Row[tuple[object, ...]]) -> Publication:
    return Publication(
        id=row.id,
        archive=row.archive,
        suite=row.suite,
        revision=Sha256(row.revision),
        tree=Sha256(row.tree),
        state=row.state,
        at=from_text(row.at),
        serial=row.serial,
        retired_at=maybe_from_text(row.retired_at),
    )
