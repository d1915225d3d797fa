"""The first difference of two packages, in words: every kind, its cause, and packages that mean harm."""

import gzip
import io
import lzma
import tarfile
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.worlds.debs import CONTROL, NOW, Member, ar_of, deb_of, packed, tar_of

from distwright.checks.causes import Markers
from distwright.checks.difference import Difference, DifferenceKind, compare_files
from distwright.checks.variations import variation_of
from distwright.model.digests import sha256_of

VARIATION = variation_of(sha256_of(b"tern"), "tern")
MARKERS = Markers.of(VARIATION, "/build/tern")
NAME = "tern_1.0_amd64.deb"
README = "usr/share/doc/tern/README"


def differences(first: bytes, second: bytes, name: str = NAME) -> list[Difference]:
    return compare_files(name, io.BytesIO(first), io.BytesIO(second), MARKERS)


def words(first: bytes, second: bytes, name: str = NAME) -> list[str]:
    return [difference.in_words().removeprefix(f"{name}: ") for difference in differences(first, second, name)]


def file_with(content: bytes, **more: object) -> bytes:
    return deb_of(Member(README, content), **more)  # type: ignore[arg-type]  # of deb_of


def cause(first: str, second: str) -> str:
    [found] = differences(file_with(first.encode()), file_with(second.encode()))
    assert (found.part, found.path, found.kind) == ("data.tar", README, DifferenceKind.CONTENT)
    return found.cause


def test_the_same_bytes_have_no_difference() -> None:
    assert differences(file_with(b"a bird"), file_with(b"a bird")) == []


def test_a_content_is_named_with_place_and_excerpt() -> None:
    first, second = file_with(b"one\ntwo birds fly\n"), file_with(b"one\ntwo gulls fly\n")
    assert differences(first, second) == [
        Difference(NAME, "data.tar", README, DifferenceKind.CONTENT, r"'two birds fly\n'", r"'two gulls fly\n'", "", 8)
    ]
    assert words(first, second) == [
        rf"data.tar {README}: the content differs at byte 8: 'two birds fly\n' against 'two gulls fly\n'"
    ]


def test_bytes_that_are_no_text_are_shown_as_numbers() -> None:
    [found] = differences(file_with(bytes(40) + b"\1\2"), file_with(bytes(40) + b"\1\3"))
    assert (found.first, found.second, found.offset) == ("02", "03", 41)
    [longer] = differences(file_with(bytes(40)), file_with(bytes(41)))
    assert (longer.first, longer.second, longer.offset) == ("the end", "00", 40)


@pytest.mark.parametrize(
    ("first", "second", "kind", "before", "after", "why"),
    [
        (Member("a", mode=0o644), Member("a", mode=0o664), "mode", "0644", "0664",
         "the umask: 0002 leaves what 0022 takes"),
        (Member("a", mode=0o644), Member("a", mode=0o755), "mode", "0644", "0755", ""),
        (Member("a"), Member("a", owner=(VARIATION.uid, 0, VARIATION.user, "root")), "owner", "root/root (0/0)",
         f"{VARIATION.user}/root ({VARIATION.uid}/0)",
         "it belongs to the user who builds: pack it with --owner=0 --group=0, or dpkg-deb --root-owner-group"),
        (Member("a"), Member("a", owner=(7, 0, "lp", "root")), "owner", "root/root (0/0)", "lp/root (7/0)", ""),
        (Member("a"), Member("a", mtime=NOW + 86400), "time", "2024-01-10 12:00:00", "2024-01-11 12:00:00",
         "the clock: the time is not that of SOURCE_DATE_EPOCH"),
        (Member("a", link="b"), Member("a", link="c"), "link target", "'b'", "'c'", ""),
        (Member("a"), Member("a", None), "type", "file", "folder", ""),
    ],
)  # fmt: skip
def test_everything_that_a_member_has_is_compared(
    first: Member, second: Member, kind: str, before: str, after: str, why: str
) -> None:
    found = differences(deb_of(first), deb_of(second))
    assert found == [Difference(NAME, "data.tar", "a", DifferenceKind(kind), before, after, why)]


def test_files_of_one_build_only_are_named() -> None:
    one, two, three = Member("a"), Member("b"), Member("c")
    assert words(deb_of(one, two), deb_of(one, three)) == [
        "data.tar b: only in the first build",
        "data.tar c: only in the second build",
    ]


def test_another_order_of_members_is_named() -> None:
    one, two, three = Member("a"), Member("b"), Member("c")
    assert words(deb_of(one, two, three), deb_of(two, one, three)) == [
        "data.tar: another order: 'a' against 'b'; they are in the order of the file system: sort them"
    ]


