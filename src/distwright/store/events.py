"""The event log (outbox): appended in the transaction of the change, read in order by number."""

import json
from collections.abc import Collection
from datetime import datetime

import sqlalchemy as sa

from distwright.errors import Refused, quoted
from distwright.model.digests import canonical_json
from distwright.model.embargo import Embargo, named_in
from distwright.model.events import EVENT_SCHEMA, Event, EventKind, OpenEvent, StoredEvent, check_body
from distwright.store.database import Transaction, inserted_id
from distwright.store.embargoes import embargo_of_job, list_private_names
from distwright.store.holds import add_holds, holds_on_all, replace_holds
from distwright.store.schema import cursors, events, waiting_events
from distwright.store.times import from_text, maybe_from_text, to_text


def append_event(tx: Transaction, event: Event) -> int:
    """Append a fact and return its number. Call it in the transaction that makes the fact true.

    What its body names is held until the flow has dealt with it: the orders that follow hold it from then on. It is under the
    embargo of the job that did it, and of whatever is private that it names.
    """
    check_body(event)
    named = named_in({"subject": event.subject, **event.body}, list_private_names(tx))
    inserted = tx.connection.execute(
        events.insert().values(
            schema=EVENT_SCHEMA,
            kind=event.kind.value,
            at=to_text(event.at),
            subject=event.subject,
            body=canonical_json(event.body).decode(),
            job=event.job,
            embargo=(named | embargo_of_job(tx, event.job)).text,
        )
    )
    number = inserted_id(inserted)
    add_holds(tx, f"event {number}", holds_on_all(event.body), event.at)
    return number


def events_after(tx: Transaction, number: int, limit: int = 500) -> list[StoredEvent]:
    """List events with a higher number, oldest first. Raises Refused for a schema or kind this version does not know."""
    rows = tx.connection.execute(
        sa.select(events).where(events.c.number > number).order_by(events.c.number).limit(limit)
    )
    return [_stored(row) for row in rows]


def newest_events(tx: Transaction, limit: int, *, embargoes: Collection[str] | None = None) -> list[StoredEvent]:
    """List the latest events, newest first. embargoes: those that may be seen ("" is none), as texts; None: all."""
    query = sa.select(events).order_by(events.c.number.desc()).limit(limit)
    if embargoes is not None:
        query = query.where(events.c.embargo.in_(sorted(embargoes)))
    return [_stored(row) for row in tx.connection.execute(query)]


def events_since(tx: Transaction, subject: str, kind: EventKind, last: EventKind) -> list[StoredEvent]:
    """List the events of a kind about a subject that came after its newest event of the kind `last`, oldest first."""
    about = events.c.subject == subject
    newest = sa.select(sa.func.max(events.c.number)).where(about, events.c.kind == last.value).scalar_subquery()
    query = sa.select(events).where(about, events.c.kind == kind.value, events.c.number > sa.func.coalesce(newest, 0))
    return [_stored(row) for row in tx.connection.execute(query.order_by(events.c.number))]


def newest_event(tx: Transaction, subject: str, kind: EventKind) -> StoredEvent | None:
    """Find the newest event of a kind about a subject."""
    about = sa.and_(events.c.subject == subject, events.c.kind == kind.value)
    row = tx.connection.execute(sa.select(events).where(about).order_by(events.c.number.desc()).limit(1)).first()
    return None if row is None else _stored(row)


def newest_of_kind(tx: Transaction, kind: EventKind, limit: int = 1000) -> list[StoredEvent]:
    """List the latest events of a kind, newest first."""
    query = sa.select(events).where(events.c.kind == kind.value).order_by(events.c.number.desc()).limit(limit)
    return [_stored(row) for row in tx.connection.execute(query)]


def newest_events_of_job(tx: Transaction, job: int) -> int | None:
    """Give the number of the newest event that a job wrote; None if it wrote none."""
    found = tx.connection.execute(sa.select(sa.func.max(events.c.number)).where(events.c.job == job)).scalar()
    return None if found is None else int(found)


