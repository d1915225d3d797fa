"""`distwright package review`."""

import click

from distwright.app import open_app
from distwright.cli.check import print_findings
from distwright.cli.options import json_option, say, state_option
from distwright.cli.watch import TerminalWatcher
from distwright.errors import WorkFailed
from distwright.model.outcomes import Outcome
from distwright.site.findings import build_named, findings, review_of_build
from distwright.site.views import job_detail


@click.command()
@click.argument("build", metavar="REPO|JOB")
@state_option
@click.option("--follow", is_flag=True, help="Print the logs.")
@json_option
def review(build: str, state: str | None, follow: bool, as_json: bool) -> None:
    """Look at what was built: lintian on the packages, blhc on the log. REPO means its newest build.

    Exit codes: 0 reviewed, 1 the checkers could not read it, 10 no such build, or no checkers.
    """
    app = open_app(state)
    app.tell = say
    job = build_named(app.database, build)
    order = review_of_build(app.database, app.ground(), job)
    review_job = app.place(order, app.applied()[1])
    app.run_until_done(TerminalWatcher(app.paths.job_log, follow=follow), [review_job])
    ended = job_detail(app.database, app.paths, review_job.id).job
    if ended.outcome is not Outcome.OK:
        raise WorkFailed(ended.message or "the review did not end well", hint=f"distwright job log {ended.id}")
    say(ended.message or "")
    print_findings(findings(app.database, kind=None, subject=str(job.inputs["source"]), fixed=False), as_json=as_json)
