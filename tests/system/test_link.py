"""A conversation over two pipes: what comes, what does not, and what happens when the other side is gone."""

import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import pytest

from distwright.errors import BadInput, Interrupted, Unreachable
from distwright.formats.frames import PIECE_BYTES, Note, Piece, note_frame, piece_frame
from distwright.tools.link import Link

pytestmark = pytest.mark.system


@dataclass
class Ends:
    """Both ends of what a link hears, speaks, and hears beside."""

    hears: tuple[int, int] = field(default_factory=os.pipe)
    speaks: tuple[int, int] = field(default_factory=os.pipe)
    said: tuple[int, int] = field(default_factory=os.pipe)

    def link(self, *, silence_s: float = 20.0, beat_s: float = 20.0) -> Link:
        """Give our side."""
        return Link(self.hears[0], self.speaks[1], said=self.said[0], silence_s=silence_s, beat_s=beat_s)


@pytest.fixture
def ends() -> Iterator[Ends]:
    ends = Ends()
    yield ends
    for descriptor in (*ends.hears, *ends.speaks, *ends.said):
        with suppress(OSError):
            os.close(descriptor)


def test_notes_and_pieces_are_heard_in_order_and_signs_of_life_are_not(ends: Ends) -> None:
    os.write(ends.hears[1], note_frame("still") + note_frame("a", of=1) + note_frame("still") + piece_frame(1, b"x"))
    with ends.link() as link:
        assert link.hear(5) == Note("a", {"say": "a", "of": 1})
        assert link.hear(5) == Piece(1, b"x")
        assert link.hear(0) is None


def test_what_is_sent_comes_whole_from_several_threads(ends: Ends) -> None:
    content = os.urandom(PIECE_BYTES * 3 + 7)
    with ends.link() as link, Link(ends.speaks[0], ends.hears[1]) as other:
        threads = [threading.Thread(target=link.give, args=(number, content)) for number in range(4)]
        for thread in threads:
            thread.start()
        came: dict[int, bytes] = dict.fromkeys(range(4), b"")
        while sum(map(len, came.values())) < 4 * len(content):
            frame = other.hear(20)
            assert isinstance(frame, Piece)
            came[frame.of] += frame.content
        for thread in threads:
            thread.join()
    assert set(came.values()) == {content}


def test_end_is_told_with_the_last_words(ends: Ends) -> None:
    os.write(ends.said[1], b"first\nssh: connect to host: Connection refused\r\n")
    os.close(ends.said[1])
    os.close(ends.hears[1])
    with (
        ends.link() as link,
        pytest.raises(Unreachable, match=r"^the connection ended: 'ssh: connect to host: Connection"),
    ):
        link.hear(5)


def test_end_in_the_middle_of_a_frame_is_told(ends: Ends) -> None:
    os.write(ends.hears[1], note_frame("a")[:-1])
    os.close(ends.hears[1])
    os.close(ends.said[1])
    with ends.link() as link, pytest.raises(Unreachable, match="in the middle of a frame"):
        link.hear(5)


def test_silence_is_noticed_also_if_half_a_frame_comes_now_and_then(ends: Ends) -> None:
    """A byte is no sign of life: only a whole frame is."""
    stop = threading.Event()

    def drip() -> None:
        for byte in note_frame("a" * 10_000):
            if stop.wait(0.05):
                return
            os.write(ends.hears[1], bytes([byte]))

    thread = threading.Thread(target=drip)
    thread.start()
    with ends.link(silence_s=1.0) as link, pytest.raises(Unreachable, match="nothing was heard for 1 s"):
        link.hear(60)
    stop.set()
    thread.join()


def test_other_side_that_takes_nothing_is_given_up(ends: Ends) -> None:
    with ends.link(silence_s=1.0) as link:
        with pytest.raises(Unreachable, match="nothing was taken for 1 s"):
            link.give(1, bytes(1 << 20))
        assert link.is_over
        with pytest.raises(Unreachable, match="is over"):
            link.say("more")


def test_who_sends_can_be_interrupted(ends: Ends) -> None:
    def look() -> None:
        raise Interrupted("cancelled", hint="try again")

    with ends.link() as link, pytest.raises(Interrupted):
        link.give(1, bytes(1 << 20), look=look)


def test_other_side_that_is_gone_takes_nothing(ends: Ends) -> None:
    os.close(ends.speaks[0])
    with ends.link() as link, pytest.raises(Unreachable, match="Broken pipe"):
        link.say("a")


def test_it_says_that_it_is_there(ends: Ends) -> None:
    with ends.link(beat_s=0.01):
        assert os.read(ends.speaks[0], 100).startswith(note_frame("still"))


def test_garbage_is_refused(ends: Ends) -> None:
    os.write(ends.hears[1], b"Welcome to Debian\n")
    with ends.link() as link, pytest.raises(BadInput, match="is no frame"):
        link.hear(5)


def test_what_came_before_garbage_is_heard_first(ends: Ends) -> None:
    os.write(ends.hears[1], note_frame("begun") + b"garbage")
    with ends.link() as link:
        assert link.hear(5) == Note("begun", {"say": "begun"})
        for _ in range(2):
            with pytest.raises(BadInput, match="is no frame"):
                link.hear(5)


def test_parting_ends_with_the_other_side(ends: Ends) -> None:
    os.close(ends.said[1])
    closing = threading.Timer(0.2, os.close, (ends.hears[1],))
    closing.start()
    with ends.link() as link:
        link.part("bye")
    closing.join()
    assert os.read(ends.speaks[0], 100) == note_frame("bye")
