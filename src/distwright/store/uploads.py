"""Rows of uploads: each .changes that was judged, with its verdict."""

import json
from collections.abc import Mapping

import sqlalchemy as sa

from distwright.model.digests import Json, Sha256, canonical_json
from distwright.model.records import UploadVerdict
from distwright.store.database import Transaction
from distwright.store.schema import uploads
from distwright.store.times import from_text, to_text


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
            signed=row.signed,
            job=row.job,
        )
    )


def find_upload(tx: Transaction, archive: str, suite: str, changes: Sha256) -> UploadVerdict | None:
    """Find the newest verdict on a .changes file."""
    query = sa.select(uploads).where(
        uploads.c.archive == archive, uploads.c.suite == suite, uploads.c.changes == changes
    )
    row = tx.connection.execute(query.order_by(uploads.c.id.desc()).limit(1)).first()
    return None if row is None else _upload(row)


def find_accepted(tx: Transaction, archive: str, signed: Sha256) -> UploadVerdict | None:
    """Find when the same signed text was accepted into any suite of an archive, whatever stood around it."""
    query = sa.select(uploads).where(
        uploads.c.archive == archive, uploads.c.signed == signed, uploads.c.is_accepted == sa.true()
    )
    row = tx.connection.execute(query.order_by(uploads.c.id).limit(1)).first()
    return None if row is None else _upload(row)


def upload_of_job(tx: Transaction, job: int) -> UploadVerdict | None:
    """Find the verdict of a job."""
    row = tx.connection.execute(sa.select(uploads).where(uploads.c.job == job).order_by(uploads.c.id.desc())).first()
    return None if row is None else _upload(row)


def list_uploads(tx: Transaction, limit: int = 100) -> list[UploadVerdict]:
    """List uploads, newest first."""
    rows = tx.connection.execute(sa.select(uploads).order_by(uploads.c.id.desc()).limit(limit))
    return [_upload(row) for row in rows]


def _plain(files: Mapping[str, Sha256]) -> Json:
    return {name: str(digest) for name, digest in files.items()}


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
        signed=None if row.signed is None else Sha256(row.signed),
        job=row.job,
    )
