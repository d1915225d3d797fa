"""Which branches must be looked at again: marked in the transaction that changes a job or the suite of theirs."""

import sqlalchemy as sa

from distwright.store.database import Transaction
from distwright.store.schema import branch_jobs, branch_states


def mark_branches_of_job(tx: Transaction, job: int) -> None:
    """Mark the branches whose newest commit a job is for."""
    commits = sa.select(branch_jobs.c.repo, branch_jobs.c.commit).where(branch_jobs.c.job == job).distinct()
    for row in tx.connection.execute(commits).all():
        mark_branches_at(tx, row.repo, row.commit)


def mark_branches_at(tx: Transaction, repo: str, commit: str) -> None:
    """Mark the branches of a repo that are at a commit."""
    where = (branch_states.c.repo == repo, branch_states.c.commit == commit)
    tx.connection.execute(branch_states.update().where(*where).values(is_stale=True))


def mark_branch(tx: Transaction, repo: str, branch: str) -> None:
    """Mark a branch, whose suite has changed."""
    where = (branch_states.c.repo == repo, branch_states.c.branch == branch)
    tx.connection.execute(branch_states.update().where(*where).values(is_stale=True))
