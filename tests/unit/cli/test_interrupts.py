"""Ctrl-C is Ctrl-C, whatever a library makes of it on its way out."""

import sys
from types import ModuleType

import click
import pytest

from distwright.cli.main import main
from distwright.errors import DistwrightError


def _ended(monkeypatch: pytest.MonkeyPatch, action: object) -> int | str | None:
    @click.command()
    def command() -> None:
        assert callable(action)
        action()

    noun = ModuleType("distwright.cli.doctor")
    noun.command = command  # type: ignore[attr-defined]  # as each noun's module has one
    monkeypatch.setattr(sys, "argv", ["distwright", "doctor"])
    monkeypatch.setitem(sys.modules, noun.__name__, noun)
    with pytest.raises(SystemExit) as stop:
        main()
    return stop.value.code


def _in_a_query() -> None:
    try:
        raise KeyboardInterrupt
    finally:
        raise ValueError("can't change 'autocommit' now: connection in transaction status ACTIVE")


def _in_a_query_of_ours() -> None:
    try:
        _in_a_query()
    except ValueError as error:
        raise DistwrightError("the database does not work", hint="distwright doctor") from error


def _bug() -> None:
    raise ValueError("a bug")


def test_an_error_that_ctrl_c_has_become_is_no_bug(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _ended(monkeypatch, _in_a_query) == 130
    assert _ended(monkeypatch, _in_a_query_of_ours) == 130
    assert capsys.readouterr().err == "interrupted; run the same command again to go on\n" * 2
    assert _ended(monkeypatch, _bug) == 70
