"""`distwright package`."""

import click

from distwright.app import open_app
from distwright.cli.options import finish_jobs, json_option, print_rows, say, shown_time, state_option
from distwright.cli.package_impact import impact
from distwright.cli.package_review import review
from distwright.cli.watch import TerminalWatcher
from distwright.model.digests import Json
from distwright.site.checking import inquiries, trials


@click.group()
def command() -> None:
    """Debian packages that are built here."""


command.add_command(impact)
command.add_command(review)


@command.command()
@click.argument("repo")
@click.option("--tag", required=True, help="The tag to build.")
@state_option
@click.option("--follow", is_flag=True, help="Print the logs.")
@json_option
def build(repo: str, tag: str, state: str | None, follow: bool, as_json: bool) -> None:
    """Build the package of a tag, and let follow what follows (upload, publishing, images).

    Exit codes: 0 built, 1 it does not build, 10 no such repo or tag, 11 an archive has no snapshot yet.
    """
    app = open_app(state)
    app.tell = say
    jobs = [app.order_build(repo, tag)]
    app.run_until_idle(TerminalWatcher(app.paths.job_log, follow=follow), jobs)
    finish_jobs(app, jobs, as_json=as_json)


@command.command()
@click.argument("source", required=False)
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10000), help="How many, newest first.")
@state_option
@json_option
def history(source: str | None, limit: int, state: str | None, as_json: bool) -> None:
    """List what builds were tried, newest first: with which states of the archives, and how they ended."""
    app = open_app(state)
    rows: list[dict[str, Json]] = [
        {
            "source": row.trial.subject,
            "version": row.trial.version,
            "outcome": row.trial.outcome.value,
            "with": ", ".join(f"{name} {serial}" for name, serial in row.serials.items()),
            "at": shown_time(row.trial.at),
            "seconds": row.trial.took_s,
            "job": row.trial.job,
            "message": row.trial.message,
        }
        for row in trials(app.database, source, limit)
    ]
    headings = ("source", "version", "outcome", "with", "at", "seconds", "job", "message")
    print_rows(rows, headings, as_json=as_json, empty="nothing was built yet: distwright package build REPO --tag TAG")


@command.command("inquiries")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10000), help="How many, newest first.")
@state_option
@json_option
def list_asked(limit: int, state: str | None, as_json: bool) -> None:
    """List questions that take many jobs: sweeps, bisections, impacts."""
    app = open_app(state)
    rows: list[dict[str, Json]] = [
        {
            "inquiry": row.id,
            "kind": row.kind,
            "about": row.subject,
            "state": row.state.value,
            "began": shown_time(row.began_at),
            "ended": shown_time(row.ended_at),
        }
        for row in inquiries(app.database, limit)
    ]
    headings = ("inquiry", "kind", "about", "state", "began", "ended")
    print_rows(rows, headings, as_json=as_json, empty="nothing was asked yet")
