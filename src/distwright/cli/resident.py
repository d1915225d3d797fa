"""The resident server: one process that has everything loaded and forks for each command that cli/start.py hands to it.

It is forked before `serve` starts threads and opens a database, for a fork keeps neither. A command runs in a child with the files,
folder, umask and whole environment of who asked, only for the same user, by the kernel's word, and only while the files of our
package are those that were loaded. What else a process inherits is as `serve` has it (groups, limits, priority, cgroup), and no
terminal controls it, though its files may be one.

No command is run twice: who asked is told before it begins, and does not run it after that. The child holds the link to who asked:
the end of the link is the end of the command. It is interrupted when the server ends, in whatever way.
"""

import contextlib
import ctypes
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from distwright.cli.resident_code import seen_code
from distwright.cli.resident_terms import BEGUN, REFUSED, SOCKET, VERSION
from distwright.config.tables_archive import Table

_PRELOADED = ("archive", "event", "image", "job", "repo", "snapshot", "suite", "upload")
_REQUEST_BYTES = 1 << 18  # more than the kernel takes in one message
_SILENT_S = 5.0  # for who connects and asks nothing
_BACKLOG = 16
_PASSED_ON = (signal.SIGINT, signal.SIGTERM)
_GRACE_S = 10.0  # for commands to end when the server does
_PR_SET_PDEATHSIG = 1
_INTERRUPTED = 130


def start_resident(state: Path, command: Callable[[], None]) -> int | None:
    """Fork the server of a state directory and give its process number; None if one is answering there already.

    command: runs a command line by `sys.argv`, and ends by SystemExit.
    """
    place = state / SOCKET
    if _is_answered(place):
        return None
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    gc.freeze()  # what is loaded stays, and looked through again and again it would not be shared with the fork
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        os.read(reading, 1)  # it listens, or it is gone
        os.close(reading)
        return pid
    os.close(reading)
    status = 1
    try:
        _Server(place, parent, command).run(writing)
        status = 0
    finally:
        os._exit(status)


def stop_resident(pid: int) -> None:
    """End the server that `start_resident` gave."""
    try:
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)
    except (ProcessLookupError, ChildProcessError):
        pass


