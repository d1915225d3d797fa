"""By what a medium starts: every byte that a firmware runs is seen, positions alone are not, and hostile tables are refused."""

import io
import random
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.worlds.fat import FatWriter
from tests.worlds.media import SECTOR

from distwright.checks.image_boot import boot_lines
from distwright.errors import BadInput

EFI = UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b").bytes_le
FILES = {"EFI/BOOT/BOOTX64.EFI": b"shim", "EFI/BOOT/grubx64.efi": b"grub"}


@dataclass
class Boot:
    """A medium that starts by BIOS and UEFI, as xorriso makes ours: an MBR, a GPT, El Torito with an image for each."""

    code: bytes = b"code of the MBR"
    bios: bytes = b"first" + bytes(3000) + b"last of GRUB's core image"
    files: Mapping[str, bytes] = field(default_factory=lambda: FILES)
    before: int = 0  # sectors, so that all else lies elsewhere
    flags: int = 0
    efi_type: bytes = EFI
    more_efi: int = 0

    def image(self) -> bytes:
        """Give all of it."""
        out = bytearray((32 + self.before) * SECTOR)
        bios, efi = self._put(out, self._bios(len(out) // SECTOR)), self._put(out, FatWriter().image(self.files))
        out[:432] = self.code.ljust(432, b"\0")
        struct.pack_into("<Q", out, 432, bios * 4 + 4)
        struct.pack_into("<B3xB3xII", out, 446, 0, 0xEE, 1, len(out) // 512)
        out[510:512] = b"\x55\xaa"
        rows = [(self.efi_type, efi * 4, "live")] + [(EFI, 128 + number, "more") for number in range(self.more_efi)]
        out[512:520] = b"EFI PART"
        struct.pack_into("<QII", out, 512 + 72, 2, len(rows), 128)
        for number, (kind, start, name) in enumerate(rows):
            row = struct.pack("<16s16xQQQ72s", kind, start, start + 9, 0, name.encode("utf-16-le"))
            out[1024 + 128 * number : 1152 + 128 * number] = row
        struct.pack_into("23s", out, 17 * SECTOR, b"\0CD001\1EL TORITO SPEC")
        struct.pack_into("<I", out, 17 * SECTOR + 0x47, 20)
        entries = [
            b"\1" + bytes(31),
            self._entry(0x88 | self.flags, 4, bios),
            b"\x91\xef\1" + bytes(29),
            self._entry(0x88, 9, efi),
        ]
        out[20 * SECTOR : 20 * SECTOR + 128] = b"".join(entries)
        return bytes(out)

    def _bios(self, sector: int) -> bytes:
        image = bytearray(self.bios)
        struct.pack_into("<III", image, 8, 16, sector, len(image))
        struct.pack_into("<Q", image, 2548, sector * 4 + 5)
        return bytes(image)

    @staticmethod
    def _entry(flag: int, blocks: int, sector: int) -> bytes:
        return struct.pack("<BBHBxHI", flag, 0, 0, 0, blocks, sector).ljust(32, b"\0")

    @staticmethod
    def _put(out: bytearray, content: bytes) -> int:
        place = len(out) // SECTOR
        out += content.ljust(-(-len(content) // SECTOR) * SECTOR, b"\0")
        return place


def lines(boot: Boot) -> dict[str, str]:
    return boot_lines(io.BytesIO(boot.image()))


def changed(boot: Boot) -> set[str]:
    """Name what is not as it is on the plain one."""
    one, other = lines(Boot()), lines(boot)
    return {name for name in one.keys() | other.keys() if one.get(name) != other.get(name)}


def test_a_medium_of_ours_has_these_records() -> None:
    found = lines(Boot())
    assert {name: said.partition(", ")[0] for name, said in found.items()} == {
        "MBR": "goes on in El Torito 1 (BIOS)",
        "MBR partition 1": "type 0xee",
        "GPT partition 1": "type c12a7328-f81f-11d2-ba4b-00a0c93ec93b",
        "El Torito 1 (BIOS)": "bootable",
        "El Torito 3 (UEFI)": "bootable",
        "EFI: EFI/BOOT/BOOTX64.EFI": found["EFI: EFI/BOOT/BOOTX64.EFI"],
        "EFI: EFI/BOOT/grubx64.efi": found["EFI: EFI/BOOT/grubx64.efi"],
    }


def test_where_things_lie_is_no_difference() -> None:
    assert changed(Boot(before=77)) == set()


@pytest.mark.parametrize(
    ("boot", "names"),
    [
        (Boot(code=b"another code"), {"MBR"}),
        (Boot(bios=Boot().bios.replace(b"last", b"evil")), {"El Torito 1 (BIOS)"}),
        (Boot(flags=1), {"El Torito 1 (BIOS)"}),
        (Boot(files={**FILES, "EFI/BOOT/grubx64.efi": b"evil"}), {"EFI: EFI/BOOT/grubx64.efi"}),
        (Boot(files={**FILES, "EFI/BOOT/grub.cfg": b"set"}), {"EFI: EFI/BOOT/grub.cfg"}),
        (Boot(efi_type=bytes(range(16))), {"GPT partition 1"}),
    ],
)
def test_whatever_is_run_is_seen_when_it_changes(boot: Boot, names: set[str]) -> None:
    assert changed(boot) == names


def test_a_pointer_that_was_turned_elsewhere_is_seen() -> None:
    image = bytearray(Boot().image())
    struct.pack_into("<Q", image, 432, 7)
    assert boot_lines(io.BytesIO(bytes(image)))["MBR"].startswith("goes on in block 7, ")
    image = bytearray(Boot().image())
    place = image.index(b"first") + 2548
    struct.pack_into("<Q", image, place, 7)
    found = boot_lines(io.BytesIO(bytes(image)))
    assert found["El Torito 1 (BIOS)"] != lines(Boot())["El Torito 1 (BIOS)"]


def test_an_image_outside_of_the_medium_is_refused() -> None:
    for entry in (1, 3):
        image = bytearray(Boot().image())
        struct.pack_into("<I", image, 20 * SECTOR + 32 * entry + 8, 1 << 30)
        with pytest.raises(BadInput, match="name a place outside of it"):
            boot_lines(io.BytesIO(bytes(image)))


def test_a_file_that_is_there_twice_by_names_that_firmware_takes_for_one_is_refused() -> None:
    with pytest.raises(BadInput, match="have a file twice"):
        lines(Boot(files={"EFI/BOOT/grubx64.efi": b"one", "EFI/BOOT/GRUBX64.EFI": b"other"}))


def test_a_medium_with_a_file_system_for_each_partition_is_refused() -> None:
    boot = Boot(more_efi=300)
    image = bytearray(boot.image())
    sector = FatWriter().image(FILES)[:512]
    for at in range(128 * 512, len(image) - 512, 512):
        image[at : at + 512] = sector
    with pytest.raises(BadInput, match="more than 8 EFI file systems"):
        boot_lines(io.BytesIO(bytes(image)))


@pytest.mark.parametrize("size", [0, 100, 512, 600, 1500, 18 * SECTOR, 19 * SECTOR])
def test_a_short_file_has_no_records_or_is_refused(size: int) -> None:
    try:
        assert set(boot_lines(io.BytesIO(Boot().image()[:size]))) <= {"MBR", "MBR partition 1"}
    except BadInput:
        assert size > 512, "only what names something that is not there"


def test_a_medium_that_starts_nowhere_has_none() -> None:
    assert boot_lines(io.BytesIO(bytes(40 * SECTOR))) == {}


@given(st.integers(0, 1 << 32), st.integers(1, 8))
@settings(max_examples=200)
def test_whatever_is_changed_it_is_read_or_refused(seed: int, changes: int) -> None:
    chance = random.Random(seed)  # noqa: S311  # no secret
    image = bytearray(Boot().image())
    for _ in range(changes):
        at = chance.choice(
            (
                chance.randrange(1300),
                17 * SECTOR + chance.randrange(0x60),
                20 * SECTOR + chance.randrange(140),
                chance.randrange(len(image)),
            )
        )
        image[at] = chance.choice((0, 1, 0x88, 0xEF, 0xFF, chance.randrange(256)))
    try:
        found = boot_lines(io.BytesIO(bytes(image)))
    except BadInput:
        return
    assert all(isinstance(said, str) for said in found.values())
