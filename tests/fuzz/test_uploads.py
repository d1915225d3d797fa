"""Hostile uploads: whatever bytes come, an answer or BadInput, in bounds of memory and work that follow their size."""

import contextlib
import gzip
import io
import lzma
import os
import resource
import struct
import sys
import tarfile
import traceback
import zlib
from collections.abc import Callable

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.worlds.archive import make_deb

from distwright.archive.deb_survey import survey_deb
from distwright.archive.incoming import announced
from distwright.errors import BadInput
from distwright.formats.deb import read_deb
from distwright.formats.relations import parse_relations
from distwright.formats.streaming import unpacked
from distwright.formats.tarheaders import iter_headers

MEMORY_BYTES = 256 << 20  # xz may ask for 128 of them
GOOD = make_deb("greeter").content


def judged(content: bytes) -> str:
    """Read a .deb as an upload is read; give "read" or why not."""
    try:
        survey_deb(io.BytesIO(content))
        read_deb(io.BytesIO(content))
    except BadInput as error:
        return error.message
    return "read"


def in_little_memory(action: Callable[[], str]) -> str:
    """Act in a child that may take so much memory more than it has, and a minute of CPU; give what it says."""
    reading, writing = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        try:
            has = int(open("/proc/self/statm").read().split()[0]) * os.sysconf("SC_PAGESIZE")  # noqa: PTH123, SIM115
            resource.setrlimit(resource.RLIMIT_AS, (has + MEMORY_BYTES, has + MEMORY_BYTES))
            resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
            said = action()
        except BaseException:
            said = traceback.format_exc()
        os.write(writing, said.encode()[-4000:])
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as report:
        said = report.read().decode()
    os.waitpid(child, 0)
    return said


def tar_header(name: bytes, size: int, flag: bytes = b"0") -> bytes:
    header = bytearray(512)
    header[: len(name)] = name
    header[100:108], header[124:136], header[136:148] = b"0000644\0", b"%011o\0" % size, b"14000000000\0"
    header[156:157], header[257:263] = flag, b"ustar\0"
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


def bomb(pack: Callable[[list[bytes]], bytes], *, first: bytes = b"", megabytes: int = 700) -> bytes:
    """Pack a tar that is mostly zeros."""
    return pack([first or tar_header(b"./a", megabytes << 20), *[bytes(1 << 20)] * megabytes])


def xz_of(pieces: list[bytes]) -> bytes:
    packer = lzma.LZMACompressor(preset=0)
    return b"".join([packer.compress(piece) for piece in pieces]) + packer.flush()


def gz_of(pieces: list[bytes]) -> bytes:
    packer = zlib.compressobj(1, wbits=31)
    return b"".join([packer.compress(piece) for piece in pieces]) + packer.flush()


def zst_of(pieces: list[bytes]) -> bytes:
    packer = zstandard.ZstdCompressor(level=1).compressobj()
    return b"".join([packer.compress(piece) for piece in pieces]) + packer.flush()


