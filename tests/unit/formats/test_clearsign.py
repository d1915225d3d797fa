"""The text inside clearsigned messages."""

import pytest
from debian.deb822 import Deb822
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.formats.worlds import CHANGES, DSC, clearsigned

from distwright.errors import BadInput
from distwright.formats.clearsign import is_clearsigned, strip_clearsign, without_armour


@pytest.mark.parametrize("text", [CHANGES, DSC, b"", b"- dash\n--- dashes\n-\n\nend\n"])
def test_the_text_comes_out_as_it_went_in(text: bytes) -> None:
    assert is_clearsigned(clearsigned(text))
    assert strip_clearsign(clearsigned(text)) == without_armour(clearsigned(text)) == without_armour(text) == text


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=12).map(lambda line: line.replace(b"\n", b"").rstrip(b" \t\r")), max_size=5))
def test_every_text_comes_out_again(lines: list[bytes]) -> None:
    text = b"".join([line + b"\n" for line in lines])
    escaped = b"".join([(b"- " if line.startswith(b"-") else b"") + line + b"\n" for line in lines])
    message = clearsigned(b"@\n").replace(b"@\n", escaped)
    assert strip_clearsign(message) == text


def test_white_space_that_no_signature_covers_goes() -> None:
    assert strip_clearsign(clearsigned(b"A: 1 \t\n  \nB: 2\n").replace(b"\n", b"\r\n")) == b"A: 1\n\nB: 2\n"


def test_the_text_is_the_one_that_python_debian_cuts_out() -> None:
    _, lines, _ = Deb822.split_gpg_and_payload(iter(clearsigned(CHANGES).splitlines()))
    assert strip_clearsign(clearsigned(CHANGES)) == b"".join([line + b"\n" for line in lines])


SIGNED = clearsigned(b"Source: petrel\n")


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        (b"", "does not begin with ''"),
        (b"Source: petrel\n", "does not begin with 'Source: petrel'"),
        (b"\n" + SIGNED, "does not begin with ''"),
        (b"Evil: 1\n" + SIGNED, "does not begin with 'Evil: 1'"),
        (SIGNED + b"Evil: 1\n", "is followed by 'Evil: 1'"),
        (SIGNED + SIGNED, "is followed by '-----BEGIN PGP SIGNED MESSAGE-----'"),
        (SIGNED.replace(b"Hash: SHA512", b"Evil: 1"), "'Evil: 1' is no header"),
        (SIGNED.replace(b"petrel\n", b"petrel\n-- \n"), "a dash that is not escaped"),
        (SIGNED.replace(b"petrel\n", b"petrel\n-----BEGIN PGP SIGNED MESSAGE-----\n"), "a dash that is not escaped"),
        (SIGNED.replace(b"iQIz", b"Evil! 1\niQIz"), "'Evil! 1' is not part of a signature"),
        (SIGNED.replace(b"SIGNATURE-----\n\n", b"SIGNATURE-----\nEvil\n\n"), "'Evil' is no header"),
        (SIGNED.partition(b"-----END")[0], "ends within its signature"),
        (SIGNED.partition(b"-----BEGIN PGP SIGNATURE")[0], "ends before its signature"),
    ],
)
def test_anything_but_one_message_is_refused(message: bytes, problem: str) -> None:
    with pytest.raises(BadInput, match=problem):
        strip_clearsign(message)


def test_no_beginning_of_a_message_is_a_message() -> None:
    for end in range(len(SIGNED) - 1):
        with pytest.raises(BadInput):
            strip_clearsign(SIGNED[:end])
