"""The one door to outside programs: fixed environment, no input, own process group, limits, nothing left behind."""

import contextlib
import ctypes
import os
import selectors
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from distwright.errors import Interrupted, ProgramFailed, quoted

ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
TERM_GRACE_S = 5.0
_POLL_S = 0.2
_CHUNK = 1 << 16
_TAIL_BYTES = 1 << 14
_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True, slots=True)
class Command:
    """One start of a program.

    timeout_s: wall seconds until it is ended. environment: added to ENVIRONMENT, nothing is inherited. log: file that both
    outputs are appended to (live); without it both are kept in memory, with it the last lines only. output_limit_bytes: more
    output ends the program. until: this text in the output ends the program, with success; never: this one ends it too, cut.
    keep_fds: open file descriptors that the program may use (secrets go this way, never through argv).
    """

    argv: tuple[str, ...]
    timeout_s: float
    environment: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    stdin: bytes = b""
    log: Path | None = None
    output_limit_bytes: int = 64 << 20
    until: bytes = b""
    never: bytes = b""
    keep_fds: tuple[int, ...] = ()

    @property
    def shown(self) -> str:
        """The command line as a person could paste it."""
        return shlex.join(self.argv)


@dataclass(frozen=True, slots=True)
class Finished:
    """How a program ended.

    cut: "" or why we ended it ("time limit of 60 s"). saw: whether the text of `until` appeared (then the exit code says nothing).
    """

    command: Command
    exit_code: int
    stdout: bytes
    stderr: bytes
    took_s: float
    cut: str = ""
    saw: bool = False

    def checked(self) -> "Finished":
        """Return itself after exit 0; raise ProgramFailed with the last lines it printed otherwise."""
        if self.exit_code == 0 and not self.cut:
            return self
        name = Path(self.command.argv[0]).name
        tail = " | ".join(quoted(line) for line in last_lines(self.stderr or self.stdout, 3))
        reason = self.cut or f"exit {self.exit_code}"
        raise ProgramFailed(
            f"{name} failed ({reason}){': ' + tail if tail else ''}", hint=f"try by hand: {self.command.shown}"
        )


def run(command: Command, *, is_cancelled: Callable[[], bool] | None = None) -> Finished:
    """Run a program to its end, or end it at its limits, and leave none of its processes behind.

    is_cancelled: asked several times a second; when it says yes, the program is ended and Interrupted is raised.
    Raises ProgramFailed if the program cannot be started. A non-zero exit is not an error here: see `Finished.checked`.
    """
    began = time.monotonic()
    process = _start(command)
    pump = _Pump(command, process)
    cut = ""
    try:
        while not cut and not pump.saw and pump.step(_POLL_S):
            if is_cancelled is not None and is_cancelled():
                raise Interrupted(f"{command.argv[0]} was cancelled", hint="distwright job retry")
            if time.monotonic() - began > command.timeout_s:
                cut = f"time limit of {command.timeout_s:.0f} s"
            elif pump.received > command.output_limit_bytes:
                cut = f"output limit of {command.output_limit_bytes} bytes"
            else:
                cut = pump.cut
        if not cut and not pump.saw:
            cut = _wait_for_exit(process, began + command.timeout_s, command)
    finally:
        end_group(process)
        pump.close()
    took_s = time.monotonic() - began
    return Finished(command, process.returncode, bytes(pump.stdout), bytes(pump.stderr), took_s, cut, pump.saw)


def run_checked(argv: tuple[str, ...], *, timeout_s: float = 60, cwd: Path | None = None, stdin: bytes = b"") -> bytes:
    """Run a short command and return what it printed; raise ProgramFailed if it says no."""
    return run(Command(argv, timeout_s=timeout_s, cwd=cwd, stdin=stdin)).checked().stdout


class Running:
    """A program that runs beside us (a virtual machine). Use as a context manager: leaving it ends the program."""

    def __init__(self, command: Command) -> None:
        """Start it; its output goes to `command.log`, which is required."""
        self.command = command
        self._log = _opened_log(command)
        self.process = _start(command, output=self._log)

    def __enter__(self) -> "Running":
        """Begin the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the program and everything it started."""
        end_group(self.process)
        if self._log is not None:
            self._log.close()

    def exit_code(self) -> int | None:
        """Say the exit code, or None while it runs."""
        return self.process.poll()