def cursor_of(tx: Transaction, reader: str) -> int:
    """Say up to which event a reader has read; 0 for a new reader."""
    found = tx.connection.execute(sa.select(cursors.c.number).where(cursors.c.reader == reader)).scalar()
    return 0 if found is None else int(found)


def move_cursor(tx: Transaction, reader: str, number: int) -> None:
    """Note that a reader has dealt with everything up to `number`."""
    changed = tx.connection.execute(cursors.update().where(cursors.c.reader == reader).values(number=number))
    if changed.rowcount == 0:
        tx.connection.execute(cursors.insert().values(reader=reader, number=number))


def set_open(
    tx: Transaction, reader: str, number: int, reason: str, *, is_refused: bool, retry_at: datetime | None
) -> None:
    """Keep an event that a reader could not act on, with the reason that a person sees."""
    values = {
        "reason": reason,
        "is_refused": is_refused,
        "retry_at": None if retry_at is None else to_text(retry_at),
    }
    changed = tx.connection.execute(waiting_events.update().where(_same(reader, number)).values(**values))
    if changed.rowcount == 0:
        tx.connection.execute(waiting_events.insert().values(reader=reader, number=number, **values))


def clear_open(tx: Transaction, reader: str, number: int) -> bool:
    """Drop an event from the open ones; say whether it was one."""
    return tx.connection.execute(waiting_events.delete().where(_same(reader, number))).rowcount > 0


def is_open(tx: Transaction, reader: str, number: int) -> bool:
    """Say whether an event is open."""
    return tx.connection.execute(sa.select(waiting_events.c.number).where(_same(reader, number))).first() is not None


def retry_open(tx: Transaction, reader: str, number: int, now: datetime) -> bool:
    """Let an open event be tried at once, even if it was refused; say whether it was open."""
    values = {"is_refused": False, "retry_at": to_text(now)}
    return tx.connection.execute(waiting_events.update().where(_same(reader, number)).values(**values)).rowcount > 0


def open_events(tx: Transaction, reader: str) -> list[OpenEvent]:
    """List the events that a reader could not act on, oldest first."""
    rows = tx.connection.execute(
        sa.select(events, waiting_events.c.reason, waiting_events.c.is_refused, waiting_events.c.retry_at)
        .join(waiting_events, waiting_events.c.number == events.c.number)
        .where(waiting_events.c.reader == reader)
        .order_by(events.c.number)
    )
    return [OpenEvent(_stored(row), row.reason, bool(row.is_refused), maybe_from_text(row.retry_at)) for row in rows]


def _same(reader: str, number: int) -> sa.ColumnElement[bool]:
    return sa.and_(waiting_events.c.reader == reader, waiting_events.c.number == number)


def release_event(tx: Transaction, number: int, now: datetime) -> None:
    """Let go of what an event names: everything that follows from it is ordered."""
    replace_holds(tx, f"event {number}", [], now)


def last_event_time(tx: Transaction) -> datetime | None:
    """Say when the newest event happened."""
    found = tx.connection.execute(sa.select(events.c.at).order_by(events.c.number.desc()).limit(1)).scalar()
    return None if found is None else from_text(str(found))


def _stored(row: sa.Row[tuple[object, ...]]) -> StoredEvent:
    if row.schema > EVENT_SCHEMA:
        raise Refused(
            f"event {row.number} has schema {row.schema}, this version reads up to {EVENT_SCHEMA}",
            hint="install the newer distwright that wrote it",
        )
    if row.kind not in set(EventKind):
        raise Refused(
            f"event {row.number} is of kind {quoted(row.kind)}, which this version does not know",
            hint="install the newer distwright that wrote it",
        )
    event = Event(
        kind=EventKind(row.kind), at=from_text(row.at), subject=row.subject, body=json.loads(row.body), job=row.job
    )
    return StoredEvent(number=row.number, schema=row.schema, event=event, embargo=Embargo.of_text(row.embargo))
