"""What an ISO or a squashfs says may cost no more than a bounded look, whatever lies in it; no folder leads back into itself."""

import io
import random
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.worlds.media import FOLDER, SECTOR, Iso, SquashfsWriter, continued, folder, long_name, record

from distwright.checks.image_contents import read_contents
from distwright.errors import BadInput
from distwright.formats import iso9660, squashfs, squashfs_blocks
from distwright.formats.iso9660 import files_of_iso
from distwright.formats.squashfs import Squashfs


class Counting(io.BytesIO):
    """Counts what is read."""

    count = 0

    def read(self, size: int | None = -1, /) -> bytes:
        content = super().read(size)
        self.count += len(content)
        return content


def looked_at(image: bytes) -> dict[bytes, bytes]:
    """Look at all of a squashfs."""
    found = Squashfs(io.BytesIO(image))
    return {one.path: b"".join(found.content(one)) for one in found.files()}


def test_what_is_written_here_is_read() -> None:
    iso = Iso()
    inner = iso.put(folder([record(b"A.TXT;1", iso.next + 1, 3)]))
    iso.put(b"one")
    root = iso.put(folder([record(b"SUB", inner, SECTOR, flags=FOLDER, area=long_name(b"sub folder"))]))
    assert {path: place.size for path, place in files_of_iso(io.BytesIO(iso.image(root))).items()} == {
        "sub folder/a.txt": 3
    }
    writer = SquashfsWriter()
    writer.fragments = [writer.put_data(b"tail of a file")]
    writer.attributes = [[(b"note", b"mine")]]
    file, link = writer.file(b"tail", fragment=0, attributes=0), writer.link(b"a")
    image = writer.image(writer.folder([(b"a", file), (b"b", link), (b"c", writer.folder([]))]))
    assert looked_at(image) == {b".": b"", b"a": b"tail", b"b": b"", b"c": b""}
    [attributes] = [one.xattrs for one in Squashfs(io.BytesIO(image)).files() if one.path == b"a"]
    assert attributes == (("user.note", b"mine"),)


def test_a_folder_of_a_medium_in_itself_is_refused() -> None:
    iso = Iso()
    root = iso.put(folder([record(b"AGAIN", iso.next, SECTOR, flags=FOLDER)]))
    with pytest.raises(BadInput, match="in two places"):
        files_of_iso(io.BytesIO(iso.image(root)))


def test_folders_of_a_medium_that_overlap_cost_no_more_than_a_bounded_look() -> None:
    """Each has 16 MiB and begins a sector behind the one before, so that none is in two places."""
    iso, count, size = Iso(), 300, 16 << 20
    zeros = iso.put(bytes(size + count * SECTOR))
    folders = folder([record(b"%d" % number, zeros + number, size, flags=FOLDER) for number in range(count)])
    file = Counting(iso.image(iso.put(folders), len(folders)))
    with pytest.raises(BadInput, match="bytes of folders and names"):
        files_of_iso(file)
    assert file.count <= iso9660.RECORDS_BYTES + SECTOR


def test_a_medium_with_folders_as_deep_as_there_are_sectors_is_refused() -> None:
    iso = Iso()
    for number in range(3000):
        iso.put(record(b"D%d" % number, iso.next + 1, SECTOR, flags=FOLDER))
    iso.put(b"")
    with pytest.raises(BadInput, match="names that are too long"):
        files_of_iso(io.BytesIO(iso.image(18)))


def test_paths_of_a_medium_are_bounded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    iso = Iso()
    files = folder([record(b"F%d" % number, 0, 0) for number in range(2000)])
    place, size = iso.put(files), len(files)
    for _ in range(14):
        place, size = iso.put(record(b"X", place, size, flags=FOLDER, area=long_name(b"x" * 200))), SECTOR
    image = iso.image(place)
    assert len(files_of_iso(io.BytesIO(image))) == 2000
    monkeypatch.setattr(iso9660, "NAMES_BYTES", 5 << 20)
    with pytest.raises(BadInput, match="names that are too long"):
        files_of_iso(io.BytesIO(image))


def test_names_that_are_continued_elsewhere_count_each_time() -> None:
    iso = Iso()
    more = iso.put(bytes(SECTOR))
    where = long_name(b"n") + continued(more, SECTOR)
    root = folder([record(b"F%d" % number, 0, 0, area=where) for number in range(40_000)])
    place = iso.put(root)
    file = Counting(iso.image(place, len(root)))
    with pytest.raises(BadInput, match="bytes of folders and names"):
        files_of_iso(file)
    assert file.count <= iso9660.RECORDS_BYTES + SECTOR


def test_files_of_a_medium_that_overlap_are_refused_and_those_in_one_place_are_read_once() -> None:
    iso, count = Iso(), 60
    big = iso.put(bytes(100 * SECTOR))
    overlapping = iso.put(folder([record(b"F%d" % number, big + number, 40 * SECTOR) for number in range(count)]))
    same = iso.put(folder([record(b"F%d" % number, big, 40 * SECTOR) for number in range(count)]))
    with pytest.raises(BadInput, match="overlap"):
        files_of_iso(io.BytesIO(iso.image(overlapping, 2 * SECTOR)))
    live = SquashfsWriter()
    root = live.image(live.folder([]))
    packed = iso.put(root)
    folder_of = iso.put(record(b"A.SQUASHFS", packed, len(root)))
    names = [record(b"F%d" % number, big, 40 * SECTOR) for number in range(count)]
    place = iso.put(folder([record(b"LIVE", folder_of, SECTOR, flags=FOLDER), *names]))
    file = Counting(iso.image(place, 2 * SECTOR))
    assert len(read_contents(file).medium) == count
    assert file.count < 60 * SECTOR
    assert len(files_of_iso(io.BytesIO(iso.image(same, 2 * SECTOR)))) == count


