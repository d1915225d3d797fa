"""`distwright package reproduce`."""

from pathlib import Path

import click

from distwright.app import open_app
from distwright.builds.dsc_source import read_dsc
from distwright.builds.from_buildinfo import (
    compared,
    is_rebuilt_binary,
    reach_of,
    read_buildinfo,
    reproduction_order,
    source_of,
)
from distwright.cli.options import json_option, print_rows, say, state_option
from distwright.cli.watch import TerminalWatcher
from distwright.errors import NotFound, quoted
from distwright.model import plain
from distwright.model.digests import Json
from distwright.model.outcomes import Outcome
from distwright.site.views import job_detail


@click.command("reproduce")
@click.argument("buildinfo", type=click.Path(path_type=Path))
@click.option(
    "--environment", default="build", show_default=True, help="Whose archives and architecture: [environment.NAME]."
)
@click.option("--dsc", metavar="PATH_OR_URL", help="The source, if no recorded serial has it.")
@click.option("--dry-run", is_flag=True, help="Only say how far the recorded serials reach.")
@state_option
@click.option("--follow", is_flag=True, help="Print the logs.")
@json_option
def reproduce(
    buildinfo: Path, environment: str, dsc: str | None, dry_run: bool, state: str | None, follow: bool, as_json: bool
) -> None:
    """Build again what a .buildinfo describes, with the same versions around it as far as the recorded serials have them.

    The environment is made of as few serials as that takes; what none of them has is named, and its nearest version is taken. Then
    every package is compared with what the .buildinfo says. Nothing is uploaded. Its signature is not looked at.

    Exit codes: 0 all packages are the same, 1 one is not or it does not build, 10 no such file, source or environment.
    """
    app = open_app(state)
    app.tell = say
    info = read_buildinfo(buildinfo)
    if environment not in app.config().environments:
        raise NotFound(f"there is no environment {quoted(environment)}", hint="distwright config show")
    context = app.command_context()
    reached = reach_of(context, environment, info)
    for line in reached.in_words():
        say(line)
    if is_rebuilt_binary(info):
        say(f"its packages are {info.version}, built again of source {info.source_version}: here they get that version")
    if dry_run:
        rows: list[dict[str, Json]] = [
            {"package": one.package, "version": one.version, "nearest": one.nearest, "at": one.at}
            for one in reached.absent
        ]
        print_rows(
            rows, ("package", "version", "nearest", "at"), as_json=as_json, empty="recorded serials have everything"
        )
        return
    source = source_of(context, environment, info) if dsc is None else read_dsc(context, dsc, None).source
    job = app.place(reproduction_order(app.database, app.ground(), source, environment, reached), app.applied()[1])
    app.run_until_done(TerminalWatcher(app.paths.job_log, follow=follow), [job])
    ended = job_detail(app.database, app.paths, job.id).job
    if ended.outcome is not Outcome.OK or ended.outputs is None:
        raise click.exceptions.Exit(1)
    verdicts = compared(info, plain.digest_map(ended.outputs, "files"))
    shown: list[dict[str, Json]] = [{"file": one.name, "verdict": one.verdict, "job": job.id} for one in verdicts]
    print_rows(shown, ("file", "verdict", "job"), as_json=as_json, empty="the .buildinfo names no package")
    if any(one.verdict != "same" for one in verdicts):
        raise click.exceptions.Exit(1)
