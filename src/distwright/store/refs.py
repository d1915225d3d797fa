"""Refs of hosted repos as last seen, so that a push that nobody announced is noticed; and the applied configuration."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from distwright.model.digests import Sha256
from distwright.store.database import Transaction, inserted_id
from distwright.store.schema import applied_configs, refs
from distwright.store.times import from_text, to_text


@dataclass(frozen=True, slots=True)
class AppliedConfig:
    """The configuration in force: the commit it came from and the object with its canonical JSON."""

    commit: str
    config: Sha256
    at: datetime


def refs_of(tx: Transaction, repo: str) -> dict[str, str]:
    """Give ref -> object name, as last recorded."""
    rows = tx.connection.execute(sa.select(refs.c.ref, refs.c.object).where(refs.c.repo == repo))
    return {str(ref): str(name) for ref, name in rows}


def set_ref(tx: Transaction, repo: str, ref: str, object_name: str | None, now: datetime) -> None:
    """Record where a ref points; None removes it."""
    tx.connection.execute(refs.delete().where(refs.c.repo == repo, refs.c.ref == ref))
    if object_name is not None:
        tx.connection.execute(refs.insert().values(repo=repo, ref=ref, object=object_name, at=to_text(now)))


def keep_applied_config(tx: Transaction, applied: AppliedConfig) -> int:
    """Append the configuration that is in force from now on; give its number."""
    return inserted_id(
        tx.connection.execute(
            applied_configs.insert().values(commit=applied.commit, config=applied.config, at=to_text(applied.at))
        )
    )


def applied_config(tx: Transaction) -> AppliedConfig | None:
    """Say which configuration is in force; None before the first `config apply`."""
    row = tx.connection.execute(sa.select(applied_configs).order_by(applied_configs.c.id.desc()).limit(1)).first()
    return None if row is None else AppliedConfig(row.commit, Sha256(row.config), from_text(row.at))
