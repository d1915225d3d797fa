"""What faces show of a branch: how it stands, stage by stage, and of what its newest commit was made."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from distwright.config.model import Config
from distwright.errors import NotFound, quoted
from distwright.flow.advance import unanswered
from distwright.flow.branch_looks import status_of_commit
from distwright.flow.branch_status import Status, state_of_job
from distwright.model.branches import HEADS, BranchRow, ReadyBranch
from distwright.model.digests import Json
from distwright.model.records import Job
from distwright.repos.active import ActiveBranch, active_branches
from distwright.repos.branches import is_base
from distwright.site.readers import Viewer
from distwright.store.branch_states import find_branch, list_branches, ready_branches_of
from distwright.store.database import Database, Transaction
from distwright.store.holds import holds_of
from distwright.store.paths import StatePaths
from distwright.store.refs import refs_of

NOBODY = "unknown"


@dataclass(frozen=True, slots=True)
class BranchStanding:
    """A branch. base, base_commit: what it is merged with, or would be; "" for a base. serials: `archive/serial` of what was built.

    row: as it was last looked at; status: as it is now, which may be a moment newer.
    """

    row: BranchRow
    status: Status
    is_base: bool
    base: str
    base_commit: str
    serials: tuple[str, ...]
    ready: ReadyBranch | None

    @property
    def since(self) -> datetime:
        """When its state began, as far as that was noted."""
        return self.row.since

    def to_json(self) -> dict[str, Json]:
        """Give it for machines; times in UTC."""
        row, status = self.row, self.status
        return {
            "repo": row.repo,
            "branch": row.branch,
            "state": status.state.value,
            "reason": status.reason,
            "since": _time(row.since),
            "last settled": None if row.settled is None else row.settled.value,
            "commit": row.commit,
            "pusher": row.pusher,
            "pushed": _time(row.pushed_at),
            "base": self.base,
            "base commit": self.base_commit,
            "serials": list(self.serials),
            "ready": self.ready is not None,
            "ready by": "" if self.ready is None else self.ready.actor,
            "stages": [
                {
                    "stage": stage.stage,
                    "state": stage.state.value,
                    "since": _time(stage.since),
                    "job": None if stage.job is None else stage.job.id,
                    "jobs": [_job(job) for job in stage.jobs],
                }
                for stage in status.stages
            ],
        }


def branch_standing(database: Database, config: Config, repo: str, branch: str) -> BranchStanding:
    """Read one branch in one consistent view; raise NotFound for one that was not pushed, or whose repo is not configured."""
    with database.read() as tx:
        row = find_branch(tx, repo, branch)
        table = config.repos.get(repo)
        if row is None or table is None:
            raise NotFound(
                f"no branch {quoted(branch)} of {quoted(repo)} is known", hint="distwright branch status REPO"
            )
        status, jobs = status_of_commit(tx, repo, branch, row.commit, unanswered(tx))
        own = is_base(table, branch)
        base = "" if own else _named(jobs, "base_branch") or table.default_branch
        tip = "" if own else _named(jobs, "base_commit") or refs_of(tx, repo).get(f"{HEADS}{base}", "")
        shown = [job for stage in status.stages for job in stage.jobs]
        return BranchStanding(row, status, own, base, tip, _serials(tx, shown), ready_branches_of(tx, repo).get(branch))


def branch_rows(database: Database, config: Config, repo: str | None = None) -> list[BranchRow]:
    """List how branches stand, by repo and name, of one repo or all that are configured. Raises NotFound for an unknown one."""
    if repo is not None and repo not in config.repos:
        raise NotFound(f"repo {quoted(repo)} is not configured", hint="distwright repo list")
    with database.read() as tx:
        rows = list_branches(tx)
    return [row for row in rows if row.repo in config.repos and repo in (None, row.repo)]


def active_branches_of(
    config: Config, paths: StatePaths, repo: str, now: datetime, days: int | None
) -> tuple[ActiveBranch, ...]:
    """List the branches of a repo that are built (repos/active.py); raise NotFound."""
    if repo not in config.repos:
        raise NotFound(f"repo {quoted(repo)} is not configured", hint="distwright repo list")
    where = paths.repo(repo)
    return active_branches(where, config.repos[repo], now, days) if where.exists() else ()


def row_to_json(row: BranchRow) -> dict[str, Json]:
    """Give one line of a list."""
    return {
        "repo": row.repo,
        "branch": row.branch,
        "state": row.state.value,
        "since": _time(row.since),
        "commit": row.commit,
        "pusher": row.pusher or NOBODY,
        "job": row.job,
    }


def seen_branch_rows(database: Database, viewer: Viewer) -> list[BranchRow]:
    """List what somebody may see."""
    return [row for row in branch_rows(database, viewer.config) if viewer.sees_branches_of(row.repo)]


def seen_branch(database: Database, viewer: Viewer, repo: str, branch: str) -> BranchStanding:
    """Read a branch that somebody may see; raise NotFound in the same words whatever else there is of that name."""
    if viewer.sees_branches_of(repo):
        try:
            return branch_standing(database, viewer.config, repo, branch)
        except NotFound:
            pass
    raise NotFound(f"there is no branch {quoted(branch)} of a public repo {quoted(repo)}", hint="look at /branch")


def _named(jobs: Iterable[Job], key: str) -> str:
    """Give what the newest job says under a key of its inputs; "" if none does."""
    found = [value for job in jobs if isinstance(value := job.inputs.get(key), str)]
    return found[-1] if found else ""


def _serials(tx: Transaction, jobs: Iterable[Job]) -> tuple[str, ...]:
    """Name the snapshots that jobs are made of: held by them while they wait, by what they made afterwards."""
    holders = [f"{kind} {job.id}" for job in jobs for kind in ("job", "build", "image")]
    return tuple(sorted({hold.target for holder in holders for hold in holds_of(tx, holder) if hold.kind == "serial"}))


def _job(job: Job) -> dict[str, Json]:
    return {
        "job": job.id,
        "kind": job.kind,
        "title": job.title,
        "state": state_of_job(job).value,
        "message": job.message,
    }


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else f"{moment:%Y-%m-%dT%H:%M:%SZ}"
