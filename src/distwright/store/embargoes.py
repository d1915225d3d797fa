"""Rows about embargoes: what is private, and from what private things work and events come. See docs/design/0016."""

from collections.abc import Collection
from datetime import datetime

import sqlalchemy as sa

from distwright.model.digests import Json, digests_in
from distwright.model.embargo import PUBLIC, REPO, Embargo
from distwright.store.database import Transaction
from distwright.store.schema import events, jobs, private_names, private_objects
from distwright.store.times import to_text

_BATCH = 500  # parameters in one query


def list_private_names(tx: Transaction) -> frozenset[str]:
    """Give all that is, or ever was, private: `repo/NAME` and `archive/NAME`."""
    return frozenset(f"{row.kind}/{row.name}" for row in tx.connection.execute(sa.select(private_names)))


def add_private_names(tx: Transaction, names: Collection[str], now: datetime) -> None:
    """Note that these are private; what they are named in from now on is. Events about a repo from before are marked too."""
    for full in sorted(set(names) - list_private_names(tx)):
        kind, _, name = full.partition("/")
        tx.connection.execute(private_names.insert().values(kind=kind, name=name, at=to_text(now)))
        if kind == REPO:
            about = sa.or_(events.c.subject == name, events.c.subject.startswith(f"{name} ", autoescape=True))
            tx.connection.execute(events.update().where(about, events.c.embargo == "").values(embargo=full))


def drop_private_name(tx: Transaction, full: str) -> bool:
    """Forget that something is private; what was made of it bears its embargo all the same. Says whether it was."""
    kind, _, name = full.partition("/")
    where = (private_names.c.kind == kind, private_names.c.name == name)
    return tx.connection.execute(private_names.delete().where(*where)).rowcount > 0


def embargo_of_job(tx: Transaction, job: int | None) -> Embargo:
    """Give the embargo that a job is under; of none, none."""
    return _embargo(tx, sa.select(jobs.c.embargo).where(jobs.c.id == job)) if job is not None else PUBLIC


def embargo_of_event(tx: Transaction, number: int | None) -> Embargo:
    """Give the embargo that an event is under; of none, none."""
    return _embargo(tx, sa.select(events.c.embargo).where(events.c.number == number)) if number is not None else PUBLIC


def embargo_of_objects(tx: Transaction, value: Json) -> Embargo:
    """Give the embargo of what a value names by digest, as far as private jobs have made it."""
    named = sorted({digest for _, digest in digests_in(value)})
    found = PUBLIC
    for first in range(0, len(named), _BATCH):
        some = private_objects.c.digest.in_(named[first : first + _BATCH])
        for text in tx.connection.execute(sa.select(private_objects.c.embargo).where(some)).scalars():
            found |= Embargo.of_text(text)
    return found


def note_private_objects(tx: Transaction, job: int, value: Json) -> None:
    """Note that what a value names by digest was made by a job, if that is private; what is noted already stays as it is."""
    embargo = embargo_of_job(tx, job)
    if not embargo:
        return
    for digest in sorted({digest for _, digest in digests_in(value)}):
        if tx.connection.execute(sa.select(private_objects).where(private_objects.c.digest == digest)).first() is None:
            tx.connection.execute(private_objects.insert().values(digest=digest, embargo=embargo.text))


def set_embargo(tx: Transaction, job: int, embargo: Embargo) -> None:
    """Put a job under another embargo."""
    tx.connection.execute(jobs.update().where(jobs.c.id == job).values(embargo=embargo.text))


def open_job(tx: Transaction, job: int, title: str, share: str) -> None:
    """Let everybody see a job: it follows from something public as well, whose title and share it bears from now on."""
    tx.connection.execute(jobs.update().where(jobs.c.id == job).values(embargo="", title=title, share=share))


def list_embargoes(tx: Transaction) -> list[Embargo]:
    """List the embargoes that any job or event is under."""
    texts: set[str] = set()
    for table in (jobs, events):
        texts |= set(tx.connection.execute(sa.select(table.c.embargo).where(table.c.embargo > "").distinct()).scalars())
    return [Embargo.of_text(text) for text in sorted(texts)]


def _embargo(tx: Transaction, query: sa.Select[tuple[str]]) -> Embargo:
    text = tx.connection.execute(query).scalar()
    return PUBLIC if text is None else Embargo.of_text(str(text))
