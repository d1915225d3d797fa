"""`distwright image rehearse`."""

import click

from distwright.app import open_app
from distwright.cli.options import json_option, print_json, say, state_option
from distwright.cli.watch import TerminalWatcher
from distwright.model.outcomes import JobState, Outcome
from distwright.site.comparing import image_built
from distwright.site.rehearsing import order_of_rehearsal, show_rehearsal

_SHOWN_DIFFERENCES = 8


@click.command("rehearse")
@click.argument("what", metavar="NAME|JOB")
@click.argument("tag")
@state_option
@click.option("--follow", is_flag=True, help="Print the logs.")
@json_option
def rehearse(what: str, tag: str, state: str | None, follow: bool, as_json: bool) -> None:
    """Build an image with packages from the tagged snapshot TAG alone, and compare it with the one that the tag was made of.

    The image that was built last, or that of a JOB. Every file that its SHA256SUMS names must be the same.

    Exit codes: 0 it is the same, 1 it is another one or could not be built, 3 the tag is another image's, 10 no such image or tag.
    """
    app = open_app(state)
    app.tell = say
    built = image_built(app.database, what)
    job = app.place(order_of_rehearsal(app.database, app.objects, built, tag), app.applied()[1])
    if job.state is JobState.DONE and job.outcome is not Outcome.OK:
        job = app.retry_job(job.id)
    app.run_until_done(TerminalWatcher(app.paths.job_log, follow=follow), [job])
    shown = show_rehearsal(app.database, job.id)
    if as_json:
        print_json({
            "verdict": shown.verdict, "message": shown.message, "differences": list(shown.differences), "build": built,
            "job": job.id,
        })  # fmt: skip
    else:
        click.echo(f"{shown.verdict}: {shown.message}")
        for text in shown.differences[1:_SHOWN_DIFFERENCES]:
            click.echo(f"  {text}")
    if not shown.is_same:
        raise click.exceptions.Exit(1)
