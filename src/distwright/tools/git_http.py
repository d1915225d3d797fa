"""git over HTTP, for reading only: `git http-backend` of Debian's git, asked as a web server asks a CGI program (RFC 3875)."""

import itertools
import os
import pwd
import re
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import BoundedSemaphore

from distwright.errors import Busy, ProgramFailed
from distwright.tools.run import Command, run_streamed
from distwright.tools.sandbox import SANDBOX_USER

AT_ONCE = 8
_TIMEOUT_S = 3600
_OUTPUT_LIMIT_BYTES = 1 << 40
_HEAD_LIMIT_BYTES = 1 << 16
_PROTOCOL = re.compile(r"version=[0-9]")
_slots = BoundedSemaphore(AT_ONCE)
# Whatever the repository says: nothing is pushed here, and it may be another user's.
_SETTINGS = {"http.receivepack": "false", "safe.directory": "*", "core.hooksPath": "/dev/null"}


@dataclass(frozen=True, slots=True)
class GitRequest:
    """What a client of git asks. is_pack: for objects (POST git-upload-pack); else for the refs (GET info/refs)."""

    is_pack: bool
    body: bytes = b""
    encoding: str = ""
    protocol: str = ""


@dataclass(frozen=True, slots=True)
class GitAnswer:
    """What is answered. pieces: of the body, as they come. close: ends git; to be called whether or not all pieces were taken."""

    status: int
    headers: tuple[tuple[str, str], ...]
    pieces: Iterator[bytes]
    close: Callable[[], None]


def ask_git(repo: Path, request: GitRequest) -> GitAnswer:
    """Let git answer; it has begun to when this gives. Started by root it runs as who owns the repo, or as the sandbox user.

    Raises Busy while AT_ONCE others are answered, ProgramFailed if git does not answer as a CGI program does.
    """
    pieces = _held(_command(repo, request))
    head = b""
    while len(head) < _HEAD_LIMIT_BYTES and (piece := next(pieces, b"")):
        head += piece
        fields, blank, body = head.partition(b"\r\n\r\n")
        if blank:
            status, headers = _parsed(fields.decode("latin-1"))
            return GitAnswer(status, headers, itertools.chain([body] if body else [], pieces), pieces.close)
    raise ProgramFailed("git http-backend does not answer", hint="sudo apt-get install git")


def _command(repo: Path, request: GitRequest) -> Command:
    environment = {
        "GIT_PROJECT_ROOT": str(repo.parent),
        "PATH_INFO": f"/{repo.name}/{'git-upload-pack' if request.is_pack else 'info/refs'}",
        "GIT_HTTP_EXPORT_ALL": "1",
        "REQUEST_METHOD": "POST" if request.is_pack else "GET",
        "QUERY_STRING": "" if request.is_pack else "service=git-upload-pack",
        "CONTENT_TYPE": "application/x-git-upload-pack-request" if request.is_pack else "",
        "CONTENT_LENGTH": str(len(request.body)),
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_COUNT": str(len(_SETTINGS)),
    }
    for number, (key, value) in enumerate(_SETTINGS.items()):
        environment |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    if request.encoding in ("gzip", "x-gzip"):
        environment["HTTP_CONTENT_ENCODING"] = request.encoding
    if _PROTOCOL.fullmatch(request.protocol):
        environment["GIT_PROTOCOL"] = request.protocol
    return Command(
        (*_without_privileges(repo), "git", "http-backend"),
        timeout_s=_TIMEOUT_S,
        environment=environment,
        cwd=Path("/"),
        stdin=request.body,
        output_limit_bytes=_OUTPUT_LIMIT_BYTES,
        grace_s=0,
    )


def _without_privileges(repo: Path) -> tuple[str, ...]:
    """No --pdeathsig: our threads come and go, and it is the end of a thread that counts (prctl(2)). git ends with its pipe."""
    if os.geteuid() != 0:
        return ()
    owner = repo.stat()
    uid, gid = owner.st_uid, owner.st_gid
    if uid == 0:
        entry = pwd.getpwnam(SANDBOX_USER)
        uid, gid = entry.pw_uid, entry.pw_gid
    return ("setpriv", "--reuid", str(uid), "--regid", str(gid), "--clear-groups", "--")


def _held(command: Command) -> Generator[bytes, None, None]:
    """Run it in one of the slots."""
    if not _slots.acquire(blocking=False):
        raise Busy(f"{AT_ONCE} others are cloning or fetching here", hint="try again in a minute")
    try:
        yield from run_streamed(command)
    finally:
        _slots.release()


def _parsed(head: str) -> tuple[int, tuple[tuple[str, str], ...]]:
    lines = (line.partition(":") for line in head.split("\r\n"))
    fields = [(name.strip().lower(), value.strip()) for name, _, value in lines]
    status = next((int(value[:3]) for name, value in fields if name == "status" and value[:3].isdigit()), 200)
    return status, tuple((name, value) for name, value in fields if name != "status")
