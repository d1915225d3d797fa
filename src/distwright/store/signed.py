"""Rows of what we sign beside upstream: snapshots signed anew, tagged snapshots."""

from datetime import datetime

import sqlalchemy as sa

from distwright.model.digests import Sha256
from distwright.model.records import ResignedSnapshot, TaggedSnapshot
from distwright.model.serials import Serial
from distwright.store.database import Transaction
from distwright.store.schema import resigned_snapshots, snapshots, tagged_snapshots
from distwright.store.times import from_text, to_text


def keep_resigned(tx: Transaction, row: ResignedSnapshot) -> None:
    """Let a snapshot be served as this document says, instead of an earlier one."""
    forget_resigned(tx, row.archive, row.serial)
    tx.connection.execute(
        resigned_snapshots.insert().values(
            archive=row.archive, serial=row.serial, document=row.document, at=to_text(row.at)
        )
    )


def find_resigned(tx: Transaction, archive: str, serial: str) -> ResignedSnapshot | None:
    """Find what is served of a snapshot with our signature."""
    table = resigned_snapshots
    query = sa.select(table).where(table.c.archive == archive, table.c.serial == serial)
    row = tx.connection.execute(query).first()
    if row is None:
        return None
    return ResignedSnapshot(row.archive, Serial(row.serial), Sha256(row.document), from_text(row.at))


def forget_resigned(tx: Transaction, archive: str, serial: str) -> None:
    """Serve a snapshot as upstream signed it again."""
    table = resigned_snapshots
    tx.connection.execute(table.delete().where(table.c.archive == archive, table.c.serial == serial))


def set_valid_until(tx: Transaction, archive: str, serial: str, valid_until: datetime) -> None:
    """Note until when clients trust a snapshot."""
    tx.connection.execute(
        snapshots.update()
        .where(snapshots.c.archive == archive, snapshots.c.serial == serial)
        .values(valid_until=to_text(valid_until))
    )


def insert_tag(tx: Transaction, row: TaggedSnapshot) -> None:
    """Add a tagged snapshot; its tag must be new in its archive."""
    tx.connection.execute(
        tagged_snapshots.insert().values(
            archive=row.archive, tag=row.tag, digest=row.digest, reason=row.reason, at=to_text(row.at)
        )
    )


def find_tag(tx: Transaction, archive: str, tag: str) -> TaggedSnapshot | None:
    """Find a tagged snapshot."""
    return next((row for row in list_tags(tx, archive) if row.tag == tag), None)


def list_tags(tx: Transaction, archive: str | None = None) -> list[TaggedSnapshot]:
    """List tagged snapshots by archive and tag."""
    query = sa.select(tagged_snapshots).order_by(tagged_snapshots.c.archive, tagged_snapshots.c.tag)
    if archive is not None:
        query = query.where(tagged_snapshots.c.archive == archive)
    return [
        TaggedSnapshot(row.archive, row.tag, Sha256(row.digest), row.reason, from_text(row.at))
        for row in tx.connection.execute(query)
    ]
