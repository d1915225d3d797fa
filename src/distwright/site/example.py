"""Push an example distribution into hosted repos: real commits, real pushes, the same object names on every machine."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from distwright.builds.versions_of_commits import tag_of_version
from distwright.errors import BadInput, NotFound, Refused
from distwright.formats.changelog import ChangelogEntry, top_entry
from distwright.model.versions import DebVersion
from distwright.tools.git import file_at, git, refs, tree_of
from distwright.tools.run import run_checked

PACKAGES, CHANGELOG = "packages", "debian/changelog"


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a push left: the commit that the branch has now, whether anything was new, or whether others have gone on from it."""

    repo: str
    commit: str
    is_new: bool
    has_moved_on: bool = False


def push_folder(folder: Path, target: Path, branch: str, *, without: str | None, tag: bool) -> Pushed:
    """Commit a folder on top of what a bare repo has, dated as its changelog says, and push it (with a tag of its version).

    Nothing happens if the repo has exactly that content, or if the newest commit of the branch was not made by this function:
    then somebody has gone on from the example, and what they pushed counts. Raises Refused if the tag exists with other content.
    """
    entry = _changelog(folder)
    known = refs(target)
    head = known.get(f"refs/heads/{branch}")
    with tempfile.TemporaryDirectory() as scratch:
        local = Path(scratch) / "push.git"
        run_checked(("git", "init", "--quiet", "--bare", f"--initial-branch={branch}", "--", str(local)))
        if head is not None:
            git(local, "fetch", "--quiet", str(target), f"refs/heads/{branch}")
            if not _is_ours(local, head):
                return Pushed(target.stem, head, is_new=False, has_moved_on=True)
        commit = _commit(local, folder, head, entry, without)
        is_new = head is None or tree_of(local, commit) != tree_of(target, head)
        wanted = commit if is_new or head is None else head
        refspecs = [f"{wanted}:refs/heads/{branch}"] if is_new else []
        if tag:
            name = tag_of_version(DebVersion(str(entry.version)))
            refspecs += _tag(target, name, wanted, known)
        if refspecs:
            git(local, "push", "--quiet", "--atomic", str(target), *refspecs)
    return Pushed(target.stem, wanted, is_new)


def _tag(target: Path, name: str, commit: str, known: Mapping[str, str]) -> list[str]:
    existing = known.get(f"refs/tags/{name}")
    if existing is None:
        return [f"{commit}:refs/tags/{name}"]
    if existing != commit:
        raise Refused(
            f"tag {name} of {target.stem} exists and holds something else",
            hint="add a new version to debian/changelog: dch -i",
        )
    return []


def _is_ours(local: Path, head: str) -> bool:
    """Say whether this is the commit, to the byte, that we make of its tree on its parents."""
    content = file_at(local, head, CHANGELOG)
    try:
        entry = top_entry((content or b"").decode())
    except (BadInput, UnicodeDecodeError):
        return False
    parents = git(local, "rev-list", "--parents", "--max-count=1", head, "--").decode().split()[1:]
    return _commit_tree(local, tree_of(local, head), parents, entry) == head


def _commit(local: Path, folder: Path, head: str | None, entry: ChangelogEntry, without: str | None) -> str:
    environment = {**_identity(entry), "GIT_WORK_TREE": str(folder)}
    excluded = (f":(exclude){without}",) if without else ()
    git(local, "add", "--all", "--", ".", *excluded, environment=environment)
    tree = git(local, "write-tree", environment=environment).decode().strip()
    return _commit_tree(local, tree, [head] if head else [], entry)


def _commit_tree(local: Path, tree: str, parents: Sequence[str], entry: ChangelogEntry) -> str:
    message = f"{entry.package} {entry.version}\n".encode()
    words = [word for parent in parents for word in ("-p", parent)]
    return git(local, "commit-tree", tree, *words, stdin=message, environment=_identity(entry)).decode().strip()


def _identity(entry: ChangelogEntry) -> dict[str, str]:
    date = f"{int(entry.date.timestamp())} +0000"
    who = {"NAME": entry.maintainer, "EMAIL": entry.email, "DATE": date}
    return {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in who.items()}


def _changelog(folder: Path) -> ChangelogEntry:
    path = folder / CHANGELOG
    if not path.is_file():
        raise NotFound(f"{path} does not exist", hint="add one, for its version and date: dch --create")
    return top_entry(path.read_text())
