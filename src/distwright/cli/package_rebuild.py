"""`distwright package rebuild`."""

import click

from distwright.app import App, open_app
from distwright.checks.explain import KIND as EXPLAIN_KIND
from distwright.cli.options import json_option, print_json, say, state_option
from distwright.cli.watch import TerminalWatcher
from distwright.errors import BadUsage, WorkFailed
from distwright.model.digests import Json
from distwright.model.outcomes import JobState, Outcome
from distwright.site.comparing import ShownRebuild, order_of_rebuild, show_rebuild
from distwright.site.views import job_detail

_SHOWN_DIFFERENCES = 8


@click.command("rebuild")
@click.argument("what", metavar="REPO|JOB")
@click.option("--tag", help="The tag of REPO that was built; it is built first if it was not.")
@state_option
@click.option("--follow", is_flag=True, help="Print the logs.")
@click.option("--explain", is_flag=True, help="Print all that diffoscope said.")
@json_option
def rebuild(what: str, tag: str | None, state: str | None, follow: bool, explain: bool, as_json: bool) -> None:
    """Build again what was built, with another clock, locale, time zone, umask, user, path, CPU count, host name and HOME.

    JOB is the number of a build. Exit codes: 0 it came out the same, 1 it differs or could not be compared, 10 no such job.
    """
    if what.isdigit() == (tag is not None):
        raise BadUsage(
            "give the number of a build, or a repo and a tag", hint=f"distwright package rebuild {what} --tag TAG"
        )
    app = open_app(state)
    app.tell = say
    watcher = TerminalWatcher(app.paths.job_log, follow=follow)
    number = int(what) if tag is None else app.order_build(what, tag=tag).id
    built = job_detail(app.database, app.paths, number).job
    if tag is not None and built.outcome is not Outcome.OK:
        app.run_until_done(watcher, [built])
        built = job_detail(app.database, app.paths, number).job
        if built.outcome is not Outcome.OK:
            raise WorkFailed(f"{built.title}: {built.message}", hint=f"distwright job log {number}")
    rebuild_built(app, number, watcher, explain=explain, as_json=as_json)


def rebuild_built(app: App, number: int, watcher: TerminalWatcher, *, explain: bool, as_json: bool) -> None:
    """Have what a job built, a package or an image, built again, and print what came of it; exit 1 if it is not the same."""
    job = app.place(order_of_rebuild(app.database, number), app.applied()[1])
    if job.state is JobState.DONE and job.outcome is not Outcome.OK:
        # An order gives the same job, but whoever asks now wants more than what it could not say.
        job = app.retry_job(job.id)
    app.run_until_done(watcher, [job], follow=(EXPLAIN_KIND.name,))
    shown = show_rebuild(app.database, app.objects, app.config(), job.id)
    if as_json:
        print_json(_as_json(shown, number, job.id))
    else:
        _print(shown, job.id, explain=explain)
    if not shown.is_same:
        raise click.exceptions.Exit(1)


def _as_json(shown: ShownRebuild, build: int, job: int) -> dict[str, Json]:
    return {
        "verdict": shown.verdict,
        "message": shown.message,
        "differences": list(shown.differences),
        "varied": dict(shown.varied),
        "explained": shown.explained,
        "build": build,
        "job": job,
    }


def _print(shown: ShownRebuild, job: int, *, explain: bool) -> None:
    click.echo(f"{shown.verdict}: {shown.message}")
    for text in shown.differences[1:_SHOWN_DIFFERENCES]:
        click.echo(f"  {text}")
    if len(shown.differences) > _SHOWN_DIFFERENCES:
        click.echo(f"  and more: distwright job show {job}")
    click.echo("varied: " + ", ".join(f"{name} {value}" for name, value in shown.varied.items()))
    if shown.explained:
        lines = shown.explained.splitlines()
        for line in lines if explain else lines[:1]:
            click.echo(line)
        if len(lines) > 1 and not explain:
            click.echo(f"diffoscope said {len(lines)} lines of it: distwright package rebuild JOB --explain")
