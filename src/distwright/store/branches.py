"""Rows that say which suite belongs to a branch or tag."""

from collections.abc import Collection

import sqlalchemy as sa

from distwright.model.records import BranchSuite
from distwright.store.database import Transaction
from distwright.store.schema import branches
from distwright.store.times import from_text, maybe_from_text, to_text


def branches_of_repo(tx: Transaction, repo: str) -> list[BranchSuite]:
    """List what belongs to the refs of a repo, by ref and archive."""
    query = sa.select(branches).where(branches.c.repo == repo)
    return _rows(tx, query.order_by(branches.c.ref, branches.c.archive))


def suites_of_refs(tx: Transaction, repo: str) -> dict[tuple[str, str], tuple[str, str]]:
    """Give (ref, archive) -> (kind, suite) for the refs of a repo that are there: each look asks, so nothing more is read."""
    query = sa.select(branches.c.ref, branches.c.archive, branches.c.kind, branches.c.suite)
    found = tx.connection.execute(query.where(branches.c.repo == repo, branches.c.gone_at.is_(None)))
    return {(str(ref), str(archive)): (str(kind), str(suite)) for ref, archive, kind, suite in found}


def branches_of_archives(tx: Transaction, archives: Collection[str]) -> list[BranchSuite]:
    """List what belongs to refs in these archives, by repo and ref."""
    query = sa.select(branches).where(branches.c.archive.in_(sorted(archives)))
    return _rows(tx, query.order_by(branches.c.repo, branches.c.ref, branches.c.archive))


def branches_of_suite(tx: Transaction, archive: str, suite: str) -> list[BranchSuite]:
    """List the refs that a suite belongs to, or belonged to until they went."""
    query = sa.select(branches).where(branches.c.archive == archive, branches.c.suite == suite)
    return _rows(tx, query.order_by(branches.c.repo, branches.c.ref))


def branches_of_ref(tx: Transaction, ref: str, archives: Collection[str]) -> list[BranchSuite]:
    """List what belongs to a ref in these archives, in any repo."""
    query = sa.select(branches).where(branches.c.ref == ref, branches.c.archive.in_(sorted(archives)))
    return _rows(tx, query.order_by(branches.c.repo, branches.c.archive))


def suites_of_branch(tx: Transaction, repo: str, ref: str) -> list[BranchSuite]:
    """List what belongs to a ref that is there, by archive."""
    where = (branches.c.repo == repo, branches.c.ref == ref, branches.c.gone_at.is_(None))
    return _rows(tx, sa.select(branches).where(*where).order_by(branches.c.archive))


def find_branch_suite(tx: Transaction, repo: str, ref: str, archive: str) -> BranchSuite | None:
    """Find what belongs to a ref in an archive."""
    query = sa.select(branches).where(branches.c.repo == repo, branches.c.ref == ref, branches.c.archive == archive)
    return next(iter(_rows(tx, query)), None)


def set_branch_suite(tx: Transaction, row: BranchSuite) -> None:
    """Write a row, over the one of its ref and archive."""
    drop_branch_suite(tx, row)
    tx.connection.execute(
        branches.insert().values(
            repo=row.repo,
            ref=row.ref,
            archive=row.archive,
            kind=row.kind,
            suite=row.suite,
            problem=row.problem,
            at=to_text(row.at),
            gone_at=None if row.gone_at is None else to_text(row.gone_at),
        )
    )


def drop_branch_suite(tx: Transaction, row: BranchSuite) -> None:
    """Forget a row."""
    tx.connection.execute(
        branches.delete().where(
            branches.c.repo == row.repo, branches.c.ref == row.ref, branches.c.archive == row.archive
        )
    )


def _rows(tx: Transaction, query: sa.Select[tuple[object, ...]]) -> list[BranchSuite]:
    return [
        BranchSuite(
            repo=row.repo,
            ref=row.ref,
            archive=row.archive,
            kind=row.kind,
            suite=row.suite,
            problem=row.problem,
            at=from_text(row.at),
            gone_at=maybe_from_text(row.gone_at),
        )
        for row in tx.connection.execute(query)
    ]
