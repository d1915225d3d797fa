"""FAT file systems are read as they were written; hostile ones are refused and cost no more than they have bytes."""

import io
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.worlds.fat import SECTOR, FatWriter, record

from distwright.errors import BadInput
from distwright.formats import fat as reading
from distwright.formats.fat import Fat, is_fat

FILES = {
    "A.TXT": b"a",
    "EFI/BOOT/BOOTX64.EFI": b"shim" * 400,
    "EFI/BOOT/grubx64.efi": b"grub" * 999,
    "boot/grub/a name of more than thirteen signs, ü and all.cfg": b"menu",
    "EMPTY": b"",
}
KINDS = ((12, 300), (16, 4200), (32, 300))


class Counting(io.BytesIO):
    """Counts what is read."""

    count = 0

    def read(self, size: int | None = -1, /) -> bytes:
        content = super().read(size)
        self.count += len(content)
        return content


def read(image: bytes, offset: int = 0) -> dict[str, bytes]:
    fat = Fat(io.BytesIO(image), offset)
    return {file.path: b"".join(fat.content(file)) for file in fat.files()}


@pytest.mark.parametrize(("bits", "clusters"), KINDS)
def test_all_files_are_read_wherever_it_begins(bits: int, clusters: int) -> None:
    image = FatWriter(bits, clusters).image(FILES)
    assert is_fat(image[:512])
    assert read(image) == FILES
    assert read(bytes(3 * SECTOR) + image + b"more", 3 * SECTOR) == FILES
    assert Fat(io.BytesIO(image)).size_bytes == len(image)


def test_what_is_gone_a_label_and_a_long_name_of_somebody_else_are_passed_over() -> None:
    writer = FatWriter()
    gone = bytearray(record("gone for good.txt", 1, 0x20, writer.put(b"gone"), 4))
    for at in range(0, len(gone), 32):
        gone[at] = 0xE5
    orphan = record("a long name alone.txt", 2, 0x20, 0, 0)[:-32]
    label, kept = record("LABEL", 3, 0x08, 0, 0), record("KEPT", 4, 0x20, writer.put(b"kept"), 4)
    assert read(writer.around(bytes(gone) + label + orphan + kept)) == {"KEPT": b"kept"}


def test_small_letters_of_a_short_name_are_told_by_its_flags() -> None:
    writer = FatWriter()
    row = bytearray(record("NAME.TXT", 1, 0x20, writer.put(b"x"), 1))
    row[12] = 0x18
    assert read(writer.around(bytes(row))) == {"name.txt": b"x"}


@pytest.mark.parametrize(("bits", "clusters"), KINDS)
def test_one_that_is_cut_off_is_refused(bits: int, clusters: int) -> None:
    image = FatWriter(bits, clusters).image(FILES)
    for end in (0, 1, 511, 512, len(image) // 2, len(image) - 1):
        with pytest.raises(BadInput):
            read(image[:end])


def test_a_chain_in_a_circle_and_a_cluster_of_two_files_are_refused() -> None:
    circle = FatWriter()
    first = circle.put(b"x" * 3 * SECTOR)
    circle.chains[first + 2] = first
    with pytest.raises(BadInput, match="cluster in two places"):
        read(circle.around(record("LOOP", 1, 0x20, first, 1 << 31)))
    shared = FatWriter()
    first = shared.put(b"x" * 3 * SECTOR)
    rows = record("ONE", 1, 0x20, first, 1000) + record("TWO", 2, 0x20, first + 1, 600)
    with pytest.raises(BadInput, match="cluster in two places"):
        read(shared.around(rows))


def test_a_folder_in_itself_is_refused() -> None:
    writer = FatWriter()
    place = writer.put(bytes(SECTOR))
    row = record("AGAIN", 1, 0x10, place, 0)
    writer.contents[place] = row
    with pytest.raises(BadInput, match="cluster in two places"):
        read(writer.around(row))


def test_a_file_that_is_shorter_than_it_says_is_refused() -> None:
    writer = FatWriter()
    row = record("SHORT", 1, 0x20, writer.put(b"x"), 5000)
    with pytest.raises(BadInput, match="shorter than it says"):
        read(writer.around(row))


def test_folders_as_deep_as_there_are_clusters_are_refused_for_their_path() -> None:
    writer, place = FatWriter(16, 5000), 0
    for number in range(4500):
        row = record("N" * 8, number, 0x10, place, 0) if place else record("LAST", 1, 0x20, 0, 0)
        place = writer.put(row)
    with pytest.raises(BadInput, match="names that are too long"):
        read(writer.around(record("TOP", 1, 0x10, place, 0)))


def test_more_files_and_more_names_than_the_limits_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    image = FatWriter().image({f"F{number}": b"" for number in range(20)})
    monkeypatch.setattr(reading, "MAX_MEMBERS", 19)
    with pytest.raises(BadInput):
        read(image)
    monkeypatch.setattr(reading, "MAX_MEMBERS", 20)
    assert len(read(image)) == 20
    monkeypatch.setattr(reading, "NAMES_BYTES", 30)
    with pytest.raises(BadInput):
        read(image)


@given(st.sampled_from(KINDS[::2]), st.data())
@settings(max_examples=150)
def test_whatever_is_in_it_it_is_refused_or_read_once(kind: tuple[int, int], data: st.DataObject) -> None:
    image = bytearray(FatWriter(*kind).image(FILES))
    mixed = random.Random(data.draw(st.integers(0, 1 << 32)))  # noqa: S311  # no secret
    for _ in range(data.draw(st.integers(1, 12))):
        at = mixed.randrange(40 * SECTOR if mixed.random() < 0.8 else len(image))
        image[at % len(image)] = mixed.choice((0, 1, 2, 0x0F, 0x10, 0xE5, 0xFF, mixed.randrange(256)))
    file = Counting(bytes(image))
    try:
        fat = Fat(file)
        found = [sum(map(len, fat.content(one))) for one in fat.files()]
    except BadInput:
        found = []
    assert sum(found) <= len(image)
    assert file.count <= 2 * len(image) + 512
