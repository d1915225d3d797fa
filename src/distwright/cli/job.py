"""`distwright job`."""

import sys
import time
from collections.abc import Iterator

import click

from distwright.app import App, open_app
from distwright.cli.options import echo, json_option, print_json, print_rows, say, shown_time, state_option
from distwright.errors import NotFound, Refused
from distwright.formats.log_text import HarmlessText
from distwright.model.digests import Json
from distwright.model.outcomes import JobState
from distwright.model.records import Job
from distwright.site.views import job_detail, jobs, open_events, unknown_kind
from distwright.site.waiting import why_it_waits
from distwright.worker.enter import SHELL, step_to_enter
from distwright.worker.enter import enter as run_in_step
from distwright.worker.kinds import KINDS

_POLL_S = 0.3
_REFUSED_SHOWN = 5


@click.group()
def command() -> None:
    """Work orders: what was done, is being done, will be done."""


@command.command("list")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10000), help="How many, newest first.")
@state_option
@json_option
def list_jobs(limit: int, state: str | None, as_json: bool) -> None:
    """List jobs, newest first."""
    app = open_app(state, may_be_away=True)
    rows: list[dict[str, Json]] = [
        {
            "job": job.id,
            "kind": job.kind,
            "pool": job.pool,
            "state": str(job.outcome or job.state),
            "created": shown_time(job.created_at),
            "attempts": job.fence,
            "title": job.title,
            "message": unknown_kind(job) or job.message or "",
        }
        for job in jobs(app.database, limit=limit)
    ]
    headings = ("job", "kind", "state", "created", "attempts", "title", "message")
    print_rows(rows, headings, as_json=as_json, empty="no job yet: distwright demo, or push to a repo")
    refused = [row for row in open_events(app.database) if row.is_refused]
    for row in refused[-_REFUSED_SHOWN:]:
        echo(f"refused: event {row.event.number}, {row.event.event.subject}: {row.reason}", err=True)
    if refused:
        echo(f"refused in all: {len(refused)}; distwright event list", err=True)


@command.command()
@click.argument("number", type=int)
@state_option
@json_option
def show(number: int, state: str | None, as_json: bool) -> None:
    """Show a job: its inputs, outputs and attempts."""
    app = open_app(state, may_be_away=True)
    detail = job_detail(app.database, app.paths, number)
    document = _as_json(detail.job)
    document["attempts"] = [
        {
            "number": attempt.fence,
            "began": shown_time(attempt.started_at),
            "ended": shown_time(attempt.finished_at),
            "outcome": None if attempt.outcome is None else str(attempt.outcome),
            "message": attempt.message,
            "outputs": {name: str(digest) for name, digest in attempt.outputs.items()},
        }
        for attempt in detail.attempts
    ]
    document["log"] = str(detail.log)
    document["waits"] = waits = why_it_waits(app.database, app.config(), detail.job, app.database.now())
    if as_json:
        print_json(document)
        return
    if not waits:
        del document["waits"]
    for key, value in document.items():
        echo(f"{key}: {value}" if not isinstance(value, dict | list) else f"{key}:")
        members = value.items() if isinstance(value, dict) else enumerate(value, 1) if isinstance(value, list) else ()
        for name, member in members:
            echo(f"  {name}: {member}")


@command.command()
@click.argument("number", type=int)
@click.option("--follow", is_flag=True, help="Go on until the job ends.")
@click.option(
    "--raw", is_flag=True, help="Print every byte to a terminal too; whatever a build printed can command it."
)
@state_option
@json_option
def log(number: int, follow: bool, raw: bool, state: str | None, as_json: bool) -> None:
    """Print the log of a job's newest attempt; as JSON when all of it is there.

    On a terminal, what would command that is left out; a file or a pipe gets every byte.
    """
    app = open_app(state)
    detail = job_detail(app.database, app.paths, number)
    if not detail.log.exists() and not follow:
        raise NotFound(f"job {number} has no log yet", hint=f"distwright job show {number}")
    if follow and detail.job.state is JobState.QUEUED:
        waits = why_it_waits(app.database, app.config(), detail.job, app.database.now())
        say(f"job {number} waits for a worker; distwright worker --until-idle runs it here")
        if waits:
            say(waits)
    if as_json:
        while follow and _job(app, number).state is not JobState.DONE:
            time.sleep(_POLL_S)
        detail = job_detail(app.database, app.paths, number)
        text = detail.log.read_bytes().decode(errors="replace") if detail.log.exists() else ""
        print_json(
            {
                "job": number,
                "state": str(detail.job.state),
                "file": str(detail.log),
                "log": text,
                "missing": detail.missing_log,
            }
        )
        return
    shown = None if raw or not sys.stdout.isatty() else HarmlessText()
    for content in _log_of(app, number, follow=follow):
        sys.stdout.buffer.write(content if shown is None else shown.feed(content).encode())
        sys.stdout.flush()
    if shown is not None:
        sys.stdout.buffer.write(shown.rest().encode())
        sys.stdout.flush()
    if missing := job_detail(app.database, app.paths, number).missing_log:
        say(missing)


