"""What hooks left in the spool, read as if a stranger had written it: what is cut off, too long or no ref update is left out."""

import contextlib
import os
import re
import stat
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

NOTHING = "0" * 40
FILE_LIMIT_BYTES = 1 << 20  # some 10,000 refs in one push; what is beyond is found by comparing refs
_HEADER_LINES = 2
_OBJECT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_REF = re.compile(r"refs/(heads|tags)/[^\x00-\x20\x7f~^:?*\[\\]+")
_PUSHER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}")


@dataclass(frozen=True, slots=True)
class RefUpdate:
    """One ref of a push: where it pointed (NOTHING if it is new) and where it points now (NOTHING if it is gone).

    pusher: who the git server says it was; "" if it does not say.
    """

    repo: str
    ref: str
    old: str
    new: str
    pusher: str = ""


def spool_files(spool: Path) -> list[Path]:
    """List the spool files, the oldest first."""
    return sorted(spool.glob("*.push"))


def announced_updates(file: Path) -> list[RefUpdate]:
    """Read the ref updates of one push in their order; none from a file that is gone, or not what our hook writes."""
    lines = _whole_lines(_content(file))
    if len(lines) < _HEADER_LINES:
        return []
    repo, _, pusher = lines[0], *lines[1].partition("pusher ")[1:]
    pusher = pusher if _PUSHER.fullmatch(pusher) else ""
    return [update for line in lines[_HEADER_LINES:] for update in _update(repo, line, pusher)]


def replayed(
    announced: Sequence[RefUpdate], known: Mapping[str, str], actual: Mapping[str, str], exists: Callable[[str], bool]
) -> list[RefUpdate]:
    """Choose the announced updates (of one repo) that lead on from what is known, each ref in one chain.

    An announcement that does not fit is left out: it is older than what is known, or was never true. One that comes too early (two
    hooks may end in another order than their pushes) waits for the one before it, but only while the ref is not where it is now.
    exists: whether an object is in the repo.
    """
    state = dict(known)
    early: dict[tuple[str, str], deque[RefUpdate]] = {}
    chosen: list[RefUpdate] = []
    for update in announced:
        if update.new != NOTHING and not exists(update.new):
            continue
        if state.get(update.ref, NOTHING) != update.old:
            early.setdefault((update.ref, update.old), deque()).append(update)
            continue
        following: RefUpdate | None = update
        while following is not None:
            chosen.append(following)
            state[update.ref] = following.new
            following = None
            if state[update.ref] != actual.get(update.ref, NOTHING):
                waiting = early.get((update.ref, state[update.ref]))
                following = waiting.popleft() if waiting else None
    return chosen


def _content(file: Path) -> bytes:
    """Read a regular file up to the limit; nothing else (a pipe would hold us up, a link lead elsewhere)."""
    with contextlib.suppress(OSError):
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as opened:
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                return opened.read(FILE_LIMIT_BYTES)
    return b""


def _whole_lines(content: bytes) -> list[str]:
    """Give the lines that end; the name in one that does not may be half of another name."""
    text = content[: content.rfind(b"\n") + 1].decode(errors="replace")
    return text.split("\n")[:-1]


def _update(repo: str, line: str, pusher: str) -> Iterator[RefUpdate]:
    old, _, rest = line.partition(" ")
    new, _, ref = rest.partition(" ")
    if not _OBJECT.fullmatch(old) or not _OBJECT.fullmatch(new) or not _REF.fullmatch(ref) or "\ufffd" in ref:
        return
    update = RefUpdate(repo, ref, _or_nothing(old), _or_nothing(new), pusher)
    if update.old != update.new and len(ref) <= 256:
        yield update


def _or_nothing(name: str) -> str:
    return NOTHING if not name.strip("0") else name
