"""`distwright snapshot`: the verbs about what is needed: show, hold, release, holds, retire."""

import getpass
from collections.abc import Sequence
from datetime import UTC, datetime

import click

from distwright.app import App, open_app
from distwright.archive.needs import PERSON, hold_serial, release_serial
from distwright.archive.pins import LATEST
from distwright.archive.retiring import Judged, Policy, retire_snapshots
from distwright.cli.options import json_option, print_json, print_rows, shown_time, state_option
from distwright.errors import NotFound, quoted
from distwright.model.digests import Json
from distwright.site.views import serial_holds, serial_named, snapshot_detail, snapshots


@click.command()
@click.argument("archive")
@click.argument("serial", default=LATEST)
@state_option
@json_option
def show(archive: str, serial: str, state: str | None, as_json: bool) -> None:
    """Show a snapshot (default: latest): its suites, until when it is valid, and who needs it."""
    app = open_app(state)
    detail = snapshot_detail(app.database, app.objects, serial_named(app.database, archive, serial), app.now())
    row = detail.row
    answer: dict[str, Json] = {
        "archive": row.archive,
        "serial": row.serial,
        "taken": shown_time(row.taken_at),
        "valid until": shown_time(row.valid_until),
        "signed by us": detail.is_resigned,
        "fetched from": row.fetched_from,
        "digest": str(row.digest),
        "suites": dict(detail.suites),
        "needed by": [
            {"holder": hold.holder, "reason": hold.reason, "until": shown_time(hold.until)} for hold in detail.needed_by
        ],
    }
    if as_json:
        return print_json(answer)
    for name in ("archive", "serial", "taken", "valid until", "fetched from", "digest"):
        click.echo(f"{name}: {answer[name] or '-'}")
    for suite, what in detail.suites.items():
        click.echo(f"suite {suite}: {what}")
    for hold in detail.needed_by:
        click.echo(f"needed by {hold.holder}: {hold.reason}{_until(hold.until)}")
    return None


@click.command()
@click.argument("archive")
@click.argument("serial")
@click.option("--reason", required=True, help="Why; whoever wants to drop it reads this.")
@click.option("--until", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M"]), help="When it ends by itself (UTC).")
@state_option
@json_option
def hold(archive: str, serial: str, reason: str, until: datetime | None, state: str | None, as_json: bool) -> None:
    """Keep a snapshot, whatever its age, until you release it. Branches, tags and jobs hold theirs by themselves."""
    app = open_app(state)
    row = serial_named(app.database, archive, serial)
    end = None if until is None else until.replace(tzinfo=UTC)
    hold_serial(app.command_context(), archive, row.serial, _holder(None), reason, end)
    answer: dict[str, Json] = {
        "archive": archive,
        "serial": row.serial,
        "holder": _holder(None),
        "until": shown_time(end),
    }
    _answer(answer, f"{archive} {row.serial} is held by {_holder(None)}{_until(end)}", as_json)


@click.command()
@click.argument("archive")
@click.argument("serial")
@click.option("--of", "person", metavar="USER", help="Whose hold; unset: yours.")
@state_option
@json_option
def release(archive: str, serial: str, person: str | None, state: str | None, as_json: bool) -> None:
    """Let go of a snapshot that was held by hand. Exit code 10 if it was not."""
    app = open_app(state)
    row = serial_named(app.database, archive, serial)
    release_serial(app.command_context(), archive, row.serial, _holder(person))
    answer: dict[str, Json] = {"archive": archive, "serial": row.serial, "holder": _holder(person)}
    _answer(answer, f"{archive} {row.serial} is no longer held by {_holder(person)}", as_json)


@click.command()
@click.argument("archive", required=False)
@state_option
@json_option
def holds(archive: str | None, state: str | None, as_json: bool) -> None:
    """List who needs which snapshot: branches and tags that pin it, jobs, people."""
    app = open_app(state)
    rows: list[dict[str, Json]] = [
        {
            "archive": hold.target.partition("/")[0],
            "serial": hold.target.partition("/")[2],
            "holder": hold.holder,
            "reason": hold.reason,
            "until": shown_time(hold.until),
        }
        for hold in serial_holds(app.database, archive, app.now())
    ]
    headings = ("archive", "serial", "holder", "reason", "until")
    print_rows(rows, headings, as_json=as_json, empty="nobody needs a snapshot")


@click.command()
@click.argument("archives", nargs=-1)
@click.option(
    "--keep", type=click.IntRange(1, 100_000), help="Leave the newest so many alone; unset: as the configuration says."
)
@click.option(
    "--keep-days", type=click.IntRange(1, 3650), help="Leave what is younger alone; unset: as the configuration says."
)
@click.option("--apply", "really", is_flag=True, help="Do it; without, only say what would go.")
@state_option
@json_option
def retire(
    archives: tuple[str, ...], keep: int | None, keep_days: int | None, really: bool, state: str | None, as_json: bool
) -> None:
    """Drop old snapshots of archives (all, or those named) that nothing needs; say of each why it stays or goes.

    What a branch or a tag in git pins, and what a job or a person holds, stays whatever its age.
    """
    app = open_app(state)
    context = app.command_context()
    tables = context.config.archives
    known = {row.archive for row in snapshots(app.database)} | set(tables)
    if unknown := sorted(set(archives) - known):
        raise NotFound(f"there is no archive {quoted(unknown[0])}", hint="distwright archive list")
    judged: list[Judged] = []
    for name in archives or sorted(known):
        table = tables.get(name)
        said = Policy() if table is None else Policy(table.keep, table.keep_days)
        policy = Policy(keep or said.keep, keep_days or said.keep_days)
        judged += retire_snapshots(context, name, policy, really=really)
    word = "dropped" if really else "would be dropped (--apply)"
    rows: list[dict[str, Json]] = [
        {
            "archive": one.row.archive,
            "serial": one.row.serial,
            "taken": shown_time(one.row.taken_at),
            "stays": one.stays,
            "verdict": "stays" if one.stays else word,
            "why": one.why,
        }
        for one in judged
    ]
    headings = ("archive", "serial", "taken", "verdict", "why")
    print_rows(rows, headings, as_json=as_json, empty="there are no snapshots: distwright snapshot list")


NEEDS = (show, hold, release, holds, retire)


def serials_named(app: App, archive: str, names: Sequence[str]) -> list[str]:
    """Say once which serial `latest` means; other names stay as they are."""
    return [serial_named(app.database, archive, name).serial if name == LATEST else name for name in names]


def _holder(person: str | None) -> str:
    return f"{PERSON}{person or getpass.getuser()}"


def _until(end: datetime | None) -> str:
    return "" if end is None else f", until {end:%Y-%m-%d %H:%M}"


def _answer(value: dict[str, Json], text: str, as_json: bool) -> None:  # an option of every verb
    if as_json:
        print_json(value)
    else:
        click.echo(text)
