"""A film of a screen: an animated PNG, which every browser plays. Source: the W3C's PNG specification, third edition."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from .pictures import Picture, chunk

FRAMES_LIMIT = 240
_LONGEST_MS = 60_000
_PNG_BYTES = 128  # at most: of what is written around a picture, and around all


@dataclass(slots=True)
class Film:
    """Pictures with how long each was shown (ms). Equal neighbours are one; of too many, every second goes."""

    frames: list[tuple[Picture, int]] = field(default_factory=list)
    step: int = 1
    _skipped: int = 0

    def add(self, picture: Picture, shown_ms: int = 1000) -> None:
        """Add what was on the screen next."""
        if self.frames and (self.frames[-1][0] == picture or self._skipped + 1 < self.step):
            last, shown = self.frames[-1]
            self._skipped += 1
            self.frames[-1] = (last, shown + shown_ms)
            return
        self._skipped = 0
        self.frames.append((picture, shown_ms))
        if len(self.frames) > FRAMES_LIMIT:
            self.step *= 2
            pairs = zip(self.frames[::2], [*self.frames[1::2], None], strict=False)
            self.frames = [(first[0], first[1] + (second[1] if second else 0)) for first, second in pairs]

    def to_png(self, limit_bytes: int = 1 << 30) -> bytes:
        """Write it, each picture in the upper left of a screen that is as large as the largest; b"" of none.

        limit_bytes: as much of its end as fits is written; b"" if not even the last picture does.
        """
        if not self.frames:
            return b""
        width = max(picture.width for picture, _ in self.frames)
        height = max(picture.height for picture, _ in self.frames)
        last, left = list[tuple[bytes, int]](), limit_bytes - _PNG_BYTES
        for picture, shown_ms in reversed(self.frames):
            packed = _padded(picture, width, height).packed(3)
            left -= len(packed) + _PNG_BYTES
            if left < 0:
                break
            last.append((packed, shown_ms))
        return _animated(width, height, last[::-1]) if last else b""


def _animated(width: int, height: int, frames: Sequence[tuple[bytes, int]]) -> bytes:
    """Put compressed pictures of one size together."""
    out = [b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))]
    out.append(chunk(b"acTL", struct.pack(">II", len(frames), 1)))
    number = 0
    for index, (packed, shown_ms) in enumerate(frames):
        delay = (min(shown_ms, _LONGEST_MS), 1000)
        out.append(chunk(b"fcTL", struct.pack(">IIIIIHHBB", number, width, height, 0, 0, *delay, 0, 0)))
        number += 1
        if index == 0:
            out.append(chunk(b"IDAT", packed))
        else:
            out.append(chunk(b"fdAT", struct.pack(">I", number) + packed))
            number += 1
    return b"".join([*out, chunk(b"IEND", b"")])


def _padded(picture: Picture, width: int, height: int) -> Picture:
    if (picture.width, picture.height) == (width, height):
        return picture
    beside = bytes(3 * (width - picture.width))
    rows = [row + beside for row in picture.rows()]
    return Picture(width, height, b"".join(rows) + bytes(3 * width * (height - picture.height)))
