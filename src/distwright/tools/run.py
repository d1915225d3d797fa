"""The one door to outside programs: fixed environment, no input, own process group, limits, nothing left behind."""

import contextlib
import ctypes
import math
import os
import select
import selectors
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from distwright.errors import Interrupted, ProgramFailed, quoted

ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
TERM_GRACE_S = 5.0
_POLL_S, _LOOK_S = 0.2, 0.1
_SMALL, _GATHER_S = 4096, 0.05  # of what a pipe holds (64 KiB), so nobody waits for us
_CHUNK = 1 << 16
_TAIL_BYTES = 1 << 14
_PIPE_LIMIT_BYTES = 1 << 20  # what one pipe can hold at most (pipe(7), pipe-max-size)
_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True, slots=True)
class Command:
    """One start of a program.

    timeout_s: wall seconds until it is ended; grace_s: from TERM to KILL then. environment: added to ENVIRONMENT, nothing is
    inherited. log: file that both outputs are appended to (live); without it both are kept in memory, with it the last lines
    only; copy: another file for the same. output_limit_bytes: more output ends the program.
    until: this text in the output ends the program, with success;
    never: this one ends it too, cut; whichever comes first.
    keep_fds: open file descriptors that the program may use (secrets go this way, never through argv).
    """

    argv: tuple[str, ...]
    timeout_s: float
    environment: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    stdin: bytes = b""
    log: Path | None = None
    copy: Path | None = None
    output_limit_bytes: int = 64 << 20
    until: bytes = b""
    never: bytes = b""
    keep_fds: tuple[int, ...] = ()
    grace_s: float = TERM_GRACE_S

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


def run(
    command: Command, *, is_cancelled: Callable[[], bool] | None = None, watch: Callable[[int], str] | None = None
) -> Finished:
    """Run a program to its end, or end it at its limits, and leave none of its processes behind.

    is_cancelled: asked several times a second; when it says yes, the program is ended and Interrupted is raised.
    watch: asked as often, with the number of the program's first process; when it says why (a limit of its own), the program is
    killed at once and without grace, for what eats a machine must not go on meanwhile.
    Raises ProgramFailed if the program cannot be started. A non-zero exit is not an error here: see `Finished.checked`.
    """
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        logs = [stack.enter_context(file) for file in _opened_logs(command)]
        process = _start(command)
        stack.callback(_close_pipes, process)
        stack.callback(end_group, process, command.grace_s)
        pump = stack.enter_context(contextlib.closing(_Pump(command, process, logs)))
        looked = -math.inf
        while pump.step(_POLL_S):
            if time.monotonic() - looked < _LOOK_S:
                continue
            looked = time.monotonic()
            if is_cancelled is not None and is_cancelled():
                raise Interrupted(f"{command.argv[0]} was cancelled", hint="distwright job retry JOB")
            if time.monotonic() - began > command.timeout_s:
                pump.cut = f"time limit of {command.timeout_s:.0f} s"
                break
            if watch is not None and (passed := watch(process.pid)):
                pump.cut = passed
                end_group(process, 0)
                break
        if pump.received > command.output_limit_bytes:  # who prints without end hears no TERM
            end_group(process, 0)
        pump.drain()
    took_s = time.monotonic() - began
    return Finished(command, process.returncode, bytes(pump.stdout), bytes(pump.stderr), took_s, pump.cut, pump.saw)


def run_streamed(command: Command) -> Iterator[bytes]:
    """Give what a program prints, while it prints it; what it says on standard error is dropped, log and texts count for nothing.

    Nothing runs ahead of who reads: the program waits. It is ended when the iterator is closed. Raises ProgramFailed when it
    cannot be started, fails, or is ended at a limit, after whatever was given.
    """
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        process = _start(command)
        stack.callback(_close_pipes, process)
        stack.callback(end_group, process, command.grace_s)
        pump = stack.enter_context(contextlib.closing(_Pump(command, process, ())))
        goes_on = True
        while goes_on:
            goes_on = pump.step(_POLL_S)
            if not goes_on and not pump.is_decided:
                pump.drain()
            piece = bytes(pump.stdout)
            pump.stdout.clear()
            if piece:
                yield piece
            if time.monotonic() - began > command.timeout_s:
                pump.cut = f"time limit of {command.timeout_s:.0f} s"
                break
            del pump.stderr[:-_TAIL_BYTES]
    Finished(command, process.returncode, b"", bytes(pump.stderr), time.monotonic() - began, pump.cut).checked()


@dataclass(frozen=True, slots=True)
class Pipes:
    """Our ends of a program's pipes: to: its input; back, said: what it prints on standard output and on standard error."""

    to: int
    back: int
    said: int


