"""Rows of archives: snapshots by serial, suites with their revision, publications, uploads."""

import json
from collections.abc import Mapping
from datetime import datetime

import sqlalchemy as sa

from distwright.errors import NotFound
from distwright.model.digests import Json, Sha256, canonical_json
from distwright.model.records import Publication, Snapshot, SuiteState, UploadVerdict
from distwright.model.serials import Serial
from distwright.store.database import Transaction, inserted_id
from distwright.store.schema import publications, snapshots, suites, uploads
from distwright.store.times import from_text, maybe_from_text, to_text


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


def find_snapshot(tx: Transaction, archive: str, serial: str) -> Snapshot | None:
    """Find a snapshot by its serial."""
    query = sa.select(snapshots).where(snapshots.c.archive == archive, snapshots.c.serial == serial)
    row = tx.connection.execute(query).first()
    return None if row is None else _snapshot(row)


def find_snapshot_by_digest(tx: Transaction, digest: Sha256) -> Snapshot | None:
    """Find the newest snapshot with this document."""
    query = sa.select(snapshots).where(snapshots.c.digest == digest).order_by(snapshots.c.serial.desc()).limit(1)
    row = tx.connection.execute(query).first()
    return None if row is None else _snapshot(row)


def list_snapshots(tx: Transaction, archive: str | None = None) -> list[Snapshot]:
    """List snapshots by archive, newest serial first."""
    query = sa.select(snapshots).order_by(snapshots.c.archive, snapshots.c.serial.desc())
    if archive is not None:
        query = query.where(snapshots.c.archive == archive)
    return [_snapshot(row) for row in tx.connection.execute(query)]


def insert_suite(tx: Transaction, row: SuiteState) -> None:
    """Add a suite."""
    tx.connection.execute(
        suites.insert().values(
            archive=row.archive, name=row.name, kind=row.kind, revision=row.revision, changed_at=to_text(row.changed_at)
        )
    )


def find_suite(tx: Transaction, archive: str, name: str) -> SuiteState | None:
    """Find a suite."""
    row = tx.connection.execute(sa.select(suites).where(suites.c.archive == archive, suites.c.name == name)).first()
    return None if row is None else _suite(row)


def get_suite(tx: Transaction, archive: str, name: str) -> SuiteState:
    """Find a suite; raise NotFound."""
    row = find_suite(tx, archive, name)
    if row is None:
        raise NotFound(f"suite {name} is not in archive {archive}", hint=f"distwright suite list {archive}")
    return row


def list_suites(tx: Transaction) -> list[SuiteState]:
    """List all suites by archive and name."""
    return [_suite(row) for row in tx.connection.execute(sa.select(suites).order_by(suites.c.archive, suites.c.name))]


def move_suite(tx: Transaction, row: SuiteState, revision: Sha256, now: datetime) -> bool:
    """Point a suite at another revision if it still has the one in `row`; say whether it had."""
    changed = tx.connection.execute(
        suites.update()
        .where(suites.c.archive == row.archive, suites.c.name == row.name, suites.c.revision == row.revision)
        .values(revision=revision, changed_at=to_text(now))
    )
    return changed.rowcount == 1


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
            )
        )
    )


def set_publication_state(tx: Transaction, publication_id: int, state: str) -> None:
    """Move a publication to another state."""
    tx.connection.execute(publications.update().where(publications.c.id == publication_id).values(state=state))


def list_publications(tx: Transaction, *, state: str | None = None) -> list[Publication]:
    """List publications, newest first."""
    query = sa.select(publications).order_by(publications.c.id.desc())
    if state is not None:
        query = query.where(publications.c.state == state)
    return [_publication(row) for row in tx.connection.execute(query)]


def live_publication(tx: Transaction, archive: str, suite: str) -> Publication | None:
    """Find what is served of a suite."""
    query = (
        sa.select(publications)
        .where(publications.c.archive == archive, publications.c.suite == suite, publications.c.state == "live")
        .order_by(publications.c.id.desc())
        .limit(1)
    )
    row = tx.connection.execute(query).first()
    return None if row is None else _publication(row)


def insert_upload(tx: Transaction, row: UploadVerdict) -> None:
    """Add an upload with its verdict."""
    tx.connection.execute(
        uploads.insert().values(
            archive=row.archive,
            suite=row.suite,
            changes=row.changes,
            source=row.source,
            version=row.version,
            signer=row.signer,
            is_accepted=row.is_accepted,
            problems=canonical_json(list(row.problems)).decode(),
            files=canonical_json(_plain(row.files)).decode(),
            at=to_text(row.at),
        )
    )


def find_upload(tx: Transaction, archive: str, suite: str, changes: Sha256) -> UploadVerdict | None:
    """Find the verdict on a .changes file."""
    query = sa.select(uploads).where(
        uploads.c.archive == archive, uploads.c.suite == suite, uploads.c.changes == changes
    )
    row = tx.connection.execute(query).first()
    return None if row is None else _upload(row)


def list_uploads(tx: Transaction, limit: int = 100) -> list[UploadVerdict]:
    """List uploads, newest first."""
    rows = tx.connection.execute(sa.select(uploads).order_by(uploads.c.id.desc()).limit(limit))
    return [_upload(row) for row in rows]


def _plain(files: Mapping[str, Sha256]) -> Json:
    return {name: str(digest) for name, digest in files.items()}


def _snapshot(row: sa.Row[tuple[object, ...]]) -> Snapshot:
    return Snapshot(
        archive=row.archive,
        serial=Serial(row.serial),
        digest=Sha256(row.digest),
        taken_at=from_text(row.taken_at),
        valid_until=maybe_from_text(row.valid_until),
        fetched_from=row.fetched_from,
    )


def _suite(row: sa.Row[tuple[object, ...]]) -> SuiteState:
    return SuiteState(row.archive, row.name, row.kind, Sha256(row.revision), from_text(row.changed_at))


def _publication(row: sa.Row[tuple[object, ...]]) -> Publication:
    return Publication(
        id=row.id,
        archive=row.archive,
        suite=row.suite,
        revision=Sha256(row.revision),
        tree=Sha256(row.tree),
        state=row.state,
        at=from_text(row.at),
    )


def _upload(row: sa.Row[tuple[object, ...]]) -> UploadVerdict:
    return UploadVerdict(
        archive=row.archive,
        suite=row.suite,
        changes=Sha256(row.changes),
        source=row.source,
        version=row.version,
        signer=row.signer,
        is_accepted=bool(row.is_accepted),
        problems=json.loads(row.problems),
        files={name: Sha256(digest) for name, digest in json.loads(row.files).items()},
        at=from_text(row.at),
    )
