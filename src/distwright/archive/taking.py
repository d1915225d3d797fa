"""Take many package files in at once: read by as many processes as this machine has processors, answered in the order asked.

Reading is work in Python, which threads do not share. The readers are forked, have nothing of ours but the names of files, and end
when nobody listens to them any more.
"""

import os
import pickle
import signal
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import BinaryIO

from distwright.archive.intake import TakenDeb, take_deb
from distwright.archive.intake_source import TakenSource, take_source
from distwright.errors import BadInput, ProgramFailed, quoted
from distwright.store.adopting import FoundFile

Answer = TakenDeb | TakenSource | str  # a text says what is wrong with the file
_CHUNK = 64
_LENGTH = struct.Struct("<Q")
_parts = attrgetter(
    "file.path", "file.sha256", "file.size_bytes", "file.identity",
    "name", "version", "architecture", "component", "pool_path", "stanza", "translation",
)  # fmt: skip


def take_file(path: str) -> Answer:
    """Read one .deb, .udeb or .dsc."""
    try:
        return take_source(path) if path.endswith(".dsc") else take_deb(path)
    except BadInput as error:
        return error.message
    except OSError as error:
        return f"{quoted(path)} cannot be read: {error.strerror}"


def take_files(paths: Sequence[str], *, readers: int | None = None) -> Iterator[Answer]:
    """Read package files; give what each is, or what is wrong with it, in the order of `paths`.

    readers: processes, by default one for each processor that we may use; a few files are read right here. Raises ProgramFailed
    if a reader is killed.
    """
    count = len(os.sched_getaffinity(0)) if readers is None else readers
    if count < 2 or len(paths) <= _CHUNK * count:
        yield from map(take_file, paths)
        return
    chunks = [paths[start : start + _CHUNK] for start in range(0, len(paths), _CHUNK)]
    started: list[_Reader] = []
    try:
        for number in range(count):
            started.append(_start(chunks[number::count], started))
        for number in range(len(chunks)):
            yield from started[number % count].answers()
    finally:
        for reader in started:
            reader.end()


@dataclass(frozen=True, slots=True)
class _Reader:
    """A forked process, and what it says."""

    pid: int
    says: BinaryIO

    def answers(self) -> Iterator[Answer]:
        """Give what it made of its next chunk."""
        head = self.says.read(_LENGTH.size)
        content = self.says.read(_LENGTH.unpack(head)[0]) if len(head) == _LENGTH.size else b""
        if not content:
            raise ProgramFailed(
                "a process that read packages was ended from outside",
                hint="see whether memory ran out (dmesg), then run the same command again",
            )
        for parts in pickle.loads(content):  # noqa: S301  # written by our own fork
            yield TakenDeb(FoundFile(*parts[:4]), *parts[4:]) if isinstance(parts, tuple) else parts

    def end(self) -> None:
        """Be sure that it is gone."""
        self.says.close()
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def _start(chunks: Sequence[Sequence[str]], others: Sequence[_Reader]) -> _Reader:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        return _Reader(pid, os.fdopen(reading, "rb"))
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # who asked is interrupted too, and ends us
        os.close(reading)
        for other in others:
            other.says.close()  # else its writer would not notice that nobody listens
        with os.fdopen(writing, "wb") as says:
            _answer(chunks, says.write)
    finally:
        os._exit(0)  # nothing of the process that we were forked from may run its end in us


def _answer(chunks: Sequence[Sequence[str]], say: Callable[[bytes], object]) -> None:
    for chunk in chunks:
        answers = [take_file(path) for path in chunk]
        content = pickle.dumps([_parts(answer) if isinstance(answer, TakenDeb) else answer for answer in answers])
        say(_LENGTH.pack(len(content)))
        say(content)
