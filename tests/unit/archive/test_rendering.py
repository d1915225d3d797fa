"""Indexes joined of ready pieces, the index set that names them, and the spool that an import keeps its stanzas in."""

import gzip
import io
import lzma
from pathlib import Path

import pytest
import zstandard

from distwright.archive.pieces import Piece, Pieces, empty_zstd
from distwright.archive.rendering import IndexSet, parse_index_set, render
from distwright.archive.spool import Spool, Spooled
from distwright.archive.tree import EMPTY_ROOT, Leaf, TreeEntry, TreeRoot, build_tree, list_text
from distwright.errors import BadInput
from distwright.formats.release import IndexEntry
from distwright.model.digests import sha256_of
from distwright.model.versions import DebVersion
from distwright.store.memory import MemoryObjects

AMD64 = "main/binary-amd64"
TEXT = b"Package: petrel\nVersion: 1.0\n\n" * 50
LEAF = Leaf(sha256_of(TEXT), len(TEXT), 50, "petrel")


@pytest.fixture
def pieces(tmp_path: Path) -> Pieces:
    """Give an empty cache."""
    return Pieces(tmp_path / "pieces", preset=0)


def only_file(folder: Path) -> Path:
    (file,) = (path for path in folder.rglob("*") if path.is_file())
    return file


def test_a_piece_is_made_once_and_read_again(pieces: Pieces, tmp_path: Path) -> None:
    made = pieces.of_leaf(LEAF, TEXT)
    written = only_file(tmp_path / "pieces").stat()
    assert pieces.of_leaf(LEAF, TEXT) == made
    assert only_file(tmp_path / "pieces").stat().st_ino == written.st_ino


def test_a_piece_that_is_damaged_or_cut_off_anywhere_is_made_again(pieces: Pieces, tmp_path: Path) -> None:
    made = pieces.of_leaf(LEAF, TEXT)
    file = only_file(tmp_path / "pieces")
    whole = file.read_bytes()
    damaged = [whole[:end] for end in range(len(whole))]
    damaged += [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in range(len(whole)) if at != 8]
    for content in damaged:
        file.write_bytes(content)
        assert pieces.of_leaf(LEAF, TEXT) == made
        assert file.read_bytes() == whole


def test_pieces_are_improved_once(pieces: Pieces, tmp_path: Path) -> None:
    pieces.of_leaf(LEAF, TEXT)
    get = {LEAF.digest: TEXT}.__getitem__
    assert [pieces.improve(LEAF, get, preset=preset) for preset in (0, 6, 6, 3)] == [False, True, False, False]
    assert isinstance(pieces.of_leaf(LEAF, TEXT), Piece)


def built(objects: MemoryObjects, count: int) -> TreeRoot:
    rows = [(f"package-{number:04d}", b"Package: package-%04d\nVersion: 1\n" % number) for number in range(count)]
    return build_tree([TreeEntry(AMD64, name, DebVersion("1"), text) for name, text in rows], objects.put)


@pytest.mark.parametrize("count", [0, 1, 1000])
def test_every_form_of_an_index_is_the_text_of_its_list(tmp_path: Path, count: int) -> None:
    objects = MemoryObjects()
    root = built(objects, count)
    made = render(root, (AMD64, "main/source"), Pieces(tmp_path / "pieces", preset=0), objects)
    text = list_text(root, AMD64, objects.read)
    path = f"{AMD64}/Packages"
    assert made.plain[path] == IndexEntry(path, len(text), sha256_of(text), None)
    forms = {ending: objects.read(made.files[f"{path}{ending}"].sha256) for ending in (".xz", ".gz", ".zst")}
    with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(forms[".zst"]), read_across_frames=True) as reader:
        assert reader.read() == text
    assert (lzma.decompress(forms[".xz"]), gzip.decompress(forms[".gz"])) == (text, text)
    assert made.plain["main/source/Sources"].size == 0
    assert parse_index_set(made.to_bytes()) == made
    again = render(root, (AMD64, "main/source"), Pieces(tmp_path / "pieces", preset=0), objects)
    assert again == made


def test_nothing_is_an_empty_frame_of_zstd() -> None:
    assert zstandard.ZstdDecompressor().decompress(empty_zstd()) == b""


def test_an_index_set_of_another_format_is_refused() -> None:
    assert parse_index_set(IndexSet((), {}, {}).to_bytes()) == IndexSet((), {}, {})
    with pytest.raises(BadInput, match="index set has format 7"):
        parse_index_set(b'{"format":7}')
    assert EMPTY_ROOT.lists == {}


def test_a_spool_gives_back_what_was_put_in_whatever_the_order(tmp_path: Path) -> None:
    with Spool(tmp_path / "spool") as spool:
        rows = Spooled(spool)
        rows.add("b", b"one")
        rows.add("a", b"")
        rows.add("b", b"two" * 1000)
        rows.replace("c", b"old")
        rows.replace("c", b"new")
        rows.add("d", b"gone")
        rows.drop("d")
        assert dict(rows) == {"b": (b"one", b"two" * 1000), "a": (b"",), "c": (b"new",)}
        assert (len(rows), "d" in rows, rows.get("d")) == (3, False, None)
    assert list((tmp_path / "spool").iterdir()) == []
