"""The fast reader of ordinary packages says exactly what the strict one says, or nothing at all."""

import gzip
import io
import lzma
import subprocess
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.unit.formats.worlds import CONTROL, ar_archive, folder, small_deb, tar_archive

from distwright.errors import BadInput
from distwright.formats.deb import read_deb
from distwright.formats.packages import package_stanza, translation_stanza
from distwright.formats.quickdeb import quick_deb, quick_stanza, quick_translation
from distwright.model.digests import Sha256

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    ".xz": lambda tar: lzma.compress(tar, preset=0),
    ".gz": lambda tar: gzip.compress(tar, 1, mtime=0),
}
DATA = (b"data.tar.xz", b"data")


def deb_of(control: bytes, ending: str = ".xz", *, data: bytes = b"data") -> bytes:
    tar = tar_archive(folder("./"), ("./control", control), ("./md5sums", b""))
    return with_tar(tar, ending, data=data)


def with_tar(tar: bytes, ending: str = ".xz", *, data: bytes = b"data") -> bytes:
    packed = PACKERS[ending](tar)
    return ar_archive((b"debian-binary", b"2.0\n"), (b"control.tar" + ending.encode(), packed), (b"data.tar.xz", data))


def quickly(data: bytes) -> tuple[bytes, bytes] | None:
    """Give stanza and translation as the fast path writes them."""
    quick = quick_deb(data)
    if quick is None:
        return None
    stanza = quick_stanza(quick, filename="pool/main/p/petrel/petrel.deb", size=4711, md5="0" * 32, sha256="1" * 64)
    return stanza, quick_translation(quick)


def strictly(data: bytes) -> tuple[bytes, bytes] | None:
    """Give them as the strict path does; None if it refuses."""
    try:
        control = read_deb(io.BytesIO(data)).control
        stanza = package_stanza(
            control, filename="pool/main/p/petrel/petrel.deb", size=4711, md5="0" * 32, sha256=Sha256("1" * 64)
        )
        return stanza, translation_stanza(control)
    except BadInput:
        return None


def named(data: bytes) -> tuple[str, ...] | None:
    """Give what the fast path says of a package."""
    quick = quick_deb(data)
    return None if quick is None else (quick.name, quick.version, quick.architecture, quick.source, quick.section)


NAMES = st.from_regex(r"[a-z0-9][a-z0-9+.-]{1,12}", fullmatch=True)
VERSIONS = st.from_regex(r"([0-9]{1,3}:)?[0-9][0-9a-zA-Z.+~]{0,6}(-[0-9a-z.+~]{1,4})?", fullmatch=True)
SECTIONS = st.sampled_from(["", "utils", "contrib/net", "non-free-firmware/kernel", "Web"])
WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc", "Zl", "Zp", "Zs"]), min_size=1, max_size=9)
LINES = st.lists(WORDS, min_size=1, max_size=4).map(" ".join)
CONTINUED = st.lists(st.one_of(LINES, st.just("."), LINES.map(lambda line: f" {line}:")), max_size=4)
OTHERS = st.sampled_from(
    [
        "Depends", "Pre-Depends", "Installed-Size", "Homepage", "Multi-Arch", "Priority", "Tag", "X-Odd", "Filename",
        "MD5sum", "Description-md5", "Status", "Built-Using", "Ruby-Versions", "essential", "CONFLICTS",
    ]
)  # fmt: skip


@st.composite
def controls(draw: st.DrawFn) -> bytes:
    """Give control files: any order of fields, any case of names, long values, blanks at ends."""
    name = draw(NAMES)
    fields = {
        "Package": name,
        "Version": draw(VERSIONS),
        "Architecture": draw(st.sampled_from(["amd64", "all", "hurd-i386"])),
        "Maintainer": draw(LINES),
        "Description": "\n ".join([draw(LINES), *draw(CONTINUED)]),
        "Section": draw(SECTIONS),
    }
    if draw(st.booleans()):
        fields["Source"] = draw(NAMES) + draw(st.sampled_from(["", " (1.0)", " (2:1-1)"]))
    for other in draw(st.lists(OTHERS, unique_by=str.lower, max_size=4)):
        fields[other] = "\n ".join([draw(LINES), *draw(st.lists(LINES, max_size=2))])
    rows = []
    for key in draw(st.permutations(sorted(fields))):
        shown = key if key == "Package" else draw(st.sampled_from([key, key, key, key.lower(), key.upper()]))
        rows.append(f"{shown}:{draw(st.sampled_from([' ', ' ', ' ', '', chr(9)]))}{fields[key]}")
    ends = draw(st.sampled_from(["", "", "", " ", "\t"]))
    return "".join(f"{row}{ends}\n" for row in rows).encode()


