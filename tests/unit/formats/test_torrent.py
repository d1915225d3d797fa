"""Torrents of one file, against those that libtorrent makes."""

import hashlib
from io import BytesIO
from pathlib import Path
from typing import Any

import libtorrent
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distwright.errors import BadInput
from distwright.formats.torrent import bencode, hash_file, piece_length_of, torrent

KIB = 1024


def content_of(size: int) -> bytes:
    return hashlib.shake_256(b"image").digest(size)


def theirs(folder: Path, content: bytes, piece_length: int) -> Any:
    (folder / "image.iso").write_bytes(content)
    made = libtorrent.create_torrent([libtorrent.create_file_entry("image.iso", len(content))], piece_length)
    libtorrent.set_piece_hashes(made, str(folder))
    return libtorrent.load_torrent_buffer(libtorrent.bencode(made.generate()))


@pytest.mark.parametrize(
    "size",
    [1, 16 * KIB, 16 * KIB + 1, 40 * KIB, 1024 * KIB, 33 * 1024 * KIB + 5, 70 * 1024 * KIB, 100 * 1024 * KIB + 17],
)
def test_both_versions_have_the_hashes_that_libtorrent_finds(tmp_path: Path, size: int) -> None:
    content = content_of(size)
    hashes = hash_file(BytesIO(content), size)
    text = torrent(
        "image.iso", hashes, trackers=["udp://one.example", "udp://two.example"], web_seeds=["https://x/image.iso"]
    )
    ours, other = libtorrent.load_torrent_buffer(text), theirs(tmp_path, content, hashes.piece_length)
    assert (ours.info_hashes.v1, ours.info_hashes.v2) == (other.info_hashes.v1, other.info_hashes.v2)
    assert ours.merkle_tree == other.merkle_tree
    assert list(zip(ours.trackers, ours.tracker_tiers, strict=True)) == [
        ("udp://one.example", 0),
        ("udp://two.example", 1),
    ]
    assert ours.url_seeds == ["https://x/image.iso"]
    assert ours.ti is not None
    assert ours.ti.total_size() == size


def test_a_file_that_is_not_as_long_as_it_should_be_has_no_torrent() -> None:
    for content, size in ((b"abc", 4), (b"abc", 2), (b"", 0)):
        with pytest.raises(BadInput):
            hash_file(BytesIO(content), size)


def test_pieces_grow_with_the_file() -> None:
    sizes = [piece_length_of(1 << power) for power in range(50)]
    assert (sizes[0], sizes[-1], sizes) == (16 * KIB, 16 * KIB * KIB, sorted(sizes))


_VALUES = st.recursive(
    st.integers(-(2**62), 2**62) | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.binary(max_size=4), inner, max_size=4),
    max_leaves=20,
)


@given(_VALUES)
def test_what_is_written_is_read_by_libtorrent(value: Any) -> None:
    assert libtorrent.bencode(libtorrent.bdecode(bencode([value]))) == bencode([value])
