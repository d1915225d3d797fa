"""Tables that are printed show the text that they are given, whoever wrote it."""

import json

import pytest

from distwright.cli.options import echo, print_rows, print_stream, print_table
from distwright.model.digests import Json


def test_brackets_and_colons_in_a_table_are_text_and_no_style(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("[bold]what",), [["[archive.debian] and [/] :bomb: [red]x[/red]"]], empty="nothing")
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == [
        "[bold]what", "[archive.debian] and [/] :bomb: [red]x[/red]",
    ]  # fmt: skip


def test_names_are_whole_where_a_program_reads_them(capsys: pytest.CaptureFixture[str]) -> None:
    names = ["petrel-amd64-2.0-feature-x-" + sign * 100 for sign in "abc"]
    print_table(("name", "layer on", "upgrades"), [names], empty="nothing")
    assert capsys.readouterr().out.splitlines()[1].split() == names
    print_table(("name",), [["ä" * 9000]], empty="nothing")
    assert "".join(capsys.readouterr().out.split()) == "name" + "ä" * 9000, "and nothing is cut"


def test_an_empty_table_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows([], ("a",), as_json=False, empty="nothing to do")
    assert capsys.readouterr().out == "nothing to do\n"


def test_signs_that_turn_the_line_around_are_written_out_in_tables_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    rows: list[dict[str, Json]] = [{"branch": "main\u202egpj\u2066\U000e0041", "note": "two\nlines"}]
    print_rows(rows, ("branch",), as_json=False, empty="nothing")
    print_rows(rows, ("branch",), as_json=True, empty="nothing")
    print_stream(rows, ("branch",), as_json=False, empty="nothing")
    print_stream(rows, ("branch",), as_json=True, empty="nothing")
    echo("job: main\u202egpj\n  of ada\t1\u200b")
    text = capsys.readouterr().out
    assert text.replace("\n", "").replace("\t", "").isprintable()
    assert text.count("main\\u202egpj\\u2066") == 4
    assert text.endswith("job: main\\u202egpj\n  of ada\t1\\u200b\n")
    parsed = json.loads(text[text.index("[") : text.index("]") + 1])
    assert parsed == rows
