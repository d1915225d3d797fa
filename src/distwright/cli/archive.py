"""`distwright archive`."""

import click

from distwright.app import open_app
from distwright.cli.archive_care import collect_garbage, fsck, improve_indexes
from distwright.cli.archive_import import import_archive
from distwright.cli.archive_keys import key, keyring, sources
from distwright.cli.archive_take import take
from distwright.cli.options import finish_jobs, json_option, print_rows, say, state_option
from distwright.cli.watch import TerminalWatcher
from distwright.config.load import checked_fetch_url
from distwright.config.tables_archive import UpstreamArchive
from distwright.model.digests import Json
from distwright.model.serials import Serial
from distwright.site.endings import renew
from distwright.site.views import snapshots


@click.group()
def command() -> None:
    """Upstream archives that are recorded here, and our own."""


@command.command("list")
@state_option
@json_option
def list_archives(state: str | None, as_json: bool) -> None:
    """List the configured archives."""
    app = open_app(state)
    newest: dict[str, str] = {}
    for row in snapshots(app.database):
        newest.setdefault(row.archive, row.serial)
    rows: list[dict[str, Json]] = [
        {
            "archive": name,
            "kind": archive.kind,
            "components": list(archive.components),
            "architectures": list(archive.architectures),
            "newest snapshot": newest.get(name),
        }
        for name, archive in app.config().archives.items()
    ]
    headings = ("archive", "kind", "components", "architectures", "newest snapshot")
    print_rows(rows, headings, as_json=as_json, empty="no archive is configured; see docs/reference/settings.md")


@command.command()
@click.argument("names", nargs=-1)
@state_option
@click.option("--serial", help="The name of the snapshot, if one is made (YYYYMMDDNN).")
@click.option("--fetch-from", "url", metavar="URL", help="Fetch from here, this time; a URL without a password.")
@click.option("--follow", is_flag=True, help="Print the logs.")
@json_option
def record(
    names: tuple[str, ...], state: str | None, serial: str | None, url: str | None, follow: bool, as_json: bool
) -> None:
    """Record upstream archives (all, or those named): verify, keep, name by a serial.

    Then, for all archives, what is needed and ends soon is signed anew, and what ends all the same is named: run it daily.
    Exit codes: 0 recorded or unchanged, 1 refused or unreachable (the previous snapshot stays), 10 no such archive.
    """
    address = None if url is None else checked_fetch_url(url)
    app = open_app(state)
    app.tell = say
    upstream = [name for name, archive in app.config().archives.items() if isinstance(archive, UpstreamArchive)]
    chosen = names or tuple(upstream)
    if address is not None:
        app.fetch_from.update(dict.fromkeys(chosen, address))
    given = None if serial is None else Serial(serial)
    jobs = [app.order_record(name, given) for name in chosen]
    app.run_until_done(TerminalWatcher(app.paths.job_log, follow=follow), jobs)
    for ending in renew(app.command_context()):
        say(f"{'wrong' if ending.is_past else 'soon'}: {ending.subject}: {ending.what}; try: {ending.hint}")
    finish_jobs(app, jobs, as_json=as_json)


command.add_command(key)
command.add_command(sources)
command.add_command(keyring)
command.add_command(fsck)
command.add_command(collect_garbage)
command.add_command(improve_indexes)
command.add_command(import_archive)
command.add_command(take)