@settings(max_examples=100, deadline=None)
@given(control=controls(), ending=st.sampled_from(sorted(PACKERS)))
def test_both_readers_write_the_same_bytes(control: bytes, ending: str) -> None:
    data = deb_of(control, ending)
    quick, strict = quickly(data), strictly(data)
    assert quick is None or quick == strict


@settings(max_examples=80, deadline=None)
@given(name=NAMES, version=VERSIONS, section=st.sampled_from(["utils", "contrib/net", ""]), text=CONTINUED,
       ending=st.sampled_from(sorted(PACKERS)))  # fmt: skip
def test_an_ordinary_package_is_read_fast(name: str, version: str, section: str, text: list[str], ending: str) -> None:
    description = "\n ".join(["greets", *text])
    control = (
        f"Package: {name}\nVersion: {version}\nArchitecture: amd64\nMaintainer: Ada <ada@example.org>\nSection: {section}\n"
        f"Description: {description}\n"
    )
    data = deb_of(control.encode(), ending)
    assert named(data) == (name, version, "amd64", name, section)
    assert quickly(data) == strictly(data) is not None


def test_the_world_is_read_fast_with_epoch_and_source() -> None:
    assert named(small_deb()) == ("petrel-greeter", "1:1.2-3+b1", "amd64", "petrel", "utils")
    assert quickly(small_deb()) == strictly(small_deb()) is not None


@pytest.mark.parametrize("kind", ["xz", "gzip"])
def test_what_dpkg_deb_writes_is_read_fast(tmp_path: Path, kind: str) -> None:
    (tmp_path / "root" / "DEBIAN").mkdir(parents=True)
    (tmp_path / "root" / "DEBIAN" / "control").write_bytes(CONTROL)
    (tmp_path / "root" / "DEBIAN" / "postinst").write_text("#!/bin/sh\n")
    (tmp_path / "root" / "DEBIAN" / "postinst").chmod(0o755)
    made = tmp_path / "made.deb"
    subprocess.run(["dpkg-deb", f"-Z{kind}", "--build", tmp_path / "root", made], check=True, capture_output=True)
    assert quickly(made.read_bytes()) == strictly(made.read_bytes()) is not None


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_both_common_forms_of_tar_are_read_fast(form: int) -> None:
    data = with_tar(tar_archive(folder("./"), ("./control", CONTROL), format=form))
    assert quickly(data) == strictly(data) is not None


TAR = tar_archive(folder("./"), ("./control", CONTROL))
FIELDS = CONTROL.decode()


def with_header(change: Callable[[bytearray], None], *, repair: bool = True) -> bytes:
    """Change the header of ./control in a tar."""
    tar = bytearray(TAR)
    header = bytearray(tar[512:1024])
    change(header)
    if repair:
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
    tar[512:1024] = header
    return bytes(tar)


def put(at: int, value: bytes) -> Callable[[bytearray], None]:
    def change(header: bytearray) -> None:
        header[at : at + len(value)] = value

    return change


