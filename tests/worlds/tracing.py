"""Kill a command, or refuse it something, at a chosen call to the kernel: strace injects it, so what SQLite writes counts too.

A command is run once under strace to list its calls that change the state; each of them can then be the one at which another run,
on a copy of the same state, is killed (the call is not made) or refused (ENOSPC, EIO). Commands run as whole processes.
"""

import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import distwright

DISTWRIGHT = Path(sys.executable).parent / "distwright"
# What gives or changes names and bytes, or brings them to disk. Also what waits for the disk: it may say that there is no more.
CHANGING = (
    "write", "writev", "pwrite64", "rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat", "unlink",
    "unlinkat", "rmdir", "mkdir", "mkdirat", "truncate", "ftruncate", "fallocate", "fsync", "fdatasync", "syncfs",
    "copy_file_range", "sendfile", "chmod", "fchmod", "fchmodat", "utimensat",
)  # fmt: skip
# What a full disk can refuse: whatever needs room, for bytes or for a name.
NEEDS_ROOM = frozenset(CHANGING) - {"unlink", "unlinkat", "rmdir", "chmod", "fchmod", "fchmodat", "utimensat"}
_TIMEOUT_S = 180
_LINE = re.compile(r"(\d+) +([a-z0-9_]+)\((.*)")


@dataclass(frozen=True)
class Call:
    """One call that a command makes. number: among those of its name in its thread, from 1, as strace counts.

    text: as strace shows it, without the place of the state. before: how many calls of each name its thread had made by then.
    """

    name: str
    number: int
    text: str
    before: Mapping[str, int]

    @property
    def needs_room(self) -> bool:
        """Say whether a full disk can refuse it."""
        return self.name in NEEDS_ROOM


@dataclass(frozen=True)
class Ended:
    """How a command ended. exit_code: negative for a signal."""

    exit_code: int
    stdout: str
    stderr: str


def run_command(words: Sequence[str], folder: Path, before: Sequence[str] = ()) -> Ended:
    """Run `distwright` in a folder as a process of its own, cold: no resident server is there to ask. before: what starts it."""
    done = subprocess.run(
        [*before, str(DISTWRIGHT), *words], cwd=folder, env=_environment(), capture_output=True, text=True, timeout=_TIMEOUT_S,
        check=False,
    )  # fmt: skip
    return Ended(done.returncode, done.stdout, done.stderr)


def starting_command(words: Sequence[str], folder: Path) -> subprocess.Popen[str]:
    """Start `distwright` in a folder, and do not wait for it."""
    return subprocess.Popen(
        [str(DISTWRIGHT), *words],
        cwd=folder,
        env=_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def calls_of(words: Sequence[str], folder: Path) -> list[Call]:
    """Run a command, which must succeed, and list in order the calls that change something below its folder."""
    log = folder / "strace.log"
    done = run_command(words, folder, _strace(str(log), "--seccomp-bpf", "-y", "-s", "64"))
    assert done.exit_code == 0, done.stderr
    seen: dict[str, Counter[str]] = {}
    found = []
    for line in log.read_text(errors="replace").splitlines():
        match = _LINE.match(line)
        if match is None:  # the end of a call that another thread has interrupted; a signal; an exit
            continue
        thread, name, text = match.groups()
        counts = seen.setdefault(thread, Counter())
        if str(folder) in text:
            found.append(Call(name, counts[name] + 1, text.replace(str(folder), ""), dict(counts)))
        counts[name] += 1
    log.unlink()
    return found


def kill_at(call: Call, words: Sequence[str], folder: Path) -> bool:
    """Run a command that is killed just before a call, with all its processes; say whether it was.

    Without --seccomp-bpf, which makes strace faster and lose the signal.
    """
    reading, writing = os.pipe()
    strace = _strace(f"/dev/fd/{writing}", "-e", f"inject={call.name}:signal=KILL:when={call.number}")
    with subprocess.Popen(
        [*strace, str(DISTWRIGHT), *words], cwd=folder, env=_environment(), pass_fds=[writing], start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        os.close(writing)
        killed = False
        with os.fdopen(reading, errors="replace") as log:
            for line in log:  # until all processes of the command are gone: they have the other end open
                if not killed and "+++ killed by SIGKILL" in line:
                    killed = True
                    os.killpg(process.pid, signal.SIGKILL)  # those of a job die with the command that has forked them
    return killed


def refuse_from(call: Call, words: Sequence[str], folder: Path, error: str = "ENOSPC") -> Ended:
    """Run a command to which the kernel refuses a call, and everything after it that needs room.

    Of `write` only that call, if it is one: what a command says goes the same way, and must be read here.
    """
    injected = []
    for name in sorted(NEEDS_ROOM):
        first = call.before.get(name, 0) + 1
        if name != "write":
            injected.append(f"inject={name}:error={error}:when={first}+")
        elif call.name == "write":
            injected.append(f"inject={name}:error={error}:when={first}")
    return run_command(
        words, folder, _strace("/dev/null", "--seccomp-bpf", *(word for rule in injected for word in ("-e", rule)))
    )


def refuse_once(call: Call, words: Sequence[str], folder: Path, error: str = "EIO") -> Ended:
    """Run a command to which the kernel refuses one call."""
    return run_command(
        words,
        folder,
        _strace("/dev/null", "--seccomp-bpf", "-e", f"inject={call.name}:error={error}:when={call.number}"),
    )


def _strace(log: str, *more: str) -> list[str]:
    return ["strace", "-f", "-qq", "-o", log, "-e", f"trace={','.join(CHANGING)}", *more]


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DISTWRIGHT_")}
    return {
        **kept,
        "PYTHONPATH": str(Path(distwright.__file__).parents[1]),
    }  # the code under test, wherever the folder is
