"""git fetch over HTTP(S), from a server that nobody here trusts: what it may send is bounded, checked and started by nothing."""

import re
from dataclasses import dataclass
from pathlib import Path

from distwright.errors import ProgramFailed, Unreachable, quoted
from distwright.tools.git import IDENTITY_FREE, SAFE
from distwright.tools.run import Command, last_lines, run

TIMEOUT_S = 3600
FILE_LIMIT_BYTES = 16 << 30  # a pack: a clone of Linux has 4 GB
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

    Branches that are gone there go here too; tags never move and never go. Raises Unreachable if nothing came, or not all.
    """
    _fetch(repo, url, "--prune", "--force", _BRANCHES)
    said = _fetch(repo, url, _TAGS, may_reject=True)
    return Fetched(tuple(sorted(_REJECTED.findall(said))))


def fetch_one(repo: Path, url: str, ref: str, to: str) -> None:
    """Bring what a ref is at `url` (`refs/pull/5/head`) to the ref `to` of a bare repository. Raises Unreachable."""
    _fetch(repo, url, f"+{ref}:{to}")


def _fetch(repo: Path, url: str, *arguments: str, may_reject: bool = False) -> str:
    settings = [word for setting in _SETTINGS for word in ("-c", setting)]
    options = ("--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--no-auto-maintenance")
    limits = ("prlimit", f"--fsize={FILE_LIMIT_BYTES}", "--core=0", "--")
    # Options of our own may stand before the address only; what it begins with was looked at where tables are read.
    *flags, refs = arguments
    argv = (*limits, "git", *SAFE, *settings, "-C", str(repo), "fetch", *options, *flags, "--", url, refs)
    environment = {**IDENTITY_FREE, "GIT_ALLOW_PROTOCOL": _PROTOCOLS, "GIT_ASKPASS": "false", "LC_ALL": "C.UTF-8"}
    try:
        done = run(Command(argv, TIMEOUT_S, environment=environment))
    except ProgramFailed as error:
        raise ProgramFailed(error.message, hint="sudo apt-get install git util-linux") from error
    said = done.stderr.decode(errors="replace")
    if done.exit_code == 0 or (may_reject and done.exit_code == 1 and not done.cut and _REJECTED.search(said)):
        return said
    reason = done.cut or " | ".join(quoted(line) for line in last_lines(done.stderr, 2)) or f"exit {done.exit_code}"
    raise Unreachable(f"{url} cannot be fetched: {reason}", hint=f"try by hand: git ls-remote {url}")
