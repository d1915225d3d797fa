"""Merging two commits of somebody's repository without reading a setting of it, and without writing into it.

Whoever owns a repository can name programs in its settings and attributes that git starts when it merges. So merges are made in a
bare repository of our own, which borrows the objects of the other one.
"""

import os
import re
import shutil
from pathlib import Path

from distwright.errors import BadInput, Refused, quoted
from distwright.tools.git import git
from distwright.tools.run import Command, run

_OBJECT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_SETTINGS = "[core]\n\trepositoryformatversion = 0\n\tbare = true\n[gc]\n\tauto = 0\n"
_SHOWN = 20
_LIST_LIMIT_BYTES = 8 << 20
# The same on every machine, whatever its defaults are, and renames are looked for within bounds.
_ALIKE = (
    "-c", "core.attributesFile=/dev/null", "-c", "merge.conflictStyle=merge", "-c", "merge.renames=true",
    "-c", "merge.directoryRenames=conflict", "-c", "merge.renameLimit=1000",
)  # fmt: skip
# No attribute of any tree counts (git >= 2.41 would read some in bare repositories): this is the name of the empty one.
_ENVIRONMENT = {
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_SYSTEM": "/dev/null",
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_ATTR_SOURCE": "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
}


def make_borrowing(path: Path, lender: Path) -> None:
    """Make a bare repository that has the objects of another one without copying any; or leave the one that is there."""
    borrowed = f"{lender.resolve()}/objects\n"
    place = path / "objects" / "info" / "alternates"
    if place.is_file() and place.read_text() == borrowed:
        return
    if path.exists():  # made elsewhere, and moved here: what is in it is made again when it is wanted
        shutil.rmtree(path, ignore_errors=True)
    partial = path.with_name(f"{path.name}.new-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    (partial / "objects" / "info").mkdir(parents=True)
    (partial / "refs").mkdir()
    (partial / "HEAD").write_text("ref: refs/heads/none\n")
    (partial / "config").write_text(_SETTINGS)
    (partial / "objects" / "info" / "alternates").write_text(borrowed)
    try:
        partial.rename(path)
    except OSError:
        shutil.rmtree(partial)
        if not place.exists():  # it is not that somebody was faster
            raise


def merged_tree(repo: Path, ours: str, theirs: str) -> tuple[str, tuple[str, ...]]:
    """Merge two commits that have one in common; give the tree and, if it has conflicts, the paths (some, safe to print).

    repo: one of `make_borrowing`. Renames are followed; nothing of .gitattributes counts. Raises Refused if it takes too long.
    """
    for name in (ours, theirs):
        if not _OBJECT.fullmatch(name):
            raise BadInput(f"{quoted(name)} is not an object name of git", hint="report this as a bug of distwright")
    argv = (
        "git", "-c", "safe.directory=*", *_ALIKE, "-C", str(repo),
        "merge-tree", "--write-tree", "--name-only", "-z", "--no-messages", ours, theirs,
    )  # fmt: skip
    done = run(Command(argv, timeout_s=120, environment=_ENVIRONMENT, output_limit_bytes=_LIST_LIMIT_BYTES))
    tree, _, paths = done.stdout.decode(errors="surrogateescape").partition("\0")
    if done.cut:
        raise Refused(
            f"{ours[:12]} and {theirs[:12]} cannot be merged here: {done.cut}",
            hint=f"git merge {theirs[:12]}, and push",
        )
    if done.exit_code == 1 and not done.cut and _OBJECT.fullmatch(tree):
        names = sorted({quoted(path) for path in paths.split("\0") if path})
        more = [f"and {len(names) - _SHOWN} more"] if len(names) > _SHOWN else []
        return tree, (*names[:_SHOWN], *more)
    return done.checked().stdout.decode().partition("\0")[0], ()


def write_merge(repo: Path, tree: str, parents: tuple[str, str], who: str, seconds: int, message: str) -> str:
    """Write a commit, byte by byte as given (UTC), unless it is there already; give its name."""
    lines = [f"tree {tree}", *(f"parent {parent}" for parent in parents)]
    lines += [f"{role} {who} {seconds} +0000" for role in ("author", "committer")]
    content = "\n".join([*lines, "", message, ""]).encode()
    return git(repo, "hash-object", "-t", "commit", "-w", "--stdin", stdin=content).decode().strip()


def forget_merges(repo: Path, days: int) -> None:
    """Remove what nobody has made or read again for so many days."""
    git(repo, "prune", f"--expire={days}.days.ago")
