"""What programs printed, as text that cannot harm who looks at it and is not too long to look at."""

import re
from typing import BinaryIO

MOST_BYTES = 2 << 20
MOST_OF_A_LINE = 1 << 16
_CHUNK = 1 << 20
# Sequences of ECMA-48 that a terminal would obey: CSI, strings (OSC, DCS, APC, PM, SOS) with what they say, and the short ones.
_OBEYED = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|\x1b[]PX^_][^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]"
)
# Controls but tab and newline; marks that turn the direction of writing, or show nothing (as in Trojan Source, CVE-2021-42574).
_HARMFUL = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
LEFT_OUT = re.compile(r"\[\.\.\. (\d+) lines left out \.\.\.\]")


def harmless(content: bytes) -> str:
    """Decode what a program printed: no byte of it is a command to a terminal, and a lone carriage return ends a line."""
    text = content.decode(errors="replace").replace("\r\n", "\n").replace("\r", "\n")
    return _HARMFUL.sub("\ufffd", _OBEYED.sub("", text))


class HarmlessText:
    """Harmless text of bytes that come one after another: given by whole lines, so that no sign or sequence is cut in two."""

    def __init__(self) -> None:
        """Begin at the beginning of a line."""
        self._left = b""

    def feed(self, content: bytes) -> str:
        """Give what is whole by now; of a line without end, MOST_OF_A_LINE bytes at once."""
        whole = self._left + content
        # a carriage return at the very end may be half of a line's end
        end = max(whole.rfind(b"\n"), whole.rfind(b"\r", 0, max(0, len(whole) - 1))) + 1
        if len(whole) - end > MOST_OF_A_LINE:
            end = len(whole)
        self._left = whole[end:]
        return harmless(whole[:end])

    def rest(self) -> str:
        """Give what is left of the last line."""
        left, self._left = self._left, b""
        return harmless(left)


def log_text(file: BinaryIO, most_bytes: int = MOST_BYTES) -> str:
    """Read a log as harmless text; of a longer one the middle is left out, with a line that says how many lines that were.

    Takes most_bytes of memory and some, however long the log is.
    """
    size = file.seek(0, 2)  # to the end (io.SEEK_END)
    file.seek(0)
    if size <= most_bytes:
        return harmless(file.read())
    half = most_bytes // 2
    head = file.read(half)
    whole = head[: head.rfind(b"\n") + 1] or head  # to the end of a line, if it has one
    end, lines = size - half, head[len(whole) :].count(b"\n")
    while (left := end - file.tell()) > 0:
        lines += file.read(min(_CHUNK, left)).count(b"\n")
    tail = file.read()
    rest = tail[tail.find(b"\n") + 1 :]
    lines += tail[: len(tail) - len(rest)].count(b"\n")
    begun = harmless(whole)
    begun += "" if begun.endswith("\n") else "\n"
    return f"{begun}[... {lines} lines left out ...]\n{harmless(rest)}"
