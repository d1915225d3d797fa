"""What a mutant's ISO is, with real xorriso and mtools; what becomes of it in a machine is tests/system/test_image_test.py."""

import os
import subprocess
from pathlib import Path

import pytest
from tests.worlds.mutants import unsigned, with_unsigned_loader

pytestmark = pytest.mark.system
SIGNED = Path("/usr/lib/grub/x86_64-efi-signed/gcdx64.efi.signed")
MTOOLS = {**os.environ, "MTOOLS_SKIP_CHECK": "1", "MTOOLSRC": "/dev/null"}


def iso(folder: Path, loader: bytes) -> Path:
    """Make an ISO with an EFI partition, as images/iso.py does."""
    (folder / "tree").mkdir()
    (folder / "tree" / "file").write_text("x" * 100_000)
    (folder / "loader").write_bytes(loader)
    made, efi = folder / "image.iso", folder / "efi.img"
    for argv in (
        ["mkfs.vfat", "--invariant", "-C", str(efi), "4096"],
        ["mmd", "-i", str(efi), "::/EFI", "::/EFI/BOOT"],
        ["mcopy", "-i", str(efi), str(folder / "loader"), "::/EFI/BOOT/grubx64.efi"],
        [
            "xorriso", "-as", "mkisofs", "-quiet", "-o", str(made), "-partition_offset", "16", "-eltorito-alt-boot",
            "-e", "--interval:appended_partition_2:all::", "-no-emul-boot",
            "-append_partition", "2", "c12a7328-f81f-11d2-ba4b-00a0c93ec93b", str(efi), "-appended_part_as_gpt",
            str(folder / "tree"),
        ],
    ):  # fmt: skip
        subprocess.run(argv, check=True, capture_output=True, env=MTOOLS)
    return made


def test_only_the_signature_of_the_loader_goes_from_an_iso(tmp_path: Path) -> None:
    loader = SIGNED.read_bytes()
    image = iso(tmp_path, loader)
    (tmp_path / "out").mkdir()
    was, now = image.read_bytes(), with_unsigned_loader(image, tmp_path / "out").read_bytes()
    at = was.index(loader)
    assert now[at : at + len(loader)] == unsigned(loader)
    before, after = (content[:at] + content[at + len(loader) :] for content in (was, now))
    assert len(before) == len(after)
    changed = [place for place in range(0, len(before), 32) if before[place : place + 32] != after[place : place + 32]]
    assert len(changed) <= 2, "its row in the folder, for a time"