@contextlib.contextmanager
def conversing(command: Command) -> Iterator[Pipes]:
    """Start a program that we talk with, and end it and its group with the block; limits, log and input count for nothing.

    Raises ProgramFailed if it cannot be started.
    """
    process = _start(command, is_talked_with=True)
    try:
        to, back, said = (
            0 if stream is None else stream.fileno() for stream in (process.stdin, process.stdout, process.stderr)
        )
        yield Pipes(to, back, said)
    finally:
        end_group(process, command.grace_s)
        _close_pipes(process)


def run_checked(argv: tuple[str, ...], *, timeout_s: float = 60, cwd: Path | None = None, stdin: bytes = b"") -> bytes:
    """Run a short command and return what it printed; raise ProgramFailed if it says no."""
    return run(Command(argv, timeout_s=timeout_s, cwd=cwd, stdin=stdin)).checked().stdout


def run_in_terminal(command: Command) -> int:
    """Run a program that a person talks to, with our terminal; give its exit code. Log, limits and input count for nothing.

    It has a session of its own, so our terminal is not its: it can read and write it, but push no words into it that our shell
    would read after its end (TIOCSTI). So Ctrl-C comes to us, and we pass it on. Raises ProgramFailed if it cannot be started.
    """
    environment = {**ENVIRONMENT, **command.environment, "TERM": os.environ.get("TERM", "dumb")}
    try:
        process = subprocess.Popen(
            command.argv,
            cwd=command.cwd,
            env=environment,
            pass_fds=command.keep_fds,
            umask=0o022,
            start_new_session=True,
        )
    except OSError as error:
        raise ProgramFailed(
            f"{quoted(command.argv[0])} cannot be started: {error}", hint="distwright doctor"
        ) from error
    before = signal.signal(signal.SIGINT, lambda _number, _frame: _signal_group(process.pid, signal.SIGINT))
    try:
        return process.wait()
    finally:
        signal.signal(signal.SIGINT, before)
        end_group(process)


def end_group(process: "subprocess.Popen[bytes]", grace_s: float = TERM_GRACE_S) -> None:
    """End a process group: TERM, a grace, KILL; at once if the leader has ended.

    The leader is buried last: until then its number cannot become that of another group. Does nothing to one that is buried.
    """
    if process.returncode is not None:
        return
    if not _ends_within(process, 0):
        _signal_group(process.pid, signal.SIGTERM)
        _ends_within(process, grace_s)
    _signal_group(process.pid, signal.SIGKILL)
    process.wait()


