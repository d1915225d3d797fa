"""Hostile configurations: whatever the text, the answer is a Config or a BadConfig with lines that are in the files."""

import re
import string

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.config.worlds import GOOD

from distwright.config.lines import TooDeep, locate
from distwright.config.load import parse_config
from distwright.config.model import Config
from distwright.errors import BadConfig
from distwright.model.digests import canonical_json

PROBLEM = re.compile(r"  [ab]\.toml:(\d+) \S.*: .+; want .+")
SIGNS = st.characters(codec=None, exclude_categories=())
WORDS = st.sampled_from(
    [
        *re.findall(r'"[^"]*"|[a-z_]+|\[|\]|\n', GOOD),
        *(
            "=",
            ".",
            ",",
            "{",
            "}",
            "'",
            '"""',
            "'''",
            "\\",
            "#",
            "[[",
            "]]",
            "1",
            "-1",
            "nan",
            "true",
            "1979-05-27",
            "\r",
        ),
        *("flow", "password", "-----BEGIN PRIVATE KEY-----", "\ud800", "\x00", "'a b'", "9" * 400, "0x" + "f" * 900),
    ]
)
SCALARS = st.sampled_from(
    [
        *("1", "-5", "1e400", "nan", "true", "[]", "{}", '""', '"x"', "['a', 1]", "{ a = 1 }", "1979-05-27", '"a/b"'),
        *('"\\u0000"', '["own"]', '"-----BEGIN PRIVATE KEY-----"', '{ credential = "x" }', "{ credential = 1, b = 2 }"),
    ]
)


def check(*texts: str) -> None:
    files = [(f"{letter}.toml", text) for letter, text in zip("ab", texts, strict=False)]
    try:
        config = parse_config(files)
    except BadConfig as error:
        heading, *lines = error.message.split("\n")
        assert heading.startswith("the configuration has ")
        assert lines
        longest = max(text.count("\n") for text in texts) + 1
        for line in lines:
            match = PROBLEM.fullmatch(line)
            assert match, line
            assert 1 <= int(match[1]) <= longest
        error.message.encode()
    else:
        assert isinstance(config, Config)
        canonical_json(config.canonical())


@given(st.text(SIGNS))
def test_any_text(text: str) -> None:
    check(text)


@given(st.lists(WORDS, max_size=40).map(" ".join), st.lists(WORDS, max_size=40).map("".join))
def test_any_order_of_right_words(one: str, two: str) -> None:
    check(one, two)


@given(st.integers(0, len(GOOD)), st.integers(0, 30), st.text(SIGNS, max_size=5))
def test_a_right_text_with_a_hole(start: int, length: int, filling: str) -> None:
    check(GOOD[:start] + filling + GOOD[start + length :])


@given(st.data())
def test_right_keys_with_wrong_values(data: st.DataObject) -> None:
    lines = GOOD.splitlines()
    for position in data.draw(st.sets(st.integers(0, len(lines) - 1), max_size=5)):
        key, equals, _ = lines[position].partition(" = ")
        if equals:
            lines[position] = f"{key} = {data.draw(SCALARS)}"
        else:
            name = data.draw(st.text(string.ascii_letters + ". +_-", max_size=6))
            lines[position] = f"{lines[position].partition('.')[0].rstrip(']')}.'{name}']"
    check("\n".join(lines), data.draw(st.sampled_from(["", GOOD, "format = 2", "["])))


def test_a_text_cut_at_each_character() -> None:
    for cut in range(0, len(GOOD), 3):
        check(GOOD[:cut])


@given(st.lists(WORDS, max_size=40).map("".join))
def test_the_line_scanner_stays_inside_the_text(text: str) -> None:
    try:
        lines = locate(text)
    except TooDeep:
        return
    assert all(1 <= line <= text.count("\n") + 1 for line in lines.values())
