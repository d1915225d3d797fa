"""Pictures: formats, comparison with a part, films."""

import random
import struct
import zlib

import pytest

from distwright.images.driving.film import FRAMES_LIMIT, Film
from distwright.images.driving.patience import DrivingError
from distwright.images.driving.pictures import Needle, Picture, chunk, find_part
from distwright.images.driving.reading import has_words, large_and_dark

SCREEN = Picture(40, 30, random.Random(9).randbytes(3600))  # noqa: S311  # only has to look like nothing else


def cut(picture: Picture, x: int, y: int, width: int, height: int) -> Picture:
    rows = [row[3 * x : 3 * (x + width)] for row in picture.rows()[y : y + height]]
    return Picture(width, height, b"".join(rows))


def png(width: int, height: int, colours: int, raw: bytes, depth: int = 8) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, 0)
    half = len(packed := zlib.compress(raw)) // 2
    parts = (
        chunk(b"IHDR", header),
        chunk(b"tEXt", b"a\0b"),
        chunk(b"IDAT", packed[:half]),
        chunk(b"IDAT", packed[half:]),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + chunk(b"IEND", b"")


def test_a_picture_of_qemu_becomes_a_png_and_is_read_again() -> None:
    ppm = b"P6\n40 30\n255\n" + SCREEN.pixels
    assert Picture.from_ppm(ppm) == SCREEN
    assert Needle.from_png(SCREEN.to_png()) == Needle(SCREEN, b"\xff" * 1200)


@pytest.mark.parametrize("end", [0, 2, 8, 12, 500])
def test_what_is_no_picture_of_qemu_is_refused(end: int) -> None:
    with pytest.raises(DrivingError):
        Picture.from_ppm((b"P6\n40 30\n255\n" + SCREEN.pixels)[:end])


def test_every_filter_of_a_png_is_undone() -> None:
    # Two rows of grey, written by hand: 10 20 30, then 11 22 33 by each filter of the second row.
    seconds = {
        0: bytes((11, 22, 33)), 1: bytes((11, 11, 11)), 2: bytes((1, 2, 3)),
        3: bytes((11 - 5, 22 - 15, 33 - 26)), 4: bytes((1, 22 - 20, 33 - 30)),
    }  # fmt: skip
    for kind, second in seconds.items():
        raw = b"\0" + bytes((10, 20, 30)) + bytes((kind,)) + second
        pixels = Needle.from_png(png(3, 2, 0, raw)).picture.pixels
        assert pixels[::3] == bytes((10, 20, 30, 11, 22, 33)), kind
        assert pixels[::3] == pixels[1::3] == pixels[2::3]


def test_clear_pixels_of_a_png_do_not_count() -> None:
    raw = b"\0" + bytes((1, 2, 3, 255, 4, 5, 6, 0))
    assert Needle.from_png(png(2, 1, 6, raw)) == Needle(Picture(2, 1, bytes((1, 2, 3, 4, 5, 6))), b"\xff\0")


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\x89PNG\r\n\x1a\n", SCREEN.to_png()[:60], b"GIF89a" + SCREEN.to_png()[6:], png(3, 1, 3, b"\0abc"),
        png(3, 1, 0, b"\0abc", depth=16), png(5000, 1, 0, b"\0" + bytes(5000)), png(3, 1, 0, b"\x09abc"), png(3, 2, 0, b"\0abc"),
    ],
)  # fmt: skip
def test_a_png_that_is_not_read_is_refused(content: bytes) -> None:
    with pytest.raises(DrivingError):
        Needle.from_png(content)


def test_a_part_is_found_where_it_is_and_nowhere_else() -> None:
    part = Needle(cut(SCREEN, 11, 7, 9, 5), b"\xff" * 45)
    assert find_part(SCREEN, part) == (11, 7)
    changed = bytearray(part.picture.pixels)
    changed[0:3] = b"\xfe\xfe\xfe"  # one pixel of 45: 97.8 % are alike
    almost = Needle(Picture(9, 5, bytes(changed)), part.counts)
    assert find_part(SCREEN, almost) == (11, 7)
    assert find_part(SCREEN, almost, alike=0.99) is None
    assert find_part(Picture(40, 30, bytes(3600)), part) is None
    assert find_part(cut(SCREEN, 0, 0, 8, 30), part) is None


