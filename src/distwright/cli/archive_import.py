"""`distwright archive import`: move another program's archive in."""

import getpass
from pathlib import Path

import click

from distwright.app import App, open_app
from distwright.archive.from_aptly import aptly_archive
from distwright.archive.from_reprepro import reprepro_archive
from distwright.archive.from_tree import tree_archive
from distwright.archive.moved_config import configuration
from distwright.archive.moving_in import MovedSuite, MoveRequest, move_in, scratch_folder
from distwright.archive.resolve import publish_request
from distwright.archive.spool import Spool
from distwright.archive.suites import publish_suite
from distwright.archive.theirs import Listing, TheirArchive
from distwright.cli.options import json_option, print_rows, say, state_option
from distwright.config.tables_archive import OwnArchive
from distwright.errors import BadUsage, quoted
from distwright.model.digests import Json
from distwright.signing.verify import Keyring
from distwright.site.keys import own_archive
from distwright.site.views import suite_named

_HEADINGS = ("theirs", "ours", "added", "there already", "revision")


@click.command("import")
@click.argument("name", metavar="ARCHIVE")
@click.argument("kind", type=click.Choice(["reprepro", "aptly", "tree"]))
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--suite",
    "named",
    multiple=True,
    metavar="THEIRS=OURS",
    help="What one of their suites is called here; nothing after = leaves it out; snapshot:NAME= takes one of aptly's.",
)
@click.option("--like", default="", metavar="SUITE", help="The configured suite that new ones follow.")
@click.option(
    "--link", is_flag=True, help="Share the files instead of copying them: they become read-only, leave them alone."
)
@click.option(
    "--keyring",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Of a tree: OpenPGP certificates, one of which must have signed each Release.",
)
@click.option("--dry-run", is_flag=True, help="Say what would happen, change nothing.")
@click.option("--publish", "then_publish", is_flag=True, help="Serve the new states at once.")
@click.option("--print-config", is_flag=True, help="Print tables for the configuration, and change nothing.")
@state_option
@json_option
def import_archive(
    name: str,
    kind: str,
    path: Path,
    named: tuple[str, ...],
    like: str,
    link: bool,
    keyring: Path | None,
    dry_run: bool,
    then_publish: bool,
    print_config: bool,
    state: str | None,
    as_json: bool,
) -> None:
    """Move an archive of reprepro or aptly, or any tree of dists/ and pool/, into ARCHIVE; nothing of theirs is changed.

    PATH is reprepro's base directory, aptly's rootDir or configuration file, or the folder that dists/ and pool/ are in.
    The same command again goes on where it broke off, and takes what has come since.

    Exit codes: 0 moved in or there already, 2 a suite has no place here, 3 refused (everything that is wrong is named).
    """
    names = _names(named)
    app = open_app(state)
    context = app.command_context()
    with scratch_folder(context) as scratch:
        theirs = _theirs(kind, path, scratch, names, keyring)
        for note in theirs.notes:
            say(note)
        if print_config:
            click.echo(_configuration(app, name, theirs, names), nl=False)
            return
        own_archive(app.config(), name)
        request = MoveRequest(
            name, getpass.getuser(), f"{kind} {path.name}", names, like=like, link=link, dry_run=dry_run
        )
        moved = move_in(context, theirs, request)
    if then_publish and not dry_run:
        for suite in moved:
            row = suite_named(app.database, f"{name}/{suite.ours}")
            publish_suite(app.command_context(), publish_request(app.config(), row))
    print_rows([_plain(name, suite) for suite in moved], _HEADINGS, as_json=as_json, empty="they have no suite")


def _names(named: tuple[str, ...]) -> dict[str, str]:
    pairs = [text.partition("=") for text in named]
    wrong = [text for text, (theirs, equals, _) in zip(named, pairs, strict=True) if not (theirs and equals)]
    if wrong:
        raise BadUsage(f"{quoted(wrong[0])} names no pair of suites", hint="write --suite THEIRS=OURS")
    return {theirs: ours for theirs, _, ours in pairs}


def _theirs(kind: str, path: Path, scratch: Path, names: dict[str, str], keyring: Path | None) -> TheirArchive:
    if keyring is not None and kind != "tree":
        raise BadUsage(f"--keyring has no meaning for {kind}", hint="leave it out: it is for a tree")
    place = path.resolve()
    if kind == "reprepro":
        return reprepro_archive(place, scratch)
    if kind == "aptly":
        return aptly_archive(place, scratch, tuple(names))
    return tree_archive(
        place, scratch, keyring=None if keyring is None else Keyring(keyring.read_bytes(), str(keyring))
    )


def _configuration(app: App, name: str, theirs: TheirArchive, names: dict[str, str]) -> str:
    table = app.config().archives.get(name)
    with Spool(app.paths.cache / "import") as spool:
        listings = [Listing(suite, spool) for suite in theirs.suites if names.get(suite.name, suite.name)]
    return configuration(
        name,
        table if isinstance(table, OwnArchive) else None,
        theirs,
        names,
        sorted({component for listing in listings for component in listing.components}),
        sorted({architecture for listing in listings for architecture in listing.architectures}),
    )


def _plain(archive: str, suite: MovedSuite) -> dict[str, Json]:
    return {
        "theirs": suite.theirs,
        "ours": f"{archive}/{suite.ours}",
        "added": suite.added,
        "there already": suite.unchanged,
        "revision": str(suite.revision),
    }
