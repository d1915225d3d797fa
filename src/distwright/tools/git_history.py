"""git history: which commits and tags lead to a commit. Everything is asked by object name, so nothing is read as an expression."""

import re
from pathlib import Path

from distwright.errors import BadInput
from distwright.tools.git import git

_OBJECT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_TAGS = "refs/tags/"
# Committer dates that datetime can hold, and that a tar header can: 1970 to 2242.
_LAST_SECOND = (1 << 33) - 1


def tagged_commits(repo: Path) -> dict[str, str]:
    """Give every tag of a commit -> the commit; those of anything else, and those whose names are no text, are left out."""
    fields = "%(objecttype) %(objectname) %(*objecttype) %(*objectname)"
    listing = git(repo, "for-each-ref", f"--format=%(refname)%09{fields}", "refs/tags")
    found: dict[str, str] = {}
    for line in listing.decode(errors="surrogateescape").splitlines():
        name, _, described = line.partition("\t")
        kind, target, peeled_kind, peeled = [*described.split(" "), "", ""][:4]
        commit = target if kind == "commit" else peeled if peeled_kind == "commit" else ""
        if commit and name.isprintable():
            found[name.removeprefix(_TAGS)] = commit
    return found


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


def common_ancestor(repo: Path, one: str, other: str) -> str | None:
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


def _object(name: str) -> str:
    if not _OBJECT.fullmatch(name):
        raise BadInput(f"{name!r} is not an object name of git", hint="report this as a bug of distwright")
    return name
