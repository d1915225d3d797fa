"""`distwright upload`."""

from pathlib import Path

import click

from distwright.app import open_app
from distwright.cli.options import echo, finish_jobs, json_option, print_json, print_rows, state_option
from distwright.cli.watch import TerminalWatcher
from distwright.errors import NotFound, Refused, quoted
from distwright.model.digests import Json
from distwright.site.awaited import UNTIL_PUBLISHED
from distwright.site.tokens import new_token
from distwright.site.uploading import upload_list
from distwright.site.views import suites


@click.group()
def command() -> None:
    """Signed .changes with their files, and what became of them."""


@command.command("list")
@click.option("--suite", help="Only uploads to this suite.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10000), help="How many to look at.")
@state_option
@json_option
def list_uploads(suite: str | None, limit: int, state: str | None, as_json: bool) -> None:
    """List uploads with every reason of a reject, newest first. Exit code 10 if there is no such suite."""
    app = open_app(state)
    known = {name for row, _ in suites(app.database) for name in (row.name, f"{row.archive}/{row.name}")}
    if suite is not None and suite not in known:
        raise NotFound(f"there is no suite {quoted(suite)}", hint="distwright suite list")
    rows = [
        row
        for row in upload_list(app.database, limit)
        if suite is None or suite in (row["suite"], str(row["suite"]).partition("/")[2])
    ]
    headings = ("upload", "suite", "source", "version", "result", "way", "judged at", "problems")
    print_rows(rows, headings, as_json=as_json, empty="nothing was uploaded yet: distwright upload file FILE.changes")


@command.command()
@click.argument("number", type=int)
@state_option
@json_option
def show(number: int, state: str | None, as_json: bool) -> None:
    """Show what became of an upload. Exit codes: 0 accepted or still waiting, 3 rejected, 10 no such upload."""
    status = open_app(state).uploads().status(number)
    if as_json:
        print_json(status)
    else:
        for key, value in status.items():
            for line in _lines(value):
                echo(f"{key}: {line}")
    if status["result"] == "rejected":
        raise click.exceptions.Exit(Refused.exit_code)


@command.command()
@click.argument("changes", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--suite", default="", help="The suite; it must be the Distribution of the .changes.")
@click.option("--no-wait", is_flag=True, help="Leave it to a worker, and do not wait for the verdict.")
@state_option
@click.option("--follow", is_flag=True, help="Print the logs.")
@json_option
def file(changes: Path, suite: str, no_wait: bool, state: str | None, follow: bool, as_json: bool) -> None:
    """Upload a .changes with the files beside it, and publish its suite. What else follows (a build, checks, images) waits in the
    queue.

    Exit codes: 0 accepted, 1 rejected, 10 a file or suite is missing.
    """
    app = open_app(state)
    jobs = [app.uploads().from_file(changes.absolute(), suite)]
    if no_wait:
        rows: list[dict[str, Json]] = [{"upload": job.id, "title": job.title} for job in jobs]
        print_rows(rows, ("upload", "title"), as_json=as_json, empty="")
        return
    app.run_until_done(TerminalWatcher(app.paths.job_log, follow=follow), jobs, UNTIL_PUBLISHED)
    finish_jobs(app, jobs, as_json=as_json)


@command.command()
@click.argument("name")
@state_option
def token(name: str, state: str | None) -> None:
    """Make a new token for HTTP uploads of [upload.NAME] and print it; an earlier one counts no longer."""
    app = open_app(state)
    table = app.config().uploads.get(name)
    if table is None or table.token is None:
        raise NotFound(
            f"[upload.{quoted(name)[1:-1]}] has no token",
            hint=f'write token = {{ credential = "upload-{name}" }} into [upload.{name}]',
        )
    echo(new_token(app.paths, table.token.credential))


def _lines(value: Json) -> list[str]:
    if isinstance(value, dict):
        return [f"{name} {text}" for name, text in value.items()]
    return (
        [str(member) for member in value] if isinstance(value, list | tuple) else ["" if value is None else str(value)]
    )
