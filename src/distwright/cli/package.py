"""`distwright package`."""

import click

from distwright.app import open_app
from distwright.cli.options import finish_jobs, json_option, say, state_option
from distwright.cli.package_questions import bisect, history, inquiry, list_asked, sweep
from distwright.cli.watch import TerminalWatcher


@click.group()
def command() -> None:
    """Debian packages that are built here."""


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


for _question in (sweep, bisect, history, list_asked, inquiry):
    command.add_command(_question)