def test_a_folder_of_a_squashfs_in_itself_is_refused() -> None:
    writer = SquashfsWriter()
    place = len(writer.inodes)
    with pytest.raises(BadInput, match="in two places"):
        looked_at(writer.image(writer.folder([(b"again", place)])))


def test_two_folders_that_have_one_another_are_refused_at_once() -> None:
    """Each level has two folders with both of the next one in them: as many paths as 2 to the 40 if they were followed."""
    writer = SquashfsWriter()
    pair = [writer.folder([]), writer.folder([])]
    for _ in range(40):
        pair = [writer.folder([(b"a", pair[0]), (b"b", pair[1])]) for _ in range(2)]
    with pytest.raises(BadInput, match="in two places"):
        looked_at(writer.image(pair[0]))


def test_a_squashfs_with_folders_as_deep_as_there_are_is_refused() -> None:
    writer = SquashfsWriter()
    place = writer.folder([])
    for _ in range(3000):
        place = writer.folder([(b"d", place)])
    with pytest.raises(BadInput, match="name that is none"):
        looked_at(writer.image(place))


def test_paths_and_links_of_a_squashfs_are_bounded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    writer = SquashfsWriter()
    link = writer.link(b"x" * 4000)
    image = writer.image(writer.folder([(b"%04d" % number, link) for number in range(500)]))
    assert len(looked_at(image)) == 501
    monkeypatch.setattr(squashfs, "NAMES_BYTES", 1 << 20)
    with pytest.raises(BadInput, match="bytes of names"):
        looked_at(image)


def test_attributes_that_many_files_have_are_read_once_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    writer = SquashfsWriter()
    writer.attributes = [[(b"%03d" % number, b"v" * 60_000) for number in range(200)]]
    files = [writer.file(attributes=0) for _ in range(500)]
    image = writer.image(writer.folder([(b"%04d" % number, place) for number, place in enumerate(files)]))
    file = Counting(image)
    assert len(list(Squashfs(file).files())) == 501
    assert file.count < 2 * len(image), "12 MB of attributes, named 500 times"
    monkeypatch.setattr(squashfs, "ATTRIBUTES_BYTES", 10_000_000)
    with pytest.raises(BadInput, match="bytes of extended attributes"):
        looked_at(image)


def test_blocks_of_a_file_with_many_names_count_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    writer = SquashfsWriter()
    file = writer.file(sizes=[0] * 10_000)
    image = writer.image(writer.folder([(b"%04d" % number, file) for number in range(50)]))
    assert len(list(Squashfs(io.BytesIO(image)).files())) == 51
    monkeypatch.setattr(squashfs, "SIZES", 400_000)
    with pytest.raises(BadInput, match="more than 400000 in all"):
        list(Squashfs(io.BytesIO(image)).files())


def test_a_block_that_is_asked_for_again_and_again_counts_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    writer = SquashfsWriter()
    writer.fragments = [writer.put_data(bytes([number]) * 4096) for number in range(2)]
    files = [writer.file(b"tail", fragment=number % 2) for number in range(300)]
    image = writer.image(writer.folder([(b"%04d" % number, place) for number, place in enumerate(files)]))
    assert len(looked_at(image)) == 301
    monkeypatch.setattr(squashfs_blocks, "UNPACKED_BYTES", 1_000_000)
    with pytest.raises(BadInput, match="bytes to unpack"):
        looked_at(image)


def good_media() -> Iterator[bytes]:
    """Give a medium and a squashfs that can be read."""
    iso = Iso()
    inner = iso.put(
        folder([record(b"F%d" % number, iso.next, 100, area=long_name(b"file %d" % number)) for number in range(9)])
    )
    yield iso.image(iso.put(folder([record(b"SUB", inner, SECTOR, flags=FOLDER), record(b"X", inner, 5)])))
    writer = SquashfsWriter()
    writer.fragments = [writer.put_data(bytes(range(200)))]
    writer.attributes = [[(b"note", b"mine")]]
    files = [
        writer.file(bytes(range(90)), fragment=0, attributes=0),
        writer.link(b"elsewhere"),
        writer.file(sizes=[0, 0]),
    ]
    below = writer.folder([(b"%d" % number, place) for number, place in enumerate(files)])
    yield writer.image(writer.folder([(b"below", below), (b"empty", writer.folder([]))]))


ISO, SQUASHFS = good_media()


@given(st.integers(0, 1 << 32), st.integers(1, 8))
@settings(max_examples=400)
def test_whatever_is_changed_it_is_read_or_refused_and_costs_little(seed: int, changes: int) -> None:
    chance = random.Random(seed)  # noqa: S311  # no secret
    for image, first in ((ISO, 16 * SECTOR), (SQUASHFS, 0)):
        changed = bytearray(image)
        for _ in range(changes):
            at = chance.randrange(first, len(image))
            changed[at] = chance.choice((0, 1, 2, 8, 0x7F, 0x80, 0xFF, chance.randrange(256)))
        file = Counting(bytes(changed))
        try:
            if image is ISO:
                files_of_iso(file)
            else:
                found = Squashfs(file)
                for one in found.files():
                    for _ in found.content(one):
                        pass
        except BadInput:
            pass
        assert file.count <= 64 * len(image)
