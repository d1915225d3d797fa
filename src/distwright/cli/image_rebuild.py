"""`distwright image rebuild`."""

import click

from distwright.app import open_app
from distwright.cli.options import json_option, say, state_option
from distwright.cli.package_rebuild import rebuild_built
from distwright.cli.watch import TerminalWatcher
from distwright.site.comparing import image_built


@click.command("rebuild")
@click.argument("what", metavar="NAME|JOB")
@state_option
@click.option("--follow", is_flag=True, help="Print the logs.")
@click.option("--explain", is_flag=True, help="Print all that diffoscope said.")
@json_option
def rebuild(what: str, state: str | None, follow: bool, explain: bool, as_json: bool) -> None:
    """Build an image again, all of it, with another clock, locale, time zone, umask, user, kernel, CPU count and host name.

    The image that was built last, or that of a JOB. Every file that its SHA256SUMS names must be the same; what differs is followed
    down into the ISO and its squashfs.

    Exit codes: 0 it came out the same, 1 it differs or could not be compared, 3 the job is none, 10 no such image.
    """
    app = open_app(state)
    app.tell = say
    number = image_built(app.database, what)
    rebuild_built(app, number, TerminalWatcher(app.paths.job_log, follow=follow), explain=explain, as_json=as_json)
