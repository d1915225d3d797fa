"""Branches as work sees them: whose commit a job is for, who is ready for review, and how each stands."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from distwright.model.digests import Json

HEADS, TAGS = "refs/heads/", "refs/tags/"


@dataclass(frozen=True, slots=True, order=True)
class RefCommit:
    """A commit as what it was built: of a branch or a tag (a full ref) of a hosted repo."""

    repo: str
    ref: str
    commit: str


@dataclass(frozen=True, slots=True)
class ReadyBranch:
    """A topic that somebody wants to be looked at. actor: who said so."""

    repo: str
    branch: str
    actor: str
    at: datetime


class BranchState(StrEnum):
    """How the newest commit of a branch stands. Each is settled but RUNNING and WAITING.

    NOTHING is built of it. REFUSED: a rule said no, or its base does not merge. FAILED is the work's own fault, BROKEN ours.
    """

    NOTHING = "nothing"
    WAITING = "waiting"
    REFUSED = "refused"
    RUNNING = "running"
    OK = "ok"
    FAILED = "failed"
    BROKEN = "broken"
    CANCELLED = "cancelled"

    @property
    def is_settled(self) -> bool:
        """Whether it stays so until somebody does something."""
        return self not in (BranchState.RUNNING, BranchState.WAITING)


@dataclass(frozen=True, slots=True)
class BranchRow:
    """A branch as it stands. commit: its newest; pusher: who pushed that, "" if unknown. since: when the state began.

    settled: the last settled state, also before this commit; None if there was none. job: whose end or beginning it was.
    """

    repo: str
    branch: str
    commit: str
    pusher: str
    pushed_at: datetime
    state: BranchState
    since: datetime
    settled: BranchState | None
    job: int | None


def commit_of_inputs(inputs: Mapping[str, Json]) -> tuple[RefCommit, ...]:
    """Say what a job is for by its inputs, if they name a repo, a commit of it, and the branch or tag that it was built as."""
    repo, commit = inputs.get("repo"), inputs.get("commit")
    for key, kind in (("branch", HEADS), ("tag", TAGS)):
        name = inputs.get(key)
        if isinstance(repo, str) and repo and isinstance(commit, str) and isinstance(name, str) and name:
            return (RefCommit(repo, f"{kind}{name}", commit),)
    return ()
