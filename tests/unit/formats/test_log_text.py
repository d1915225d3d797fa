"""What programs printed becomes text that cannot harm who looks at it."""

import io

import pytest

from distwright.formats.log_text import LEFT_OUT, MOST_OF_A_LINE, HarmlessText, harmless, log_text

TRICKS = {
    b"\x1b[31merror:\x1b[0m red": "error: red",
    b"\x1b]0;title\x07text": "text",
    b"\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\": "link",
    b"\x1bP1$r\x1b\\a": "a",
    b"\x1b[2J\x1b[Hgone\x1bc": "gone",
    b"10%\r20%\r\ndone": "10%\n20%\ndone",
    b"a\x08b\0\x7f\x07c\td": "a\ufffdb\ufffd\ufffd\ufffdc\td",
    "a\u202eb\u200bc\x9bd".encode(): "a\ufffdb\ufffdc",
    b"\xff\xfe bad": "\ufffd\ufffd bad",
    b"\x1b[1;2": "1;2",
    b"\x1b]never ends\nnext": "\nnext",
    "Umläute …".encode(): "Umläute …",
}


@pytest.mark.parametrize(("content", "text"), TRICKS.items(), ids=range(len(TRICKS)))
def test_what_a_terminal_would_obey_is_gone_and_the_rest_is_there(content: bytes, text: str) -> None:
    assert harmless(content) == text


@pytest.mark.parametrize("content", [*TRICKS, b"".join(TRICKS), b"\n".join(TRICKS)], ids=range(len(TRICKS) + 2))
def test_text_that_comes_in_pieces_is_the_same_wherever_it_is_cut(content: bytes) -> None:
    for at in range(len(content) + 1):
        text = HarmlessText()
        assert text.feed(content[:at]) + text.feed(content[at:]) + text.rest() == harmless(content), at


def test_lines_come_as_soon_as_they_are_whole_and_one_without_end_in_parts() -> None:
    text = HarmlessText()
    assert [text.feed(piece) for piece in (b"one\ntw", b"o\r", b"\n", b"50%\r6")] == ["one\n", "", "two\n", "50%\n"]
    assert text.feed(b"x" * MOST_OF_A_LINE) == "6" + "x" * MOST_OF_A_LINE
    assert text.feed(b"\x1b[3") + text.feed(b"x" * MOST_OF_A_LINE) == "x" * (MOST_OF_A_LINE - 1)
    assert text.rest() == ""


def test_short_log_is_all_there() -> None:
    assert log_text(io.BytesIO(b"one\ntwo\n"), 8) == "one\ntwo\n"


@pytest.mark.parametrize("most", [20, 100, 101, 1000])
def test_long_log_has_its_beginning_and_its_end_and_says_how_many_lines_are_missing(most: int) -> None:
    lines = [f"line {number}" for number in range(1000)]
    text = log_text(io.BytesIO("".join(f"{line}\n" for line in lines).encode()), most)
    shown = text.splitlines()
    [(at, match)] = [(at, match) for at, line in enumerate(shown) if (match := LEFT_OUT.fullmatch(line))]
    left_out = int(match[1])
    assert shown[:at] == lines[:at]
    assert shown[at + 1 :] == lines[at + left_out :]
    assert at + left_out + len(shown) - at - 1 == len(lines)
    assert len(text) <= most + 40


def test_line_that_never_ends_is_cut_too() -> None:
    assert log_text(io.BytesIO(b"x" * 100), 20) == f"{'x' * 10}\n[... 0 lines left out ...]\n{'x' * 10}"


def test_many_beginnings_of_sequences_take_no_time_to_speak_of() -> None:
    for piece in (b"\x1b[", b"\x1b]", b"\x1bP1", b"\x1b[1;", b"\x1b "):
        assert len(harmless(piece * 200_000)) <= 2_000_000
