"""Tar archives read as they come: the same members as tarfile sees, damage and bombs refused in bounded memory."""

import gzip
import io
import lzma
import resource
import tarfile
from collections.abc import Iterator

import pytest
import zstandard

from distwright.errors import BadInput
from distwright.formats.streaming import MAX_STREAMS, unpacked
from distwright.formats.tar import TarKind
from distwright.formats.tarheaders import TarHeader, iter_headers


def tar_of(*members: tuple[str, int, int], form: int = tarfile.GNU_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for name, size, mtime in members:
            member = tarfile.TarInfo(name)
            member.size, member.mtime = size, mtime
            tar.addfile(member, io.BytesIO(b"x" * size))
    return out.getvalue()


def pieces(content: bytes, size: int = 1000) -> Iterator[bytes]:
    return iter([content[at : at + size] for at in range(0, len(content), size)])


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
@pytest.mark.parametrize("size", [1, 7, 512, 100_000])
def test_members_of_every_form_are_seen_however_they_arrive(form: int, size: int) -> None:
    long = "./" + "d" * 60 + "/" + "f" * 70
    seen = list(iter_headers(pieces(tar_of(("./a", 700, 5), (long, 0, 6), form=form), size)))
    assert [(row.name, row.kind, row.mtime, row.size) for row in seen] == [
        (b"./a", TarKind.FILE, 5, 700),
        (long.encode(), TarKind.FILE, 6, 0),
    ]


def test_times_before_1970_and_in_parts_of_a_second_are_read() -> None:
    assert [row.mtime for row in iter_headers(pieces(tar_of(("a", 0, -5))))] == [-5]
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        member = tarfile.TarInfo("a")
        member.mtime = 1.5
        tar.addfile(member)
    assert [row.mtime for row in iter_headers(pieces(out.getvalue()))] == [1.5]


@pytest.mark.parametrize("said", ["inf", "-inf", "nan", "1e999", "soon"])
def test_a_time_that_never_comes_is_refused(said: str) -> None:
    member = tarfile.TarInfo("a")
    member.pax_headers = {"mtime": said}
    with pytest.raises(BadInput, match="a time that is none"):
        list(iter_headers(pieces(member.tobuf(tarfile.PAX_FORMAT) + bytes(1024))))


def test_a_tar_cut_off_anywhere_within_a_member_is_refused() -> None:
    whole = tar_of(("a", 600, 1), ("b" * 120, 3, 1))
    for length in range(1, 2048 + 1500, 97):
        if length % 512:
            with pytest.raises(BadInput):
                list(iter_headers(pieces(whole[:length])))


def test_members_beyond_the_limit_and_what_follows_the_end_are_refused() -> None:
    with pytest.raises(BadInput, match="more than 2 members"):
        list(iter_headers(pieces(tar_of(*((f"f{n}", 0, 1) for n in range(3)))), max_members=2))
    with pytest.raises(BadInput, match="goes on after its end"):
        list(iter_headers(pieces(tar_of(("a", 0, 1)) + b"more")))


def extended(flag: bytes, content: bytes) -> bytes:
    """One extended header and its content."""
    info = tarfile.TarInfo("x")
    info.size, info.type = len(content), flag
    return info.tobuf(tarfile.USTAR_FORMAT) + content + bytes(-len(content) % 512)


def record(key: bytes, value: bytes) -> bytes:
    rest = b" %b=%b\n" % (key, value)
    length = len(rest) + 1
    while len(b"%d" % length) + len(rest) != length:
        length += 1
    return b"%d" % length + rest


def test_a_huge_extended_header_is_refused() -> None:
    with pytest.raises(BadInput, match="extended header of"):
        list(iter_headers(pieces(tar_of(("a" * 300_000, 0, 1)))))


@pytest.mark.parametrize("flag", [b"x", b"L", b"K"])
def test_a_second_extended_header_of_one_kind_for_one_member_is_refused(flag: bytes) -> None:
    content = record(b"comment", b"c") if flag == b"x" else b"name\0"
    plain = tar_of(("a", 0, 1))
    [row] = iter_headers(pieces(extended(flag, content) + plain))
    assert row.size == 0
    with pytest.raises(BadInput, match="two extended headers"):
        list(iter_headers(pieces(extended(flag, content) * 2 + plain)))
    with pytest.raises(BadInput, match="ends after an extended header"):
        list(iter_headers(pieces(plain[:512] + extended(flag, content) + bytes(1024))))


def test_what_extended_headers_say_besides_takes_no_memory() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def many() -> Iterator[bytes]:
        for number in range(400):
            yield extended(b"g", record(b"key%d" % number, b"v" * 200_000))
        yield tar_of(("a", 0, 1))

    assert [row.name for row in iter_headers(many())] == [b"a"]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000


def opened(content: bytes, ending: str, limit: int = 1 << 30) -> Iterator[bytes]:
    return unpacked(io.BytesIO(content).read, ending, limit_bytes=limit)


PLAIN = bytes(range(256)) * 3000
PACKED = {
    "": PLAIN,
    ".gz": gzip.compress(PLAIN),
    ".xz": lzma.compress(PLAIN),
    ".zst": zstandard.ZstdCompressor().compress(PLAIN),
}


@pytest.mark.parametrize("ending", PACKED)
def test_every_compression_gives_what_was_packed_also_from_two_streams(ending: str) -> None:
    assert b"".join(opened(PACKED[ending], ending)) == PLAIN
    assert b"".join(opened(PACKED[ending] * 2, ending)) == PLAIN * 2


@pytest.mark.parametrize("ending", [".gz", ".xz", ".zst"])
def test_data_that_is_cut_off_or_damaged_is_refused(ending: str) -> None:
    for content in (
        PACKED[ending][:-9],
        PACKED[ending][: len(PACKED[ending]) // 2],
        PACKED[ending] + b"junk",
        b"junk" * 30,
    ):
        with pytest.raises(BadInput):
            list(opened(content, ending))


@pytest.mark.parametrize("ending", PACKED)
def test_nothing_unpacks_to_more_than_its_limit(ending: str) -> None:
    with pytest.raises(BadInput, match="unpacks to more than 100000 bytes"):
        list(opened(PACKED[ending], ending, 100_000))


@pytest.mark.parametrize("ending", [".gz", ".xz", ".zst"])
def test_very_many_tiny_streams_are_refused(ending: str) -> None:
    empty = {".gz": gzip.compress(b""), ".xz": lzma.compress(b""), ".zst": zstandard.ZstdCompressor().compress(b"")}[
        ending
    ]
    with pytest.raises(BadInput, match="streams"):
        list(opened(empty * (MAX_STREAMS + 1), ending))


def test_the_headers_of_a_large_tar_take_no_memory() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def endless() -> Iterator[bytes]:
        yield tar_of(("a", 1 << 20, 1))[:512].replace(b"x", b"x")
        yield from (bytes(1 << 16) for _ in range(16))
        for _ in range(2000):
            yield tar_of(("b", 0, 1))[:512]

    assert len(list(iter_headers(endless()))) == 2001
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000


def test_headers_compare_whole() -> None:
    [row] = iter_headers(pieces(tar_of(("./a", 1, 2))))
    assert row == TarHeader(b"./a", TarKind.FILE, b"", 2, 1)