OUT_OF_THE_ORDINARY = {
    "nothing": b"",
    "noise": b"!<arch>\n" + bytes(200),
    "a fourth member": small_deb() + ar_archive((b"_extra", b"more"))[8:],
    "a member before": ar_archive((b"_first", b"x"), (b"debian-binary", b"2.0\n"), DATA),
    "no control": ar_archive((b"debian-binary", b"2.0\n"), DATA),
    "another format": small_deb().replace(b"`\n2.0\n", b"`\n2.1\n"),
    "another data member": small_deb().replace(b"data.tar.xz ", b"data.tar.evil"[:12]),
    "a byte too many": small_deb() + b"\n",
    "a wrong magic of data.tar": small_deb()[:-6] + b"x\n" + small_deb()[-4:],
    "a size that is no number": small_deb().replace(b"4         `\n2.0", b"4x        `\n2.0"),
    "a size beyond the end": small_deb().replace(b"4         `\ndata", b"9         `\ndata"),
    "control.tar as it is": ar_archive((b"debian-binary", b"2.0\n"), (b"control.tar", TAR), DATA),
    "two streams of xz": ar_archive(
        (b"debian-binary", b"2.0\n"), (b"control.tar.xz", lzma.compress(TAR) + lzma.compress(b"")), DATA
    ),
    "two members of gzip": ar_archive(
        (b"debian-binary", b"2.0\n"), (b"control.tar.gz", gzip.compress(TAR) + gzip.compress(b"")), DATA
    ),
    "a bomb of xz": with_tar(TAR[:-1024] + bytes(64 << 20)),
    "a bomb of gzip": with_tar(TAR[:-1024] + bytes(64 << 20), ".gz"),
    "xz that is damaged": small_deb().replace(lzma.compress(TAR)[20:30], bytes(10))
    if lzma.compress(TAR)[20:30] in small_deb()
    else with_tar(TAR).replace(b"YZ", b"YX"),
    "no control file": with_tar(tar_archive(folder("./"), ("./md5sums", b""))),
    "control twice": with_tar(tar_archive(("./control", CONTROL), ("./control", CONTROL))),
    "a folder": with_tar(tar_archive(folder("./sub"), ("./control", CONTROL))),
    "a path that climbs": with_tar(tar_archive(("../control", CONTROL), ("./control", CONTROL))),
    "a control file that nobody knows": with_tar(tar_archive(("./control", CONTROL), ("./strange", b""))),
    "a tar cut off": with_tar(TAR[:900]),
    "a tar cut off in a header": with_tar(TAR[:600]),
    "a tar cut off in the content": with_tar(TAR[:1100]),
    "a tar checksum that is wrong": with_tar(with_header(put(100, b"0000755"), repair=False)),
    "a size that is not octal": with_tar(with_header(put(124, b"99999999999"))),
    "a size in base 256": with_tar(with_header(put(124, b"\x80" + bytes(10) + b"\x09"))),
    "a size far too large": with_tar(with_header(put(124, b"77777777777"))),
    "a symbolic link": with_tar(with_header(put(156, b"2"))),
    "a name prefix": with_tar(with_header(put(345, b"deep"))),
    "a folder with content": with_tar(with_header(put(156, b"5"))),
    "a field twice": deb_of(b"Depends: a\n" + CONTROL),
    "a field twice in another case": deb_of(b"depends: a\n" + CONTROL),
    "CRLF": deb_of(CONTROL.replace(b"\n", b"\r\n")),
    "a CR": deb_of(CONTROL.replace(b"amd64\n", b"amd64\r\n")),
    "a control character": deb_of(CONTROL.replace(b"greets", b"\x1b[2Jgreets")),
    "DEL": deb_of(CONTROL.replace(b"greets", b"gre\x7fets")),
    "NUL": deb_of(CONTROL.replace(b"greets", b"gre\0ts")),
    "not UTF-8": deb_of(CONTROL.replace(b"Ada", b"\xc3da")),
    "a surrogate": deb_of(CONTROL.replace(b"Ada", b"\xed\xa0\x80")),
    "a line of blanks": deb_of(CONTROL.replace(b" .\n", b"   \n")),
    "a line that looks empty": deb_of(CONTROL.replace(b" .\n", b" \f\n")),
    "two paragraphs": deb_of(CONTROL + b"\n" + CONTROL),
    "no newline at the end": deb_of(CONTROL.rstrip(b"\n")),
    "an empty line at the end": deb_of(CONTROL + b"\n"),
    "a comment": deb_of(b"#Comment: x\n" + CONTROL),
    "a field that begins with a minus": deb_of(b"-Field: x\n" + CONTROL),
    "a value on the next line": deb_of(CONTROL.replace(b"Depends: ", b"Depends:\n ")),
    "a description on the next line": deb_of(CONTROL.replace(b"Description: ", b"Description: \n ")),
    "another case of Package": deb_of(CONTROL.replace(b"Package:", b"package:")),
    "another case of Source": deb_of(CONTROL.replace(b"Source:", b"source:")),
    "no version": deb_of(CONTROL.replace(b"Version: 1:1.2-3+b1\n", b"")),
    "no maintainer": deb_of(CONTROL.replace(b"Ada Lovelace <ada@example.org>", b"")),
    "a bad name": deb_of(CONTROL.replace(b"petrel-greeter", b"Petrel_Greeter")),
    "a bad version": deb_of(CONTROL.replace(b"1:1.2-3+b1", b"1:x/../y")),
    "a bad source": deb_of(CONTROL.replace(b"petrel (1.2-3)", b"../petrel (1.2-3)")),
    "a relation that has no end": deb_of(CONTROL.replace(b"(>= 2.34)", b"(>= 2.34")),
    "a relation without a blank": deb_of(CONTROL.replace(b"(>= 2.34)", b"(>=2.34)")),
    "an empty relation": deb_of(CONTROL.replace(b"libc6 (", b"libc6, , libc7 (")),
    "a choice of conflicts": deb_of(b"Conflicts: aa | bb\n" + CONTROL),
    "a very long version": deb_of(CONTROL.replace(b"1:1.2-3+b1", b"1:" + b"1" * 200)),
    "a very long component": deb_of(CONTROL.replace(b"Section: utils", b"Section: " + b"c" * 200 + b"/utils")),
    "a bad section": deb_of(CONTROL.replace(b"Section: utils", b"Section: ../../utils")),
}  # fmt: skip