def _log_of(app: App, number: int, *, follow: bool) -> Iterator[bytes]:
    """Give what is in a job's log. follow: until the job is done, with the attempts that come; one that waits has none yet."""
    shown, offset = None, 0
    while True:
        detail = job_detail(app.database, app.paths, number)
        state = detail.job.state
        if (state is not JobState.QUEUED or not follow) and detail.log.exists():
            offset = offset if detail.log == shown else 0
            shown = detail.log
            with shown.open("rb") as file:
                file.seek(offset)
                content = file.read()
            offset += len(content)
            yield content
        if state is JobState.DONE or not follow:
            return
        time.sleep(_POLL_S)


@command.command("retry")
@click.argument("number", type=int)
@state_option
@json_option
def retry_job(number: int, state: str | None, as_json: bool) -> None:
    """Queue a job again that did not end well. Exit code 3 if it is ok or still runs."""
    app = open_app(state)
    job = app.retry_job(number)
    if as_json:
        print_json(_as_json(job))
        return
    echo(f"job {job.id} is {job.state}; distwright worker --until-idle runs it, or the next demo")


@command.command()
@click.argument("number", type=int)
@click.argument("program", nargs=-1)
@click.option("--step", metavar="STEP", help="This step.  [default: the first that did not end well]")
@state_option
def enter(number: int, program: tuple[str, ...], step: str | None, state: str | None) -> None:
    """Look into a step of a job that failed: a shell (or PROGRAM) with its files, its root and its environment.

    What the step would run is printed first, so that it can be run again there. Nothing that is left there is kept, and the job
    stays as it is. The exit code is the program's; 3 if the step cannot be entered, 10 if there is no such job or step.
    """
    app = open_app(state)
    job = _job(app, number)
    if job.state is JobState.RUNNING:
        raise Refused(f"job {number} runs", hint=f"distwright job cancel {number}")
    kind = KINDS.get(job.kind)
    if kind is None or kind.kind.version != job.version:
        raise Refused(
            f"job {number} is of a kind that this distwright does not run: {job.kind}@{job.version}",
            hint="distwright job list",
        )
    context = app.make_context(job, lambda _line: None, lambda: False)
    name, plan = step_to_enter(kind, job.inputs, context, step)
    say(f"step {name} of job {number}: {job.title}")
    raise click.exceptions.Exit(run_in_step(context, plan, lambda line: say(f"  $ {line}"), program or SHELL))


@command.command("cancel")
@click.argument("number", type=int)
@state_option
@json_option
def cancel_job(number: int, state: str | None, as_json: bool) -> None:
    """End a job: at once if it waits, within seconds if it runs. Exit code 3 if it is done."""
    app = open_app(state)
    job = app.cancel_job(number)
    if as_json:
        print_json(_as_json(job))
        return
    echo(f"job {job.id} is {job.outcome or 'being cancelled'}")


def _job(app: App, number: int) -> Job:
    return job_detail(app.database, app.paths, number).job


def _as_json(job: Job) -> dict[str, Json]:
    return {
        "job": job.id,
        "kind": job.kind,
        "version": job.version,
        "title": job.title,
        "pool": job.pool,
        "state": str(job.state),
        "outcome": None if job.outcome is None else str(job.outcome),
        "message": unknown_kind(job) or job.message,
        "digest": str(job.digest),
        "created": shown_time(job.created_at),
        "config commit": job.config_commit,
        "caused by event": job.cause,
        "embargo": sorted(job.embargo.names),
        "inputs": dict(job.inputs),
        "outputs": None if job.outputs is None else dict(job.outputs),
    }
