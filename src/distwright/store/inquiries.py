"""Rows of inquiries: questions that take many jobs, how far each is, and its answer."""

import json
from collections.abc import Mapping
from datetime import datetime

import sqlalchemy as sa

from distwright.model.digests import Json, canonical_json
from distwright.model.records import Inquiry, InquiryState
from distwright.store.database import Transaction, inserted_id
from distwright.store.schema import inquiries
from distwright.store.times import from_text, maybe_from_text, to_text


def insert_inquiry(
    tx: Transaction, kind: str, subject: str, asked: Mapping[str, Json], actor: str, now: datetime
) -> int:
    """Open an inquiry and give its number."""
    return inserted_id(
        tx.connection.execute(
            inquiries.insert().values(
                kind=kind,
                subject=subject,
                asked=canonical_json(dict(asked)).decode(),
                state=InquiryState.OPEN.value,
                progress="{}",
                actor=actor,
                began_at=to_text(now),
                seen_event=-1,
            )
        )
    )


def find_inquiry(tx: Transaction, number: int) -> Inquiry | None:
    """Find an inquiry."""
    row = tx.connection.execute(sa.select(inquiries).where(inquiries.c.id == number)).first()
    return None if row is None else _inquiry(row)


def list_inquiries(
    tx: Transaction, *, kind: str | None = None, only_open: bool = False, limit: int | None = 1000
) -> list[Inquiry]:
    """List inquiries, newest first. limit: None for all."""
    query = sa.select(inquiries).order_by(inquiries.c.id.desc()).limit(limit)
    if kind is not None:
        query = query.where(inquiries.c.kind == kind)
    if only_open:
        query = query.where(inquiries.c.state == InquiryState.OPEN.value)
    return [_inquiry(row) for row in tx.connection.execute(query)]


def move_inquiry(tx: Transaction, number: int, *, seen_event: int, progress: Mapping[str, Json]) -> bool:
    """Note how far an inquiry is; say whether it was open."""
    where = (inquiries.c.id == number, inquiries.c.state == InquiryState.OPEN.value)
    values = {"seen_event": seen_event, "progress": canonical_json(dict(progress)).decode()}
    return tx.connection.execute(inquiries.update().where(*where).values(**values)).rowcount > 0


def end_inquiry(tx: Transaction, number: int, state: InquiryState, answer: Mapping[str, Json], now: datetime) -> bool:
    """Close an inquiry with its answer; say whether it was open."""
    where = (inquiries.c.id == number, inquiries.c.state == InquiryState.OPEN.value)
    values = {"state": state.value, "answer": canonical_json(dict(answer)).decode(), "ended_at": to_text(now)}
    return tx.connection.execute(inquiries.update().where(*where).values(**values)).rowcount > 0


def _inquiry(row: sa.Row[tuple[object, ...]]) -> Inquiry:
    return Inquiry(
        id=row.id,
        kind=row.kind,
        subject=row.subject,
        asked=json.loads(row.asked),
        state=InquiryState(row.state),
        progress=json.loads(row.progress),
        answer=None if row.answer is None else json.loads(row.answer),
        actor=row.actor,
        began_at=from_text(row.began_at),
        ended_at=maybe_from_text(row.ended_at),
        seen_event=row.seen_event,
    )
