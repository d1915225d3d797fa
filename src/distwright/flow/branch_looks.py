"""How branches stand, looked at whenever something happened to one: a row each, and one event for each change of state."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from distwright.config.model import Config
from distwright.flow.advance import READER, unanswered
from distwright.flow.branch_status import Status, status_of
from distwright.model import plain
from distwright.model.branches import HEADS, BranchRow, BranchState
from distwright.model.digests import Json
from distwright.model.events import Event, EventKind, OpenEvent, StoredEvent
from distwright.model.records import Job
from distwright.repos.branches import is_never_built
from distwright.store.branch_states import (
    drop_branch,
    find_branch,
    jobs_of_commit,
    set_branch,
    stale_branches,
    unset_ready,
)
from distwright.store.branches import suites_of_branch
from distwright.store.database import Database, Transaction
from distwright.store.events import append_event, cursor_of, events_after, move_cursor
from distwright.store.refs import refs_of

LOOKER = "branches"
_AT_ONCE = 100
_Push = tuple[str, datetime]
"""Pusher and time."""


def look_at_branches(database: Database, config: Config, now: datetime) -> int:
    """Look at branches that were pushed, or whose jobs have changed, since the last look; give the number of both.

    Looks only once the flow has ordered all that follows, for a build that has ended and whose tests nobody has ordered yet is not
    the end. One transaction for at most _AT_ONCE branches: rows, events and the place are written together, so a change is told
    once, whoever looks.
    """
    with database.read() as tx:
        if not _is_due(tx):
            return 0
    with database.write() as tx:
        if not _is_due(tx):
            return 0
        new = events_after(tx, cursor_of(tx, LOOKER), _AT_ONCE)
        pushes = _pushes(new)
        places = sorted({*pushes, *stale_branches(tx, _AT_ONCE)})
        still_open = unanswered(tx)
        tips = {repo: refs_of(tx, repo) for repo in {repo for repo, _ in places}}
        for repo, branch in places:
            _look(tx, config, repo, branch, tips[repo].get(f"{HEADS}{branch}"), pushes, still_open, now)
        if new:
            move_cursor(tx, LOOKER, new[-1].number)
    return len(new) + len(places)


def status_of_commit(
    tx: Transaction, repo: str, branch: str, commit: str, still_open: Iterable[OpenEvent]
) -> tuple[Status, list[Job]]:
    """Say how a commit stands as a branch's, and give its jobs. still_open: all events that not everything has followed from.

    Where nothing is for it, and its branch could have no suite, that is why (archive/branch_plan.py).
    """
    ref = f"{HEADS}{branch}"
    jobs = jobs_of_commit(tx, repo, ref, commit)
    numbers = {job.id for job in jobs}
    about = [row for row in still_open if _is_about(row.event.event, repo, ref, commit, numbers)]
    status = status_of(jobs, about)
    if status.state is BranchState.NOTHING:
        problems = [row.problem for row in suites_of_branch(tx, repo, ref) if row.problem and not row.suite]
        if problems:
            status = replace(status, state=BranchState.REFUSED, reason="; ".join(problems))
    return status, jobs


def _is_due(tx: Transaction) -> bool:
    has_flow_read_all = not events_after(tx, cursor_of(tx, READER), 1)
    return has_flow_read_all and bool(events_after(tx, cursor_of(tx, LOOKER), 1) or stale_branches(tx, 1))


def _is_about(event: Event, repo: str, ref: str, commit: str, jobs: set[int]) -> bool:
    if event.kind is EventKind.REPO_PUSHED:
        return (event.body["repo"], event.body["ref"], event.body["new"]) == (repo, ref, commit)
    return event.job is not None and event.job in jobs


def _pushes(events: Iterable[StoredEvent]) -> Mapping[tuple[str, str], _Push]:
    """Give the newest push of each branch among some events."""
    found: dict[tuple[str, str], _Push] = {}
    for stored in events:
        event = stored.event
        if event.kind is EventKind.REPO_PUSHED and plain.text(event.body, "ref").startswith(HEADS):
            repo, ref, pusher = (plain.text(event.body, key) for key in ("repo", "ref", "pusher"))
            found[repo, ref.removeprefix(HEADS)] = (pusher, event.at)
    return found


def _look(
    tx: Transaction,
    config: Config,
    repo: str,
    branch: str,
    commit: str | None,
    pushes: Mapping[tuple[str, str], _Push],
    still_open: Iterable[OpenEvent],
    now: datetime,
) -> None:
    """Look at one branch. commit: its newest, as recorded; None if it is gone."""
    table = config.repos.get(repo)
    if commit is None:
        unset_ready(tx, repo, branch)
    if commit is None or table is None:
        drop_branch(tx, repo, branch)
        return
    status, _ = status_of_commit(tx, repo, branch, commit, still_open)
    state = BranchState.NOTHING if is_never_built(branch) else status.state
    before = find_branch(tx, repo, branch)
    pusher, pushed_at = pushes.get((repo, branch), ("", now))
    row = before or BranchRow(repo, branch, commit, pusher, pushed_at, BranchState.NOTHING, now, None, None)
    if row.commit != commit:
        row = replace(row, commit=commit, pusher=pusher, pushed_at=pushed_at)
    if row.state is state:
        set_branch(tx, row)
        return
    settled = row.state if before is not None and row.state.is_settled else row.settled
    changed = replace(row, state=state, since=now, settled=settled, job=None if status.job is None else status.job.id)
    set_branch(tx, changed)
    append_event(tx, _event(changed, "" if before is None else before.state.value, status.reason, now))


def _event(row: BranchRow, before: str, reason: str, now: datetime) -> Event:
    body: dict[str, Json] = {
        "repo": row.repo,
        "branch": row.branch,
        "commit": row.commit,
        "state": row.state.value,
        "before": before,
        "settled": "" if row.settled is None else row.settled.value,
        "pusher": row.pusher,
        "reason": reason,
    }
    if row.job is not None:
        body["about"] = row.job
    return Event(EventKind.BRANCH_STATUS_CHANGED, now, f"{row.repo} {row.branch}: {row.state.value}", body)
