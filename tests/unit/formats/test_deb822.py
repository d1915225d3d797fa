"""Stanzas: read strictly, read fast, written safely."""

import mmap

import pytest
from debian.deb822 import Deb822
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.formats.worlds import BUILDINFO, CHANGES, CONTROL, DSC, PACKAGES, RELEASE

from distwright.errors import BadInput
from distwright.formats.deb822 import (
    parse_one,
    parse_stanzas,
    raw_field,
    raw_stanzas,
    unwrapped,
    wrapped,
    write_stanza,
)

NAMES = st.from_regex(r"[A-Za-z0-9!-\"$-,./;-~][!-9;-~]{0,8}", fullmatch=True)
LINES = st.text(st.characters(exclude_characters="\n\r\0", exclude_categories=["Cs"]), max_size=20)
VALUES = st.builds(
    lambda first, rest: "\n".join([first, *(f" {line}" for line in rest)]), LINES, st.lists(LINES, max_size=3)
)


def normal(value: str) -> str:
    """Say how a value is read back: empty lines as ` .`, no white space around the whole."""
    first, *rest = value.lstrip(" \t").rstrip(" \t\r\n").split("\n")
    return "\n".join([first, *(line if line.strip(" \t\f\v") else " ." for line in rest)])


def test_fields_are_found_in_any_case_and_kept_in_order() -> None:
    stanza = parse_one(b"Package: hello\nX-Odd-CASE:  two words \t\nDepends: a,\n b,\n\tc\nEmpty:\n")
    assert stanza.items() == (
        ("Package", "hello"),
        ("X-Odd-CASE", "two words"),
        ("Depends", "a,\n b,\n\tc"),
        ("Empty", ""),
    )
    assert (stanza["PACKAGE"], stanza.get("x-odd-case"), stanza.get("Nothing")) == ("hello", "two words", None)
    assert stanza.get("Nothing", "default") == "default"
    assert "depends" in stanza
    assert "Nothing" not in stanza
    with pytest.raises(BadInput, match="lacks the field Nothing"):
        stanza["Nothing"]


def test_a_value_may_begin_on_the_line_after_its_name() -> None:
    assert parse_one(b"Files: \n a b\n c d\n").items() == (("Files", "\n a b\n c d"),)


def test_stanzas_keep_their_text_and_lose_only_what_parts_them() -> None:
    texts = [stanza.raw for stanza in parse_stanzas(b"\n\nA: 1\n b\n\n\n\nB: 2\r\n\r\nC: 3")]
    assert texts == ["A: 1\n b\n", "B: 2\n", "C: 3\n"]
    assert list(parse_stanzas(b"")) == list(parse_stanzas(b"\n\n")) == []


def test_stanzas_are_checked_only_when_they_are_reached() -> None:
    stanzas = parse_stanzas(b"A: 1\n\nno colon\n")
    assert next(stanzas)["A"] == "1"
    with pytest.raises(BadInput, match="no field begins in the line 'no colon'"):
        next(stanzas)


def test_signs_that_only_python_takes_for_line_ends_part_nothing() -> None:
    value = "a\u2028b\x85c\x0bd\x0ce\x1cf"
    assert parse_one(f"Name: {value}\n".encode()).items() == (("Name", value),)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"A: 1\na: 2\n", "'a' occurs twice"),
        (b" continuation first\n", "no field begins in the line ' continuation first'"),
        (b"A: 1\nB 2\n", "no field begins in the line 'B 2'"),
        (b"A : 1\n", "no field begins"),
        (b": 1\n", "no field begins"),
        (b"-A: 1\n", "no field begins"),
        (b"#A: 1\n", "no field begins"),
        (b"A: 1\n# comment\n", "no field begins"),
        ("Ä: 1\n".encode(), "no field begins"),
        (b"A: 1\n \nB: 2\n", "line of only blanks"),
        (b"A: 1\n\t \r\nB: 2\n", "line of only blanks"),
        (b"A: 1\n\x0c\nB: 2\n", "line of only blanks"),
        (b"A: 1\0\n", "NUL at character 4"),
        (b"A: \xff\n", "offset 3 is not UTF-8"),
        (b"A: 1\n\nB: \xc3\n", "offset 9 is not UTF-8"),
        (b"", "one stanza is wanted here, found 0"),
        (b"A: 1\n\nB: 2\n", "one stanza is wanted here, found 2"),
    ],
)
def test_what_readers_could_read_differently_is_refused(data: bytes, problem: str) -> None:
    with pytest.raises(BadInput, match=problem):
        parse_one(data)


