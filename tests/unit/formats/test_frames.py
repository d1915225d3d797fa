"""Frames: whatever way the bytes come, the same frames; and nothing longer than it may be is kept."""

from collections.abc import Sequence

import pytest

from distwright.errors import BadInput
from distwright.formats.frames import PIECE_BYTES, FrameReader, Note, Piece, note_frame, piece_frame

SENT: Sequence[Note | Piece] = (
    Note("find", {"say": "find", "of": 3, "path": "debian/dists/ä"}),
    Piece(3, b"\x00J" * 500),
    Piece(1 << 60, b"x"),
    Note("bye", {"say": "bye"}),
)
WRITTEN = (
    note_frame("find", of=3, path="debian/dists/ä")
    + piece_frame(3, b"\x00J" * 500)
    + piece_frame(1 << 60, b"x")
    + note_frame("bye")
)


@pytest.mark.parametrize("size", [1, 2, 7, 100, len(WRITTEN)])
def test_frames_come_out_as_they_went_in_however_they_were_cut(size: int) -> None:
    reader = FrameReader()
    found = [frame for begin in range(0, len(WRITTEN), size) for frame in reader.feed(WRITTEN[begin : begin + size])]
    assert found == list(SENT)
    assert reader.is_between


def test_reader_says_whether_a_frame_is_cut() -> None:
    for end in range(1, len(note_frame("bye"))):
        reader = FrameReader()
        assert list(reader.feed(note_frame("bye")[:end])) == []
        assert not reader.is_between


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"SSH-2.0-OpenSSH_9", "is no frame"),
        (b"\xff\xff\xff\xffJ", "4294967295 bytes came, 100 are the most"),
        (b"\x00\x00\x00\x65J", "101 bytes came, 100 are the most"),
        ((PIECE_BYTES + 9).to_bytes(4, "big") + b"P", f"{PIECE_BYTES + 9} bytes came"),
        (b"\x00\x00\x00\x07P1234567", "7 bytes came"),
        (b"\x00\x00\x00\x08P12345678", "8 bytes came"),
        (b"\x00\x00\x00\x02J{}", "says nothing"),
        (b"\x00\x00\x00\x02J[]", "says nothing"),
        (b'\x00\x00\x00\x09J{"say":1}', "says nothing"),
        (b"\x00\x00\x00\x02J{\xff", "no JSON"),
        (b"\x00\x00\x00\x00J", "no JSON"),
    ],
)
def test_what_is_no_frame_is_refused_before_it_is_whole(content: bytes, message: str) -> None:
    reader = FrameReader(note_limit_bytes=100)
    with pytest.raises(BadInput, match=message):
        list(reader.feed(content))


def test_frames_before_a_wrong_one_are_given() -> None:
    frames = FrameReader().feed(note_frame("bye") + b"garbage")
    assert next(frames) == Note("bye", {"say": "bye"})
    with pytest.raises(BadInput):
        next(frames)
