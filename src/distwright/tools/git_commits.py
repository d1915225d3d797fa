"""git: commits that we make ourselves, and what is in one, by object name."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from distwright.tools.git import git


def import_commit(
    repo: Path, ref: str, files: Mapping[str, tuple[str, bytes]], *, parent: str | None, message: str, now: datetime
) -> str:
    """Make a commit of exactly these files (path -> mode and content), let a ref name it, and give its name.

    ref: ours alone; it is moved whatever it names. Paths are of plain signs. One process; no hook runs.
    """
    who = f"distwright <distwright@localhost> {int(now.timestamp())} +0000"
    stream = [f"commit {ref}\ncommitter {who}\ndata {len(message.encode())}\n{message}\n".encode()]
    if parent is not None:
        stream.append(f"from {parent}\n".encode())
    stream.append(b"deleteall\n")
    for path, (mode, content) in sorted(files.items()):
        stream.append(f"M {mode} inline {path}\ndata {len(content)}\n".encode() + content + b"\n")
    git(repo, "fast-import", "--quiet", "--force", "--date-format=raw", stdin=b"".join(stream))
    return git(repo, "rev-parse", "--verify", ref).decode().strip()


def listed_blobs(repo: Path, revision: str) -> dict[str, tuple[str, str]]:
    """Give the files of a commit: path -> mode and object name. Of a ref that is not there: none."""
    if not git(repo, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}", may_say_no=True):
        return {}
    listing = git(repo, "ls-tree", "-r", "-z", "--full-tree", revision).decode(errors="surrogateescape")
    found = {}
    for line in filter(None, listing.split("\0")):
        head, _, path = line.partition("\t")
        mode, _kind, target = head.split(" ")
        found[path] = (mode, target)
    return found
