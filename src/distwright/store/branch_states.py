"""Rows about branches: the jobs of their commits, what is ready for review, and how each stands."""

from collections.abc import Iterable

import sqlalchemy as sa

from distwright.model.branches import BranchRow, BranchState, ReadyBranch, RefCommit
from distwright.model.outcomes import JobState
from distwright.model.records import Job
from distwright.store.database import Transaction
from distwright.store.jobs import find_jobs
from distwright.store.schema import branch_jobs, branch_states, jobs, ready_branches
from distwright.store.stale import mark_branches_of_job
from distwright.store.times import from_text, to_text

_NEWEST = 200  # a base that nobody pushes to has some jobs more each day


def add_branch_jobs(tx: Transaction, job: int, commits: Iterable[RefCommit]) -> None:
    """Note for which commits a job is; one that is noted already stays."""
    wanted = set(commits)
    new = sorted(wanted - set(commits_of_job(tx, job))) if wanted else []
    for one in new:
        tx.connection.execute(branch_jobs.insert().values(repo=one.repo, ref=one.ref, commit=one.commit, job=job))
    if new:
        mark_branches_of_job(tx, job)


def commits_of_job(tx: Transaction, job: int) -> list[RefCommit]:
    """List the commits that a job is for, sorted."""
    rows = tx.connection.execute(sa.select(branch_jobs).where(branch_jobs.c.job == job))
    return sorted(RefCommit(row.repo, row.ref, row.commit) for row in rows)


def jobs_of_commit(tx: Transaction, repo: str, branch: str, commit: str) -> list[Job]:
    """List the newest jobs (_NEWEST) for a commit as a branch's, or as any tag's, oldest first. branch: its full ref."""
    as_meant = sa.or_(branch_jobs.c.ref == branch, branch_jobs.c.ref.startswith("refs/tags/", autoescape=True))
    where = (branch_jobs.c.repo == repo, branch_jobs.c.commit == commit, as_meant)
    query = sa.select(branch_jobs.c.job).where(*where).distinct().order_by(branch_jobs.c.job.desc()).limit(_NEWEST)
    return find_jobs(tx, [row.job for row in tx.connection.execute(query)])


def newest_jobs_of_ref(tx: Transaction, repo: str, ref: str, limit: int) -> list[Job]:
    """List the newest jobs that are for any commit of a branch or tag, newest first."""
    where = (branch_jobs.c.repo == repo, branch_jobs.c.ref == ref)
    query = sa.select(branch_jobs.c.job).where(*where).distinct().order_by(branch_jobs.c.job.desc()).limit(limit)
    return find_jobs(tx, [row.job for row in tx.connection.execute(query)])[::-1]


def queued_jobs_of_ref(tx: Transaction, repo: str, ref: str) -> list[int]:
    """Number the jobs that wait for any commit of a branch or tag."""
    query = (
        sa.select(jobs.c.id)
        .join(branch_jobs, branch_jobs.c.job == jobs.c.id)
        .where(branch_jobs.c.repo == repo, branch_jobs.c.ref == ref, jobs.c.state == JobState.QUEUED.value)
    )
    return sorted({row.id for row in tx.connection.execute(query)})


def ready_branches_of(tx: Transaction, repo: str) -> dict[str, ReadyBranch]:
    """Give the branches of a repo that are ready for review."""
    rows = tx.connection.execute(sa.select(ready_branches).where(ready_branches.c.repo == repo))
    return {row.branch: ReadyBranch(row.repo, row.branch, row.actor, from_text(row.at)) for row in rows}


def set_ready(tx: Transaction, row: ReadyBranch) -> None:
    """Note that a branch is ready; one that is noted already is noted anew."""
    unset_ready(tx, row.repo, row.branch)
    values = {"repo": row.repo, "branch": row.branch, "actor": row.actor, "at": to_text(row.at)}
    tx.connection.execute(ready_branches.insert().values(**values))


def unset_ready(tx: Transaction, repo: str, branch: str) -> bool:
    """Note that a branch is not ready; say whether it was."""
    where = (ready_branches.c.repo == repo, ready_branches.c.branch == branch)
    return tx.connection.execute(ready_branches.delete().where(*where)).rowcount > 0


def find_branch(tx: Transaction, repo: str, branch: str) -> BranchRow | None:
    """Find how a branch stands."""
    where = (branch_states.c.repo == repo, branch_states.c.branch == branch)
    row = tx.connection.execute(sa.select(branch_states).where(*where)).first()
    return None if row is None else _row(row)


def list_branches(tx: Transaction) -> list[BranchRow]:
    """List how all branches stand, by repo and name."""
    query = sa.select(branch_states).order_by(branch_states.c.repo, branch_states.c.branch)
    return [_row(row) for row in tx.connection.execute(query)]


def stale_branches(tx: Transaction, limit: int) -> list[tuple[str, str]]:
    """Name some branches, by repo and name, whose jobs have changed since they were looked at (store/stale.py)."""
    columns = (branch_states.c.repo, branch_states.c.branch)
    query = sa.select(*columns).where(branch_states.c.is_stale.is_(True)).order_by(*columns).limit(limit)
    return [(row.repo, row.branch) for row in tx.connection.execute(query)]


def set_branch(tx: Transaction, row: BranchRow) -> None:
    """Write how a branch stands: it was looked at."""
    drop_branch(tx, row.repo, row.branch)
    values: dict[str, object] = {name: getattr(row, name) for name in ("repo", "branch", "commit", "pusher", "job")}
    values |= {"pushed_at": to_text(row.pushed_at), "since": to_text(row.since), "state": row.state.value}
    values["is_stale"] = False
    values["settled"] = None if row.settled is None else row.settled.value
    tx.connection.execute(branch_states.insert().values(**values))


def drop_branch(tx: Transaction, repo: str, branch: str) -> None:
    """Forget how a branch stands; its jobs stay."""
    where = (branch_states.c.repo == repo, branch_states.c.branch == branch)
    tx.connection.execute(branch_states.delete().where(*where))


def _row(row: sa.Row[tuple[object, ...]]) -> BranchRow:
    return BranchRow(
        repo=row.repo,
        branch=row.branch,
        commit=row.commit,
        pusher=row.pusher,
        pushed_at=from_text(row.pushed_at),
        state=BranchState(row.state),
        since=from_text(row.since),
        settled=None if row.settled is None else BranchState(row.settled),
        job=row.job,
    )
