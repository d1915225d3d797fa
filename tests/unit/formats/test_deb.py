"""Binary packages, and the ar archives they are."""

import gzip
import io
import lzma
import tarfile
from collections.abc import Callable

import pytest
import zstandard
from tests.unit.formats.worlds import CONTROL, ar_archive, ar_member, clearsigned, deb, folder, small_deb, tar_archive

from distwright.errors import BadInput
from distwright.formats.ar import ArMember, iter_ar
from distwright.formats.deb import DebControl, read_deb
from distwright.formats.deb822 import parse_one

FILES = {
    "control": CONTROL,
    "md5sums": b"d41d8cd98f00b204e9800998ecf8427e  usr/bin/petrel\n",
    "conffiles": b"/etc/petrel.conf\n",
    "postinst": b"#!/bin/sh\nexit 0\n",
}
CONTROL_TAR = tar_archive(("./control", CONTROL))


class Watched(io.BytesIO):
    """A file that remembers how far it was read."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.furthest = 0

    def read(self, size: int | None = -1, /) -> bytes:
        content = super().read(size)
        self.furthest = max(self.furthest, self.tell())
        return content


class Dribbling(io.BytesIO):
    """A file that gives three bytes at a time, as a raw one may."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(size or 0, 3))


def opened(content: bytes) -> DebControl:
    return read_deb(io.BytesIO(content))


def test_a_deb_is_read_whole() -> None:
    package = opened(small_deb())
    assert package == DebControl(parse_one(CONTROL), FILES, "data.tar.xz", 4)
    assert package.scripts == {"postinst": FILES["postinst"]}
    assert (package.md5sums, package.conffiles) == (FILES["md5sums"], FILES["conffiles"])


@pytest.mark.parametrize(("ending", "pack"), [(".xz", lzma.compress), (".gz", gzip.compress)])
def test_a_control_tar_of_thousands_of_empty_streams_is_refused(ending: str, pack: Callable[[bytes], bytes]) -> None:
    packed = pack(b"") * 5000
    with pytest.raises(BadInput, match=rf"control\.tar{ending} of the \.deb: .* has more than 1000 streams"):
        opened(
            ar_archive(
                (b"debian-binary", b"2.0\n"), (b"control.tar%b" % ending.encode(), packed), (b"data.tar.xz", b"data")
            )
        )


def test_data_tar_is_not_read() -> None:
    file = Watched(deb(CONTROL_TAR, data=b"x" * 10000))
    assert read_deb(file).data_size == 10000
    assert file.furthest < len(file.getvalue()) - 9999


def test_a_file_that_gives_its_bytes_in_parts_is_read_whole() -> None:
    assert read_deb(Dribbling(small_deb())) == opened(small_deb())


@pytest.mark.parametrize(
    ("ending", "packed"),
    [
        (b"", CONTROL_TAR),
        (b".gz", gzip.compress(CONTROL_TAR)),
        (b".xz", lzma.compress(CONTROL_TAR)),
        (b".zst", zstandard.ZstdCompressor().compress(CONTROL_TAR)),
        (b".gz", gzip.compress(CONTROL_TAR[:700]) + gzip.compress(CONTROL_TAR[700:])),
    ],
)
def test_control_tar_may_be_packed_in_each_way_of_deb5(ending: bytes, packed: bytes) -> None:
    content = ar_archive((b"debian-binary/", b"2.0\n"), (b"control.tar" + ending, packed), (b"data.tar", b""))
    assert opened(content) == DebControl(parse_one(CONTROL), {"control": CONTROL}, "data.tar", 0)


def test_a_damaged_or_endless_zstd_is_refused() -> None:
    bomb = zstandard.ZstdCompressor().compress(bytes(1 << 20))
    for packed, limit in ((b"not really zstd", 1 << 20), (bomb, 1 << 19), (bomb[:-3], 1 << 21)):
        with pytest.raises(BadInput, match=r"control\.tar\.zst of the \.deb"):
            read_deb(io.BytesIO(deb(packed, ending=b".zst")), limit_bytes=limit)


def test_members_beyond_the_three_are_passed_over() -> None:
    members = (b"_new", b"1"), (b"control.tar", CONTROL_TAR), (b"_newer", b"22"), (b"data.tar", b""), (b"sig", b"x")
    assert opened(ar_archive((b"debian-binary", b"2.1\nmore\n"), *members)).data_name == "data.tar"


def test_control_files_may_have_long_names_and_a_folder_entry() -> None:
    archive = tar_archive(folder("./"), ("control", CONTROL), ("x" * 120, b"x"), format=tarfile.PAX_FORMAT)
    assert opened(deb(archive)).files == {"control": CONTROL, "x" * 120: b"x"}


def symlink(name: str) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/shadow"
    return entry


def device(name: str) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type = tarfile.CHRTYPE
    return entry