def many_members(count: int) -> bytes:
    return gz_of([tar_header(b"./a", 0) * 1000] * (count // 1000) + [bytes(1024)])


def pax_of(records: bytes) -> bytes:
    return tar_header(b"./x", len(records), b"x") + records + bytes(-len(records) % 512)


def xz_wanting_memory() -> bytes:
    """Give an xz stream whose header asks for a dictionary of 4 GiB."""
    content = bytearray(lzma.compress(tar_header(b"./a", 0) + bytes(1024), preset=6))
    at = content.index(b"\x21\x01", 12) + 2
    content[at] = 40
    size = (content[12] + 1) * 4
    content[12 + size - 4 : 12 + size] = struct.pack("<I", zlib.crc32(bytes(content[12 : 12 + size - 4])))
    return bytes(content)


HOSTILE: dict[str, Callable[[], bytes]] = {
    "xz bomb": lambda: make_deb("greeter", data=("data.tar.xz", bomb(xz_of))).content,
    "gz bomb": lambda: make_deb("greeter", data=("data.tar.gz", bomb(gz_of))).content,
    "zst bomb": lambda: make_deb("greeter", data=("data.tar.zst", bomb(zst_of))).content,
    "zeros behind the end": lambda: make_deb("greeter", data=("data.tar.xz", bomb(xz_of, first=bytes(1024)))).content,
    "too many members": lambda: make_deb("greeter", data=("data.tar.gz", many_members(600_000))).content,
    "tiny gz streams": lambda: make_deb("greeter", data=("data.tar.gz", gzip.compress(b"") * 100_000)).content,
    "tiny xz streams": lambda: make_deb("greeter", data=("data.tar.xz", lzma.compress(b"") * 100_000)).content,
    "4 GiB of dictionary": lambda: make_deb("greeter", data=("data.tar.xz", xz_wanting_memory())).content,
    "long name": lambda: make_deb("greeter", data=("data.tar", tar_header(b"././@LongLink", 1 << 30, b"L"))).content,
    "pax records": lambda: make_deb("greeter", data=("data.tar", pax_of(b"11 path=abc\n" * 30_000))).content,
    "pax record of a huge number": lambda: make_deb(
        "greeter", data=("data.tar", pax_of(b"%d mtime=%s\n" % (5016, b"9" * 5003)) + tar_header(b"a", 0))
    ).content,
    "negative size": lambda: make_deb(
        "greeter", data=("data.tar", tar_header(b"./a", 0)[:124] + b"-0000000001\0" + tar_header(b"./a", 0)[136:])
    ).content,
    "size of 2^80": lambda: make_deb(
        "greeter", data=("data.tar", tar_header(b"./a", 0)[:124] + b"\x80" + b"\xff" * 11 + tar_header(b"./a", 0)[136:])
    ).content,
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_package_is_refused_in_little_memory(name: str) -> None:
    content = HOSTILE[name]()
    said = in_little_memory(lambda: judged(content))
    assert said.startswith(("data.tar", "'data.tar")), said
    assert "Traceback" not in said


@pytest.mark.parametrize("ending", [".xz", ".gz"])
def test_a_hostile_control_tar_is_refused_in_little_memory(ending: str) -> None:
    packed = bomb(xz_of if ending == ".xz" else gz_of, megabytes=512)
    members = [(b"debian-binary", b"2.0\n"), (b"control.tar" + ending.encode(), packed), (b"data.tar", bytes(1024))]
    rows = [
        b"%-16s%-12d%-6d%-6d%-8s%-10d`\n%s%s" % (n, 1, 0, 0, b"100644", len(c), c, b"\n" * (len(c) % 2))
        for n, c in members
    ]
    said = in_little_memory(lambda: judged(b"!<arch>\n" + b"".join(rows)))
    assert "control.tar" in said
    assert "Traceback" not in said


def test_a_large_honest_package_is_read_in_the_same_memory() -> None:
    """The bound is on bombs, not on packages: 300 MB of noise take no more memory than a kilobyte."""
    noise = os.urandom(1 << 20)
    data = gz_of([tar_header(b"./a", 100 << 20), *[noise] * 100, bytes(1024)])
    content = make_deb("greeter", data=("data.tar.gz", data)).content
    assert in_little_memory(lambda: judged(content)) == "read"


EDITS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 12), st.binary(max_size=8)), min_size=1, max_size=4)


def edited(content: bytes, edits: list[tuple[float, int, bytes]]) -> bytes:
    for place, gone, new in edits:
        at = int(place * len(content))
        content = content[:at] + new + content[at + gone :]
    return content


@settings(max_examples=150, deadline=None)
@given(edits=EDITS)
def test_a_package_that_is_edited_anywhere_is_read_or_refused(edits: list[tuple[float, int, bytes]]) -> None:
    judged(edited(GOOD, edits))


def test_a_package_cut_off_at_any_byte_is_refused() -> None:
    for length in range(len(GOOD)):
        if length < len(GOOD) - 1:  # the last byte may be padding
            assert judged(GOOD[:length]) != "read", length


@settings(max_examples=100, deadline=None)
@given(content=st.binary(max_size=3000), ending=st.sampled_from(["", ".gz", ".xz", ".zst", ".bz2"]))
def test_any_bytes_unpack_or_are_refused(content: bytes, ending: str) -> None:
    with contextlib.suppress(BadInput):
        list(iter_headers(unpacked(io.BytesIO(content).read, ending, limit_bytes=1 << 20)))


def plain_tar() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in ("./a", "./" + "b" * 200, "./ä"):
            member = tarfile.TarInfo(name)
            member.mtime = 1.5
            tar.addfile(member)
    return out.getvalue()


@settings(max_examples=200, deadline=None)
@given(edits=EDITS)
def test_an_edited_tar_is_read_or_refused(edits: list[tuple[float, int, bytes]]) -> None:
    content = edited(plain_tar(), edits)
    with contextlib.suppress(BadInput):
        list(iter_headers(iter([content[at : at + 700] for at in range(0, len(content), 700)])))


@settings(max_examples=200, deadline=None)
@given(text=st.one_of(st.text(max_size=60), st.text("ab (>=<)|,[]!:1.~\n", max_size=60)), for_build=st.booleans())
def test_any_text_is_relations_or_refused(text: str, for_build: bool) -> None:  # noqa: FBT001  # hypothesis gives it by name
    with contextlib.suppress(BadInput):
        parse_relations(text, for_build=for_build)


@settings(max_examples=100, deadline=None)
@given(content=st.binary(max_size=400))
def test_any_bytes_are_a_changes_file_or_refused(content: bytes) -> None:
    with contextlib.suppress(BadInput):
        announced(content)
