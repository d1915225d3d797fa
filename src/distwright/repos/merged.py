"""A topic with its base merged, before it is built: a commit that follows from its parents alone, on any machine.

It is made in a repository below `cache/` that borrows the objects of the hosted one (tools/git_merge.py says why). So the hosted
repo is not written to: nothing is served, taken for a branch, or dropped by its gc. What is made may go at any time, for the same
parents give the same commit again; who needs it reads it into objects at once.
"""

from dataclasses import dataclass
from pathlib import Path

from distwright.errors import NotFound, Refused, listed, quoted
from distwright.store.paths import StatePaths
from distwright.tools.git import check_size, existing_commits, refs
from distwright.tools.git_history import committed_at, is_ancestor, newest_shared
from distwright.tools.git_merge import forget_merges, make_borrowing, merged_tree, write_merge

KEPT_DAYS = 14
_WHO = "distwright <merge@distwright.invalid>"


@dataclass(frozen=True, slots=True)
class Merged:
    """The commit to build. where: a repository that has it: the hosted one, or ours if a merge was made.

    Names of branches and tags are asked of the hosted repo: ours has none.
    """

    where: Path
    commit: str
    branch_commit: str
    base_commit: str

    @property
    def is_merge(self) -> bool:
        """Whether it is neither of its parents."""
        return self.commit not in (self.branch_commit, self.base_commit)


@dataclass(frozen=True, slots=True)
class Conflict:
    """The base does not go into the topic by itself. paths: what both changed, safe to print; never empty."""

    branch_commit: str
    base_commit: str
    paths: tuple[str, ...]

    @property
    def message(self) -> str:
        """What people are told."""
        return (
            f"base commit {self.base_commit[:12]} does not merge into {self.branch_commit[:12]}:\n{listed(self.paths)}"
        )

    @property
    def refused(self) -> Refused:
        """The same as an error: what to type is for a clone, on the branch."""
        return Refused(self.message, hint=f"git merge {self.base_commit[:12]}, correct these files, commit, and push")


def merged_commit(paths: StatePaths, repo: str, branch_commit: str, base_commit: str) -> Merged | Conflict:
    """Merge a base into a topic, as it would be if the topic were merged now: `git merge BASE` on the branch.

    branch_commit, base_commit: full names of commits of a hosted repo. Author, committer, date (the later one of both) and message
    follow from the two, so the same two are the same commit everywhere; the same git finds the same tree. No hook, driver, filter
    or attribute of the repo counts. Raises NotFound for a commit that is not there, Refused if they have no history in common, or
    one is larger than what is built. Source: REQUIREMENTS C1.
    """
    where = paths.repo(repo)
    found = existing_commits(where, [branch_commit, base_commit])
    for name in (branch_commit, base_commit):
        if name not in found:
            raise NotFound(f"commit {quoted(name, 50)} is not in repo {repo}", hint="push it, or name another")
    shared = newest_shared(where, branch_commit, base_commit)
    if shared is None:
        raise Refused(
            f"commits {branch_commit[:12]} and {base_commit[:12]} of {repo} have no history in common",
            hint="begin the branch anew from its base: git switch --create",
        )
    if base_commit == shared or is_ancestor(where, base_commit, branch_commit):
        return Merged(where, branch_commit, branch_commit, base_commit)
    if branch_commit == shared or is_ancestor(where, branch_commit, base_commit):
        return Merged(where, base_commit, branch_commit, base_commit)
    for name in (branch_commit, base_commit):
        check_size(where, name)
    ours = _place(paths, repo)
    ours.parent.mkdir(parents=True, exist_ok=True)
    make_borrowing(ours, where)
    tree, conflicts = merged_tree(ours, branch_commit, base_commit)
    if conflicts:
        return Conflict(branch_commit, base_commit, conflicts)
    seconds = max(committed_at(where, branch_commit), committed_at(where, base_commit))
    message = f"Merge {base_commit} into {branch_commit}"
    commit = write_merge(ours, tree, (branch_commit, base_commit), _WHO, seconds, message)
    return Merged(ours, commit, branch_commit, base_commit)


def commit_to_build(paths: StatePaths, repo: str, branch: str, branch_commit: str, base_commit: str) -> Merged:
    """Give what is built of a commit of a topic, for whoever makes an order: its base is merged, or it is refused.

    Raises Refused for a conflict, with the paths and what to type, for a commit that is not in its branch (any more), and as
    `merged_commit` does. What a rule of the flow refuses so is the state of the branch, with this reason.
    """
    check_in_branch(paths.repo(repo), branch, branch_commit)
    found = merged_commit(paths, repo, branch_commit, base_commit)
    if isinstance(found, Conflict):
        raise found.refused
    return found


def check_in_branch(where: Path, branch: str, commit: str) -> None:
    """Refuse to build a commit as a branch's that the branch does not contain (any more); raise NotFound if one is not there."""
    tip = refs(where).get(f"refs/heads/{branch}")
    if tip is None:
        raise NotFound(f"{where.stem} has no branch {quoted(branch)}", hint=f"git -C {where} for-each-ref")
    if commit not in existing_commits(where, [commit]):
        raise NotFound(f"commit {quoted(commit, 50)} is not in repo {where.stem}", hint="push it, or name another")
    if not is_ancestor(where, commit, tip):
        raise Refused(
            f"commit {commit[:12]} is not in branch {quoted(branch)} of {where.stem}, which is at {tip[:12]}",
            hint=f"git -C {where} branch --contains {commit[:12]}",
        )


def forget_old_merges(paths: StatePaths) -> None:
    """Remove merges that are older than KEPT_DAYS; a look at one that is wanted again makes it again."""
    for place in sorted((paths.cache / "merged").glob("*.git/HEAD")):
        forget_merges(place.parent, KEPT_DAYS)


def _place(paths: StatePaths, repo: str) -> Path:
    return paths.cache / "merged" / f"{repo}.git"
