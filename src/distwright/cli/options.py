"""Options and output that all nouns share."""

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import TypeVar

import click

from distwright.app import App
from distwright.errors import visible
from distwright.model.digests import Json
from distwright.model.outcomes import Outcome
from distwright.model.records import Job
from distwright.site.views import job_detail

_COLUMN, _WIDTH, _WIDEST = 20, 240, 4000
F = TypeVar("F", bound=Callable[..., object])

state_option = click.option(
    "--state",
    "state",
    metavar="DIR",
    help="Where the state is (default: $DISTWRIGHT_STATE, /var/lib/distwright, ./state).",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")


def say(text: str) -> None:
    """Say something on stderr that is not the answer."""
    echo(text, err=True)


def echo(text: str, *, err: bool = False) -> None:
    """Print text that may have parts from outside; signs that are not seen are written out."""
    click.echo(visible(text), err=err)


def print_json(value: Json) -> None:
    """Print the answer as JSON; signs that are not seen are escaped in it."""
    click.echo(_json(value, indent=2))


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, empty: str) -> None:
    """Print the answer as a table, or what to do if it is empty; never cuts text when it is not read on a terminal."""
    if not rows:
        click.echo(empty)
        return
    from rich.console import Console  # late: it costs 30 ms, and answers of most commands are no tables
    from rich.table import Table

    # Text from outside may have brackets and colons, which rich would take for styles and emoji.
    width = None if Console().is_terminal else max(_WIDTH, _needed(headings, rows))
    console = Console(width=width, markup=False, emoji=False, highlight=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _needed(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """Say how wide a table is in which no name is folded: whoever reads it by a program looks for whole ones."""
    from rich.cells import cell_len  # late, as above

    columns = zip(headings, *rows, strict=True)
    return min(
        _WIDEST, sum(2 + max(cell_len(line) for cell in column for line in cell.split("\n")) for column in columns)
    )


def print_rows(rows: Sequence[dict[str, Json]], headings: Sequence[str], *, as_json: bool, empty: str) -> None:
    """Print rows, either way; headings are the keys to show, in order."""
    if as_json:
        print_json(list(rows))
    else:
        print_table(headings, [[_shown(row.get(key)) for key in headings] for row in rows], empty=empty)


def print_stream(rows: Iterable[dict[str, Json]], headings: Sequence[str], *, as_json: bool, empty: str) -> None:
    """Print rows as they come, for lists that may be very long: columns apart by blanks, as wide as their first texts."""
    count = 0
    widths: list[int] = []
    for count, row in enumerate(rows, start=1):  # counted for the end
        if as_json:
            click.echo(("[" if count == 1 else ",") + _json(row))
            continue
        texts = [_shown(row.get(key)) for key in headings]
        if count == 1:
            widths = [max(len(heading), len(text), _COLUMN) for heading, text in zip(headings, texts, strict=True)]
            click.echo("  ".join(map(str.ljust, headings, widths)).rstrip())
        click.echo("  ".join(map(str.ljust, texts, widths)).rstrip())
    if as_json:
        click.echo("]" if count else "[]")
    elif not count:
        click.echo(empty)


def finish_jobs(app: App, jobs: Sequence[Job], *, as_json: bool) -> None:
    """Print how ordered jobs ended; exit 1 if one did not end well."""
    ended = [job_detail(app.database, app.paths, job.id).job for job in jobs]
    rows: list[dict[str, Json]] = [
        {
            "job": job.id,
            "result": str(job.outcome or job.state),
            "message": job.message,
            "outputs": None if job.outputs is None else dict(job.outputs),
        }
        for job in ended
    ]
    print_rows(rows, ("job", "result", "message"), as_json=as_json, empty="nothing to do")
    if any(job.outcome is not Outcome.OK for job in ended):
        raise click.exceptions.Exit(1)


def shown_time(moment: datetime | None) -> str:
    """Write a time for people."""
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}"


def _shown(value: Json) -> str:
    if value is None:
        return ""
    return ", ".join(_shown(member) for member in value) if isinstance(value, list | tuple) else visible(str(value))


def _json(value: Json, indent: int | None = None) -> str:
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    return (
        text
        if text.isprintable()
        else "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)
    )
