"""Rows of our own suites: their present state, how they came to it, and what each path of the pool means."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from itertools import islice

import sqlalchemy as sa

from distwright.errors import NotFound
from distwright.model.digests import Sha256
from distwright.model.records import Revision, SuiteState
from distwright.store.database import Transaction, inserted_id
from distwright.store.schema import pool_names, revisions, suites
from distwright.store.times import from_text, to_text

_BATCH = 500  # parameters in one query; SQLite of Debian 12 takes 250,000, older ones 999
_INSERT_BATCH = 5000
_INSERT_SQLITE = "INSERT INTO pool_names (archive, path, object) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
_INSERT_POSTGRESQL = """
    INSERT INTO pool_names (archive, path, object) SELECT %s, * FROM unnest(%s::text[], %s::text[]) ON CONFLICT DO NOTHING
"""


def insert_suite(tx: Transaction, row: SuiteState) -> None:
    """Add a suite."""
    tx.connection.execute(
        suites.insert().values(
            archive=row.archive,
            name=row.name,
            kind=row.kind,
            revision=row.revision,
            changed_at=to_text(row.changed_at),
            follows=row.follows,
            parent=row.parent,
            is_sealed=row.is_sealed,
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
    """Point a suite at another revision if it still has the one in `row` and is not sealed; say whether it did."""
    changed = tx.connection.execute(
        suites.update()
        .where(
            suites.c.archive == row.archive,
            suites.c.name == row.name,
            suites.c.revision == row.revision,
            suites.c.is_sealed.is_(False),
        )
        .values(revision=revision, changed_at=to_text(now))
    )
    return changed.rowcount == 1


def seal_suite(tx: Transaction, archive: str, name: str, *, is_sealed: bool) -> None:
    """Let a suite take no more changes, or again."""
    tx.connection.execute(
        suites.update().where(suites.c.archive == archive, suites.c.name == name).values(is_sealed=is_sealed)
    )


def delete_suite(tx: Transaction, archive: str, name: str) -> None:
    """Forget a suite; its revisions stay in the list of revisions."""
    tx.connection.execute(suites.delete().where(suites.c.archive == archive, suites.c.name == name))


def insert_revision(tx: Transaction, row: Revision) -> int:
    """Note how a suite came from one state to the next (its `number` is ignored); give the number."""
    return inserted_id(
        tx.connection.execute(
            revisions.insert().values(
                archive=row.archive,
                suite=row.suite,
                before=row.before,
                after=row.after,
                action=row.action,
                reason=row.reason,
                actor=row.actor,
                at=to_text(row.at),
            )
        )
    )


def list_revisions(tx: Transaction, archive: str, suite: str, limit: int = 100) -> list[Revision]:
    """List how a suite came to be what it is, newest first."""
    query = (
        sa.select(revisions)
        .where(revisions.c.archive == archive, revisions.c.suite == suite)
        .order_by(revisions.c.number.desc())
        .limit(limit)
    )
    return [_revision(row) for row in tx.connection.execute(query)]


def last_step_at(tx: Transaction, archive: str, suite: str, revision: Sha256) -> int:
    """Say when a suite last was at a revision, as a number that rises from each of its states to the next; 0 if never.

    What a suite was before its first step counts as well.
    """
    step = sa.case((revisions.c.after == revision, revisions.c.number), else_=revisions.c.number - 1)
    query = sa.select(sa.func.max(step)).where(
        revisions.c.archive == archive,
        revisions.c.suite == suite,
        sa.or_(revisions.c.after == revision, revisions.c.before == revision),
    )
    return tx.connection.execute(query).scalar() or 0


def insert_pool_names(tx: Transaction, archive: str, names: Iterable[tuple[str, Sha256]]) -> None:
    """Note what pool paths mean: path and content; a path that is known keeps its meaning.

    Takes any number of names in constant memory, by the driver itself: 50,000 cost 0.1 s of CPU on SQLite.
    """
    is_sqlite = tx.connection.dialect.name == "sqlite"
    left = iter(names)
    while batch := list(islice(left, _INSERT_BATCH)):
        if is_sqlite:
            tx.connection.exec_driver_sql(_INSERT_SQLITE, [(archive, path, digest) for path, digest in batch])
        else:
            paths, digests = zip(*batch, strict=True)
            tx.connection.exec_driver_sql(_INSERT_POSTGRESQL, (archive, list(paths), list(map(str, digests))))


def find_pool_names(tx: Transaction, archive: str, paths: Sequence[str]) -> dict[str, Sha256]:
    """Say what these paths mean in an archive's pool; paths that mean nothing yet are left out."""
    found: dict[str, Sha256] = {}
    for at in range(0, len(paths), _BATCH):
        query = sa.select(pool_names.c.path, pool_names.c.object).where(
            pool_names.c.archive == archive, pool_names.c.path.in_(paths[at : at + _BATCH])
        )
        found |= {row.path: Sha256(row.object) for row in tx.connection.execute(query)}
    return found


def pool_names_beginning(tx: Transaction, archive: str, beginning: str) -> dict[str, Sha256]:
    """Say what all paths of an archive's pool mean that begin with a (plain) text."""
    beyond = beginning[:-1] + chr(ord(beginning[-1]) + 1)
    query = sa.select(pool_names.c.path, pool_names.c.object).where(
        pool_names.c.archive == archive, pool_names.c.path >= beginning, pool_names.c.path < beyond
    )
    return {row.path: Sha256(row.object) for row in tx.connection.execute(query)}


def pool_paths_of(tx: Transaction, digests: Collection[Sha256]) -> list[tuple[str, str, Sha256]]:
    """Say which paths of which archives mean these objects: archive, path, content."""
    found: list[tuple[str, str, Sha256]] = []
    wanted = sorted(map(str, digests))
    for at in range(0, len(wanted), _BATCH):
        query = sa.select(pool_names).where(pool_names.c.object.in_(wanted[at : at + _BATCH]))
        found += [(row.archive, row.path, Sha256(row.object)) for row in tx.connection.execute(query)]
    return found


def has_pool_names_below(tx: Transaction, archive: str, folder: str) -> bool:
    """Say whether any path below a folder of the pool means something, or ever did."""
    query = sa.select(pool_names.c.path).where(
        pool_names.c.archive == archive, pool_names.c.path > f"{folder}/", pool_names.c.path < f"{folder}0"
    )
    return tx.connection.execute(query.limit(1)).first() is not None


def _suite(row: sa.Row[tuple[object, ...]]) -> SuiteState:
    return SuiteState(
        archive=row.archive,
        name=row.name,
        kind=row.kind,
        revision=Sha256(row.revision),
        changed_at=from_text(row.changed_at),
        follows=row.follows,
        parent=row.parent,
        is_sealed=bool(row.is_sealed),
    )


def _revision(row: sa.Row[tuple[object, ...]]) -> Revision:
    return Revision(
        number=row.number,
        archive=row.archive,
        suite=row.suite,
        before=Sha256(row.before),
        after=Sha256(row.after),
        action=row.action,
        reason=row.reason,
        actor=row.actor,
        at=from_text(row.at),
    )
