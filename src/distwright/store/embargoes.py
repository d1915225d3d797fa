"""Rows about embargoes: what is private, and from what private things work and events come. See docs/design/0016."""

import json
from collections.abc import Collection, Mapping
from datetime import datetime

import sqlalchemy as sa

from distwright.model.digests import Json, digests_in
from distwright.model.embargo import PUBLIC, REPO, Embargo
from distwright.store.database import Transaction
from distwright.store.schema import events, jobs, private_names
from distwright.store.times import to_text


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


def embargo_of_job(tx: Transaction, job: int | None) -> Embargo:
    """Give the embargo that a job is under; of none, none."""
    return _embargo(tx, sa.select(jobs.c.embargo).where(jobs.c.id == job)) if job is not None else PUBLIC


def embargo_of_event(tx: Transaction, number: int | None) -> Embargo:
    """Give the embargo that an event is under; of none, none."""
    return _embargo(tx, sa.select(events.c.embargo).where(events.c.number == number)) if number is not None else PUBLIC


def embargo_of_outputs(tx: Transaction, inputs: Mapping[str, Json]) -> Embargo:
    """Give the embargo of the jobs that made what inputs name by digest. Reads all jobs that are under one: for commands."""
    named = {digest for _, digest in digests_in(inputs)}
    found = PUBLIC
    private = sa.select(jobs.c.embargo, jobs.c.outputs).where(jobs.c.embargo > "", jobs.c.outputs.is_not(None))
    for row in tx.connection.execute(private) if named else ():
        if named & {digest for _, digest in digests_in(json.loads(row.outputs))}:
            found |= Embargo.of_text(row.embargo)
    return found


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
    return Embargo.of_text(tx.connection.execute(query).scalar() or "")
