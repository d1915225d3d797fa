"""`distwright pin`: freeze and thaw the branch of a work tree. It writes files; committing and pushing them is yours."""

from pathlib import Path

import click

from distwright.app import App, open_app
from distwright.archive.freezing import check_branch, frozen_pins, known_archive, repo_of_rules, thawed_pins
from distwright.archive.pin_files import PinChange, changes_of, read_pins, save_pins
from distwright.archive.pinning import latest_archives, upstream_archives
from distwright.archive.pins import LATEST, Pins, pin_path
from distwright.cli.options import json_option, print_json, print_rows, state_option
from distwright.errors import BadUsage, quoted
from distwright.model.digests import Json
from distwright.model.serials import Serial
from distwright.site.views import serial_named, snapshots
from distwright.tools.git import work_tree

folder_argument = click.argument(
    "folder", default=".", metavar="[DIR]", type=click.Path(file_okay=False, path_type=Path)
)
repo_option = click.option(
    "--repo", help="The hosted repo whose rules count; unset: the one that has a recipe, else the only one."
)
dry_run_option = click.option("--dry-run", is_flag=True, help="Say what would change, write nothing.")


@click.group()
def command() -> None:
    """Which serial of each archive a branch uses, as files of its git tree: config/APT_snapshots.d/ARCHIVE/serial.

    DIR is a folder of the work tree (default: this one).
    """


@command.command("list")
@folder_argument
@state_option
@json_option
def list_pins(folder: Path, state: str | None, as_json: bool) -> None:
    """List the pins of a work tree, with the newest serial of each archive."""
    app = open_app(state)
    archives = upstream_archives(app.config())
    pins = read_pins(work_tree(folder)[0], archives)
    newest = _newest(app)
    rows: list[dict[str, Json]] = [
        {
            "archive": name,
            "pin": _shown(pins, name),
            "newest": newest.get(name),
            "stays latest": name in latest_archives(app.config()),
        }
        for name in archives
    ]
    headings = ("archive", "pin", "newest", "stays latest")
    print_rows(rows, headings, as_json=as_json, empty="no upstream archive is configured: distwright archive list")


@command.command("freeze")
@folder_argument
@click.option("--archive", "names", multiple=True, help="Freeze this archive only; may be given again.")
@click.option("--at", "given", multiple=True, metavar="ARCHIVE=SERIAL", help="Freeze it there, frozen before or not.")
@click.option("--also-security", is_flag=True, help="Freeze archives too that stay latest otherwise (stays_latest).")
@repo_option
@dry_run_option
@state_option
@json_option
def freeze_branch(
    folder: Path,
    names: tuple[str, ...],
    given: tuple[str, ...],
    also_security: bool,
    repo: str | None,
    dry_run: bool,
    state: str | None,
    as_json: bool,
) -> None:
    """Pin every archive that is not frozen yet at its newest serial. Exit code 3 if the branch must not be frozen."""
    app = open_app(state)
    config = app.config()
    top, branch = work_tree(folder)
    before = read_pins(top, upstream_archives(config))
    at = dict(_named(app, text) for text in given)
    after = frozen_pins(config, before, _newest(app), names=names, at=at, also_security=also_security)
    _write(app, top, before, after, branch, repo, dry_run=dry_run, as_json=as_json)


@command.command("thaw")
@folder_argument
@click.option("--archive", "names", multiple=True, help="Thaw this archive only; may be given again.")
@repo_option
@dry_run_option
@state_option
@json_option
def thaw_branch(
    folder: Path, names: tuple[str, ...], repo: str | None, dry_run: bool, state: str | None, as_json: bool
) -> None:
    """Let every pinned archive be the newest again. Exit code 3 if the branch must be frozen."""
    app = open_app(state)
    config = app.config()
    top, branch = work_tree(folder)
    before = read_pins(top, upstream_archives(config))
    after = thawed_pins(config, before, names)
    _write(app, top, before, after, branch, repo, dry_run=dry_run, as_json=as_json)


@command.command()
@folder_argument
@repo_option
@click.option("--branch", help="Judge the files as those of this branch; unset: the one that is checked out.")
@state_option
@json_option
def check(folder: Path, repo: str | None, branch: str | None, state: str | None, as_json: bool) -> None:
    """Check the pins of a work tree: readable, of archives and serials that exist, and as its branch must be.

    Exit codes: 0 good, 2 a file is no pin, 3 frozen where it must not be or the other way round, 10 a serial is not here.
    """
    app = open_app(state)
    archives = upstream_archives(app.config())
    top, present = work_tree(folder)
    pins = read_pins(top, archives)
    for name, serial in pins.items():
        if serial is not None:
            serial_named(app.database, name, serial)
    judged = branch or present
    freedom = check_branch(app.config(), pins, judged, repo)
    rules_of = repo_of_rules(app.config(), repo)
    if as_json:
        shown: dict[str, Json] = {name: _shown(pins, name) for name in pins}
        print_json({"branch": judged, "repo": rules_of, "must be": str(freedom), "pins": shown})
    elif rules_of is None:
        click.echo(f"readable: {len(pins)} pins; no rules of a repo were looked at: name it with --repo")
    elif judged is None:
        click.echo(f"readable: {len(pins)} pins; no rules were looked at: name the branch with --branch")
    else:
        click.echo(f"good: {len(pins)} pins")


def _write(
    app: App,
    top: Path,
    before: Pins,
    after: Pins,
    branch: str | None,
    repo: str | None,
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    check_branch(app.config(), after, branch, repo)
    changes = changes_of(before, after)
    if not dry_run:
        save_pins(top, after)
    rows = [_plain(change) for change in changes]
    print_rows(rows, ("archive", "old", "new", "file"), as_json=as_json, empty="nothing changes")
    if dry_run and not as_json:
        click.echo("nothing was changed (--dry-run)")


def _newest(app: App) -> dict[str, Serial]:
    found: dict[str, Serial] = {}
    for row in snapshots(app.database):  # newest first
        found.setdefault(row.archive, row.serial)
    return found


def _named(app: App, text: str) -> tuple[str, Serial]:
    name, equals, serial = text.partition("=")
    if not equals:
        raise BadUsage(f"{quoted(text)} names no serial", hint="write --at ARCHIVE=SERIAL")
    return known_archive(app.config(), name), serial_named(app.database, name, serial).serial


def _shown(pins: Pins, name: str) -> str | None:
    return None if name not in pins else str(pins[name] or LATEST)


def _plain(change: PinChange) -> dict[str, Json]:
    return {
        "archive": change.archive,
        "old": change.old or None,
        "new": change.new or None,
        "file": pin_path(change.archive),
    }