def _is_answered(place: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as link:
        directory = os.open(place.parent, os.O_PATH)
        try:
            link.connect(f"/proc/self/fd/{directory}/{place.name}")
        except OSError:
            return False
        finally:
            os.close(directory)
    return True


class _Server:
    """Listens, forks, passes interruptions on, reports exit codes. One thread, no database, no network."""

    def __init__(self, place: Path, parent: int, command: Callable[[], None]) -> None:
        self._place = place
        self._parent = parent
        self._command = command
        self._code = seen_code()
        self._selector = selectors.DefaultSelector()
        self._asking: dict[socket.socket, float] = {}  # and until when they may
        self._children: dict[int, socket.socket] = {}  # of a pidfd: who waits for it
        self._pids: dict[int, int] = {}
        self._is_ending = False

    def run(self, ready: int) -> None:
        """Serve until SIGTERM, or until the process that forked us is gone."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C of the terminal is for `serve`, which ends us
        self._wake_at_signals()
        _preload()
        self._place.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
            directory = os.open(self._place.parent, os.O_PATH)
            mask = os.umask(0o177)
            try:
                listening.bind(f"/proc/self/fd/{directory}/{self._place.name}")
            finally:
                os.umask(mask)
                os.close(directory)
            listening.listen(_BACKLOG)
            self._selector.register(listening, selectors.EVENT_READ)
            os.close(ready)
            try:
                while not self._is_ending and os.getppid() == self._parent:
                    for key, _ in self._selector.select(timeout=_SILENT_S):
                        self._serve(key.fileobj, listening)
                    now = time.monotonic()
                    for link in [link for link, until in self._asking.items() if until < now]:
                        del self._asking[link]
                        self._let_go(link)
            finally:
                self._place.unlink(missing_ok=True)
                self._selector.unregister(listening)
        self._end_children()

    def _wake_at_signals(self) -> None:
        """Have SIGTERM end the waiting, not whatever we are at: a command that has begun must be known."""
        reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._selector.register(reading, selectors.EVENT_READ)
        signal.set_wakeup_fd(writing)
        signal.signal(signal.SIGTERM, lambda *_: self._end())

    def _end(self) -> None:
        self._is_ending = True

    def _end_children(self) -> None:
        """Interrupt the commands that run, as Ctrl-C would, and tell who asked how they ended."""
        for pidfd in self._children:
            _send(pidfd, signal.SIGINT)
        until = time.monotonic() + _GRACE_S
        while self._children and (left := until - time.monotonic()) > 0:
            for key, _ in self._selector.select(timeout=left):
                if key.fileobj in self._children:
                    self._report(int(key.fd))
                elif isinstance(key.fileobj, int | socket.socket):
                    self._unwatch(key.fileobj)
        for pidfd in list(self._children):
            _send(pidfd, signal.SIGKILL)
            self._report(pidfd)

    def _serve(self, what: object, listening: socket.socket) -> None:
        if what is listening:
            self._accept(listening)
        elif isinstance(what, socket.socket) and self._asking.pop(what, None) is not None:
            self._begin(what, listening)
        elif isinstance(what, socket.socket):
            self._pass_on(what)
        elif what in self._children:
            self._report(int(str(what)))

    def _accept(self, listening: socket.socket) -> None:
        with contextlib.suppress(OSError):  # gone again, or too many files are open
            link, _ = listening.accept()
            link.setblocking(False)  # noqa: FBT003  # it has no other name
            self._asking[link] = time.monotonic() + _SILENT_S
            self._selector.register(link, selectors.EVENT_READ)

    def _let_go(self, link: socket.socket) -> None:
        with contextlib.suppress(OSError):  # gone meanwhile
            link.send(REFUSED)
        self._unwatch(link)
        link.close()

    def _unwatch(self, what: int | socket.socket) -> None:
        with contextlib.suppress(KeyError, ValueError):  # unwatched before, when who asked went away
            self._selector.unregister(what)

    def _begin(self, link: socket.socket, listening: socket.socket) -> None:
        values, files = _read_request(link)
        # Held back until the command can take them: one that comes a moment after the fork must not be lost.
        signal.pthread_sigmask(signal.SIG_BLOCK, _PASSED_ON)
        try:
            if len(files) != 3 or values.get("version") != VERSION or seen_code() != self._code:
                self._let_go(link)
                return
            link.send(BEGUN)
            server, pid = os.getpid(), os.fork()
        except OSError:  # who asked is gone, or the machine takes no more processes
            self._let_go(link)
            return
        else:
            if pid == 0:
                listening.close()
                self._selector.close()
                _run_command(self._command, values, files, link, server)
            pidfd = os.pidfd_open(pid)
            self._children[pidfd], self._pids[pidfd] = link, pid
            self._selector.register(pidfd, selectors.EVENT_READ)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _PASSED_ON)
            for file in files:
                os.close(file)

    def _pass_on(self, link: socket.socket) -> None:
        """Who asked has pressed Ctrl-C, or is gone: the command ends as it would have with them."""
        pidfd = next((pidfd for pidfd, owner in self._children.items() if owner is link), None)
        if pidfd is None:  # the command ended at the same moment
            return
        try:
            said = link.recv(64)
        except OSError:
            said = b""
        _send(pidfd, signal.SIGINT if said else signal.SIGTERM)
        if not said:
            self._unwatch(link)

    def _report(self, pidfd: int) -> None:
        link, pid = self._children.pop(pidfd), self._pids.pop(pidfd)
        _, status = os.waitpid(pid, 0)
        code = os.waitstatus_to_exitcode(status)
        self._unwatch(pidfd)
        self._unwatch(link)
        with contextlib.suppress(OSError):  # gone meanwhile; nobody wants to know
            link.send(str(code if code >= 0 else 128 - code).encode())
        link.close()
        os.close(pidfd)


def _send(pidfd: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # it has ended, and is about to be reported
        signal.pidfd_send_signal(pidfd, number)


def _preload() -> None:
    """Import and build everything that commands use; nothing of it is copied until a command writes to it."""
    for name in ("rich.table", *(f"distwright.cli.{name}" for name in _PRELOADED)):
        importlib.import_module(name)
    for table in _subclasses(Table):
        table.model_rebuild()
    gc.collect()
    gc.freeze()


def _subclasses(table: type[Table]) -> Iterator[type[Table]]:
    for below in table.__subclasses__():
        yield below
        yield from _subclasses(below)


def _read_request(link: socket.socket) -> tuple[Mapping[str, object], list[int]]:
    """Read what is asked, with its files; nothing if it is not of our user, or no request."""
    files: list[int] = []
    try:
        _, uid, _ = struct.unpack("3i", link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
        content, files, _, _ = socket.recv_fds(link, _REQUEST_BYTES, 3)
        values = json.loads(content) if uid == os.geteuid() else None
    except (OSError, ValueError, RecursionError):
        return {}, files
    return values if isinstance(values, dict) else {}, files


def _run_command(
    command: Callable[[], None], values: Mapping[str, object], files: list[int], link: socket.socket, server: int
) -> None:
    """Be the command: take its files, folder, umask and environment; never return."""
    code = 70
    try:
        os.setsid()  # Ctrl-C where `serve` runs is not for this; and it may read from the terminal of who asked
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGINT, 0, 0, 0)
        if os.getppid() != server:
            os.kill(os.getpid(), signal.SIGINT)
        held = os.dup(link.fileno())  # until we end; no program that we start has it
        for number, file in enumerate(files):
            os.dup2(file, number)
        os.closerange(3, held)
        os.closerange(held + 1, os.sysconf("SC_OPEN_MAX"))
        code = _call(command, values)
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        except (OSError, ValueError):
            code = code or 1
        os._exit(code)


def _call(command: Callable[[], None], values: Mapping[str, object]) -> int:
    words, environment = values["words"], values["environment"]
    assert isinstance(words, list)  # noqa: S101  # what cli/asking.py of the same code sends
    assert isinstance(environment, dict)  # noqa: S101  # as above
    os.chdir(str(values["folder"]))
    os.umask(int(str(values["umask"])))
    os.environ.clear()
    os.environ.update({str(name): str(value) for name, value in environment.items()})
    time.tzset()
    tempfile.tempdir = None  # found once, by what TMPDIR was
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115  # an open descriptor, for good
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False, buffering=1)  # noqa: SIM115  # as above
    sys.argv = ["distwright", *map(str, words)]
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _PASSED_ON)
        command()
    except KeyboardInterrupt:
        return _INTERRUPTED
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    return 0
