"""`distwright archive`: what clients of an archive of ours must trust: its keys, sources to paste, the keyring as a package."""

from pathlib import Path

import click

from distwright.app import App, open_app
from distwright.archive.handout import KeyringPackage, keyring_deb, keyring_path, sources_text
from distwright.cli.options import json_option, print_json, state_option
from distwright.config.tables_archive import OwnArchive
from distwright.errors import BadUsage, NotFound
from distwright.model.names import installable_name
from distwright.signing.policy import examine_certificates
from distwright.site.views import serial_named, suite_named, tagged_snapshots


@click.command()
@click.argument("name")
@click.option("--make", is_flag=True, help="Make those that are not there yet.")
@click.option("--check", is_flag=True, help="Judge them as apt does, instead of printing them.")
@state_option
@json_option
def key(name: str, make: bool, check: bool, state: str | None, as_json: bool) -> None:
    """Print the certificates that we sign an archive with, ours or what we change of a recorded one: clients must trust them.

    Exit codes: 0 printed, or all is well; 1 --check found a key that apt refuses, or will refuse soon; 3 a key cannot sign; 10 no
    such archive, or no key.
    """
    app = open_app(state)
    credentials = app.signing_credentials(name)
    label = app.config().archives[name].label or name
    for credential in credentials if make else ():
        app.make_key(credential, f"{label} archive key <{credential}@{name}.invalid>")
    certificate = app.certificate(*credentials)
    found = examine_certificates(certificate, app.now()) if check else []
    if as_json:
        findings = [{"kind": one.kind, "fingerprint": one.subject, "evidence": one.evidence} for one in found]
        print_json({"archive": name, "certificate": certificate.decode(), **({"findings": findings} if check else {})})
    elif check:
        for finding in found:
            click.echo(f"key {finding.subject} {finding.evidence}")
        click.echo("all is well" if not found else "make a new key, and name it as next_key beside this one")
    else:
        click.echo(certificate.decode().rstrip("\n"))
    if found:
        raise click.exceptions.Exit(1)


@click.command()
@click.argument("name")
@click.argument("suite")
@click.option("--url", help="The base URL; unset: live_url of the archive.")
@click.option("--serial", help="A snapshot instead of the suite as it moves on.")
@click.option("--tag", help="A tagged snapshot.")
@click.option(
    "--package", "by_package", is_flag=True, help="Name the keyring of the keyring package, not the key itself."
)
@state_option
def sources(
    name: str, suite: str, url: str | None, serial: str | None, tag: str | None, by_package: bool, state: str | None
) -> None:
    """Print a deb822 .sources text for apt, with our key inline, ready for /etc/apt/sources.list.d."""
    app = open_app(state)
    credentials = app.signing_credentials(name)
    archive = app.config().archives[name]
    if isinstance(archive, OwnArchive):
        tables = app.config().suites.values()
        if tag or (name, suite) not in {(table.archive, table.codename) for table in tables}:
            suite_named(app.database, f"{name}/{suite}")
    elif suite not in archive.suites:
        raise NotFound(f"archive {name} has no suite {suite}", hint="distwright archive list")
    base = (url or archive.live_url or "").rstrip("/")
    if not base:
        raise BadUsage(f"archive {name} has no live_url", hint="name the address with --url")
    base += _below(app, name, serial, tag, is_own=isinstance(archive, OwnArchive))
    signed_by = keyring_path(name) if by_package else app.certificate(*credentials)
    click.echo(sources_text(base, suite, archive.components, signed_by), nl=False)


def _below(app: App, name: str, serial: str | None, tag: str | None, *, is_own: bool) -> str:
    """Say where a snapshot is, below the address of its archive; raise NotFound if there is none."""
    serial = serial_named(app.database, name, serial).serial if serial else None
    if tag and tag not in {row.tag for row in tagged_snapshots(app.database, name)}:
        raise NotFound(f"archive {name} has no tag {tag}", hint=f"distwright snapshot tags {name}")
    if tag or (serial and is_own):
        return f"/snapshots/{tag or serial}"
    return f"/{serial}" if serial else ""


@click.command()
@click.argument("name")
@click.option("--package", help="Its name; unset: NAME-archive-keyring.")
@click.option("--maintainer", help="Its maintainer; unset: the site with its contact.")
@click.option("--output", default=".", type=click.Path(file_okay=False), help="The folder where it is written.")
@state_option
@json_option
def keyring(
    name: str, package: str | None, maintainer: str | None, output: str, state: str | None, as_json: bool
) -> None:
    """Write the keyring of an archive of ours as a Debian package, the same bytes each time.

    It holds the keys that sign the archive now, next_key included; its version grows with them.
    """
    app = open_app(state)
    archive = app.own_archive(name)
    site = app.config().site
    made = KeyringPackage(
        archive=name,
        label=archive.label,
        package=installable_name(package or f"{name}-archive-keyring"),
        maintainer=maintainer or f"{site.name} <{site.contact or f'archive@{name}.invalid'}>",
        certificate=app.certificate(*archive.credentials),
        is_rotating=archive.next_key is not None,
        homepage=str(site.url or ""),
    )
    file_name, content = keyring_deb(made)
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / file_name).write_bytes(content)
    if as_json:
        print_json({"archive": name, "package": made.package, "file": str(folder / file_name), "version": made.version})
    else:
        click.echo(folder / file_name)
