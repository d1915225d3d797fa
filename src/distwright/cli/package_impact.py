"""`distwright package impact`: what breaks if a candidate is let in?"""

import getpass
from functools import partial

import click

from distwright.app import open_app
from distwright.checks.inquiries import waits_for
from distwright.cli.options import json_option, print_json, print_table, say, state_option
from distwright.cli.watch import TerminalWatcher
from distwright.errors import WorkFailed
from distwright.model import plain
from distwright.model.digests import Json
from distwright.model.records import Inquiry, InquiryState
from distwright.site.impacts import ask_impact, inquiry, unfinished_jobs

_LIMIT, _DEPTH = 20, 1
_SAID = {
    "fine": "nothing new breaks",
    "breaks": "the candidate breaks something",
    "unknown": "something could not be found out, so nobody can say that nothing breaks",
}


@click.command()
@click.argument("source")
@click.option(
    "--candidate",
    "candidates",
    multiple=True,
    required=True,
    metavar="SUITE|JOB|FILE",
    help="A suite of ours, the job that built it, or its .deb and .dsc files (say it for each).",
)
@click.option("--suite", metavar="SUITE", help="The suite of ours that it is for (default: that of the source's repo).")
@click.option(
    "--depth",
    default=_DEPTH,
    show_default=True,
    type=click.IntRange(0, 10),
    help="How far to follow who is built with it.",
)
@click.option(
    "--limit",
    default=_LIMIT,
    show_default=True,
    type=click.IntRange(0, 1000),
    help="How many sources to build, and to test.",
)
@state_option
@click.option("--follow", is_flag=True, help="Print the logs.")
@json_option
def impact(
    source: str, candidates: tuple[str, ...], suite: str | None, depth: int, limit: int, state: str | None, follow: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Say what new packages of SOURCE break: everything once with them and once without.

    Sources that are built with them are built again, tests that use them run, they are installed, upgraded and removed, and all
    packages are checked for whether they can be installed. What failed before is no regression.

    Exit codes: 0 nothing new breaks, 1 something does or could not be found out, or the packages are not newer than what is there,
    3 the suite is compared with itself, 10 no such candidate or suite.
    """
    app = open_app(state)
    app.tell = say
    number = ask_impact(
        app.database, app.ground(), source, candidates, suite=suite, depth=depth, limit=limit, actor=getpass.getuser()
    )
    say(f"inquiry {number}")
    watcher = TerminalWatcher(app.paths.job_log, follow=follow)
    app.run_until_done(watcher, partial(unfinished_jobs, app.database, number))
    row = inquiry(app.database, number)
    print_impact(row, as_json=as_json)


def print_impact(row: Inquiry, *, as_json: bool) -> None:
    """Print the answer of an impact, and end as it says. Raises WorkFailed if there is none."""
    if row.answer is None:
        why = f": {waits_for(row)}" if waits_for(row) else ""
        raise WorkFailed(f"inquiry {row.id} has no answer yet{why}", hint=f"distwright package inquiry {row.id}")
    if row.state is not InquiryState.DONE:
        more = f" ({row.answer.get('hint', '')})"
        raise WorkFailed(
            f"inquiry {row.id} was stopped: {row.answer.get('error', '')}{more}", hint="distwright job list"
        )
    verdict = plain.text(row.answer, "verdict")
    if as_json:
        print_json({"inquiry": row.id, **row.answer})
    else:
        _print_table(row.answer)
        click.echo(f"\n{row.subject}: {_SAID[verdict]}")
    if verdict != "fine":
        raise click.exceptions.Exit(1)


def _print_table(answer: plain.Plain) -> None:
    rows = [plain.mapping({"row": row}, "row") for row in plain.members(answer, "rows")]
    headings = ("package", "question", "reference", "candidate", "verdict", "job", "why")
    print_table(headings, [tuple(_shown(row, key) for key in headings) for row in rows], empty="nothing depends on it")
    left = plain.number(answer, "left_out")
    if left:
        names = ", ".join(plain.texts(answer, "left_out_names"))
        click.echo(f"\n{left} more were left out by --limit: {names}")
    if unreadable := plain.texts(answer, "unreadable"):
        click.echo(f"\nbuild dependencies that cannot be read: {', '.join(unreadable)}")
    if not_asked := plain.texts(answer, "not_asked"):
        click.echo(f"\nnot asked, for the environment names no checkers: {', '.join(not_asked)}")


def _shown(row: plain.Plain, key: str) -> str:
    value: Json = row.get(key)
    if key == "package":
        return f"{row['package']} {row['version']}"
    return "" if value is None else str(value)
