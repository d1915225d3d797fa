"""Rows of trials: what a question about a state of packages and archives was answered, once for each order."""

import json
from collections.abc import Sequence

import sqlalchemy as sa

from distwright.model.digests import Sha256, canonical_json
from distwright.model.outcomes import Outcome
from distwright.model.records import Trial
from distwright.store.database import Transaction, inserted_id
from distwright.store.schema import trials
from distwright.store.times import from_text, to_text


def set_trial(tx: Transaction, row: Trial) -> None:
    """Keep an answer (its `id` is ignored); a later one to the same order takes the place of the earlier."""
    tx.connection.execute(trials.delete().where(trials.c.order_digest == row.order))
    inserted_id(
        tx.connection.execute(
            trials.insert().values(
                question=row.question,
                subject=row.subject,
                version=row.version,
                commit=row.commit,
                states=canonical_json(dict(row.states)).decode(),
                order_digest=row.order,
                job=row.job,
                outcome=row.outcome.value,
                message=row.message,
                took_s=row.took_s,
                at=to_text(row.at),
            )
        )
    )


def find_trial(tx: Transaction, order: Sha256) -> Trial | None:
    """Find the answer to an order."""
    row = tx.connection.execute(sa.select(trials).where(trials.c.order_digest == order)).first()
    return None if row is None else _trial(row)


def list_trials(tx: Transaction, question: str, subject: str | None = None, *, limit: int = 1000) -> list[Trial]:
    """List the answers to a question, newest first, about one subject or all."""
    query = sa.select(trials).where(trials.c.question == question)
    if subject is not None:
        query = query.where(trials.c.subject == subject)
    return [_trial(row) for row in tx.connection.execute(query.order_by(trials.c.id.desc()).limit(limit))]


def was_tried(tx: Transaction, subject: str) -> bool:
    """Say whether any question was ever asked about a subject."""
    return tx.connection.execute(sa.select(trials.c.id).where(trials.c.subject == subject).limit(1)).first() is not None


def last_seconds(tx: Transaction, question: str, subjects: Sequence[str]) -> dict[str, int]:
    """Say how long the newest good answer about each subject took; those that have none are left out.

    What was known already took no second, and says nothing.
    """
    newest = (
        sa.select(sa.func.max(trials.c.id))
        .where(
            trials.c.question == question,
            trials.c.subject.in_(subjects),
            trials.c.outcome == Outcome.OK.value,
            trials.c.took_s > 0,
        )
        .group_by(trials.c.subject)
    )
    rows = tx.connection.execute(sa.select(trials.c.subject, trials.c.took_s).where(trials.c.id.in_(newest)))
    return {row.subject: int(row.took_s) for row in rows}


def _trial(row: sa.Row[tuple[object, ...]]) -> Trial:
    states = {str(name): Sha256(document) for name, document in json.loads(row.states).items()}
    return Trial(
        id=row.id,
        question=row.question,
        subject=row.subject,
        version=row.version,
        commit=row.commit,
        states=states,
        order=Sha256(row.order_digest),
        job=row.job,
        outcome=Outcome(row.outcome),
        message=row.message,
        took_s=row.took_s,
        at=from_text(row.at),
    )
