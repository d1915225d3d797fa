"""The serial line: what the machine has printed so far, and what is typed."""

import codecs
import io
import re
import select
import socket
from collections.abc import Mapping

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[()][0-9A-B]|[=>78cDEHM])")
_UNFINISHED = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|\][^\x07\x1b]*\x1b?|[()])?\Z")
_UNFINISHED_LIMIT = 200  # what looks like the beginning of an escape sequence and goes on for longer is none
KEPT_LIMIT = 16 << 20  # signs; a machine that prints more in one scenario does nothing else
KEYS: Mapping[str, str] = {
    "enter": "\r", "escape": "\x1b", "up": "\x1b[A", "down": "\x1b[B", "right": "\x1b[C", "left": "\x1b[D", "end": "\x05",
    "tab": "\t", "ctrl-c": "\x03", "ctrl-d": "\x04", "ctrl-x": "\x18", "backspace": "\x7f",
}  # fmt: skip


class Serial:
    """A serial line: what was printed, without escape sequences and carriage returns. seen: how far a test has read.

    To look for something costs what is new since the last look, however much was printed. is_full: more was printed than is kept.
    """

    def __init__(self, connection: socket.socket, earlier: str = "") -> None:
        """Take over a connected socket. earlier: what was printed before the machine was saved."""
        connection.setblocking(False)  # noqa: FBT003  # its name is the method's
        self._connection = connection
        self._decode = codecs.getincrementaldecoder("utf-8")("replace")
        self._unfinished = ""
        self._printed = io.StringIO(newline="")
        self._printed.write(earlier)
        self.length = len(earlier)
        self.seen = 0
        self._looked: tuple[str, int, int] = ("", 0, 0)  # for what, from where, and up to where it is not
        self.is_closed = self.is_full = False

    @property
    def text(self) -> str:
        """All that was printed."""
        return self._printed.getvalue()

    def since(self, start: int, end: int | None = None) -> str:
        """Give what was printed from a place on, or between two."""
        self._printed.seek(start)
        return self._printed.read(-1 if end is None else max(end - start, 0))

    def pump(self, timeout_s: float) -> bool:
        """Read what is there, waiting for `timeout_s` at most; say whether there was something."""
        if self.is_closed:
            return False
        readable, _, _ = select.select([self._connection], [], [], timeout_s)
        if not readable:
            return False
        try:
            got = self._connection.recv(65536)
        except OSError:
            got = b""
        self.is_closed = not got
        text = self._cleaned(self._decode.decode(got))
        self.is_full = self.is_full or self.length + len(text) > KEPT_LIMIT
        if not self.is_full:
            self._printed.seek(self.length)
            self._printed.write(text)
            self.length += len(text)
        return bool(got)

    def send(self, text: str) -> None:
        """Type; what the machine does not take at once is waited for, while it prints."""
        left = memoryview(text.encode())
        while left and not self.is_closed:
            _, writable, _ = select.select([], [self._connection], [], 0.1)
            if writable:
                left = left[self._connection.send(left) :]
            else:
                self.pump(0)

    def find(self, wanted: str) -> bool:
        """Say whether a text was printed that no test has read yet; it is read then, with all before it."""
        start = self._looked[2] if self._looked[:2] == (wanted, self.seen) else self.seen
        at = self.since(start).find(wanted)
        if at >= 0:
            self.seen = start + at + len(wanted)
        else:
            self._looked = (wanted, self.seen, max(start, self.length - len(wanted) + 1))
        return at >= 0

    def waits_with(self, question: str) -> bool:
        """Say whether a question was the last that was printed."""
        return self.since(max(self.length - 200, 0)).rstrip(" ").endswith(question)

    def tail(self, lines: int = 15) -> str:
        """Give the last lines that hold something."""
        last = self.since(max(self.length - 8192, 0))
        return "\n".join([line for line in last.splitlines() if line.strip()][-lines:])

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
        self.is_closed = True

    def _cleaned(self, new: str) -> str:
        text = _ESCAPES.sub("", self._unfinished + new)
        match = _UNFINISHED.search(text)
        self._unfinished = "" if match is None or len(match[0]) > _UNFINISHED_LIMIT else match[0]
        return text[: len(text) - len(self._unfinished)].replace("\r", "").replace("\0", "")
