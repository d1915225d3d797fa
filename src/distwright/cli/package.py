"""`distwright package`."""

from pathlib import Path

import click

from distwright.app import App, open_app
from distwright.archive.resolve import machine_keyring
from distwright.builds.archive_source import read_recorded
from distwright.builds.dsc_source import read_dsc
from distwright.cli.options import finish_jobs, json_option, say, state_option
from distwright.cli.package_compare import compare
from distwright.cli.package_consider import consider_proposal
from distwright.cli.package_impact import impact
from distwright.cli.package_questions import bisect, history, inquiry, list_asked, sweep
from distwright.cli.package_rebuild import rebuild
from distwright.cli.package_reproduce import reproduce
from distwright.cli.package_review import review
from distwright.cli.package_try import try_checkout
from distwright.cli.watch import TerminalWatcher
from distwright.errors import BadUsage
from distwright.model.records import Job
from distwright.signing.verify import Keyring
from distwright.site.awaited import UNTIL_PUBLISHED


@click.group()
def command() -> None:
    """Debian packages that are built here."""


@command.command()
@click.argument("name", required=False)
@click.option("--tag", help="Build this tag of repo NAME.")
@click.option(
    "--ref", metavar="BRANCH_OR_COMMIT", help="Build the newest commit of this branch of repo NAME, or this commit."
)
@click.option("--dsc", metavar="PATH_OR_URL", help="Build the source package of this .dsc.")
@click.option(
    "--from", "archive", metavar="ARCHIVE/SUITE", help="Build source NAME or NAME=VERSION of this recorded suite."
)
@click.option("--serial", help="Of --from: look in this snapshot, not in the newest.")
@click.option("--keyring", metavar="FILE", help="Of --dsc: OpenPGP certificates, one of which must have signed it.")
@click.option("--suite", help="Where the packages go (SUITE or ARCHIVE/SUITE).")
@click.option(
    "--environment",
    help="The [environment.NAME] to build in. If it is of another architecture than the one of the repo, only packages of that "
    "architecture are built.",
)
@state_option
@click.option("--follow", is_flag=True, help="Print the logs.")
@json_option
def build(
    name: str | None,
    tag: str | None,
    ref: str | None,
    dsc: str | None,
    archive: str | None,
    serial: str | None,
    keyring: str | None,
    suite: str | None,
    environment: str | None,
    state: str | None,
    follow: bool,
    as_json: bool,
) -> None:
    """Build a package, accept it into its suite and publish that. What else follows (checks, images) waits in the queue.

    NAME is a repo with --tag and --ref, a source with --from. Without --suite, a tag and the default branch go to the suite of the
    repo, another branch to the suite of its name if there is one; everything else is only tried: nothing is uploaded.
    An untagged commit gets a version between those of the releases around it.

    Exit codes: 0 built, 1 it does not build, 2 it is no package, 3 wrong hash or signature, 10 no such repo, tag, source or
    file, 11 an archive has no snapshot yet.
    """
    _refuse_what_does_not_fit(
        {"--tag": tag, "--ref": ref, "--dsc": dsc, "--from": archive},
        {"--serial": serial, "--keyring": keyring},
        name,
    )
    app = open_app(state)
    app.tell = say
    job = _ordered(
        app, name or "", tag, ref, dsc, archive, serial=serial, keyring=keyring, suite=suite, environment=environment
    )
    app.run_until_done(TerminalWatcher(app.paths.job_log, follow=follow), [job], UNTIL_PUBLISHED)
    finish_jobs(app, [job], as_json=as_json)


_FITTING = {"--serial": ("--from",), "--keyring": ("--dsc",)}


def _refuse_what_does_not_fit(sources: dict[str, str | None], more: dict[str, str | None], name: str | None) -> None:
    """Want one source, the name that it needs, and only those options that mean something for it. Raises BadUsage."""
    given = [option for option, value in sources.items() if value is not None]
    if len(given) != 1:
        said = " and ".join(given) or "nothing"
        raise BadUsage(
            f"{said} says what to build; want one of {', '.join(sources)}",
            hint="distwright package build REPO --tag TAG",
        )
    if (name is None) != (given[0] == "--dsc"):
        raise BadUsage(
            f"{given[0]} {'needs a name' if name is None else 'needs no name'}",
            hint="see distwright package build --help",
        )
    for option, value in more.items():
        if value is not None and given[0] not in _FITTING[option]:
            raise BadUsage(f"{option} means nothing with {given[0]}", hint=f"leave out {option}")


def _ordered(
    app: App,
    name: str,
    tag: str | None,
    ref: str | None,
    dsc: str | None,
    archive: str | None,
    *,
    serial: str | None,
    keyring: str | None,
    suite: str | None,
    environment: str | None,
) -> Job:
    if dsc is not None:
        trusted = None if keyring is None else Keyring(machine_keyring(str(Path(keyring).absolute())), keyring)
        found = read_dsc(app.command_context(), dsc, trusted)
        say(found.said)
        return app.order_given(found.source, suite=suite, environment=environment)
    if archive is not None:
        source = read_recorded(app.command_context(), archive, name, serial)
        say(f"{source.name} {source.version} of {source.origin}")
        return app.order_given(source, suite=suite, environment=environment)
    return app.order_build(name, tag=tag, ref=ref, suite=suite, environment=environment)


for _verb in (
    try_checkout,
    rebuild,
    compare,
    consider_proposal,
    sweep,
    bisect,
    history,
    list_asked,
    inquiry,
    review,
    impact,
    reproduce,
):
    command.add_command(_verb)