def test_hand_written_files_may_have_comments_and_lines_of_blanks() -> None:
    data = b"# head\nSource: petrel\nBuild-Depends: a,\n# why b\n b\n  \nPackage: petrel\n#end"
    assert [stanza.items() for stanza in parse_stanzas(data, hand_written=True)] == [
        (("Source", "petrel"), ("Build-Depends", "a,\n b")),
        (("Package", "petrel"),),
    ]


@pytest.mark.parametrize("data", [CONTROL, DSC, CHANGES, BUILDINFO, RELEASE, *PACKAGES.split(b"\n\n")])
def test_fields_are_those_that_python_debian_reads(data: bytes) -> None:
    assert parse_one(data).items() == tuple(Deb822(data).items())


@pytest.mark.parametrize("data", [CONTROL, DSC, CHANGES, BUILDINFO, RELEASE])
def test_debian_files_are_written_back_byte_for_byte(data: bytes) -> None:
    assert write_stanza(parse_one(data).items()) == data


def test_raw_and_strict_reader_agree() -> None:
    raws = list(raw_stanzas(PACKAGES))
    stanzas = list(parse_stanzas(PACKAGES))
    assert [raw.decode() for raw in raws] == [stanza.raw for stanza in stanzas]
    for raw, stanza in zip(raws, stanzas, strict=True):
        for name, value in stanza.items():
            wanted = value.encode()
            assert raw_field(raw, name.encode()) == raw_field(raw, name.swapcase().encode()) == wanted
        assert raw_field(raw, b"Packag") is raw_field(raw, b"ackage") is None


def test_raw_stanzas_come_alike_from_bytes_views_and_maps() -> None:
    data = b"\n\nA: 1\n\n\nB: 2\r\n\r\nC: 3"
    mapped = mmap.mmap(-1, len(data))
    mapped.write(data)
    wanted = [b"A: 1\n", b"B: 2\n", b"C: 3"]
    assert list(raw_stanzas(data)) == list(raw_stanzas(memoryview(data))) == list(raw_stanzas(mapped)) == wanted


def test_a_raw_field_is_not_found_inside_another_value() -> None:
    raw = b"Description: x\n Version: 9\nVersion: 1\n"
    assert raw_field(raw, b"Version") == b"1"
    assert raw_field(b"X-Version: 1\n", b"Version") is None
    assert raw_field(b"", b"Version") is None


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(NAMES, VALUES, min_size=1, max_size=4))
def test_what_is_written_is_read_back(fields: dict[str, str]) -> None:
    if len({name.lower() for name in fields}) < len(fields):
        return
    written = write_stanza(fields.items())
    wanted = tuple((name, normal(value)) for name, value in fields.items())
    assert parse_one(written).items() == wanted
    assert [raw_field(written, name.encode()) for name in fields] == [value.encode() for _, value in wanted]


def test_empty_lines_in_a_value_are_written_as_full_stops() -> None:
    assert (
        write_stanza([("Description", "short\n long\n\n  \n more\n")]) == b"Description: short\n long\n .\n .\n more\n"
    )


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("Description", "short\nFilename: ../evil", "would begin a field: 'Filename: ../evil'"),
        ("Description", "short\n\nPackage: evil", "would begin a field"),
        ("Description", "short\r\n\r\nPackage: evil", "CR or a NUL|would begin a field"),
        ("Description", "a\0b", "CR or a NUL"),
        ("Description", "a\rb", "CR or a NUL"),
        ("Description", "\udc80", "cannot be written as UTF-8"),
        ("Na me", "x", "'Na me' cannot name a field"),
        ("Name:", "x", "cannot name a field"),
        ("#Name", "x", "cannot name a field"),
        ("A\nB", "x", "cannot name a field"),
        ("", "x", "cannot name a field"),
    ],
)
def test_injection_is_refused(name: str, value: str, problem: str) -> None:
    with pytest.raises(BadInput, match=problem):
        write_stanza([(name, value)])


def test_a_field_is_not_written_twice() -> None:
    with pytest.raises(BadInput, match="written twice"):
        write_stanza([("A", "1"), ("a", "2")])


def test_long_values_unwrap_to_plain_text_and_back() -> None:
    description = parse_one(CONTROL)["Description"]
    text = (
        "greets whoever starts the live system\n"
        "The greeter asks for language and keyboard, and then\n"
        "\n"
        " * shows where help is"
    )
    assert unwrapped(description) == text
    assert wrapped(text) == description
