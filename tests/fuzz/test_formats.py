"""Hostile bytes for every parser of formats: an answer or BadInput, nothing else, and in time linear in the size."""

import gzip
import io
import lzma
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.formats.worlds import (
    BUILDINFO,
    CHANGELOG,
    CHANGES,
    CONTROL,
    DSC,
    PACKAGES,
    RELEASE,
    clearsigned,
    small_deb,
    tar_archive,
)

from distwright.errors import BadInput
from distwright.formats.ar import iter_ar
from distwright.formats.buildinfo import parse_buildinfo
from distwright.formats.changelog import parse_changelog
from distwright.formats.changes import parse_changes
from distwright.formats.clearsign import strip_clearsign
from distwright.formats.compression import decompress
from distwright.formats.dates import parse_date
from distwright.formats.deb import read_deb
from distwright.formats.deb822 import parse_one, parse_stanzas, raw_field, raw_stanzas
from distwright.formats.dsc import parse_dsc
from distwright.formats.packages import iter_packages, iter_pool_files, package_stanza, translation_stanza
from distwright.formats.paths import safe_file_name, safe_path
from distwright.formats.release import parse_release, write_release
from distwright.formats.sources import iter_source_files, iter_sources, source_stanza
from distwright.formats.tar import iter_tar
from distwright.formats.values import FileHash
from distwright.model.digests import Sha256
from distwright.model.versions import DebVersion

SHA256 = Sha256("0" * 64)
SOURCES = source_stanza(
    parse_dsc(DSC), directory="pool/p", dsc_file=FileHash("p.dsc", 1, SHA256, "0" * 32), section="x", priority="y"
)


def drained(parse: Callable[[bytes], Iterator[object]]) -> Callable[[bytes], object]:
    return lambda data: list(parse(data))


def text_of(parse: Callable[[str], object]) -> Callable[[bytes], object]:
    return lambda data: parse(data.decode("utf-8", "surrogateescape"))


def raw_walk(data: bytes) -> object:
    return [raw_field(raw, name) for raw in raw_stanzas(data) for name in (b"Package", b"a", b"A", b"")]


def indexed(data: bytes) -> object:
    control = parse_one(data)
    translation_stanza(control)
    return package_stanza(control, filename="x.deb", size=1, md5="0" * 32, sha256=SHA256)


def republished(data: bytes) -> object:
    release = parse_release(data)
    assert parse_release(write_release(release)) == release
    return release


def sourced(data: bytes) -> object:
    dsc_file = FileHash("x.dsc", 1, SHA256, "0" * 32)
    return source_stanza(parse_dsc(data), directory="pool", dsc_file=dsc_file, section="a", priority="b")


PARSERS: dict[str, tuple[Callable[[bytes], object], bytes]] = {
    "stanzas": (drained(parse_stanzas), PACKAGES),
    "hand-written": (drained(lambda data: parse_stanzas(data, hand_written=True)), b"# x\n" + PACKAGES),
    "raw": (raw_walk, PACKAGES),
    "packages": (drained(iter_packages), PACKAGES),
    "pool files": (drained(iter_pool_files), PACKAGES),
    "sources": (drained(iter_sources), SOURCES),
    "source files": (drained(iter_source_files), SOURCES),
    "control": (indexed, CONTROL),
    "release": (republished, RELEASE),
    "dsc": (sourced, DSC),
    "changes": (parse_changes, CHANGES),
    "buildinfo": (parse_buildinfo, BUILDINFO),
    "clearsign": (strip_clearsign, clearsigned(DSC)),
    "changelog": (text_of(lambda text: list(parse_changelog(text))), CHANGELOG.encode()),
    "tar": (drained(iter_tar), tar_archive(("a" * 120, b"x"), ("b", b"y" * 600))),
    "ar": (lambda data: list(iter_ar(io.BytesIO(data))), small_deb()),
    "deb": (lambda data: read_deb(io.BytesIO(data)), small_deb()),
    "xz": (lambda data: decompress(data, ".xz", limit_bytes=1 << 20), lzma.compress(CONTROL)),
    "gz": (lambda data: decompress(data, ".gz", limit_bytes=1 << 20), gzip.compress(CONTROL)),
    "version": (text_of(lambda text: DebVersion(text).sort_key()), b"1:1.0~rc1-2+b1"),
    "date": (text_of(parse_date), b"Sat, 11 Jul 2026 10:16:37 +0100"),
    "path": (text_of(safe_path), b"pool/main/p/petrel/petrel_1.dsc"),
    "file name": (text_of(safe_file_name), b"petrel_1.dsc"),
}
EACH_PARSER = pytest.mark.parametrize("name", PARSERS)