def test_a_field_is_shown_as_a_field_and_what_follows_from_a_file_comes_behind_it() -> None:
    other = CONTROL.replace("Installed-Size: 8", "Installed-Size: 9").replace("2.36", "2.37")
    first = file_with(b"a", scripts={"md5sums": b"1  a\n"})
    second = file_with(b"b", control=other, scripts={"md5sums": b"2  a\n"})
    assert words(first, second) == [
        f"data.tar {README}: the content differs at byte 0: 'a' against 'b'",
        "control.tar control: field Depends: 'libc6 (>= 2.36)' against Depends: 'libc6 (>= 2.37)'",
        r"control.tar md5sums: the content differs at byte 0: '1  a\n' against '2  a\n'",
        "control.tar control: field Installed-Size: '8' against Installed-Size: '9'",
    ]


def test_compressors_are_named() -> None:
    assert words(file_with(b"a", ending=".xz"), file_with(b"a", ending=".zst")) == [
        "data.tar: another packing: .xz against .zst",
        "control.tar: another packing: .xz against .zst",
    ]
    assert words(file_with(b"a", ending=".gz", gzip_time=NOW), file_with(b"a", ending=".gz", gzip_time=NOW + 60)) == [
        f"{part}: another packing: 2024-01-10 12:00:00 against 2024-01-10 12:01:00; the time in a gzip header: use gzip -n"
        for part in ("data.tar", "control.tar")
    ]


def test_another_level_of_a_compressor_is_the_first_byte_that_differs() -> None:
    tar = tar_of([Member(README, bytes(range(256)) * 40)])
    debs = [
        ar_of((("debian-binary", b"2.0\n"), ("control.tar.xz", packed(tar_of([Member("control", CONTROL.encode())]), ".xz")),
               ("data.tar.xz", lzma.compress(tar, preset=level))))
        for level in (0, 9)
    ]  # fmt: skip
    [found] = differences(debs[0], debs[1])
    assert (found.part, found.path, found.kind) == ("", "", DifferenceKind.CONTENT)
    assert found.offset > 0


def test_times_of_the_outside_are_named() -> None:
    assert words(file_with(b"a"), file_with(b"a", outer_mtime=NOW + 1)) == [
        f"{part}: another time: 2024-01-10 12:00:00 against 2024-01-10 12:00:01; the time of a member of the package itself"
        for part in ("data.tar", "control.tar")
    ]


def test_headers_that_differ_in_what_nobody_reads_are_told_as_such() -> None:
    plain, other = (tar_of([Member("a", b"x")], form=form) for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT))
    first, second = (ar_of((("debian-binary", b"2.0\n"), ("data.tar", tar))) for tar in (plain, other))
    [found] = differences(first, second)
    assert (found.part, found.cause) == ("data.tar", "the tar headers or the padding differ, the members do not")


@pytest.mark.parametrize(
    ("first", "second", "why"),
    [
        ("built in /build/tern/tern-1.0", f"built in {VARIATION.build_path}/tern-1.0", "the build path"),
        ("host sbuild", f"host {VARIATION.hostname}", "the host name"),
        ("by distwright", f"by {VARIATION.user}", "the name of the user who builds"),
        ("uid 998", f"uid {VARIATION.uid}", "the number of the user who builds"),
        ("HOME=/sbuild-nonexistent", f"HOME={VARIATION.home}", "HOME"),
        ("zone UTC", f"zone {VARIATION.timezone_name}", "the time zone"),
        ("LANG=C.UTF-8", f"LANG={VARIATION.locale}", "the locale"),
        ("umask 0022", "umask 0002", "the umask"),
        ("cpus: 8", "cpus: 1", "a number that is the count of CPUs"),
        ("built Nov 30 2026 03:13:58", "built Mar  5 2027 03:13:58", "a date or a time"),
        ("at 2026-11-30", "at 2027-03-05", "a date or a time"),
        ("at 1795921938", "at 1804242371", "a date or a time"),
        ("at 10:11:12", "at 17:24:12", "a date or a time"),
        ("sort\nTern\narctic\nzebra\n", "sort\narctic\nTern\nzebra\n", "the same lines in another order"),
        ("Arctic\nTern\narctic\n", "arctic\nArctic\nTern\n", "the same lines in another order, the first one sorted by bytes"),
        ("a bird", "a fish", ""),
    ],
)  # fmt: skip
def test_known_causes_are_put_into_words(first: str, second: str, why: str) -> None:
    found = cause(f"Some text.\n{first}\nMore text.\n" if "\n" not in first else first,
                  f"Some text.\n{second}\nMore text.\n" if "\n" not in second else second)  # fmt: skip
    assert found.startswith(why), found
    assert bool(found) == bool(why)


def test_without_a_known_variation_dates_are_recognised_all_the_same() -> None:
    first, second = file_with(b"on 2026-11-30 it was"), file_with(b"on 2027-03-05 it was")
    [found] = compare_files(NAME, io.BytesIO(first), io.BytesIO(second))
    assert found.cause == "a date or a time (the clock): take SOURCE_DATE_EPOCH instead"


