"""In which class work stands, whose it is and for which commits: from what happened, to all that follows from it."""

from collections.abc import Collection
from dataclasses import dataclass, replace

from distwright.config.model import Config
from distwright.jobs.order import (
    PRIORITY_BASE,
    PRIORITY_DAILY,
    PRIORITY_RELEASE,
    PRIORITY_REVIEW,
    PRIORITY_TOPIC,
    JobOrder,
)
from distwright.model import plain
from distwright.model.branches import HEADS, TAGS, RefCommit, commit_of_inputs
from distwright.model.events import Event, EventKind
from distwright.model.records import Job
from distwright.repos.branches import is_base
from distwright.repos.spool import NOTHING
from distwright.store.branch_states import commits_of_job, ready_branches_of
from distwright.store.database import Transaction
from distwright.store.jobs import find_job

_CLASSES = (
    PRIORITY_RELEASE,
    PRIORITY_BASE,
    PRIORITY_TOPIC,
)  # what orders say of themselves; the others mean what they say


@dataclass(frozen=True, slots=True)
class Standing:
    """share: a person, or REPO/BRANCH where nobody knows who it was, or "" for the house."""

    priority: int = PRIORITY_BASE
    share: str = ""
    commits: tuple[RefCommit, ...] = ()


def class_of_ref(config: Config, repo: str, ref: str, ready: Collection[str]) -> int:
    """Say in which class the work for a branch or tag is. ready: the branches of the repo that are ready for review.

    A tag of a repo with an image's recipe is a release. One of a package is its next version, on the way to a base.
    """
    if ref.startswith(TAGS):
        return PRIORITY_RELEASE if any(image.repo == repo for image in config.images.values()) else PRIORITY_BASE
    branch = ref.removeprefix(HEADS)
    table = config.repos.get(repo)
    if table is None or is_base(table, branch):
        return PRIORITY_BASE
    return PRIORITY_REVIEW if branch in ready else PRIORITY_TOPIC


def standing_of(tx: Transaction, config: Config, event: Event) -> Standing:
    """Say where what follows from an event stands: a push by its ref, what a job did as that job, a new snapshot is daily work."""
    if event.kind is EventKind.REPO_PUSHED:
        ready = ready_branches_of(tx, plain.text(event.body, "repo"))
        return _of_push(config, event, ready)
    if event.kind is EventKind.SNAPSHOT_RECORDED:
        return Standing(PRIORITY_DAILY)
    job = None if event.job is None else find_job(tx, event.job)
    return Standing() if job is None else _of_job(job, commits_of_job(tx, job.id))


def placed_as(tx: Transaction, config: Config, standing: Standing, order: JobOrder) -> JobOrder:
    """Give an order its place among all that waits: never before what it follows from.

    One that a rule counts for less than usual (a rebuild) keeps that. One for another branch than those it follows from, as a topic
    that is built again because its base moved, is in that branch's own class.
    """
    priority = order.priority
    if priority in _CLASSES:
        priority = min(
            [standing.priority, *(_own_class(tx, config, standing, own) for own in commit_of_inputs(order.inputs))]
        )
    return replace(order, priority=min(priority, standing.priority), share=standing.share, commits=standing.commits)


def _own_class(tx: Transaction, config: Config, standing: Standing, own: RefCommit) -> int:
    if any((one.repo, _short(one.ref)) == (own.repo, _short(own.ref)) for one in standing.commits):
        return standing.priority
    return class_of_ref(config, own.repo, own.ref, ready_branches_of(tx, own.repo))


def _short(ref: str) -> str:
    return ref.removeprefix(HEADS).removeprefix(TAGS)


def _of_push(config: Config, event: Event, ready: Collection[str]) -> Standing:
    repo, ref, new, pusher = (plain.text(event.body, key) for key in ("repo", "ref", "new", "pusher"))
    commits = () if new == NOTHING else (RefCommit(repo, ref, new),)
    table = config.repos.get(repo)
    unknown = repo if table is not None and table.url is not None else f"{repo}/{_short(ref)}"  # a forge is one share
    return Standing(class_of_ref(config, repo, ref, ready), pusher or unknown, commits)


def _of_job(job: Job, commits: Collection[RefCommit]) -> Standing:
    return Standing(job.priority, job.share, tuple(commits))
