"""Whether an exception is needed, and what apt is told about it: decisions on values."""

import pytest
from tests.worlds.times import NOW

from distwright.archive.exception_rules import built_from, judge_exception, preferences_text
from distwright.model.records import FreezeException

ROW = FreezeException(
    7, "petrel", "1.0", "hello", "2.0-1", "petrel/next", "petrel/stable", "", "a crash\n at start", "user ada", NOW
)


@pytest.mark.parametrize(
    ("here", "below", "base", "is_needed", "takes_out", "why"),
    [
        ("2.0-1", "1.0-1", "petrel/stable", True, False, "petrel/stable has 1.0-1"),
        ("2.0-1", "2.0~rc1-1", "petrel/stable", True, False, "petrel/stable has 2.0~rc1-1"),
        ("2.0-1", None, "petrel/stable", True, False, "petrel/stable does not have it"),
        ("2.0-1", None, "", True, False, "nothing is known to be below 1.0: it stays until it is removed"),
        ("2.0-1", "2.0-1", "petrel/stable", False, True, "petrel/stable has 2.0-1"),
        ("2.0-1", "1:0.1-1", "petrel/stable", False, True, "petrel/stable has 1:0.1-1"),
        ("2.1-1", "1.0-1", "petrel/stable", False, False, "1.0 has 2.1-1 by now"),
        ("1.0-1", "2.0-1", "petrel/stable", False, False, "1.0 has 1.0-1 by now"),
        (None, "2.0-1", "petrel/stable", False, False, "1.0 no longer has it"),
    ],
)
def test_an_exception_is_needed_while_what_is_below_is_older(
    here: str | None, below: str | None, base: str, *, is_needed: bool, takes_out: bool, why: str
) -> None:
    verdict = judge_exception(ROW, here, below, base)
    assert (verdict.is_needed, verdict.takes_out, verdict.why) == (is_needed, takes_out, why)


def test_preferences_name_each_package_once_with_its_reason() -> None:
    text = preferences_text([ROW, ROW], {7: ["libhello", "hello", "hello"]}, "o=Petrel,n=1.0")
    stanza = (
        "Explanation: hello 2.0-1 instead of what is frozen: a crash at start\nPackage: hello libhello\n"
        "Pin: release o=Petrel,n=1.0\nPin-Priority: 500\n"
    )
    assert text == f"{stanza}\n{stanza}"
    assert preferences_text([ROW], {7: []}, "n=1.0") == preferences_text([], {}, "n=1.0") == ""


@pytest.mark.parametrize(
    ("stanza", "built"),
    [
        (b"Package: hello\nVersion: 2.0\n", ("hello", "2.0")),
        (b"Package: libhello\nSource: hello\nVersion: 2.0\n", ("hello", "2.0")),
        (b"Package: libhello\nSource: hello (1:2.0)\nVersion: 3.0+b1\n", ("hello", "1:2.0")),
    ],
)
def test_the_source_of_a_package_is_read_off_its_paragraph(stanza: bytes, built: tuple[str, str]) -> None:
    assert built_from(stanza) == built
