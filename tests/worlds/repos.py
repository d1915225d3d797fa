"""Hosted repos with a few files, made by one git process: the same commits on every machine."""

from collections.abc import Mapping
from datetime import datetime
from email.utils import format_datetime

from tests.worlds.times import DATE

from distwright.repos.hosting import make_repo
from distwright.store.paths import StatePaths
from distwright.tools.git import git, refs

Files = Mapping[str, str | bytes]
"""Path -> content. A path that ends in `@` is a symlink (without the `@`), one that ends in `*` is executable."""


def changelog(package: str = "petrel", version: str = "1.0", date: datetime = DATE) -> str:
    """Write a changelog of one entry."""
    return (
        f"{package} ({version}) devel; urgency=medium\n\n  * A change.\n\n"
        f" -- Ada Example <ada@example.org>  {format_datetime(date)}\n"
    )


def commit(
    paths: StatePaths, repo: str, files: Files, *, branch: str = "main", tag: str | None = None, is_root: bool = False
) -> str:
    """Make the files a commit on top of a branch (made from main if needed), perhaps tagged; give its name.

    is_root: on top of nothing.
    """
    path = make_repo(paths, repo, "main")
    known = refs(path)
    head = None if is_root else known.get(f"refs/heads/{branch}") or known.get("refs/heads/main")
    who = b"Ada <ada@example.org> 1704888000 +0000"
    stream = [b"commit refs/heads/%s\ncommitter %s\ndata 5\nfiles\n" % (branch.encode(), who)]
    if head is not None:
        stream.append(b"from %s\n" % head.encode())
    stream.append(b"deleteall\n")
    for name, content in files.items():
        data = content if isinstance(content, bytes) else content.encode()
        mode = {"@": b"120000", "*": b"100755"}.get(name[-1:], b"100644")
        stream.append(b"M %s inline %s\ndata %d\n%s\n" % (mode, name.rstrip("@*").encode(), len(data), data))
    if tag is not None:
        stream.append(b"reset refs/tags/%s\nfrom refs/heads/%s\n" % (tag.encode(), branch.encode()))
    git(path, "fast-import", "--quiet", stdin=b"".join(stream))
    return refs(path)[f"refs/heads/{branch}"]
