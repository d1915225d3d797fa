"""Ready pieces: made once, made again when they are damaged, better when there is time, gone with their leaf."""

import gzip
import lzma
import zlib
from pathlib import Path

import zstandard
from tests.unit.archive.test_tree import AMD64, entry, names

from distwright.archive.pieces import Pieces
from distwright.archive.tree import Leaf, build_tree
from distwright.formats.joining import GZIP_START, XzStream, gzip_end
from distwright.store.memory import MemoryObjects

OBJECTS = MemoryObjects()
ROOT = build_tree([entry(name, more="X: " + name * 30 + "\n") for name in names(400)], OBJECTS.put)
LEAVES = ROOT.lists[AMD64]


def unpacked(pieces: Pieces, leaf: Leaf) -> set[bytes]:
    """Unpack one leaf as a file of its own, in each form."""
    text = OBJECTS.read(leaf.digest)
    piece, stream = pieces.of_leaf(leaf, text), XzStream()
    xz = stream.start() + stream.add(piece.xz) + stream.end()
    gz = GZIP_START + piece.deflate + gzip_end(crc=zlib.crc32(text), size=len(text))
    return {
        lzma.decompress(xz),
        gzip.decompress(gz),
        zstandard.ZstdDecompressor().decompressobj().decompress(piece.zstd),
    }


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("??/*"))


def test_a_piece_is_the_leaf_in_three_forms_and_is_made_once(tmp_path: Path) -> None:
    pieces = Pieces(tmp_path, preset=2)
    for leaf in LEAVES:
        assert unpacked(pieces, leaf) == {OBJECTS.read(leaf.digest)}
    made = {file: file.stat().st_mtime_ns for file in files(tmp_path)}
    assert len(made) == len(LEAVES) > 1
    assert all(unpacked(pieces, leaf) == {OBJECTS.read(leaf.digest)} for leaf in LEAVES)
    assert {file: file.stat().st_mtime_ns for file in files(tmp_path)} == made


def test_many_pieces_made_at_once_are_those_made_one_by_one(tmp_path: Path) -> None:
    root = build_tree([entry(name) for name in names(4000)], OBJECTS.put)
    leaves = root.lists[AMD64]
    assert len(leaves) > 20
    one, many = Pieces(tmp_path / "one", preset=1), Pieces(tmp_path / "many", preset=1)
    made = [one.of_leaf(leaf, OBJECTS.read(leaf.digest)) for leaf in leaves]
    many.make_ready(leaves, OBJECTS.read)
    ready = {file: file.stat().st_mtime_ns for file in files(tmp_path / "many")}
    assert len(ready) == len(leaves)
    assert [many.of_leaf(leaf, OBJECTS.read(leaf.digest)) for leaf in leaves] == made
    many.make_ready(leaves, OBJECTS.read)
    assert {file: file.stat().st_mtime_ns for file in files(tmp_path / "many")} == ready


def test_a_damaged_piece_is_made_again(tmp_path: Path) -> None:
    pieces, leaf = Pieces(tmp_path, preset=2), LEAVES[0]
    unpacked(pieces, leaf)
    [file] = files(tmp_path)
    whole = file.read_bytes()
    for damaged in (b"", whole[:20], whole[:-1], whole[:-1] + bytes([whole[-1] ^ 1]), b"x" + whole[1:]):
        file.write_bytes(damaged)
        assert unpacked(pieces, leaf) == {OBJECTS.read(leaf.digest)}
        assert file.read_bytes() == whole


def test_improving_makes_pieces_smaller_once(tmp_path: Path) -> None:
    pieces, leaf = Pieces(tmp_path, preset=0), LEAVES[0]
    unpacked(pieces, leaf)
    before = files(tmp_path)[0].stat().st_size
    assert pieces.improve(leaf, OBJECTS.read, preset=9)
    assert files(tmp_path)[0].stat().st_size < before
    assert not pieces.improve(leaf, OBJECTS.read, preset=9)
    assert unpacked(pieces, leaf) == {OBJECTS.read(leaf.digest)}


def test_pieces_of_leaves_that_are_gone_are_forgotten(tmp_path: Path) -> None:
    pieces = Pieces(tmp_path, preset=0)
    for leaf in LEAVES:
        unpacked(pieces, leaf)
    kept = {leaf.digest for leaf in LEAVES[1:]}
    assert pieces.forget(kept.__contains__) == 1
    assert len(files(tmp_path)) == len(kept)
