"""Pictures of a screen: read from QEMU, written as PNG, compared with a part that a test knows. Pure, but for no speed record.

Source: netpbm's ppm(5), and the PNG specification of the W3C.
"""

import struct
import zlib
from dataclasses import dataclass
from typing import Self

from .patience import DrivingError

SIDE_LIMIT = 4096
ALIKE = 0.95
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}  # of a PNG's colour types that we read
_CANDIDATES_LIMIT = 500
_HEADER_LIMIT = 100


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture. pixels: three bytes each (red, green, blue), row by row."""

    width: int
    height: int
    pixels: bytes

    @classmethod
    def from_ppm(cls, content: bytes) -> Self:
        """Read a PPM of kind P6. Raises DrivingError."""
        words = content[:_HEADER_LIMIT].split(maxsplit=4)
        if len(words) < 4 or words[0] != b"P6" or words[3] != b"255" or not (words[1] + words[2]).isdigit():
            raise DrivingError("the picture of the screen is no PPM")
        width, height = _checked(int(words[1]), int(words[2]))
        pixels = content[-3 * width * height :]
        if len(pixels) != 3 * width * height:
            raise DrivingError("the picture of the screen ends too soon")
        return cls(width, height, pixels)

    def rows(self) -> list[bytes]:
        """Give its rows."""
        length = 3 * self.width
        return [self.pixels[at : at + length] for at in range(0, len(self.pixels), length)]

    def to_png(self) -> bytes:
        """Write it as PNG."""
        header = struct.pack(">IIBBBBB", self.width, self.height, 8, 2, 0, 0, 0)
        return _SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", self.packed(6)) + chunk(b"IEND", b"")

    def packed(self, level: int) -> bytes:
        """Give the compressed rows of a PNG, none of them filtered."""
        return zlib.compress(b"".join(b"\0" + row for row in self.rows()), level)


@dataclass(frozen=True, slots=True)
class Needle:
    """A part of a screen that is looked for. counts: a byte for each pixel, 0 where anything may be: where its PNG is clear."""

    picture: Picture
    counts: bytes

    @classmethod
    def from_png(cls, content: bytes) -> Self:
        """Read a PNG of 8 bits a channel, not interlaced, without palette, of at most 4096 x 4096. Raises DrivingError."""
        width, height, channels, rows = _read_png(content)
        grey = channels < 3
        pixels, counts = bytearray(), bytearray()
        for row in rows:
            if grey:
                shade = row[::channels]
                triple = bytearray(3 * width)
                triple[0::3] = triple[1::3] = triple[2::3] = shade
                pixels += triple
            else:
                triple = bytearray(3 * width)
                triple[0::3], triple[1::3], triple[2::3] = row[0::channels], row[1::channels], row[2::channels]
                pixels += triple
            counts += row[channels - 1 :: channels] if channels in (2, 4) else b"\xff" * width
        return cls(Picture(width, height, bytes(pixels)), bytes(counts))


def find_part(screen: Picture, needle: Needle, alike: float = ALIKE) -> tuple[int, int] | None:
    """Say where the upper left corner of a needle is on the screen; None if it is not there.

    It is there if a row of it, of more than one colour and clear nowhere, is there exactly, and `alike` of all its pixels around.
    """
    part = needle.picture
    if part.width > screen.width or part.height > screen.height:
        return None
    screen_rows, rows, tried = screen.rows(), part.rows(), set[tuple[int, int]]()
    for number, row in enumerate(rows):
        clear = 0 in needle.counts[number * part.width : (number + 1) * part.width]
        if clear or row == row[:3] * part.width:
            continue
        for y in range(number, screen.height - part.height + number + 1):
            for x in _places(screen_rows[y], row):
                place = (x, y - number)
                if place in tried:
                    continue
                tried.add(place)
                if _share(screen_rows, needle, place) >= alike:
                    return place
                if len(tried) > _CANDIDATES_LIMIT:
                    return None
    return None


def _places(row: bytes, part: bytes) -> list[int]:
    found, at = [], row.find(part)
    while at >= 0:
        if at % 3 == 0:
            found.append(at // 3)
        at = row.find(part, at + 1)
    return found


def _share(screen_rows: list[bytes], needle: Needle, place: tuple[int, int]) -> float:
    """Say which share of the pixels of a needle that count is on the screen at a place."""
    x, y = place
    width, equal = needle.picture.width, 0
    for number, row in enumerate(needle.picture.rows()):
        there = screen_rows[y + number][3 * x : 3 * (x + width)]
        counts = needle.counts[number * width : (number + 1) * width]
        if there == row:
            equal += width - counts.count(0)
        else:
            equal += sum(
                bool(count) and there[3 * at : 3 * at + 3] == row[3 * at : 3 * at + 3]
                for at, count in enumerate(counts)
            )
    counted = len(needle.counts) - needle.counts.count(0)
    return equal / counted if counted else 0.0


def chunk(name: bytes, content: bytes) -> bytes:
    """Write a chunk of a PNG."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _checked(width: int, height: int) -> tuple[int, int]:
    if not (0 < width <= SIDE_LIMIT and 0 < height <= SIDE_LIMIT):
        raise DrivingError(f"a picture of {width} x {height} is none that we read")
    return width, height


def _read_png(content: bytes) -> tuple[int, int, int, list[bytes]]:
    """Give width, height, channels and the rows of a PNG."""
    try:
        return _unpacked(content)
    except (struct.error, zlib.error) as error:
        raise DrivingError(f"the picture is no PNG: {error}") from error


def _unpacked(content: bytes) -> tuple[int, int, int, list[bytes]]:
    width, height, depth, colours, _, _, interlaced = struct.unpack(">IIBBBBB", content[16:29])
    if content[:8] != _SIGNATURE or content[12:16] != b"IHDR" or depth != 8 or interlaced or colours not in _CHANNELS:
        raise DrivingError("want a PNG of 8 bits a channel, not interlaced, without palette")
    _checked(width, height)
    channels, at, packed = _CHANNELS[colours], 8, b""
    while at + 8 <= len(content):
        length = int.from_bytes(content[at : at + 4], "big")
        if content[at + 4 : at + 8] == b"IDAT":
            packed += content[at + 8 : at + 8 + length]
        at += 12 + length
    stride = channels * width + 1
    raw = zlib.decompressobj().decompress(packed, stride * height)
    if len(raw) != stride * height:
        raise DrivingError("the picture ends too soon")
    rows, above = [], bytes(stride - 1)
    for start in range(0, len(raw), stride):
        above = _unfiltered(raw[start], raw[start + 1 : start + stride], above, channels)
        rows.append(above)
    return width, height, channels, rows


def _unfiltered(kind: int, row: bytes, above: bytes, channels: int) -> bytes:
    if kind == 0:
        return row
    if kind > 4:
        raise DrivingError(f"a PNG has no filter {kind}")
    out = bytearray(row)
    for at in range(len(out)):
        left = out[at - channels] if at >= channels else 0
        corner = above[at - channels] if at >= channels else 0
        guess = (0, left, above[at], (left + above[at]) // 2, _paeth(left, above[at], corner))[kind]
        out[at] = (out[at] + guess) & 0xFF
    return bytes(out)


def _paeth(left: int, above: int, corner: int) -> int:
    guess = left + above - corner
    distances = (abs(guess - left), abs(guess - above), abs(guess - corner))
    return (left, above, corner)[distances.index(min(distances))]
