"""Tar archives in memory, with the standard library as the oracle."""

import io
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.formats.worlds import folder, tar_archive

from distwright.errors import BadInput
from distwright.formats.tar import TarKind, TarMember, iter_tar

KINDS = {
    tarfile.REGTYPE: TarKind.FILE,
    tarfile.DIRTYPE: TarKind.FOLDER,
    tarfile.SYMTYPE: TarKind.SYMLINK,
    tarfile.LNKTYPE: TarKind.HARDLINK,
    tarfile.FIFOTYPE: TarKind.OTHER,
    tarfile.CHRTYPE: TarKind.OTHER,
}
FORMATS = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)
PARTS = st.text(st.sampled_from("abcé."), min_size=1, max_size=90).filter(lambda part: part.strip("."))
NAMES = st.lists(PARTS, min_size=1, max_size=3).map("/".join)


def entry(name: str, kind: bytes, link: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, link if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE) else ""
    return member


def as_tarfile_reads(data: bytes) -> list[TarMember]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return [
            TarMember(
                member.name, KINDS[member.type], member.mode, member.linkname,
                (archive.extractfile(member) or io.BytesIO()).read() if member.isreg() else b"",
            )
            for member in archive
        ]  # fmt: skip


def without_slash(member: TarMember) -> TarMember:
    name = member.name.rstrip("/") if member.kind is TarKind.FOLDER else member.name
    return TarMember(name, member.kind, member.mode, member.link, member.content)


@settings(max_examples=120, deadline=None)
@given(
    st.sampled_from((tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)),
    st.lists(
        st.one_of(
            st.tuples(NAMES, st.binary(max_size=1500)),
            st.builds(entry, NAMES, st.sampled_from(sorted(KINDS)), NAMES),
        ),
        max_size=4,
    ),
)
def test_members_are_those_that_tarfile_reads(format_: int, members: list[tuple[str, bytes] | tarfile.TarInfo]) -> None:
    data = tar_archive(*members, format=format_)
    assert [without_slash(member) for member in iter_tar(data)] == as_tarfile_reads(data)


@pytest.mark.parametrize("format_", FORMATS)
def test_long_names_are_read_in_every_format(format_: int) -> None:
    name = "a" * 90 + "/" + "b" * 90
    data = tar_archive((name, b"content"), format=format_)
    assert list(iter_tar(data)) == [TarMember(name, TarKind.FILE, 0o644, "", b"content")]


def test_gnu_times_in_the_place_of_the_prefix_are_no_name() -> None:
    header = bytearray(tar_archive(("name", b""))[:512])
    header[345:357] = b"14000000000\0"
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    assert [member.name for member in iter_tar(bytes(header))] == ["name"]


def test_old_folders_are_files_with_a_slash() -> None:
    assert next(iter_tar(tar_archive(("docs/", b"")))).kind is TarKind.FOLDER


def test_large_numbers_are_read_in_base_256() -> None:
    member = tarfile.TarInfo("x")
    member.size = 8 * 1024**3
    header = member.tobuf(tarfile.GNU_FORMAT)
    with pytest.raises(BadInput, match="8589934592 bytes are missing"):
        list(iter_tar(header))


def test_reading_ends_at_the_first_block_of_zeros() -> None:
    data = tar_archive(("a", b"1"))
    assert [member.name for member in iter_tar(data + data)] == ["a"]
    assert list(iter_tar(b"")) == list(iter_tar(bytes(10240))) == []


def sealed(header: bytes, at: int, new: bytes) -> bytes:
    """Change a header in one place and give it the right checksum again."""
    changed = bytearray(header)
    changed[at : at + len(new)] = new
    changed[148:156] = b" " * 8
    changed[148:156] = b"%06o\0 " % sum(changed[:512])
    return bytes(changed)


FILE = tar_archive(("name", b"content"))
PAX = tarfile.TarInfo("é" * 60).tobuf(tarfile.PAX_FORMAT)[:-512]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (FILE[:100], "ends within a header"),
        (FILE[:512], "7 bytes are missing"),
        (FILE.replace(b"name", b"lame"), "checksum of a tar header is wrong"),
        (sealed(FILE, 124, b"x"), "is not a number of tar"),
        (sealed(FILE, 124, b"-0000000001"), "is not a number of tar"),
        (sealed(FILE, 124, b"\xff" * 12), "is not a number of tar"),
        (sealed(FILE, 124, b"\x80" + b"\xff" * 11), "bytes are missing"),
        (sealed(FILE, 0, b"\xff"), "is not UTF-8"),
        (sealed(FILE, 156, b"S"), "is a sparse file"),
        (sealed(FILE, 156, b"5"), "is a folder with content"),
        (sealed(FILE, 156, b"2"), "is a symlink with content"),
        (sealed(FILE, 156, b"Z"), "is a other with content"),
        (sealed(FILE, 156, b"L"), "ends after an extended header"),
        (sealed(FILE, 156, b"x"), "pax header of a tar archive is malformed"),
        (PAX, "ends after an extended header"),
    ],
)
def test_hostile_archives_are_refused(data: bytes, problem: str) -> None:
    with pytest.raises(BadInput, match=problem):
        list(iter_tar(data))


@pytest.mark.parametrize(
    "record",
    [
        b"9 size=x\n",
        b"99 path=x\n",
        b"3 \n",
        b"2 path=x\n",
        b"10 path=xx",
        b"8 pathx\n",
        b"11 size=-1\n",
        b"0 a=b\n",
        b" a=b\n",
    ],
)
def test_malformed_pax_records_are_refused(record: bytes) -> None:
    data = sealed(sealed(tar_archive(("pax", record)), 156, b"x"), 0, b"pax") + FILE
    with pytest.raises(BadInput, match="malformed"):
        list(iter_tar(data))


def test_pax_sparse_files_are_refused() -> None:
    member = tarfile.TarInfo("x")
    member.pax_headers = {"GNU.sparse.name": "evil"}
    with pytest.raises(BadInput, match="is a sparse file"):
        list(iter_tar(member.tobuf(tarfile.PAX_FORMAT)))


def test_members_are_counted() -> None:
    data = tar_archive(folder("a"), folder("b"), folder("c"))
    assert len(list(iter_tar(data, max_members=3))) == 3
    with pytest.raises(BadInput, match="more than 2 members"):
        list(iter_tar(data, max_members=2))


def test_an_archive_cut_off_anywhere_gives_only_our_error() -> None:
    data = tar_archive(("a" * 120, b"x" * 600), ("b", b"y"))
    for end in range(0, len(data), 7):
        try:
            members = list(iter_tar(data[:end]))
        except BadInput:
            continue
        assert len(members) <= 2
