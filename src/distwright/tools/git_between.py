"""git(1) about history: which commits lie between two, and who made one."""

from dataclasses import dataclass
from pathlib import Path

from distwright.errors import BadInput, quoted
from distwright.tools.git import git

_SHOWN = 200  # characters of a subject or a name: they come from outside


@dataclass(frozen=True, slots=True)
class CommitLine:
    """Who made a commit, and its first line; both safe to print."""

    author: str
    subject: str


def commits_between(repo: Path, good: str, bad: str) -> tuple[str, ...]:
    """List the commits after `good` up to `bad`, oldest first, along first parents: a merge stands for what it brought.

    good, bad: full names of commits. Raises BadInput if the history of `bad` does not come through `good`.
    """
    listing = git(repo, "rev-list", "--first-parent", "--reverse", f"{good}..{bad}").decode().split()
    parents = (
        git(repo, "rev-list", "--first-parent", "--max-count=1", "--skip=1", listing[0]).decode().split()
        if listing
        else []
    )
    if parents != [good]:
        raise BadInput(
            f"commit {good[:12]} is not on the way to {bad[:12]} in {repo.stem}",
            hint=f"git -C {repo} log --oneline --first-parent {bad[:12]}",
        )
    return tuple(listing)


def first_parents(repo: Path, commit: str) -> frozenset[str]:
    """Give a commit and all that lead to it along first parents."""
    return frozenset(git(repo, "rev-list", "--first-parent", commit).decode().split())


def commit_line(repo: Path, commit: str) -> CommitLine:
    """Say who made a commit (a full name), and its subject."""
    author, _, subject = (
        git(repo, "show", "--no-patch", "--format=%an%n%s", commit).decode(errors="replace").partition("\n")
    )
    return CommitLine(_shown(author), _shown(subject.rstrip("\n")))


def _shown(text: str) -> str:
    return quoted(text, _SHOWN)[1:-1]