# Pieces that mean something in one of the formats, to be put where they do not belong.
TOKENS = st.sampled_from(
    [
        b"\n", b"\n\n", b"\n ", b" ", b"\t", b"\r\n", b"\0", b":", b"-", b"- ", b"--", b"/", b"../", b"\xff",
        b"\xc3\xa9", b"\xed\xb2\x80", b"\x85", b"\xe2\x80\xa8", b"9" * 5000, b"-1", b"(", b")", b"=", b'"', b"\\",
        b"<", b">", b",", b";", b"#", b"`\n", b"\x80", b"Package: x\n",
        b"Files:\n", b"SHA256:\n", b"-----BEGIN PGP SIGNATURE-----\n", b"~", b"0", "٣".encode(),
    ]
)  # fmt: skip
EDITS = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 12), st.one_of(TOKENS, st.binary(max_size=8))), min_size=1, max_size=3
)


def answers_or_refuses(parse: Callable[[bytes], object], data: bytes) -> None:
    try:
        parse(data)
    except BadInput as refusal:
        problem = refusal
    else:
        return
    assert problem.message.replace("\n  ", "").isprintable()
    assert len(problem.message) < 4000 + len(data)
    assert problem.hint


@EACH_PARSER
@settings(max_examples=40, deadline=None)
@given(edits=EDITS)
def test_a_damaged_file_is_read_or_refused(name: str, edits: list[tuple[float, int, bytes]]) -> None:
    parse, good = PARSERS[name]
    data = good
    for place, removed, piece in edits:
        at = int(place * len(data))
        data = data[:at] + piece + data[at + removed :]
    answers_or_refuses(parse, data)


@EACH_PARSER
@settings(max_examples=15, deadline=None)
@given(data=st.one_of(st.binary(max_size=200), st.lists(TOKENS, max_size=12).map(b"".join)))
def test_noise_is_read_or_refused(name: str, data: bytes) -> None:
    answers_or_refuses(PARSERS[name][0], data)


@EACH_PARSER
def test_a_file_cut_off_at_any_byte_is_read_or_refused(name: str) -> None:
    parse, good = PARSERS[name]
    parse(good)
    for end in range(len(good) if len(good) < 2000 else 0):
        answers_or_refuses(parse, good[:end])
    for end in range(0, len(good), 13):
        answers_or_refuses(parse, good[:end])


LONG = 200_000
FLOODS = (
    b"a", b" ", b"\n", b"\n ", b"\n .", b"A:\n", b"a,", b"(", b"9", b"~", b"-", b"- \n", b"a b ", b"<", b'\\"', b"x:",
    b"a/", b"\0", b"1:", b"a1 ",
)  # fmt: skip


@EACH_PARSER
def test_a_flood_of_one_sign_takes_time_in_proportion(name: str) -> None:
    """Anything quadratic would take minutes here."""
    parse, good = PARSERS[name]
    head = good[: len(good) // 2]
    for sign in FLOODS:
        flood = sign * (LONG // len(sign))
        answers_or_refuses(parse, flood)
        answers_or_refuses(parse, head + flood)
        answers_or_refuses(parse, good.replace(b"Ada Lovelace", flood).replace(b"1.2-3", flood))
