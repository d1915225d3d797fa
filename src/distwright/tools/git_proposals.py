"""Commits of people who may not push: from a bundle, a series of patches by mail, or a ref of their own server.

They come into a repository of their own that borrows the objects of the hosted one: nothing of them is ever written there.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from distwright.errors import BadInput, BadUsage, NotFound, ProgramFailed, Refused, quoted
from distwright.tools.git import git, make_bare, refs, resolve
from distwright.tools.git_fetch import fetch_one
from distwright.tools.git_merge import make_borrowing

PROPOSED = "refs/heads/proposed"
BUNDLE_LIMIT_BYTES = 2 << 30
MAIL_LIMIT_BYTES = 32 << 20
_BUNDLE = (b"# v2 git bundle\n", b"# v3 git bundle\n")
_REF = re.compile(r"refs/[A-Za-z0-9][A-Za-z0-9._+-]*(?:/[A-Za-z0-9][A-Za-z0-9._+-]*)+")
_WHO = {"GIT_COMMITTER_NAME": "proposal", "GIT_COMMITTER_EMAIL": "proposal@localhost"}
_SHOWN = 50
# A mail of a few kB can be patches that unpack to gigabytes.
_LIMITS = ("prlimit", f"--as={2 << 30}", f"--fsize={1 << 30}", "--core=0", "--")


def borrow(repo: Path, target: Path) -> None:
    """Make a bare repository with the branches and tags of another one, whose objects it reads and does not have."""
    make_borrowing(target, repo)
    make_bare(target, "main")  # so that what comes in is checked object by object
    lines = [f"create {name} {commit}\n" for name, commit in refs(repo).items()]
    git(target, "update-ref", "--stdin", stdin="".join(lines).encode())


def take_file(target: Path, file: Path, onto: str, scratch: Path) -> str:
    """Take in a bundle or a mailbox of patches; give its newest commit. onto: the commit that patches are applied to.

    scratch: an empty folder. Raises BadInput for what is neither, or not whole; Refused if it does not apply, or is too large.
    """
    with file.open("rb") as opened:
        begin = opened.read(len(_BUNDLE[0]))
    size = file.stat().st_size
    limit_bytes = BUNDLE_LIMIT_BYTES if begin in _BUNDLE else MAIL_LIMIT_BYTES
    if size > limit_bytes:
        raise Refused(
            f"{quoted(file.name)} has {size} bytes, more than {limit_bytes >> 20} MiB", hint="make several smaller ones"
        )
    if begin in _BUNDLE:
        return _from_bundle(target, file.resolve(), scratch)
    if not begin.startswith(b"From "):
        raise BadInput(
            f"{quoted(file.name)} is neither a git bundle nor a mailbox of patches",
            hint="git format-patch --stdout origin/main.. >FILE, or git bundle create FILE HEAD ^origin/main",
        )
    return _from_mail(target, file, onto, scratch)


def take_ref(target: Path, url: str, ref: str) -> str:
    """Take in a ref of another server, as forges keep those of pull requests; give its commit. Raises Unreachable, BadUsage."""
    if not _REF.fullmatch(ref) or ".." in ref or ref.endswith(".lock"):
        raise BadUsage(f"{quoted(ref)} is no ref", hint="give --ref refs/pull/NUMBER/head, or refs/heads/BRANCH")
    fetch_one(target, url, ref, PROPOSED)
    return resolve(target, PROPOSED)


def _from_bundle(target: Path, file: Path, scratch: Path) -> str:
    """Take the commits of a bundle into a repository apart, for git checks no objects of bundles, and from there with checks."""
    apart = scratch / "apart.git"
    try:
        listed = git(target, "bundle", "list-heads", str(file), before=_LIMITS).decode().split("\n")
        heads = dict(line.split(" ", 1)[::-1] for line in listed if line)
        ref = "HEAD" if "HEAD" in heads else next(iter(heads)) if len(heads) == 1 else ""
        if not ref:
            raise BadInput(
                f"{quoted(file.name)} has {len(heads)} heads, and no HEAD", hint="git bundle create FILE HEAD"
            )
        make_borrowing(apart, target)
        for place, source, refspec in ((apart, file, f"+{ref}:{PROPOSED}"), (target, apart, f"+{PROPOSED}:{PROPOSED}")):
            words = ("--quiet", "--no-tags", "--no-write-fetch-head", "--", str(source), refspec)
            git(place, "fetch", *words, before=_LIMITS)
    except (ProgramFailed, ValueError) as error:
        raise BadInput(
            f"the bundle {quoted(file.name)} cannot be taken in: {error!s:.300}",
            hint="make it from commits that are here: git bundle create FILE HEAD ^origin/main",
        ) from error
    return resolve(target, PROPOSED)


def _from_mail(target: Path, file: Path, onto: str, scratch: Path) -> str:
    """Apply patches in a work tree of their own. git keeps them in it, and starts no program of theirs: nothing configures any."""
    git(target, "update-ref", PROPOSED, onto)
    git(target, "symbolic-ref", "HEAD", PROPOSED)
    there = {**_WHO, "GIT_WORK_TREE": str(scratch), "GIT_DIR": str(target), "LC_ALL": "C.UTF-8"}
    git(target, "config", "core.bare", "false")
    git(target, "reset", "--quiet", "--hard", environment=there)
    options = ("--quiet", "--3way", "--no-gpg-sign", "--committer-date-is-author-date", "--patch-format=mbox")
    try:
        git(target, "am", *options, "--", str(file.resolve()), environment=there, before=_LIMITS)
    except ProgramFailed as error:
        raise Refused(
            f"the patches of {quoted(file.name)} do not apply to {onto[:12]}: {error.message}",
            hint="make them anew from the newest commit: git format-patch --stdout origin/main",
        ) from error
    return resolve(target, PROPOSED)


def new_commits(repo: Path, commit: str, onto: str) -> list[str]:
    """List the commits that one has and another has not, newest first, at most _SHOWN: hash, author and subject, safe to print."""
    return commits_without(repo, commit, [onto])


def commits_without(repo: Path, commit: str, others: Sequence[str]) -> list[str]:
    """List the commits that one has and none of the others (which are there) has, as `new_commits` does."""
    names = (commit, *(f"^{other}" for other in others))
    argv = ("log", f"--max-count={_SHOWN}", "--format=%h%x09%an%x09%s", "--stdin")
    listing = git(repo, *argv, stdin="".join(f"{name}\n" for name in names).encode())
    rows = (line.split("\t", 2) for line in listing.decode(errors="replace").split("\n") if line)
    return [f"{row[0]} {quoted(row[2])} by {quoted(row[1])}" for row in rows]


def base_of_checkout(top: Path, onto: Sequence[str]) -> str:
    """Say which of `onto` a checkout is a change of: the first that is there. Raises BadUsage, Refused if nothing is new."""
    base = next((name for name in onto if _is_commit(top, name)), None)
    if base is None:
        raise BadUsage(
            f"none of {', '.join(onto)} is in this checkout", hint="git fetch origin, or name one with --onto"
        )
    if not git(top, "rev-list", "--max-count=1", f"{base}..HEAD", "--").strip():
        raise Refused(f"there is no commit that {base} has not", hint="git commit, then try again")
    return base


def write_bundle(top: Path, base: str, target: Path) -> None:
    """Write what a checkout's commit has and `base` has not, as a bundle."""
    git(top, "bundle", "create", "--quiet", str(target.absolute()), "HEAD", f"^{base}")


def _is_commit(top: Path, name: str) -> bool:
    try:
        resolve(top, name)
    except NotFound:
        return False
    return True
