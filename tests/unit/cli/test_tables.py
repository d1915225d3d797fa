"""Tables that are printed show the text that they are given, whoever wrote it."""

import pytest

from distwright.cli.options import print_rows, print_table


def test_brackets_and_colons_in_a_table_are_text_and_no_style(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("[bold]what",), [["[archive.debian] and [/] :bomb: [red]x[/red]"]], empty="nothing")
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == [
        "[bold]what", "[archive.debian] and [/] :bomb: [red]x[/red]",
    ]  # fmt: skip


def test_an_empty_table_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows([], ("a",), as_json=False, empty="nothing to do")
    assert capsys.readouterr().out == "nothing to do\n"
