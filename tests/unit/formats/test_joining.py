"""Pieces that were compressed one by one, joined: one ordinary file of each format, whatever the pieces are."""

import gzip
import io
import lzma
import random
import zlib
from collections.abc import Sequence

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from distwright.formats.joining import GZIP_START, XzBlock, XzStream, deflate_piece, gzip_end, xz_block

TEXT = b"Package: petrel\nVersion: 1.0\n\n"


def joined_xz(pieces: Sequence[bytes], preset: int = 0) -> bytes:
    stream = XzStream()
    return b"".join([stream.start(), *(stream.add(xz_block(piece, preset=preset)) for piece in pieces), stream.end()])


def joined_gzip(pieces: Sequence[bytes]) -> bytes:
    whole = b"".join(pieces)
    packed = [deflate_piece(piece, level=6) for piece in pieces]
    return b"".join([GZIP_START, *packed, gzip_end(crc=zlib.crc32(whole), size=len(whole))])


def joined_zstd(pieces: Sequence[bytes]) -> bytes:
    compressor = zstandard.ZstdCompressor(level=6, write_checksum=False)
    return b"".join(compressor.compress(piece) for piece in pieces)


def from_one_xz_stream(data: bytes) -> bytes:
    reader = lzma.LZMADecompressor(lzma.FORMAT_XZ)
    text = reader.decompress(data)
    assert (reader.eof, reader.unused_data) == (True, b""), "it is not one stream"
    return text


def from_one_gzip_member(data: bytes) -> bytes:
    reader = zlib.decompressobj(wbits=31)
    text = reader.decompress(data)
    assert (reader.eof, reader.unused_data) == (True, b""), "it is not one member"
    assert gzip.decompress(data) == text
    return text


def from_zstd_frames(data: bytes) -> bytes:
    with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data), read_across_frames=True) as reader:
        return reader.read()


def assert_joined(pieces: Sequence[bytes]) -> None:
    whole = b"".join(pieces)
    assert from_one_xz_stream(joined_xz(pieces)) == whole
    assert from_one_gzip_member(joined_gzip(pieces)) == whole
    assert from_zstd_frames(joined_zstd(pieces)) == whole


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=40), st.integers(0, 3000).map(TEXT.__mul__)), max_size=9))
def test_joined_pieces_unpack_to_the_whole(pieces: list[bytes]) -> None:
    assert_joined(pieces)


@pytest.mark.parametrize(
    "pieces",
    [[], [b""], [b"", b"", b""], [TEXT], [b"", TEXT, b""], [b"x"] * 3000, [TEXT * 20_000, b"", TEXT]],
    ids=["none", "an empty one", "empty ones", "one", "one among empty ones", "very many", "a large one"],
)
def test_few_and_many_and_empty_pieces_unpack_to_the_whole(pieces: list[bytes]) -> None:
    assert_joined(pieces)


def test_pieces_that_do_not_compress_unpack_to_the_whole() -> None:
    chance = random.Random(1)  # noqa: S311  # the same bytes each time
    assert_joined([chance.randbytes(size) for size in (1, 65_535, 65_536, 65_537, 1 << 20)])


@pytest.mark.parametrize("size", [1, 4095, 4096, 4097, 65_536, 65_537])
def test_a_piece_needs_a_dictionary_no_larger_than_itself(size: int) -> None:
    chance = random.Random(size)  # noqa: S311  # the same bytes each time
    pieces = [chance.choices(b"abcd", k=size), chance.choices(b"abcd", k=size)]
    data = joined_xz([bytes(piece) for piece in pieces], 6)
    reader = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=1 << 20)
    assert reader.decompress(data) == b"".join(map(bytes, pieces))


def test_every_preset_of_xz_gives_a_block_that_can_be_joined() -> None:
    for preset in range(10):
        assert from_one_xz_stream(joined_xz([TEXT * 50, TEXT], preset)) == TEXT * 51


def test_a_block_knows_its_sizes_and_an_empty_piece_is_none() -> None:
    block = xz_block(TEXT * 100, preset=2)
    assert (block.plain, len(block.content) - block.unpadded in range(4)) == (len(TEXT) * 100, True)
    assert xz_block(b"", preset=2) == XzBlock(b"", 0, 0)
    assert XzStream().add(XzBlock(b"", 0, 0)) == b""


def test_the_same_pieces_give_the_same_bytes() -> None:
    pieces = [TEXT * 9, b"", TEXT]
    assert [joined_xz(pieces), joined_gzip(pieces)] == [joined_xz(pieces), joined_gzip(pieces)]


def test_a_damaged_byte_anywhere_is_noticed_by_readers() -> None:
    good_xz, good_gzip = joined_xz([TEXT, TEXT * 3]), joined_gzip([TEXT, TEXT * 3])
    for at in range(len(good_xz)):
        with pytest.raises((lzma.LZMAError, EOFError)):
            lzma.decompress(good_xz[:at] + bytes([good_xz[at] ^ 0x55]) + good_xz[at + 1 :], lzma.FORMAT_XZ)
    for at in range(10, len(good_gzip)):
        with pytest.raises((zlib.error, EOFError, OSError)):
            gzip.decompress(good_gzip[:at] + bytes([good_gzip[at] ^ 0x55]) + good_gzip[at + 1 :])
