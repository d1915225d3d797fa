"""Frames of a conversation over a pipe: notes (small JSON objects that say what they are) and pieces of bytes.

A frame is four bytes of length (big endian), one sign, and that many bytes: `J` and a note, or `P`, the number that a note gave to
what the piece is of (eight bytes, big endian), and the piece, a byte at least. Whoever reads decides how long a frame may be; what
is longer is refused before it is read.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from distwright.errors import BadInput, quoted
from distwright.model import plain
from distwright.model.digests import Json

PIECE_BYTES = 1 << 18
NOTE_LIMIT_BYTES = 16 << 20  # of who is trusted; plans have scripts in them
_HEAD, _NUMBER = 5, 8
_HINT = "use the same version of distwright on both machines"


@dataclass(frozen=True, slots=True)
class Note:
    """One note. says: what it is; values: all members, `say` among them."""

    says: str
    values: plain.Plain


@dataclass(frozen=True, slots=True)
class Piece:
    """Some bytes of something. of: its number."""

    of: int
    content: bytes


def note_frame(says: str, **values: Json) -> bytes:
    """Write a note."""
    text = json.dumps({"say": says, **values}, separators=(",", ":")).encode()
    return len(text).to_bytes(4, "big") + b"J" + text


def piece_frame(of: int, content: bytes) -> bytes:
    """Write a piece, of 1 to PIECE_BYTES bytes."""
    return (len(content) + _NUMBER).to_bytes(4, "big") + b"P" + of.to_bytes(_NUMBER, "big") + content


class FrameReader:
    """Puts frames together again from bytes as they come. Memory: one frame."""

    def __init__(self, note_limit_bytes: int = NOTE_LIMIT_BYTES) -> None:
        """Let notes have at most so many bytes."""
        self._note_limit_bytes = note_limit_bytes
        self._buffer = bytearray()

    @property
    def is_between(self) -> bool:
        """Whether no frame has begun that has not ended."""
        return not self._buffer

    def feed(self, content: bytes) -> Iterator[Note | Piece]:
        """Give the frames that are whole by now, in order. Raises BadInput at the first one that is none."""
        self._buffer += content
        while len(self._buffer) >= _HEAD:
            size, sign = int.from_bytes(self._buffer[:4], "big"), bytes(self._buffer[4:_HEAD])
            if sign not in (b"J", b"P"):
                raise BadInput(
                    f"what came begins with {quoted(repr(bytes(self._buffer[:16])))} and is no frame", hint=_HINT
                )
            limit = self._note_limit_bytes if sign == b"J" else PIECE_BYTES + _NUMBER
            if size > limit or (sign == b"P" and size <= _NUMBER):
                raise BadInput(f"a frame of {size} bytes came, {limit} are the most", hint=_HINT)
            if len(self._buffer) < _HEAD + size:
                return
            body = bytes(self._buffer[_HEAD : _HEAD + size])
            del self._buffer[: _HEAD + size]
            yield _note(body) if sign == b"J" else Piece(int.from_bytes(body[:_NUMBER], "big"), body[_NUMBER:])


def _note(body: bytes) -> Note:
    try:
        values = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"a note came that is no JSON: {quoted(str(error))}", hint=_HINT) from error
    if not isinstance(values, dict) or not isinstance(values.get("say"), str):
        raise BadInput(f"a note came that says nothing: {quoted(repr(values))}", hint=_HINT)
    return Note(values["say"], values)
