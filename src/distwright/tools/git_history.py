"""git history: which commits and tags lead to a commit, and who made one.

Everything is asked by object name, so nothing is read as an expression.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from distwright.errors import BadInput, NotFound, quoted
from distwright.tools.git import LISTING_LIMIT_BYTES, existing_commits, git

_OBJECT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_TAGS, _HEADS = "refs/tags/", "refs/heads/"
_SHOWN = 200  # characters of a subject or a name: they come from outside
# Committer dates that datetime can hold, and that a tar header can: 1970 to 2242.
_LAST_SECOND = (1 << 33) - 1


@dataclass(frozen=True, slots=True)
class CommitLine:
    """Who made a commit, and its first line; both safe to print."""

    author: str
    subject: str


@dataclass(frozen=True, slots=True)
class DatedTip:
    """A branch and its newest commit. committed: when that was made, by the word of who made it, in seconds since 1970."""

    name: str
    commit: str
    committed: int


def branch_tips(repo: Path) -> list[DatedTip]:
    """List all branches, sorted by name; those whose names are no printable text are left out. One process."""
    listing = git(repo, "for-each-ref", "--format=%(refname)%09%(objectname) %(committerdate:unix)", _HEADS)
    tips = []
    for line in filter(None, listing.decode(errors="surrogateescape").split("\n")):
        name, _, described = line.partition("\t")
        commit, _, seconds = described.partition(" ")
        if name and name.isprintable():
            tips.append(DatedTip(name.removeprefix(_HEADS), commit, int(seconds) if seconds.isdigit() else 0))
    return tips


def not_contained(repo: Path, commits: Collection[str], others: Collection[str]) -> set[str]:
    """Say which of these commits none of the others contains. One process, which walks no further than they differ."""
    if not commits:
        return set()
    names = [*map(_object, commits), *(f"^{_object(other)}" for other in others)]
    listing = git(repo, "rev-list", "--stdin", stdin="".join(f"{name}\n" for name in names).encode())
    return set(listing.decode().split()) & set(commits)


def tagged_commits(repo: Path) -> dict[str, str]:
    """Give every tag of a commit -> the commit; those of anything else, and those whose names are no text, are left out."""
    fields = "%(objecttype) %(objectname) %(*objecttype) %(*objectname)"
    listing = git(repo, "for-each-ref", f"--format=%(refname)%09{fields}", "refs/tags")
    found: dict[str, str] = {}
    for line in filter(None, listing.decode(errors="surrogateescape").split("\n")):
        name, _, described = line.partition("\t")
        kind, target, peeled_kind, peeled = [*described.split(" "), "", ""][:4]
        commit = target if kind == "commit" else peeled if peeled_kind == "commit" else ""
        if commit and name.isprintable():
            found[name.removeprefix(_TAGS)] = commit
    return found


def tags_within(repo: Path, branch: str) -> set[str]:
    """Give the full names of the tags whose commits a branch (a full name of a ref) contains. One process."""
    listing = git(repo, "for-each-ref", "--format=%(refname)", f"--merged={branch}", _TAGS)
    return set(listing.decode(errors="surrogateescape").split("\n")) - {""}


def is_within(repo: Path, commit: str, bases: Sequence[str]) -> bool:
    """Say whether a base branch (full names of refs) contains a commit; raise NotFound for one that is gone. Two processes."""
    if commit not in existing_commits(repo, [commit]):
        raise NotFound(f"commit {commit[:12]} is not in repo {repo.stem}", hint="push it again")
    if not bases:
        return False
    return bool(git(repo, "for-each-ref", "--count=1", f"--contains={_object(commit)}", "--", *bases))


def first_parents(repo: Path, commit: str) -> list[str]:
    """List a commit and what it was before, by first parents alone, down to the first of all: the line that it stands on."""
    return git(repo, "rev-list", "--first-parent", "--end-of-options", _object(commit)).decode().split()


def is_ancestor(repo: Path, ancestor: str, commit: str) -> bool:
    """Say whether a commit contains another, or is it."""
    return count_commits(repo, ancestor, without=commit) == 0


def count_commits(repo: Path, commit: str, *, without: str | None = None) -> int:
    """Count what a commit contains, itself among it; without: not what this other one contains."""
    others = () if without is None else (f"^{_object(without)}",)
    return int(git(repo, "rev-list", "--count", _object(commit), *others))


def committed_at(repo: Path, commit: str) -> int:
    """Say when a commit was made, in seconds since 1970. Raises BadInput for a time that no file can have."""
    seconds = git(repo, "show", "--no-patch", "--format=%ct", "--end-of-options", _object(commit)).decode().strip()
    if not seconds.isdigit() or int(seconds) > _LAST_SECOND:
        raise BadInput(
            f"commit {commit[:12]} has a date of no calendar", hint="make it again: git commit --amend --no-edit"
        )
    return int(seconds)


def newest_shared(repo: Path, one: str, other: str) -> str | None:
    """Give the newest commit that two contain; None if they have nothing in common."""
    names = git(repo, "merge-base", "--all", _object(one), _object(other), may_say_no=True).decode().split()
    return min(names, default=None)


def mode_at(repo: Path, commit: str, path: str) -> str | None:
    """Say what is at a path: 100644, 100755, 120000 (a symlink), 040000 (a folder), 160000 (a submodule); None if nothing is."""
    listing = git(repo, "ls-tree", "-z", "--full-tree", _object(commit), "--", path).decode(errors="replace")
    modes = {name: head.split(" ")[0] for head, _, name in (line.partition("\t") for line in listing.split("\0"))}
    return modes.get(path)


def names_at(repo: Path, commit: str) -> list[str]:
    """List what is at the top of a commit or tree, sorted by git; names that are no text are left out."""
    listing = git(repo, "ls-tree", "-z", "--name-only", "--full-tree", _object(commit))
    names = listing.decode(errors="surrogateescape").split("\0")
    return [name for name in names if name and name.isprintable()]


def commits_between(repo: Path, good: str, bad: str) -> tuple[str, ...]:
    """List the commits after `good` up to `bad`, oldest first, along first parents: a merge stands for what it brought.

    good, bad: full names of commits. Raises BadInput if the history of `bad` does not come through `good`, NotFound for a commit
    that is not there.
    """
    found = existing_commits(repo, [good, bad])
    for name in (good, bad):
        if name not in found:
            raise NotFound(f"commit {name[:12]} is not in repo {repo.stem}", hint="push it, or name another")
    listing = git(repo, "rev-list", "--first-parent", "--reverse", bad, f"^{good}").decode().split()
    skip = ("--first-parent", "--max-count=1", "--skip=1")
    if not listing or git(repo, "rev-list", *skip, listing[0]).decode().split() != [good]:
        raise BadInput(
            f"commit {good[:12]} is not on the way to {bad[:12]} in {repo.stem}",
            hint=f"git -C {repo} log --oneline --first-parent {bad[:12]}",
        )
    return tuple(listing)


def changed_paths(repo: Path, old: str, new: str) -> list[str]:
    """List the paths that two commits do not have alike, a rename by both its names, sorted by git.

    Raises ProgramFailed for more names than LISTING_LIMIT_BYTES holds.
    """
    argv = ("diff-tree", "-r", "-z", "--name-only", "--no-renames", "--end-of-options", _object(old), _object(new))
    listing = git(repo, *argv, output_limit_bytes=LISTING_LIMIT_BYTES).decode(errors="surrogateescape")
    return [path for path in listing.split("\0") if path]


def commit_line(repo: Path, commit: str) -> CommitLine:
    """Say who made a commit (a full name), and its subject."""
    author, _, subject = (
        git(repo, "show", "--no-patch", "--format=%an%n%s", "--end-of-options", _object(commit))
        .decode(errors="replace")
        .partition("\n")
    )
    return CommitLine(_shown(author), _shown(subject.rstrip("\n")))


def _shown(text: str) -> str:
    return quoted(text, _SHOWN)[1:-1]


def _object(name: str) -> str:
    if not _OBJECT.fullmatch(name):
        raise BadInput(f"{name!r} is not an object name of git", hint="report this as a bug of distwright")
    return name
