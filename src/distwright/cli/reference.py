"""Generate the reference of commands (docs/reference/commands.md) from the commands themselves."""

import importlib
from collections.abc import Iterator

import click

from distwright.cli.main import NOUNS

_HEAD = """# Commands

`distwright <noun> <verb> [names]`. stdout is the answer, stderr is progress; `--json` gives the answer as JSON.
This page is generated from the commands: `DISTWRIGHT_RECORD=1 .venv/bin/python -m pytest tests/habits/test_generated_pages.py`.

Exit codes: 0 ok, 1 the work failed, 2 usage, 3 refused by a rule, 10 not found, 11 busy, 12 not allowed, 20 outside program,
70 our bug, 130 interrupted.
"""


def commands_reference() -> str:
    """Give the page."""
    return _HEAD + "".join(text for noun in sorted(NOUNS) for text in _noun(noun))


def _noun(noun: str) -> Iterator[str]:
    command: click.Command = importlib.import_module(f"distwright.cli.{noun}").command
    yield f"\n## {noun}\n\n{NOUNS[noun]}\n"
    if isinstance(command, click.Group):
        for verb in sorted(command.commands):
            yield _command(f"{noun} {verb}", command.commands[verb])
    else:
        yield _command(noun, command)


def _command(name: str, command: click.Command) -> str:
    context = click.Context(command, info_name=f"distwright {name}")
    usage = " ".join(command.collect_usage_pieces(context))
    chosen = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    rows = [record for option in chosen if (record := option.get_help_record(context))]
    options = "".join(f"| `{_cell(option)}` | {_cell(text)} |\n" for option, text in rows)
    table = f"\n| option | means |\n|---|---|\n{options}" if rows else ""
    text = "\n".join(line.strip() for line in (command.help or "").strip().splitlines())
    return f"\n### `distwright {name} {usage}`\n\n{text}\n{table}"


def _cell(text: str) -> str:
    """Escape what would end a cell of a table, in code too (GitHub's rule for tables)."""
    return text.replace("|", "\\|")
