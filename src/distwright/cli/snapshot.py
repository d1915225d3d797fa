"""`distwright snapshot`."""

from pathlib import Path

import click

from distwright.app import open_app
from distwright.archive.own_snapshots import drop_snapshots, publish_snapshot, take_snapshot
from distwright.archive.pins import LATEST
from distwright.archive.prolonging import prolong_recorded
from distwright.archive.prolonging_own import prolong_own
from distwright.archive.resolve import upstream_credential
from distwright.archive.tags import TagRequest, tag_snapshots
from distwright.cli.options import json_option, print_json, print_rows, shown_time, state_option
from distwright.cli.snapshot_needs import NEEDS, serials_named
from distwright.config.tables_archive import OwnArchive, UpstreamArchive
from distwright.errors import BadUsage, NotFound, quoted
from distwright.model.digests import Json
from distwright.model.serials import Serial
from distwright.site.keys import own_archive
from distwright.site.views import snapshots, tagged_snapshots


@click.group()
def command() -> None:
    """States of archives that never change, named by serial; `latest` means the newest one of its archive."""


@command.command("list")
@click.argument("archive", required=False)
@state_option
@json_option
def list_snapshots(archive: str | None, state: str | None, as_json: bool) -> None:
    """List snapshots, newest first. Exit code 10 if there is no such upstream archive."""
    app = open_app(state)
    found = snapshots(app.database, archive)
    if archive is not None and not found and not isinstance(app.config().archives.get(archive), UpstreamArchive):
        raise NotFound(f"{quoted(archive)} is no upstream archive", hint="distwright archive list")
    rows: list[dict[str, Json]] = [
        {
            "archive": row.archive,
            "serial": row.serial,
            "taken": shown_time(row.taken_at),
            "valid until": shown_time(row.valid_until),
            "digest": str(row.digest) if as_json else row.digest.short,
        }
        for row in found
    ]
    headings = ("archive", "serial", "taken", "valid until", "digest")
    print_rows(rows, headings, as_json=as_json, empty="nothing is recorded yet: distwright archive record")


@command.command()
@click.argument("archive")
@click.argument("suites", nargs=-1)
@click.option("--serial", help="Its name (YYYYMMDDNN); unset: the next one.")
@click.option("--publish", "then_publish", is_flag=True, help="Serve it below snapshots/SERIAL/ at once.")
@state_option
@json_option
def take(
    archive: str, suites: tuple[str, ...], serial: str | None, then_publish: bool, state: str | None, as_json: bool
) -> None:
    """Freeze suites of an archive of ours (all, or those named) as they are now: one row, whatever their size."""
    app = open_app(state)
    own_archive(app.config(), archive)
    row = take_snapshot(app.command_context(), archive, suites, None if serial is None else Serial(serial))
    if then_publish:
        publish_snapshot(app.command_context(), archive, row.serial)
    _answer({"archive": archive, "serial": row.serial, "digest": str(row.digest)}, f"{archive} {row.serial}", as_json)


@command.command()
@click.argument("archive")
@click.argument("serials", nargs=-1, required=True)
@click.option("--again", is_flag=True, help="Sign anew even if it is served already.")
@state_option
@json_option
def publish(archive: str, serials: tuple[str, ...], again: bool, state: str | None, as_json: bool) -> None:
    """Serve snapshots of ours, each at a base URL of its own: …/snapshots/SERIAL."""
    app = open_app(state)
    for serial in serials_named(app, archive, serials):
        made = publish_snapshot(app.command_context(), archive, serial, again=again)
        suites = ", ".join(row.suite for row in made)
        _answer({"archive": archive, "serial": serial, "suites": suites}, f"{archive} {serial}: {suites}", as_json)


@command.command()
@click.argument("archive")
@click.argument("serials", nargs=-1, required=True)
@click.option("--days", type=click.IntRange(1, 3650), default=30, show_default=True, help="From now on.")
@state_option
@json_option
def prolong(archive: str, serials: tuple[str, ...], days: int, state: str | None, as_json: bool) -> None:
    """Let clients trust snapshots for longer: sign them anew with a later Valid-Until.

    A recorded one is then signed by the key of its archive; upstream's own signature stays beside it as InRelease.upstream.
    """
    app = open_app(state)
    context = app.command_context()
    for serial in serials_named(app, archive, serials):
        if isinstance(context.config.archives.get(archive), OwnArchive):
            until = prolong_own(context, archive, serial, days)
        else:
            until = prolong_recorded(context, archive, serial, days, upstream_credential(context.config, archive))
        shown = shown_time(until)
        answer: dict[str, Json] = {"archive": archive, "serial": serial, "valid until": shown}
        _answer(answer, f"{archive} {serial} is valid until {shown}", as_json)


@command.command()
@click.argument("archives_and_tag", nargs=-1, required=True, metavar="ARCHIVE... TAG")
@click.option(
    "--manifest", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Of an image."
)
@click.option("--reason", default="", help="Why, for people.")
@state_option
@json_option
def tag(archives_and_tag: tuple[str, ...], manifest: Path, reason: str, state: str | None, as_json: bool) -> None:
    """Make partial snapshots of exactly what an image was made of, with its sources: served below snapshots/TAG, for ever."""
    *archives, name = archives_and_tag
    if not archives:
        raise BadUsage("no archive is named", hint="distwright archive list")
    app = open_app(state)
    context = app.command_context()
    request = TagRequest(tuple(archives), name, manifest.read_bytes(), reason)
    for row in tag_snapshots(request, context, context.mirrors):
        answer: dict[str, Json] = {"archive": row.archive, "tag": row.tag, "digest": str(row.digest)}
        _answer(answer, f"{row.archive} {row.tag}", as_json)


@command.command()
@click.argument("archive", required=False)
@state_option
@json_option
def tags(archive: str | None, state: str | None, as_json: bool) -> None:
    """List tagged snapshots."""
    rows: list[dict[str, Json]] = [
        {
            "archive": row.archive,
            "tag": row.tag,
            "made": shown_time(row.at),
            "reason": row.reason,
            "digest": row.digest.short,
        }
        for row in tagged_snapshots(open_app(state).database, archive)
    ]
    headings = ("archive", "tag", "made", "reason", "digest")
    print_rows(rows, headings, as_json=as_json, empty="nothing is tagged yet: distwright snapshot tag")


@command.command()
@click.argument("archive")
@click.argument("serials", nargs=-1, required=True)
@click.option("--apply", "really", is_flag=True, help="Do it; without, only say what would go.")
@state_option
@json_option
def drop(archive: str, serials: tuple[str, ...], really: bool, state: str | None, as_json: bool) -> None:
    """Forget snapshots, ours or recorded ones. Exit code 3 if one of them is needed; then none is dropped."""
    app = open_app(state)
    named = serials_named(app, archive, serials)
    drop_snapshots(app.command_context(), archive, named, dry_run=not really)
    word = "dropped" if really else "would be dropped (--apply)"
    shown = f"{len(named)} {word}" + (f": {', '.join(named)}" if LATEST in serials else "")
    _answer({"archive": archive, "serials": list(named), "dropped": really}, shown, as_json)


for verb in NEEDS:
    command.add_command(verb)


def _answer(value: dict[str, Json], text: str, as_json: bool) -> None:  # an option of every verb
    if as_json:
        print_json(value)
    else:
        click.echo(text)
