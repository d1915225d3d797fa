"""`distwright archive`: what clients of an archive of ours must trust: its keys, sources to paste, the keyring as a package."""

import shlex
from pathlib import Path

import click

from distwright.app import open_app
from distwright.archive.handout import KeyringPackage, keyring_deb
from distwright.archive.pins import LATEST
from distwright.cli.options import json_option, print_json, state_option
from distwright.errors import BadUsage, NotFound, quoted
from distwright.model.names import installable_name
from distwright.signing.policy import examine_certificates
from distwright.site.keys import own_archive, signing_credentials
from distwright.site.views import serial_named


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
    credentials = signing_credentials(app.config(), name)
    label = app.config().archives[name].label or name
    for credential in credentials if make else ():
        app.keys.make(credential, f"{label} archive key <{credential}@{name}.invalid>")
    certificate = app.keys.certificate(*credentials)
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
    """Print a deb822 .sources text for apt, ready for /etc/apt/sources.list.d: the suite, or it in a snapshot or under a tag.

    The key that signs exactly that is inline; what has upstream's signature names upstream's keyring. Exit code 10: no such suite
    there, or a snapshot of ours that is not served.
    """
    app = open_app(state)
    archive = app.config().archives.get(name)
    handout = app.handout()
    if serial == LATEST:
        serial = serial_named(app.database, name, serial).serial
    # What is not there is said before the address is asked for.
    handout.suites(name, serial=serial or "", tag=tag or "")
    base = (url or (archive.live_url if archive else None) or "").rstrip("/")
    if not base:
        raise BadUsage(f"archive {name} has no live_url", hint="name the address with --url")
    click.echo(handout.sources(name, suite, base, serial=serial or "", tag=tag or "", by_package=by_package), nl=False)


@click.command()
@click.argument("name")
@click.option("--package", help="Its name; unset: NAME-archive-keyring.")
@click.option("--maintainer", help="Its maintainer; unset: the site with its contact.")
@click.option(
    "--output", default=".", type=click.Path(file_okay=False), help="The folder where it is written; it must be there."
)
@state_option
@json_option
def keyring(
    name: str, package: str | None, maintainer: str | None, output: str, state: str | None, as_json: bool
) -> None:
    """Write the keyring of an archive of ours as a Debian package, the same bytes each time.

    It holds the keys that sign the archive now, next_key included; its version grows with them.
    """
    folder = Path(output)
    if not folder.is_dir():
        raise NotFound(f"folder {quoted(output)} does not exist", hint=f"mkdir -p {shlex.quote(output)}")
    app = open_app(state)
    archive = own_archive(app.config(), name)
    site = app.config().site
    made = KeyringPackage(
        archive=name,
        label=archive.label,
        package=installable_name(package or f"{name}-archive-keyring"),
        maintainer=maintainer or f"{site.name} <{site.contact or f'archive@{name}.invalid'}>",
        certificate=app.keys.certificate(*archive.credentials),
        is_rotating=archive.next_key is not None,
        homepage=str(site.url or ""),
    )
    file_name, content = keyring_deb(made)
    (folder / file_name).write_bytes(content)
    if as_json:
        print_json({"archive": name, "package": made.package, "file": str(folder / file_name), "version": made.version})
    else:
        click.echo(folder / file_name)
