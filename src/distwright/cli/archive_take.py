"""`distwright archive take`."""

from pathlib import Path

import click

from distwright.app import App, open_app
from distwright.archive.resolve import machine_keyring
from distwright.cli.options import json_option, print_rows, say, state_option
from distwright.cli.watch import TerminalWatcher
from distwright.config.load import checked_fetch_url
from distwright.errors import BadUsage, Unreachable, WorkFailed, quoted
from distwright.model.digests import Json
from distwright.model.outcomes import Outcome
from distwright.model.serials import Serial
from distwright.signing.verify import Keyring
from distwright.site.elsewhere import Served, check_same, served_snapshot, take_suites, wanted_archives
from distwright.site.views import job_detail


@click.command()
@click.argument("url")
@click.argument("names", metavar="[ARCHIVE]...", nargs=-1)
@click.option(
    "--serial", "serials", multiple=True, metavar="ARCHIVE=SERIAL", help="Take this snapshot, not the newest one there."
)
@click.option(
    "--keyring",
    metavar="FILE",
    help="Of suites that environments take from own archives: the OpenPGP certificate that signs them.",
)
@state_option
@click.option("--follow", is_flag=True, help="Print the logs.")
@json_option
def take(
    url: str,
    names: tuple[str, ...],
    serials: tuple[str, ...],
    keyring: str | None,
    state: str | None,
    follow: bool,
    as_json: bool,
) -> None:
    """Be at the states that the distwright at URL serves, to build as it does: no account and no key of it is needed.

    For each archive that an environment takes packages from (or those named): the newest snapshot there, under its serial; of our
    own archives the suites, as they are published now.

    Exit codes: 0 the same states are here, 1 a record failed, 3 it is another state or not signed as it must be, 10 not there,
    20 no answer.
    """
    base = checked_fetch_url(url).rstrip("/")
    app = open_app(state)
    app.tell = say
    upstream, suites = wanted_archives(app.config(), names)
    wanted = _pairs(serials, upstream)
    context = app.command_context()
    trusted = None if keyring is None else Keyring(machine_keyring(str(Path(keyring).absolute())), keyring)
    served = [served_snapshot(context.fetcher, base, name, wanted.get(name)) for name in upstream]
    record_served(app, served, TerminalWatcher(app.paths.job_log, follow=follow))
    for one in served:
        check_same(context, one)
    taken = take_suites(context, base, suites, trusted)
    rows: list[dict[str, Json]] = [
        {"what": one.archive, "state": str(one.serial), "digest": str(one.digest), "from": one.url} for one in served
    ]
    rows += [
        {"what": one.suite, "state": f"{one.date:%Y-%m-%d %H:%M}", "digest": str(one.revision), "from": base}
        for one in taken
    ]
    print_rows(
        rows, ("what", "state", "digest", "from"), as_json=as_json, empty="no environment takes packages from there"
    )


def record_served(app: App, served: list[Served], watcher: TerminalWatcher) -> None:
    """Record snapshots from where they are served, under the same serials; raise WorkFailed, Unreachable."""
    jobs = []
    for one in served:
        app.fetch_from[one.archive] = one.url
        jobs.append(app.order_record(one.archive, one.serial))
    app.run_until_done(watcher, jobs)
    for one, job in zip(served, jobs, strict=True):
        ended = job_detail(app.database, app.paths, job.id).job
        said = f"{one.archive} was not recorded from {one.url}: {ended.message}"
        if ended.outcome is Outcome.BROKEN:
            raise Unreachable(said, hint=f"distwright job log {job.id}")
        if ended.outcome is not Outcome.OK:
            raise WorkFailed(said, hint=f"distwright job log {job.id}")


def _pairs(given: tuple[str, ...], upstream: list[str]) -> dict[str, str]:
    found = {}
    for text in given:
        name, _, serial = text.partition("=")
        if name not in upstream:
            raise BadUsage(
                f"{quoted(text)} names no upstream archive that is taken",
                hint=f"write ARCHIVE=SERIAL: {', '.join(upstream)}",
            )
        found[name] = str(Serial(serial))
    return found
