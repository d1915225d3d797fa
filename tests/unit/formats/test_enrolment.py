"""The line by which a builder and its server get to know each other."""

import pytest

from distwright.errors import BadInput
from distwright.formats.enrolment import EnrolmentLine, host_key, is_voucher, parse_enrolment, voucher
from distwright.model.digests import sha256_of

LINE = EnrolmentLine("s" * 43, "ssh-ed25519 " + "A" * 68)
KEY = "ssh-ed25519 " + "B" * 68


def test_line_comes_back_from_its_text() -> None:
    assert parse_enrolment(f" {LINE.text}\n") == LINE
    assert " " not in LINE.text
    assert LINE.sum == sha256_of(b"s" * 43)


@pytest.mark.parametrize(
    "text",
    [
        "", LINE.text[1:], LINE.text[:-20], LINE.text.replace("ed25519", "rsa"), LINE.text + ":more",
        LINE.text.replace("s" * 43, "s"),
        LINE.text.replace("A", '"', 1), LINE.text.replace("A", "\n", 1),
    ],
)  # fmt: skip
def test_other_text_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse_enrolment(text)
    assert "s" * 43 not in caught.value.message


def test_voucher_is_for_one_secret_one_question_and_one_key() -> None:
    given = voucher(LINE.sum, "nonce", KEY)
    assert is_voucher(given, LINE.sum, "nonce", KEY)
    others = [
        (sha256_of(b"other"), "nonce", KEY),
        (LINE.sum, "nonce2", KEY),
        (LINE.sum, "nonce", KEY.replace("B", "C")),
    ]
    assert [is_voucher(given, *other) for other in others] == [False, False, False]
    assert not is_voucher("", LINE.sum, "nonce", KEY)
    assert not is_voucher("ä" * 64, LINE.sum, "nonce", KEY)


def test_host_key_is_read_as_files_of_ssh_have_it() -> None:
    assert host_key(f"{KEY} root@builder\n") == KEY
    for text in ("", "ssh-ed25519", f"{KEY[:20]}", "ssh-dss " + "A" * 68, 'ssh-ed25519 "' + "A" * 68, "x" * 5000):
        with pytest.raises(BadInput):
            host_key(text)
