"""By what a medium starts, outside of the files that it shows: code in the MBR, partitions, El Torito, EFI file systems.

Positions are left out, as far as they follow from one another: they differ whenever anything before has another size.
Source: UEFI 2.10, 5 (MBR, GPT) and 13.3; "El Torito" Bootable CD-ROM Format Specification 1.0; boot info tables of xorriso.
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO
from uuid import UUID

from distwright.errors import BadInput
from distwright.formats.ar import read_exactly
from distwright.formats.fat import Fat, is_fat
from distwright.formats.iso9660 import SECTOR

_BLOCK = 512
_CODE, _NEXT, _PARTITIONS = 432, 432, 446  # of the MBR: its code, where GRUB's goes on, its four partitions
_GPT, _GPT_ROW, _GPT_ROWS = struct.Struct("<72xQII"), struct.Struct("<16s16xQQQ72s"), 1024
_VOLUME = 16  # the sector of a medium's first descriptor
_CATALOG, _ENTRIES = 0x47, SECTOR // 32  # where its sector is said; of one sector, as all have that are made today
_VALIDATION, _SECTIONS, _MORE, _BOOTABLE = 1, (0x90, 0x91), 0x44, 0x88
_ENTRY = struct.Struct("<BBHBxHI")
_PLATFORMS = {0: "BIOS", 1: "PowerPC", 2: "Mac", 0xEF: "UEFI"}
_FLOPPIES = {1: 1_228_800, 2: 1_474_560, 3: 2_949_120}
_EFI_TYPE = UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
_MBR_EFI_TYPE = 0xEF
_INFO, _GRUB_INFO, _IMAGE_BYTES = slice(8, 64), slice(2548, 2556), 32 << 20
_SYSTEMS = 8


@dataclass(frozen=True, slots=True)
class BootRecord:
    """One thing by which a medium starts. said: what is said of it, in words. content: its bytes; None: it has none."""

    name: str
    said: str
    content: Iterable[bytes] | None = None


def boot_records(file: BinaryIO) -> Iterator[BootRecord]:
    """List all, with names that are the same on every medium; read each content before the next. file: seekable.

    What is read is bounded by eight times the size of the medium, and by 32 MiB for each of 64 images. Raises BadInput for what is
    damaged; a medium that starts nowhere has none.
    """
    medium = _Medium(file)
    images = list(_images(medium))
    head = medium.at(0, _BLOCK) if medium.end >= _BLOCK else bytes(_BLOCK)
    if any(head[:_CODE]):
        following = int.from_bytes(head[_NEXT : _NEXT + 8], "little")
        goes_on = [image.name for image in images if image.sector * 4 + 4 == following]
        said = f"goes on in {goes_on[0] if goes_on else f'block {following}'}" if following else ""
        yield BootRecord("MBR", said, [head[:_CODE]])
    places = {image.sector * SECTOR for image in images if image.is_efi}
    for name, said, start in (*_mbr(head), *_gpt(medium)):
        yield BootRecord(name, said)
        places |= {start * _BLOCK} if start else set()
    for image in images:
        is_files = image.is_efi and medium.is_fat(image.sector * SECTOR)
        yield BootRecord(image.name, image.said, None if is_files else [medium.image(image)])
    systems = sorted(place for place in places if medium.is_fat(place))
    if len(systems) > _SYSTEMS:
        raise _damaged(f"have more than {_SYSTEMS} EFI file systems")
    for number, place in enumerate(systems, start=1):
        yield from _efi_files(Fat(file, place), f"EFI {number}" if number > 1 else "EFI")


def _efi_files(fat: Fat, name: str) -> Iterator[BootRecord]:
    seen: set[str] = set()
    for file in fat.files():
        if file.path.lower() in seen:  # firmware takes the first, and who lists them may take the last
            raise _damaged("have a file twice")
        seen.add(file.path.lower())
        yield BootRecord(f"{name}: {file.path}", "", fat.content(file))


@dataclass(frozen=True, slots=True)
class _Image:
    """An entry of the catalog. sector: where its image begins; size: bytes of it that the firmware reads."""

    name: str
    said: str
    sector: int
    size: int
    is_efi: bool
    is_plain: bool


class _Medium:
    def __init__(self, file: BinaryIO) -> None:
        self._file, self.end = file, file.seek(0, 2)

    def at(self, place: int, size: int) -> bytes:
        if size < 0 or place + size > self.end:
            raise _damaged("name a place outside of it")
        self._file.seek(place)
        return read_exactly(self._file, size)

    def is_fat(self, place: int) -> bool:
        return is_fat(self.at(place, _BLOCK))

    def image(self, image: _Image) -> bytes:
        """Give an image without what its maker has written into it of its own place, if that is true."""
        place = image.sector * SECTOR
        head, size = self.at(place, min(_GRUB_INFO.stop, self.end - place)), image.size
        volume, sector, length = struct.unpack("<3I", head[_INFO][:12].ljust(12, b"\0"))
        has_info = image.is_plain and (volume, sector) == (_VOLUME, image.sector)
        if has_info and length <= _IMAGE_BYTES:
            size = max(size, length)
        content = bytearray(self.at(place, size))
        if has_info:
            content[_INFO] = bytes(len(content[_INFO]))
        if content[_GRUB_INFO] == (image.sector * 4 + 5).to_bytes(8, "little"):
            content[_GRUB_INFO] = bytes(8)
        return bytes(content)


def _damaged(what: str) -> BadInput:
    return BadInput(f"the boot records of the medium {what}", hint="fetch or build it again")


def _mbr(head: bytes) -> Iterator[tuple[str, str, int]]:
    """List partitions: name, what is said of each, the block where an EFI one begins, else 0."""
    for number in range(4) if head[510:] == b"\x55\xaa" else ():
        flag, kind, start = struct.unpack_from("<B3xB3xI", head, _PARTITIONS + 16 * number)
        if flag or kind:
            said = f"type 0x{kind:02x}{', bootable' if flag & 0x80 else ''}"
            yield f"MBR partition {number + 1}", said, start if kind == _MBR_EFI_TYPE else 0


def _gpt(medium: _Medium) -> Iterator[tuple[str, str, int]]:
    if medium.end < 2 * _BLOCK or (head := medium.at(_BLOCK, _BLOCK))[:8] != b"EFI PART":
        return
    table, count, size = _GPT.unpack_from(head)
    if size != _GPT_ROW.size or count > _GPT_ROWS:
        raise _damaged("have a GPT that is too large")
    rows = medium.at(table * _BLOCK, count * size)
    for number in range(count):
        kind, start, _, flags, name = _GPT_ROW.unpack_from(rows, number * size)
        if any(kind):
            uuid = UUID(bytes_le=kind)
            shown = name.decode("utf-16-le", "backslashreplace").partition("\0")[0]
            yield (
                f"GPT partition {number + 1}",
                f"type {uuid}, flags {flags:#x}, {shown}",
                start if uuid == _EFI_TYPE else 0,
            )


def _images(medium: _Medium) -> Iterator[_Image]:
    """List the entries of El Torito's catalog."""
    if medium.end < (_VOLUME + 2) * SECTOR or not (volume := medium.at((_VOLUME + 1) * SECTOR, SECTOR)).startswith(
        b"\0CD001\1EL TORITO"
    ):
        return
    catalog = medium.at(int.from_bytes(volume[_CATALOG : _CATALOG + 4], "little") * SECTOR, SECTOR)
    if catalog[0] != _VALIDATION:
        raise _damaged("have a catalog that is none")
    platform = catalog[1]
    for number in range(1, _ENTRIES):
        row = catalog[32 * number : 32 * number + 32]
        if row[0] in _SECTIONS:
            platform = row[1]
        elif row[0] != _MORE and any(row):
            flag, media, segment, _, sectors, sector = _ENTRY.unpack_from(row)
            firmware = _PLATFORMS.get(platform, f"platform {platform}")
            said = f"{'bootable' if flag == _BOOTABLE else 'not bootable'}, media {media}, segment {segment:#x}, {sectors} blocks"
            size = min(_FLOPPIES.get(media & 0xF, max(sectors, 1) * _BLOCK), max(medium.end - sector * SECTOR, 0))
            is_efi = platform == 0xEF
            # How many blocks an EFI image has follows from its files, which are listed.
            yield _Image(
                f"El Torito {number} ({firmware})", said.rpartition(",")[0] if is_efi else said, sector, size, is_efi,
                media & 0xF == 0,
            )  # fmt: skip
