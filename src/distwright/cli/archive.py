"""`distwright archive`."""

import click

from distwright.app import open_app
from distwright.archive.handout import sources_text
from distwright.cli.options import finish_jobs, json_option, print_rows, state_option
from distwright.cli.watch import TerminalWatcher
from distwright.config.tables_archive import OwnArchive, UpstreamArchive
from distwright.errors import BadUsage
from distwright.model.digests import Json
from distwright.model.serials import Serial
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
@click.option("--fetch-from", "url", help="Fetch from here, this time.")
@click.option("--follow", is_flag=True, help="Print the logs.")
@json_option
def record(
    names: tuple[str, ...], state: str | None, serial: str | None, url: str | None, follow: bool, as_json: bool
) -> None:
    """Record upstream archives (all, or those named): verify, keep, name by a serial.

    Exit codes: 0 recorded or unchanged, 1 refused or unreachable (the previous snapshot stays), 10 no such archive.
    """
    app = open_app(state)
    upstream = [name for name, archive in app.config().archives.items() if isinstance(archive, UpstreamArchive)]
    chosen = names or tuple(upstream)
    if url:
        app.fetch_from.update(dict.fromkeys(chosen, url))
    given = None if serial is None else Serial(serial)
    jobs = [app.order_record(name, given) for name in chosen]
    app.run_until_idle(TerminalWatcher(app.paths.job_log, follow=follow), jobs)
    finish_jobs(app, jobs, as_json=as_json)


@command.command()
@click.argument("name")
@click.option("--make", is_flag=True, help="Make it if there is none yet.")
@state_option
def key(name: str, make: bool, state: str | None) -> None:
    """Print the certificate that we sign an archive with, ours or what we change of a recorded one: clients must trust it."""
    app = open_app(state)
    credential = app.signing_credential(name)
    if make:
        label = app.config().archives[name].label or name
        app.make_key(credential, f"{label} archive key <{credential}@{name}.invalid>")
    click.echo(app.certificate(credential).decode().rstrip("\n"))


@command.command()
@click.argument("name")
@click.argument("suite")
@click.option("--url", help="The base URL; unset: live_url of the archive.")
@click.option("--serial", help="A snapshot instead of the suite as it moves on.")
@click.option("--tag", help="A tagged snapshot.")
@state_option
def sources(name: str, suite: str, url: str | None, serial: str | None, tag: str | None, state: str | None) -> None:
    """Print a deb822 .sources text for apt, with our key inline, ready for /etc/apt/sources.list.d."""
    app = open_app(state)
    archive = app.config().archives.get(name)
    credential = app.signing_credential(name)
    base = ((url or archive.live_url or "") if archive else "").rstrip("/")
    if archive is None or not base:
        raise BadUsage(f"archive {name} has no live_url", hint="name the address with --url")
    if serial and tag:
        raise BadUsage("a serial and a tag are given", hint="give one of --serial and --tag")
    if tag or (serial and isinstance(archive, OwnArchive)):
        base = f"{base}/snapshots/{tag or serial}"
    elif serial:
        base = f"{base}/{serial}"
    click.echo(sources_text(base, suite, archive.components, app.certificate(credential)), nl=False)