def end_group(process: "subprocess.Popen[bytes]") -> None:
    """End a process group: TERM, five seconds, KILL; returns at once if the leader is gone and nobody is left."""
    if process.poll() is None:
        _signal_group(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(TERM_GRACE_S)
    _signal_group(process.pid, signal.SIGKILL)
    process.wait()


def become_subreaper() -> None:
    """Make orphans of our descendants our own children, so that `end_descendants` finds them (prctl(2))."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise ProgramFailed("the kernel refuses PR_SET_CHILD_SUBREAPER", hint="distwright needs Linux 3.4 or later")


def end_descendants(patience_s: float = 10.0) -> None:
    """Kill everything that descends from this process, daemons included; call it from a subreaper only."""
    deadline = time.monotonic() + patience_s
    while children := _children_of(os.getpid()):
        for pid in children:
            _kill_tree(pid)
        while _reap_one():
            pass
        if time.monotonic() > deadline:
            raise ProgramFailed(f"processes {children} cannot be killed", hint="ps -o pid,stat,wchan,args -p PID")
        time.sleep(0.01)


def _start(command: Command, output: "IO[bytes] | None" = None) -> "subprocess.Popen[bytes]":
    environment = {**ENVIRONMENT, **command.environment}
    try:
        process = subprocess.Popen(
            command.argv,
            stdin=subprocess.PIPE if command.stdin else subprocess.DEVNULL,
            stdout=output or subprocess.PIPE,
            stderr=output or (subprocess.STDOUT if command.log else subprocess.PIPE),
            cwd=command.cwd,
            env=environment,
            start_new_session=True,
            pass_fds=command.keep_fds,
            umask=0o022,
        )
    except OSError as error:
        reason = error.strerror or str(error)
        raise ProgramFailed(
            f"{quoted(command.argv[0])} cannot be started: {reason}", hint="distwright doctor"
        ) from error
    return process


def _opened_log(command: Command) -> "IO[bytes] | None":
    if command.log is None:
        return None
    command.log.parent.mkdir(parents=True, exist_ok=True)
    return command.log.open("ab", buffering=0)


class _Pump:
    """Moves a program's output to memory or its log, and our input to it, without threads."""

    def __init__(self, command: Command, process: "subprocess.Popen[bytes]") -> None:
        self.stdout = bytearray()
        self.stderr = bytearray()
        self.received = 0
        self.saw = False
        self.cut = ""
        self._log = _opened_log(command)
        self._command = command
        self._to_send = memoryview(command.stdin)
        self._selector = selectors.DefaultSelector()
        self._streams = [stream for stream in (process.stdin, process.stdout, process.stderr) if stream is not None]
        self._kept = {}
        for stream, kept in ((process.stdout, self.stdout), (process.stderr, self.stderr)):
            if stream is not None:
                self._kept[stream.fileno()] = kept
                self._selector.register(stream.fileno(), selectors.EVENT_READ)
        if process.stdin is not None:
            os.set_blocking(process.stdin.fileno(), False)
            self._selector.register(process.stdin.fileno(), selectors.EVENT_WRITE)

    def step(self, timeout_s: float) -> bool:
        """Move what is ready; say whether any stream is still open."""
        for key, _ in self._selector.select(timeout_s):
            if key.events & selectors.EVENT_WRITE:
                self._send(key.fd)
            else:
                self._receive(key.fd)
        return bool(self._selector.get_map())

    def _receive(self, descriptor: int) -> None:
        content = os.read(descriptor, _CHUNK)
        if not content:
            self._selector.unregister(descriptor)
            return
        kept = self._kept[descriptor]
        wanted = content[: max(0, self._command.output_limit_bytes - self.received)]
        self.received += len(content)
        kept.extend(wanted)
        if self._log is not None:
            self._log.write(wanted)
        until = self._command.until
        if until and kept.find(until, max(0, len(kept) - len(wanted) - len(until))) >= 0:
            self.saw = True
        never = self._command.never
        if never and kept.find(never, max(0, len(kept) - len(wanted) - len(never))) >= 0:
            self.cut = f"{quoted(never.decode(errors='replace'))} in its output"
        if self._log is not None and len(kept) > _TAIL_BYTES:
            del kept[:-_TAIL_BYTES]

    def _send(self, descriptor: int) -> None:
        try:
            sent = os.write(descriptor, self._to_send[:_CHUNK])
        except BrokenPipeError:
            sent = len(self._to_send)
        self._to_send = self._to_send[sent:]
        if not self._to_send:
            self._selector.unregister(descriptor)
            self._streams[0].close()

    def close(self) -> None:
        self._selector.close()
        for stream in self._streams:
            if not stream.closed:
                stream.close()
        if self._log is not None:
            self._log.close()


def _wait_for_exit(process: "subprocess.Popen[bytes]", deadline: float, command: Command) -> str:
    """Wait for a program that has closed its outputs; give the reason if it had to be cut."""
    try:
        process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return f"time limit of {command.timeout_s:.0f} s"
    return ""


def _signal_group(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return


def _children_of(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def _kill_tree(pid: int) -> None:
    for child in _children_of(pid):
        _kill_tree(child)
    try:
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def _reap_one() -> bool:
    try:
        pid, _ = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return False
    return pid != 0


def last_lines(output: bytes, lines: int) -> list[str]:
    """Give the last lines that a program printed, without trusting them to be text."""
    return [line.decode(errors="replace") for line in output.strip().splitlines()[-lines:]]
