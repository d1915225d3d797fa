"""`distwright pin`: freeze and thaw the branch of a work tree. It writes files; committing and pushing them is yours."""

from pathlib import Path

import click

from distwright.app import App, open_app
from distwright.archive.pin_files import PinChange, changes_of, read_pins, save_pins
from distwright.archive.pinning import latest_archives, upstream_archives
from distwright.archive.pins import LATEST, Freedom, Pins, check_pins, freedom_of, freeze, pin_path, thaw
from distwright.cli.options import json_option, print_json, print_rows, state_option
from distwright.errors import BadUsage, NotFound, quoted
from distwright.model.digests import Json
from distwright.model.serials import Serial
from distwright.site.views import serial_named, snapshots
from distwright.tools.git import work_tree

folder_argument = click.argument(
    "folder", default=".", metavar="[DIR]", type=click.Path(file_okay=False, path_type=Path)
)
repo_option = click.option("--repo", help="The hosted repo whose rules count; unset: the one that has a recipe.")
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
    newest = _newest(app, archives)
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
    archives = upstream_archives(config)
    top, branch = work_tree(folder)
    before = read_pins(top, archives)
    at = dict(_named(app, text, archives) for text in given)
    wanted = [_known(name, archives) for name in names] or archives
    loose = [] if also_security else [name for name in latest_archives(config) if name not in names]
    newest = _newest(app, wanted)
    missing = [name for name in wanted if not (before.get(name) or name in newest or name in at or name in loose)]
    if missing:
        raise NotFound(f"archive {missing[0]} has no snapshot", hint=f"distwright archive record {missing[0]}")
    after = freeze(before, newest, stay_latest=loose, at=at)
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
    archives = upstream_archives(app.config())
    top, branch = work_tree(folder)
    before = read_pins(top, archives)
    chosen = {_known(name, archives): before.get(name) for name in names} if names else before
    _write(app, top, before, {**before, **thaw(chosen)}, branch, repo, dry_run=dry_run, as_json=as_json)


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
    freedom = _check(app, pins, branch or present, repo)
    if as_json:
        print_json(
            {"branch": branch or present, "must be": str(freedom), "pins": {name: _shown(pins, name) for name in pins}}
        )
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
    _check(app, after, branch, repo)
    changes = changes_of(before, after)
    if not dry_run:
        save_pins(top, after)
    rows = [_plain(change) for change in changes]
    print_rows(rows, ("archive", "old", "new", "file"), as_json=as_json, empty="nothing changes")
    if dry_run and not as_json:
        click.echo("nothing was changed (--dry-run)")


def _check(app: App, pins: Pins, branch: str | None, repo: str | None) -> Freedom:
    """Refuse what the branch must not be; one that is checked out by commit may be anything."""
    config = app.config()
    named = [repo] if repo is not None else sorted({image.repo for image in config.images.values()})
    if repo is not None and repo not in config.repos:
        raise NotFound(f"repo {quoted(repo)} is not configured", hint="distwright repo list")
    if branch is None or not named:
        return Freedom.ANY
    if len(named) > 1 and any(config.repos[name].frozen or config.repos[name].thawed for name in named):
        raise BadUsage(f"these repos have recipes: {', '.join(named)}", hint="name the one that this is, with --repo")
    table = config.repos[named[0]]
    freedom = freedom_of(branch, table.frozen, table.thawed)
    every = {**dict.fromkeys(upstream_archives(config)), **pins}
    check_pins(every, branch, freedom, stay_latest=latest_archives(config))
    return freedom


def _newest(app: App, archives: list[str]) -> dict[str, Serial]:
    found: dict[str, Serial] = {}
    for row in snapshots(app.database):  # newest first
        if row.archive in archives:
            found.setdefault(row.archive, row.serial)
    return found


def _named(app: App, text: str, archives: list[str]) -> tuple[str, Serial]:
    name, equals, serial = text.partition("=")
    if not equals:
        raise BadUsage(f"{quoted(text)} names no serial", hint="write --at ARCHIVE=SERIAL")
    return _known(name, archives), serial_named(app.database, name, serial).serial


def _known(name: str, archives: list[str]) -> str:
    if name not in archives:
        raise NotFound(f"{quoted(name)} is no upstream archive", hint="distwright archive list")
    return name


def _shown(pins: Pins, name: str) -> str | None:
    return None if name not in pins else str(pins[name] or LATEST)


def _plain(change: PinChange) -> dict[str, Json]:
    return {
        "archive": change.archive,
        "old": change.old or None,
        "new": change.new or None,
        "file": pin_path(change.archive),
    }
