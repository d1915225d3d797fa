"""A conversation with another machine over two pipes: frames that are sent and heard, each side's sign of life, and patience.

Whoever is on the other side may be hostile: it may say nothing, take nothing, or talk without end. Nothing here waits for longer
than it says, and no frame is longer than its limit.
"""

import contextlib
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

from distwright.errors import BadInput, Unreachable, quoted
from distwright.formats.frames import NOTE_LIMIT_BYTES, PIECE_BYTES, FrameReader, Note, Piece, note_frame, piece_frame
from distwright.model.digests import Json

STILL = "still"  # what is said so that the other side knows that we are there
BEAT_S, SILENCE_S = 5.0, 60.0
_CHUNK, _POLL_S = 1 << 16, 0.2
_LAST_WORDS_BYTES, _LAST_WORDS_S = 4096, 2.0
_PART_S = 10.0
_HINT = "see that the machine is up, and what its sshd logs"


def _look_at_nothing() -> None:
    """Look at nothing."""


class Link:
    """One side of a conversation. Several threads may send; one may hear."""

    def __init__(
        self, hears: int, speaks: int, *, said: int | None = None, note_limit_bytes: int = NOTE_LIMIT_BYTES,
        silence_s: float = SILENCE_S, beat_s: float = BEAT_S,
    ) -> None:  # fmt: skip
        """Use two descriptors, which stay the caller's. said: one whose last words are kept, and dropped else.

        silence_s: after so long without a frame, or without a byte that is taken, the other side counts as gone; beat_s: how often
        we say that we are there.
        """
        self._hears, self._speaks, self._said = hears, speaks, said
        self._silence_s, self._beat_s = silence_s, beat_s
        self._reader = FrameReader(note_limit_bytes)
        self._heard: deque[Note | Piece] = deque()
        self._wrong: BadInput | None = None  # what came after that
        self._last_heard = time.monotonic()
        self._sending = threading.Lock()
        self._over = threading.Event()
        self._words = bytearray()
        self._beats = threading.Thread(target=self._beat, daemon=True)
        os.set_blocking(speaks, False)

    def __enter__(self) -> Self:
        """Begin to say now and then that we are there."""
        self._beats.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Say nothing more; whoever still sends gets Unreachable."""
        self._over.set()
        self._beats.join()

    @property
    def is_over(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._over.is_set()

    @property
    def last_words(self) -> str:
        """The last line that came beside the conversation (what ssh has to complain of), in quotes; "" for none."""
        self._gather_words(_LAST_WORDS_S if self._over.is_set() else 0)
        lines = bytes(self._words).decode(errors="replace").strip().splitlines()
        return quoted(lines[-1]) if lines else ""

    def say(self, says: str, *, look: Callable[[], None] = _look_at_nothing, **values: Json) -> None:
        """Send a note. look: called all the time while the other side takes nothing; may raise. Raises Unreachable."""
        self._send(note_frame(says, **values), look)

    def give(self, of: int, content: bytes, *, look: Callable[[], None] = _look_at_nothing) -> None:
        """Send bytes, in pieces. Raises Unreachable."""
        for begin in range(0, len(content), PIECE_BYTES):
            self._send(piece_frame(of, content[begin : begin + PIECE_BYTES]), look)

    def part(self, says: str) -> None:
        """Send a last note, and let the other side end by itself, for some seconds: once it has, it has taken all that was sent."""
        until = time.monotonic() + _PART_S
        with contextlib.suppress(Unreachable, BadInput):
            self.say(says)
            while time.monotonic() < until:
                self.hear(_POLL_S)

    def hear(self, timeout_s: float) -> Note | Piece | None:
        """Give the next frame; None if none is whole within so long. Signs of life are not given.

        Raises Unreachable when the other side has ended or is silent, BadInput for what is no frame.
        """
        until = time.monotonic() + timeout_s
        while not self._heard:
            if self._wrong is not None:
                raise self._wrong
            ready = self._ready(max(0.0, min(_POLL_S, until - time.monotonic())))
            if self._said in ready:
                self._gather_words(0)
            if self._hears in ready:
                self._take(os.read(self._hears, _CHUNK))
            if not self._heard and self._wrong is None and time.monotonic() - self._last_heard > self._silence_s:
                raise Unreachable(f"nothing was heard for {self._silence_s:.0f} s", hint=_HINT)
            if not self._heard and self._wrong is None and time.monotonic() >= until:
                return None
        return self._heard.popleft()

    def _ready(self, timeout_s: float) -> list[int]:
        wanted = [self._hears, *([] if self._said is None else [self._said])]
        return select.select(wanted, [], [], timeout_s)[0]

    def _take(self, content: bytes) -> None:
        if not content:
            self._over.set()
            where = "" if self._reader.is_between else " in the middle of a frame"
            words = self.last_words
            raise Unreachable(f"the connection ended{where}{': ' + words if words else ''}", hint=_HINT)
        try:
            for frame in self._reader.feed(content):
                self._last_heard = time.monotonic()
                if not isinstance(frame, Note) or frame.says != STILL:
                    self._heard.append(frame)
        except BadInput as error:
            self._wrong = error

    def _gather_words(self, patience_s: float) -> None:
        until = time.monotonic() + patience_s
        while self._said is not None and select.select([self._said], [], [], max(0, until - time.monotonic()))[0]:
            content = os.read(self._said, _CHUNK)
            if not content:
                self._said = None
            self._words += content
            del self._words[:-_LAST_WORDS_BYTES]

    def _send(self, frame: bytes, look: Callable[[], None]) -> None:
        with self._turn(look):
            try:
                self._send_whole(memoryview(frame), look)
            except BaseException:
                self._over.set()  # half a frame may be out: nothing can follow it
                raise

    def _send_whole(self, left: memoryview, look: Callable[[], None]) -> None:
        moved = time.monotonic()
        while left:
            look()
            if self._over.is_set():
                raise Unreachable("the conversation is over", hint=_HINT)
            if time.monotonic() - moved > self._silence_s:
                raise Unreachable(f"nothing was taken for {self._silence_s:.0f} s", hint=_HINT)
            try:
                if select.select([], [self._speaks], [], _POLL_S)[1]:
                    left = left[os.write(self._speaks, left[:_CHUNK]) :]
                    moved = time.monotonic()
            except BlockingIOError:
                continue
            except OSError as error:
                raise Unreachable(f"the connection ended: {error.strerror}", hint=_HINT) from error

    @contextlib.contextmanager
    def _turn(self, look: Callable[[], None]) -> Iterator[None]:
        while not self._sending.acquire(timeout=_POLL_S):
            look()
        try:
            yield
        finally:
            self._sending.release()

    def _beat(self) -> None:
        while not self._over.wait(self._beat_s):
            with contextlib.suppress(Unreachable):
                self.say(STILL)


def refused_note(note: Note | Piece | None, wanted: str) -> BadInput:
    """Say that something else came than what was wanted."""
    came = note.says if isinstance(note, Note) else "a piece" if isinstance(note, Piece) else "nothing"
    return BadInput(f"{quoted(came)} came where {wanted} was wanted", hint="use the same version of distwright on both")