def test_what_a_needle_leaves_clear_may_be_anything() -> None:
    part = cut(SCREEN, 3, 3, 10, 4)
    pixels = bytearray(part.pixels)
    pixels[0:60] = bytes(60)  # half of all pixels, in the two upper rows
    assert find_part(SCREEN, Needle(Picture(10, 4, bytes(pixels)), b"\xff" * 40)) is None
    assert find_part(SCREEN, Needle(Picture(10, 4, bytes(pixels)), bytes(20) + b"\xff" * 20)) == (3, 3)


def test_a_needle_of_one_colour_is_found_nowhere() -> None:
    assert find_part(Picture(10, 10, bytes(300)), Needle(Picture(2, 2, bytes(12)), b"\xff" * 4)) is None


def chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    found, at = [], 8
    while at < len(content):
        length = int.from_bytes(content[at : at + 4], "big")
        body = content[at + 4 : at + 8 + length]
        assert int.from_bytes(content[at + 8 + length : at + 12 + length], "big") == zlib.crc32(body)
        found.append((body[:4], body[4:]))
        at += 12 + length
    return found


def test_a_film_shows_each_picture_as_long_as_it_was_there() -> None:
    film, small = Film(), Picture(2, 1, b"abcdef")
    for picture in (SCREEN, SCREEN, small, SCREEN):
        film.add(picture)
    found = chunks(film.to_png())
    assert [name for name, _ in found] == [
        b"IHDR",
        b"acTL",
        b"fcTL",
        b"IDAT",
        b"fcTL",
        b"fdAT",
        b"fcTL",
        b"fdAT",
        b"IEND",
    ]
    delays = [struct.unpack(">HH", body[20:24]) for name, body in found if name == b"fcTL"]
    assert delays == [(2000, 1000), (1000, 1000), (1000, 1000)]
    numbers = [int.from_bytes(body[:4], "big") for name, body in found if name in (b"fcTL", b"fdAT")]
    assert numbers == [0, 1, 2, 3, 4]
    [second, _] = [zlib.decompress(body[4:]) for name, body in found if name == b"fdAT"]
    assert second[:10] == b"\0abcdef\0\0\0"
    assert len(second) == 30 * 121
    assert Film().to_png() == b""


def test_of_a_film_that_is_too_large_the_end_is_kept() -> None:
    film = Film()
    for number in range(20):
        film.add(Picture(64, 64, random.Random(number).randbytes(3 * 64 * 64)))  # noqa: S311  # as above
    whole = film.to_png()
    assert len(chunks(whole)) == len(chunks(film.to_png(len(whole) + 20 * 200)))
    part = film.to_png(len(whole) // 2)
    assert len(part) <= len(whole) // 2
    frames = [content for name, content in chunks(part) if name in (b"IDAT", b"fdAT")]
    assert 5 < len(frames) < 10
    assert zlib.decompress(frames[-1][4:]) == zlib.decompress(
        [c for name, c in chunks(whole) if name == b"fdAT"][-1][4:]
    )
    assert film.to_png(100) == b""


def test_a_long_film_stays_short_and_keeps_its_length() -> None:
    film = Film()
    for number in range(5 * FRAMES_LIMIT):
        film.add(Picture(1, 1, struct.pack(">I", number)[1:]))
    assert len(film.frames) <= FRAMES_LIMIT
    assert sum(shown for _, shown in film.frames) == 5 * FRAMES_LIMIT * 1000


def test_a_dark_screen_is_read_as_light_paper_three_times_as_large() -> None:
    assert (
        large_and_dark(Picture(2, 1, bytes((0, 0, 0, 0, 40, 0))))
        == b"P5\n6 3\n255\n" + bytes((255,) * 3 + (215,) * 3) * 3
    )
    light = large_and_dark(Picture(1, 1, b"\xff\xff\xff"))
    assert light.endswith(b"\xff" * 9)


def test_letters_that_look_alike_and_spaces_are_the_same_on_a_screen() -> None:
    read = "PetreI  greets\nyou fr0m Deb1an"
    assert has_words(read, "Petrel greets you from Debian")
    assert not has_words(read, "Petrel greets me")