@pytest.mark.parametrize("what", OUT_OF_THE_ORDINARY)
def test_what_is_out_of_the_ordinary_is_left_to_the_strict_reader(what: str) -> None:
    assert quick_deb(OUT_OF_THE_ORDINARY[what]) is None


def test_a_package_cut_off_at_any_byte_is_left_to_the_strict_reader() -> None:
    for whole in (small_deb(), deb_of(CONTROL, ".gz", data=b"odd")):
        assert quick_deb(whole) is not None
        # The byte that makes the last member even may be missing.
        assert [end for end in range(len(whole)) if quick_deb(whole[:end]) is not None] in ([], [len(whole) - 1])


@settings(max_examples=100, deadline=None)
@given(ending=st.sampled_from(sorted(PACKERS)), at=st.floats(0, 1), piece=st.binary(max_size=6), gone=st.integers(0, 6))
def test_a_damaged_package_is_never_taken_where_the_strict_reader_refuses(
    ending: str, at: float, piece: bytes, gone: int
) -> None:
    data = deb_of(CONTROL, ending)
    place = int(at * len(data))
    damaged = data[:place] + piece + data[place + gone :]
    quick = quickly(damaged)
    assert quick is None or quick == strictly(damaged)


@settings(max_examples=100, deadline=None)
@given(at=st.integers(0, len(TAR) - 1025), piece=st.binary(min_size=1, max_size=6), repair=st.booleans())
def test_a_damaged_control_tar_is_never_taken_where_the_strict_reader_refuses(
    at: int,
    piece: bytes,
    repair: bool,  # noqa: FBT001  # given by hypothesis
) -> None:
    tar = bytearray(TAR[:at] + piece + TAR[at + len(piece) :])
    if repair:
        for start in (0, 512):
            tar[start + 148 : start + 156] = b" " * 8
            tar[start + 148 : start + 156] = b"%06o\0 " % sum(tar[start : start + 512])
    data = with_tar(bytes(tar), ".gz")
    quick = quickly(data)
    assert quick is None or quick == strictly(data)


@settings(max_examples=80, deadline=None)
@example(at=len(CONTROL), gone=0, piece=b"!")
@given(at=st.integers(0, len(CONTROL)), gone=st.integers(0, 9), piece=st.one_of(
    st.binary(max_size=4), st.sampled_from([b"\n", b"\n ", b"\n\n", b":", b" ", b"\t", b"\n.\n", b"\nX:", b"\f"])))  # fmt: skip
def test_a_damaged_control_file_is_never_taken_where_the_strict_reader_refuses(
    at: int, gone: int, piece: bytes
) -> None:
    data = deb_of(CONTROL[:at] + piece + CONTROL[at + gone :], ".gz")
    quick = quickly(data)
    assert quick is None or quick == strictly(data)


def test_a_bad_line_after_many_good_ones_takes_time_in_proportion() -> None:
    """Read with backtracking, each line more would take a hundred times as long."""
    control = FIELDS.encode() + b" some words of a description that is long\n" * 2000 + b"no field\n"
    begin = time.monotonic()
    assert quick_deb(deb_of(control)) is None
    assert time.monotonic() - begin < 5


@pytest.mark.parametrize(
    ("written", "as_usual"),
    [(b"package:", b"Package:"), (b"SOURCE:", b"Source:"), (b"petrel  \t(1.2-3)", b"petrel (1.2-3)")],
)
def test_what_readers_look_for_is_written_as_usual(written: bytes, as_usual: bytes) -> None:
    assert as_usual in CONTROL
    assert strictly(deb_of(CONTROL.replace(as_usual, written))) == strictly(deb_of(CONTROL)) is not None