def become_subreaper() -> None:
    """Make orphans of our descendants our own children, so that `end_descendants` finds them (prctl(2))."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise ProgramFailed("the kernel refuses PR_SET_CHILD_SUBREAPER", hint="use Linux 3.4 or later")


def end_descendants(patience_s: float = 10.0) -> None:
    """Kill everything that descends from this process, daemons included; call it from a subreaper only."""
    deadline = time.monotonic() + patience_s
    while children := _children_of(os.getpid()):
        for pid in children:
            kill_tree(pid)
        while _reap_one():
            pass
        if time.monotonic() > deadline:
            raise ProgramFailed(f"processes {children} cannot be killed", hint="ps -o pid,stat,wchan,args -p PID")
        time.sleep(0.01)


def _start(command: Command, *, is_talked_with: bool = False) -> "subprocess.Popen[bytes]":
    environment = {**ENVIRONMENT, **command.environment}
    try:
        return subprocess.Popen(
            command.argv,
            stdin=subprocess.PIPE if command.stdin or is_talked_with else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if command.log else subprocess.PIPE,
            cwd=command.cwd,
            env=environment,
            start_new_session=True,
            pass_fds=command.keep_fds,
            umask=0o022,
        )
    except (OSError, ValueError) as error:  # ValueError: a NUL in a word
        reason = getattr(error, "strerror", None) or str(error)
        where = f" in {command.cwd}" if command.cwd is not None and not command.cwd.is_dir() else ""
        raise ProgramFailed(
            f"{quoted(command.argv[0])} cannot be started{where}: {reason}", hint="distwright doctor"
        ) from error


def _opened_logs(command: Command) -> "Iterator[IO[bytes]]":
    if command.log is not None:
        command.log.parent.mkdir(parents=True, exist_ok=True)
        yield command.log.open("ab", buffering=0)
    if command.copy is not None:
        yield command.copy.open("ab", buffering=0)


def _close_pipes(process: "subprocess.Popen[bytes]") -> None:
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()


class _Pump:
    """Moves a program's output to memory or its log, and our input to it, without threads, until it has ended."""

    def __init__(self, command: Command, process: "subprocess.Popen[bytes]", logs: "Sequence[IO[bytes]]") -> None:
        self.stdout = bytearray()
        self.stderr = bytearray()
        self.received = 0
        self.saw = False
        self.cut = ""
        self._logs = logs
        self._command = command
        self._to_send = memoryview(command.stdin)
        self._selector = selectors.DefaultSelector()
        self._kept = {}
        for stream, kept in ((process.stdout, self.stdout), (process.stderr, self.stderr)):
            if stream is not None:
                self._kept[stream.fileno()] = kept
                self._selector.register(stream.fileno(), selectors.EVENT_READ)
        self._stdin = process.stdin
        if self._stdin is not None:
            os.set_blocking(self._stdin.fileno(), False)
            self._selector.register(self._stdin.fileno(), selectors.EVENT_WRITE)
        self._end = os.pidfd_open(process.pid)
        self._selector.register(self._end, selectors.EVENT_READ)

    @property
    def is_decided(self) -> bool:
        """Say whether a text has appeared that ends the program."""
        return self.saw or self.cut != ""

    def step(self, timeout_s: float) -> bool:
        """Move what is ready; say whether to go on: the program has not ended, and has not said what ends it."""
        goes_on = True
        for key, _ in self._selector.select(timeout_s):
            if key.fd == self._end:
                goes_on = False
            elif self.is_decided:
                break
            elif key.events & selectors.EVENT_WRITE:
                self._send(key.fd)
            else:
                self._receive(key.fd)
        return goes_on and not self.is_decided

    def drain(self) -> None:
        """Take what a program that has ended left in the pipes, and no more: daemons of its may hold them open for ever."""
        for _ in range(_PIPE_LIMIT_BYTES // _CHUNK + 1):
            ready = [key.fd for key, _ in self._selector.select(0) if key.fd in self._kept]
            if not ready or self.is_decided:
                return
            for descriptor in ready:
                self._receive(descriptor)

    def _receive(self, descriptor: int) -> None:
        content = os.read(descriptor, _CHUNK)
        if not content:
            self._selector.unregister(descriptor)
            return
        kept = self._kept[descriptor]
        wanted = content[: max(0, self._command.output_limit_bytes - self.received)]
        self.received += len(content)
        kept.extend(wanted)
        for log in self._logs:
            log.write(wanted)
        if self._logs and len(content) < _SMALL:  # a line: the next ones come soon, and cost less together
            time.sleep(_GATHER_S)
        self._decide(kept, len(wanted))
        if self._logs and len(kept) > _TAIL_BYTES:
            del kept[:-_TAIL_BYTES]

    def _decide(self, kept: bytearray, new: int) -> None:
        """Look for the two texts in what is new, of which the first to be complete counts; then at the limit."""
        until, never = (_end_of(text, kept, new) for text in (self._command.until, self._command.never))
        if until < never:
            self.saw = True
        elif never < math.inf:
            self.cut = f"{quoted(self._command.never.decode(errors='replace'))} in its output"
        elif self.received > self._command.output_limit_bytes:
            self.cut = f"output limit of {_amount(self._command.output_limit_bytes)}"

    def _send(self, descriptor: int) -> None:
        try:
            sent = os.write(descriptor, self._to_send[:_CHUNK])
        except BrokenPipeError:
            sent = len(self._to_send)
        self._to_send = self._to_send[sent:]
        if not self._to_send:
            self._selector.unregister(descriptor)
            assert self._stdin is not None  # noqa: S101  # it was registered
            self._stdin.close()

    def close(self) -> None:
        self._selector.close()
        os.close(self._end)


def _amount(size_bytes: int) -> str:
    return f"{size_bytes} bytes" if size_bytes % (1 << 20) else f"{size_bytes >> 20} MB"


def _end_of(text: bytes, kept: bytearray, new: int) -> float:
    """Say where a text ends that reaches into the last `new` bytes; infinity if it is not there."""
    begins = kept.find(text, max(0, len(kept) - new - len(text))) if text else -1
    return begins + len(text) if begins >= 0 else math.inf


def _ends_within(process: "subprocess.Popen[bytes]", patience_s: float) -> bool:
    """Wait for the end of a program without burying it."""
    descriptor = os.pidfd_open(process.pid)
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(patience_s * 1000))
    finally:
        os.close(descriptor)


def _signal_group(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return


def _children_of(pid: int) -> list[int]:
    """List the children of a process: Linux keeps them by the thread that forked them."""
    children = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                children += [int(child) for child in (thread / "children").read_text().split()]
    return children


def kill_tree(pid: int) -> None:
    """Kill a process and all that descends from it."""
    for child in _children_of(pid):
        kill_tree(child)
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