@pytest.mark.parametrize(
    ("members", "problem"),
    [
        ((("../control", b""),), "the file '../control'"),
        ((("/control", b""),), "the file '/control'"),
        ((("./a/b", b""),), "the file './a/b'"),
        ((("./..", b""),), "the file './..'"),
        (((".hidden", b""),), "the file '.hidden'"),
        (((" control", b""),), "the file ' control'"),
        ((folder("./a"),), "the folder './a/'"),
        ((symlink("./control"),), "the symlink './control'"),
        ((device("./control"),), "the other './control'"),
        ((("./control", CONTROL), ("control", CONTROL)), "control file control twice"),
        ((("./postinst", b"#!/bin/sh\n"),), "no file control"),
        ((("./control", CONTROL + b"\n" + CONTROL),), "one stanza is wanted here, found 2"),
        ((("./control", b""),), "one stanza is wanted here, found 0"),
    ],
)
def test_hostile_control_files_are_refused(members: tuple[tuple[str, bytes]], problem: str) -> None:
    with pytest.raises(BadInput, match=problem):
        opened(deb(tar_archive(*members)))


def test_bombs_are_refused_before_they_fill_the_memory() -> None:
    bomb = lzma.compress(bytes(8 << 20))
    for ending, packed in ((b".xz", bomb), (b".gz", gzip.compress(bytes(8 << 20))), (b"", bytes(2 << 20))):
        content = ar_archive((b"debian-binary", b"2.0\n"), (b"control.tar" + ending, packed), (b"data.tar", b""))
        with pytest.raises(BadInput, match=r"more than 1048576 bytes|1048576 are allowed"):
            read_deb(io.BytesIO(content), limit_bytes=1 << 20)


def test_xz_may_not_ask_for_more_memory_than_its_highest_preset() -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 1, "dict_size": 1 << 28}]
    header = bytearray(lzma.compress(b"x", filters=filters))
    with pytest.raises(BadInput, match="damaged"):
        opened(ar_archive((b"debian-binary", b"2.0\n"), (b"control.tar.xz", bytes(header)), (b"data.tar", b"")))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "does not begin like this"),
        (b"!<arch", "does not begin like this"),
        (b"PK\x03\x04" + bytes(100), "does not begin like this"),
        (clearsigned(b"x"), "does not begin like this"),
        (b"!<arch>\n", "in this order; here is ''"),
        (ar_archive((b"debian-binary", b"2.0\n")), "here is 'debian-binary'"),
        (ar_archive((b"debian-binary", b"2.0\n"), (b"data.tar", b""), (b"control.tar", CONTROL_TAR)), "in this order"),
        (
            ar_archive((b"debian-binary", b"2.0\n"), (b"x", b""), (b"control.tar", b""), (b"data.tar", b"")),
            "in this order",
        ),
        (ar_archive((b"debian-binary", b"2.0\n"), (b"control.tar.Z", b""), (b"data.tar", b"")), "in this order"),
        (ar_archive((b"debian-binary", b"3.0\n"), (b"control.tar", b""), (b"data.tar", b"")), "of format '3.0"),
        (ar_archive((b"debian-binary", b""), (b"control.tar", b""), (b"data.tar", b"")), "of format ''"),
        (
            ar_archive((b"debian-binary", b"2.0\n"), (b"control.tar.xz", b"junk" * 9), (b"data.tar", b"")),
            "xz of the .deb: damaged",
        ),
        (deb(CONTROL_TAR)[:-3], "'data.tar.xz' is cut off: 3 bytes are missing"),
        (b"!<arch>\n" + ar_member(b"a", b"").replace(b"`\n", b"'\n"), "is not the header of an ar member"),
        (b"!<arch>\n" + ar_member(b"a", b"").replace(b"0         `", b"-1        `"), "is not the header"),
        (b"!<arch>\n" + ar_member(b"a", b"").replace(b"0         `", b"9999999999`"), "9999999999 bytes are missing"),
        (b"!<arch>\n" + ar_member(b"../a", b""), "is not the header"),
        (b"!<arch>\n" + ar_member(b"//", b""), "is not the header"),
        (b"!<arch>\n" + ar_member(b"", b""), "is not the header"),
    ],
)
def test_what_is_no_deb_is_refused(content: bytes, problem: str) -> None:
    with pytest.raises(BadInput, match=problem):
        opened(content)


def test_members_of_an_ar_archive_are_found_at_their_offsets() -> None:
    content = ar_archive((b"one", b"1"), (b"two/", b"22"), (b"three", b""))
    assert list(iter_ar(io.BytesIO(content))) == [
        ArMember("one", 1, 68, 1700000000, 0o100644),
        ArMember("two", 2, 130, 1700000000, 0o100644),
        ArMember("three", 0, 192, 1700000000, 0o100644),
    ]


def test_members_of_an_ar_archive_are_counted() -> None:
    content = ar_archive(*[(b"x", b"")] * 65)
    with pytest.raises(BadInput, match="more than 64 members"):
        list(iter_ar(io.BytesIO(content)))


def test_no_beginning_of_a_deb_is_a_deb() -> None:
    content = small_deb()
    for end in range(len(content)):
        with pytest.raises(BadInput):
            opened(content[:end])
