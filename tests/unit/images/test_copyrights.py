"""Copyright files as an image leaves them: read within bounds, and nothing else is taken for one."""

import io
import tarfile
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distwright.errors import BadInput
from distwright.images import copyrights
from distwright.images.copyrights import FILE_LIMIT_KIB, read_copyrights

DEP5 = b"Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\nFiles: *\nLicense: GPL-3+\n"
HELLO = "usr/share/doc/hello/copyright"


def tar_of(members: Sequence[tuple[str, bytes]], kind: bytes = tarfile.REGTYPE) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/shadow" if kind == tarfile.SYMTYPE else ""
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return out.getvalue()


def read(members: Sequence[tuple[str, bytes]]) -> object:
    return read_copyrights(io.BytesIO(tar_of(members)))


def test_each_package_has_the_names_of_its_file_or_none() -> None:
    members = [(HELLO, DEP5), ("usr/share/doc/g++/copyright", b"It is free.\n"), ("usr/share/doc/x264/copyright", b"")]
    assert read(members) == {"hello": ("GPL-3+",), "g++": None, "x264": None}
    assert read([]) == {}


@pytest.mark.parametrize(
    "name",
    [
        "/" + HELLO, "./" + HELLO, "usr/share/doc/../doc/copyright", "usr/share/doc/a/b/copyright", "usr/share/doc/A/copyright",
        "usr/share/doc/hello/copyright2", "etc/shadow", HELLO + "\n", "usr/share/doc/-x/copyright",
    ],
)  # fmt: skip
def test_a_member_that_is_no_copyright_file_is_refused_by_its_name(name: str) -> None:
    with pytest.raises(BadInput, match="is no copyright file of a package"):
        read([(name, DEP5)])


def test_links_and_devices_are_no_copyright_files() -> None:
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE):
        with pytest.raises(BadInput, match="is no copyright file of a package"):
            read_copyrights(io.BytesIO(tar_of([(HELLO, b"")], kind)))


def test_what_is_too_large_or_too_much_or_comes_twice_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInput, match="is no copyright file"):
        read([(HELLO, bytes((FILE_LIMIT_KIB << 10) + 1))])
    with pytest.raises(BadInput, match="of hello comes twice"):
        read([(HELLO, DEP5), (HELLO, DEP5)])
    monkeypatch.setattr(copyrights, "TOTAL_LIMIT_BYTES", 2 * len(DEP5) - 1)
    with pytest.raises(BadInput, match="of b comes after more than 0 MiB"):
        read([("usr/share/doc/aa/copyright", DEP5), ("usr/share/doc/b/copyright", DEP5)])
    monkeypatch.setattr(copyrights, "PACKAGES_LIMIT", 1)
    with pytest.raises(BadInput, match="more than 1 members"):
        read([("usr/share/doc/aa/copyright", b""), ("usr/share/doc/b/copyright", b"")])


@given(st.integers(0, 2000), st.binary(max_size=8))
def test_a_tar_that_is_cut_off_or_changed_is_read_or_refused(at: int, put: bytes) -> None:
    whole = tar_of([(HELLO, DEP5), ("usr/share/doc/b/copyright", b"")])
    for content in (whole[:at], whole[:at] + put + whole[at + len(put) :]):
        try:
            found = read_copyrights(io.BytesIO(content))
        except BadInput:
            continue
        assert all(isinstance(name, str) for name in found)
