"""Initrds: archives one after the other, the last packed, read piece by piece; damaged ones are refused."""

import gzip
import io
import lzma
import stat
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from tests.worlds.initrds import cpio

from distwright.errors import BadInput
from distwright.formats.cpio import iter_initrd

FILE, LINK, FOLDER = stat.S_IFREG | 0o644, stat.S_IFLNK | 0o777, stat.S_IFDIR | 0o755
EARLY = cpio([("kernel/x86/microcode/GenuineIntel.bin", FILE, b"micro")])
MAIN = [
    ("conf", FOLDER, b""),
    ("conf/arch.conf", FILE, b"DPKG_ARCH=amd64\n"),
    ("bin", LINK, b"usr/bin"),
    ("big", FILE, b"x" * 100_001),
]
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "none": bytes, "gzip": gzip.compress, "xz": lzma.compress, "zstd": zstandard.ZstdCompressor().compress,
}  # fmt: skip


def members(content: bytes, step: int = 1 << 16) -> list[tuple[str, int, bytes]]:
    file = io.BytesIO(content)
    found = iter_initrd(lambda size: file.read(min(size, step)), limit_bytes=1 << 20)
    return [(one.name.decode(), one.mode, b"".join(one.content)) for one in found]


@pytest.mark.parametrize("packer", PACKERS.values(), ids=list(PACKERS))
def test_an_initrd_has_the_members_of_all_its_archives(packer: Callable[[bytes], bytes]) -> None:
    whole = EARLY + bytes(512) + packer(cpio(MAIN))
    expected = [("kernel/x86/microcode/GenuineIntel.bin", FILE, b"micro"), *MAIN]
    assert members(whole) == expected
    assert members(whole, 7) == expected, "however it is read"


def test_what_a_caller_does_not_read_is_passed_over() -> None:
    file = io.BytesIO(cpio(MAIN))
    assert [one.name for one in iter_initrd(file.read, limit_bytes=1 << 20)] == [
        b"conf",
        b"conf/arch.conf",
        b"bin",
        b"big",
    ]


def test_owners_times_and_devices_are_read() -> None:
    content = cpio([("dev/console", stat.S_IFCHR | 0o600, b"")], uid=7, gid=8, mtime=9, device=(5, 1))
    [one] = iter_initrd(io.BytesIO(content).read, limit_bytes=1000)
    assert (one.uid, one.gid, one.mtime, one.device) == (7, 8, 9, (5, 1))


def test_an_initrd_that_is_cut_off_is_refused_wherever_that_is() -> None:
    small = cpio(MAIN[:3])
    for size in range(1, len(small.rstrip(b"\0")) - 1):
        with pytest.raises(BadInput):
            members(small[:size])
    packed = EARLY + gzip.compress(small)
    for size in range(len(EARLY) + 2, len(packed)):
        with pytest.raises(BadInput):
            members(packed[:size])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\x02\x21\x4c\x18lz4", "cannot be read"),
        (b"no initrd", "cannot be read"),
        (gzip.compress(b"no cpio at all"), "no cpio archive"),
        (
            cpio(MAIN).replace(b"070701", b"070702", 2)[:6].replace(b"070702", b"070701") + b"g" * 104,
            "no header of cpio",
        ),
        (gzip.compress(gzip.compress(cpio(MAIN))), "no cpio archive"),
        (gzip.compress(cpio(MAIN) + gzip.compress(cpio(MAIN))), "cannot be read"),
        (cpio([("link", stat.S_IFLNK | 0o777, bytes(5000))]), "a link in the initrd has 5000 bytes"),
        (gzip.compress(cpio([("zeros", FILE, bytes(2 << 20))])), "unpacks to more than"),
    ],
    ids=["lz4", "text", "packed text", "numbers", "twice packed", "packed in packed", "long link", "bomb"],
)
def test_what_is_no_initrd_is_refused(content: bytes, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        members(content)


def test_a_name_of_no_or_too_many_bytes_is_refused() -> None:
    for size in (b"00000000", b"00100000"):
        content = cpio([("a", FILE, b"")])
        with pytest.raises(BadInput, match="a name in the initrd has"):
            members(content[:94] + size + content[102:])


@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(noise: bytes) -> None:
    for content in (noise, b"070701" + noise, EARLY + noise):
        try:
            members(content)
        except BadInput:
            continue


def rows() -> st.SearchStrategy[Sequence[Any]]:
    names = st.text("abc/.", min_size=1, max_size=20)
    return st.lists(st.tuples(names, st.sampled_from([FILE, LINK, FOLDER]), st.binary(max_size=50)), max_size=5)


@given(rows())
def test_what_was_written_is_read(entries: Sequence[Any]) -> None:
    assert members(cpio(entries)) == list(entries)