def test_the_time_in_a_gzip_header_of_a_file_is_named() -> None:
    path = "usr/share/doc/tern/README.gz"
    debs = [deb_of(Member(path, gzip.compress(b"text", mtime=NOW + add))) for add in (0, 60)]
    [found] = differences(debs[0], debs[1])
    assert (found.path, found.offset, found.cause) == (
        path, 4, "the time in a gzip header, 2024-01-10 12:00:00 against 2024-01-10 12:01:00: use gzip -n",
    )  # fmt: skip


def test_a_packed_file_is_looked_into() -> None:
    path = "usr/share/man/man1/tern.1.gz"
    debs = [
        deb_of(Member(path, gzip.compress(text, mtime=0)))
        for text in (b"by sbuild.", b"by %b." % VARIATION.hostname.encode())
    ]
    [found] = differences(debs[0], debs[1])
    assert (found.path, found.offset) == (f"{path} (unpacked)", 3)
    assert found.cause == f"the host name ({VARIATION.hostname})"


def test_a_large_file_is_read_in_pieces_to_its_first_difference() -> None:
    noise = b"".join(sha256_of(b"%d" % number).encode() for number in range(50_000))
    changed = noise[:2_500_000] + b"built Nov 30 2026" + noise[2_500_017:]
    other = noise[:2_500_000] + b"built Mar  5 2027" + noise[2_500_017:]
    [found] = differences(file_with(changed, ending=""), file_with(other, ending=""))
    assert found.offset == 2_500_006
    assert found.cause.startswith("a date or a time")


def test_several_contents_of_one_package_are_all_placed() -> None:
    first = deb_of(*(Member(f"f{n}", b"one %d" % n) for n in range(5)))
    second = deb_of(*(Member(f"f{n}", b"two %d" % n if n % 2 else b"one %d" % n) for n in range(5)))
    assert [(found.path, found.offset) for found in differences(first, second)] == [("f1", 0), ("f3", 0)]


def test_a_source_tar_and_a_dsc_are_compared_too() -> None:
    first, second = (packed(tar_of([Member("tern-1.0/a", text)]), ".xz") for text in (b"one", b"two"))
    assert words(first, second, "tern_1.0.tar.xz") == [
        "tar tern-1.0/a: the content differs at byte 0: 'one' against 'two'"
    ]
    assert words(b"Format: 1.0\n", b"Format: 3.0\n", "tern_1.0.dsc") == [
        r"the content differs at byte 8: 'Format: 1.0\n' against 'Format: 3.0\n'"
    ]


def test_json_and_back_is_the_same() -> None:
    [found] = differences(file_with(b"one"), file_with(b"two"))
    assert Difference.from_json(found.to_json()) == found


def test_words_of_a_hostile_package_can_be_printed() -> None:
    name = "a\nb\x1b[31m"
    for said in words(deb_of(Member(name, b"one")), deb_of(Member(name, b"two\x1b[31m"))):
        assert said.isprintable()
    assert all(said.isprintable() for said in words(deb_of(Member(name)), deb_of(Member(f"{name}c"))))


def test_what_cannot_be_looked_into_differs_all_the_same() -> None:
    whole = file_with(b"one")
    bomb = ar_of((("debian-binary", b"2.0\n"), ("data.tar.xz", lzma.compress(bytes(80 << 20)))))
    for first, second in ((whole, whole[:-40]), (whole, b"!<arch>\n" + b"x" * 70), (bomb, bomb[:-8]), (whole, b"")):
        found = differences(first, second)
        assert len(found) == 1
        assert found[0].kind is DifferenceKind.CONTENT
        assert found[0].offset >= 0


def test_ten_thousand_files_are_not_compared_each_with_each() -> None:
    members = [Member(f"f{number}", b"x") for number in range(10_000)]
    found = differences(deb_of(*members, ending=""), deb_of(*members[:-1], Member("f9999", b"y"), ending=""))
    assert [(one.path, one.offset) for one in found] == [("f9999", 0)]


def test_members_that_are_there_twice_do_no_harm() -> None:
    twice: Sequence[Member] = [Member("a", b"one"), Member("a", b"two")]
    assert differences(deb_of(*twice), deb_of(*reversed(twice)))


@given(st.data())
def test_no_damage_raises(chosen: st.DataObject) -> None:
    whole = file_with(b"text" * 20, scripts={"postinst": b"#!/bin/sh\n"}, ending="")
    at = chosen.draw(st.integers(0, len(whole) - 1))
    byte = chosen.draw(st.integers(0, 255))
    damaged = whole[:at] + bytes([byte]) + whole[at + 1 :]
    found = differences(whole, damaged)
    assert bool(found) == (damaged != whole)
    assert all(difference.in_words().isprintable() for difference in found)
