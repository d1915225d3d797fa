"""git fetch over HTTP(S), from a server that nobody here trusts: what it may send is bounded, checked and started by nothing."""

import re
import shlex
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from distwright.errors import ProgramFailed, Unreachable, quoted
from distwright.tools.git import IDENTITY_FREE, SAFE, git
from distwright.tools.git_merge import make_borrowing
from distwright.tools.run import Command, last_lines, run

TIMEOUT_S = 3600
FILE_LIMIT_BYTES = 16 << 30  # a pack: a clone of Linux has 4 GB
MEMORY_LIMIT_BYTES = 8 << 30
_PROTOCOLS = "http:https"
_SETTINGS = (
    "credential.helper=", "fetch.fsckObjects=true", "fetch.fsck.badTimezone=ignore", "fetch.fsck.missingSpaceBeforeDate=ignore",
    "fetch.fsck.zeroPaddedFilemode=ignore", "http.lowSpeedLimit=1000", "http.lowSpeedTime=120", "http.followRedirects=false",
    "gc.auto=0", "maintenance.auto=false", "protocol.version=2",
)  # fmt: skip
_BRANCHES, _TAGS = "+refs/heads/*:refs/heads/*", "refs/tags/*:refs/tags/*"
_REJECTED = re.compile(r"^ ! \[rejected\] +(\S+) +-> ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a fetch did not take: tags that are another object there than here, which stay what they are."""

    moved_tags: tuple[str, ...]


def fetch_all(repo: Path, url: str) -> Fetched:
    """Bring the branches of a bare repository to what they are at `url`, and add the tags that are new there.

    Branches that are gone there go here too; tags never move and never go. Raises Unreachable if nothing came, or not all, and for
    objects that a push would not be let in with.
    """
    with _fetched_apart(repo, url, "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*") as apart:
        _take(repo, apart, url, "--prune", "--force", _BRANCHES)
        said = _take(repo, apart, url, _TAGS, may_reject=True)
    return Fetched(tuple(sorted(_REJECTED.findall(said))))


def fetch_one(repo: Path, url: str, ref: str, to: str) -> None:
    """Bring what a ref is at `url` (`refs/pull/5/head`) to the ref `to` of a bare repository. Raises Unreachable."""
    with _fetched_apart(repo, url, f"+{ref}:{to}") as apart:
        _take(repo, apart, url, f"+{to}:{to}")


def take_refs(repo: Path, other: Path, wanted: Mapping[str, str]) -> None:
    """Bring branches and tags of another repository of this machine to a bare one, all of them or none; none is forced.

    wanted: full name of a ref -> the object that it shall be here; what the other one calls so by now does not count. Raises
    Unreachable if one of them may not move there.
    """
    with tempfile.TemporaryDirectory(prefix="apart-", dir=repo) as folder:
        apart = Path(folder) / "new.git"
        make_borrowing(apart, other)
        for ref, target in wanted.items():
            git(apart, "update-ref", ref, target)
        _take(repo, apart, str(other), "--atomic", *(f"{ref}:{ref}" for ref in wanted))


@contextmanager
def _fetched_apart(repo: Path, url: str, *refspecs: str) -> Iterator[Path]:
    """Give a repository in `repo` that has what came, and borrows what is here; it goes afterwards.

    Not every transport of git checks objects (the plain one, by which old servers give files, does not): what came is checked when
    it is taken from there.
    """
    with tempfile.TemporaryDirectory(prefix="apart-", dir=repo) as folder:
        apart = Path(folder) / "new.git"
        make_borrowing(apart, repo)
        _fetch(apart, url, url, _PROTOCOLS, "--prune", *refspecs)
        yield apart


def _take(repo: Path, apart: Path, url: str, *arguments: str, may_reject: bool = False) -> str:
    return _fetch(repo, str(apart), url, "file", *arguments, may_reject=may_reject)


def _fetch(repo: Path, source: str, url: str, protocols: str, *arguments: str, may_reject: bool = False) -> str:
    settings = [word for setting in _SETTINGS for word in ("-c", setting)]
    options = ("--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--no-auto-maintenance")
    limits = ("prlimit", f"--fsize={FILE_LIMIT_BYTES}", f"--as={MEMORY_LIMIT_BYTES}", "--core=0", "--")
    flags = [word for word in arguments if word.startswith("--")]
    refspecs = [word for word in arguments if not word.startswith("--")]
    argv = (*limits, "git", *SAFE, *settings, "-C", str(repo), "fetch", *options, *flags, "--", source, *refspecs)
    environment = {**IDENTITY_FREE, "GIT_ALLOW_PROTOCOL": protocols, "GIT_ASKPASS": "false", "LC_ALL": "C.UTF-8"}
    try:
        done = run(Command(argv, TIMEOUT_S, environment=environment))
    except ProgramFailed as error:
        raise ProgramFailed(error.message, hint="sudo apt-get install git util-linux") from error
    said = done.stderr.decode(errors="replace")
    if done.exit_code == 0 or (may_reject and done.exit_code == 1 and not done.cut and _only_rejects(said)):
        return said
    reason = done.cut or " | ".join(quoted(line) for line in last_lines(done.stderr, 2)) or f"exit {done.exit_code}"
    raise Unreachable(f"{url} cannot be fetched: {reason}", hint=f"try by hand: git ls-remote {shlex.quote(url)}")


def _only_rejects(said: str) -> bool:
    """Say whether tags that are something else here are all that is wrong."""
    wrong = [line for line in said.split("\n") if line.startswith((" ! ", "fatal:", "error:"))]
    return bool(wrong) and all(_REJECTED.match(line) for line in wrong)
