"""`distwright archive`: the verbs that look after archives: check, repair, collect."""

from pathlib import Path

import click

from distwright.app import App, open_app
from distwright.archive.changing import root_of
from distwright.archive.fsck import (
    HELD_AND_LOST,
    Damage,
    check_archive,
    check_database,
    check_held,
    check_objects,
    check_recorded,
)
from distwright.archive.garbage import collect
from distwright.archive.publish import improve
from distwright.archive.repairing import Told, repair, tell
from distwright.archive.resolve import publish_request
from distwright.archive.suites import publish_suite
from distwright.cli.options import json_option, print_json, state_option
from distwright.config.load import checked_fetch_url
from distwright.config.tables_archive import OwnArchive
from distwright.errors import NotFound, quoted
from distwright.model.digests import Json, Sha256
from distwright.site.keys import own_archive
from distwright.site.views import suites


@click.command()
@click.argument("names", nargs=-1)
@click.option("--quick", is_flag=True, help="Look at what is served, and for what is held; do not read every object.")
@click.option("--repair", "mend", is_flag=True, help="Bring back what another copy still has.")
@click.option(
    "--from",
    "copies",
    multiple=True,
    metavar="DIR|URL",
    help="A backup, or a tree with a pool, or where one is served.",
)
@state_option
@json_option
def fsck(
    names: tuple[str, ...], quick: bool, mend: bool, copies: tuple[str, ...], state: str | None, as_json: bool
) -> None:
    """Check that everything which is served, recorded or held is there, with its hash, and every object intact.

    --repair looks for good copies at the mirrors of recorded archives, in what is served here, and where --from says.

    Exit codes: 0 all is well (or repaired), 1 something is damaged, 10 no such archive or folder.
    """
    app = open_app(state)
    context = app.command_context()
    places = [_copy(copy) for copy in copies]
    archives = app.config().archives
    for name in names:
        if name not in archives:
            raise NotFound(f"there is no archive {quoted(name)}", hint="distwright archive list")

    def mended(damages: list[Damage]) -> list[Damage]:
        return repair(context, damages, context.mirrors, places) if mend else damages

    found = list(check_held(context) if quick else check_objects(context))
    left = mended(found)
    # A list that came back may name what is lost too.
    while mend and (more := [damage for damage in check_held(context) if damage.digest not in _about(found)]):
        found, left = [*found, *more], [*left, *mended(more)]
    # After the objects: what is served of one that was brought back must be laid out anew.
    for name in sorted(names or archives):
        check = check_archive if isinstance(archives[name], OwnArchive) else check_recorded
        damaged = [damage for damage in check(context, name) if damage.path or damage.digest not in _about(found)]
        found, left = [*found, *damaged], [*left, *mended(damaged)]
    found, left = _where_it_shows(found), _where_it_shows(left)
    told = tell(context, left, was_mended=mend)
    rows = [] if quick else check_database(context)
    if as_json:
        print_json({"found": len(found), "left": [_plain(one) for one in told], "database": list(rows)})
    else:
        for text in rows:
            click.echo(f"{context.paths.database}: {text}\n  try: restore it from a backup")
        for one in told:
            click.echo(f"{one.thing}: {one.damage.what}\n  try: {one.hint}")
        click.echo(f"{len(found)} damaged, {len(left)} left" if found else "" if rows else "all is well")
    if left or rows:
        raise click.exceptions.Exit(1)


@click.command("collect")
@click.option("--deep", is_flag=True, help="Look at every published file, not only at what publications that go leave.")
@click.option("--apply", "really", is_flag=True, help="Do it; without, only say what would go.")
@state_option
@json_option
def collect_garbage(deep: bool, really: bool, state: str | None, as_json: bool) -> None:
    """Let go of what nobody holds: it waits in the trash for 7 days, and comes back if it is asked for."""
    app = open_app(state)
    done = collect(app.command_context(), _own(app, ()), deep=deep, really=really)
    if as_json:
        print_json(
            {
                "applied": really,
                "objects": done.objects,
                "size_bytes": done.size_bytes,
                "kept": done.kept,
                "publications": done.publications,
                "pool_files": done.pool,
                "deleted": done.deleted,
                "deleted_bytes": done.deleted_bytes,
            }
        )
        return
    word = "went to the trash" if really else "would go (--apply)"
    click.echo(f"{done.objects} objects of {done.objects + done.kept}, {done.size_bytes / 1e6:.1f} MB, {word}")
    click.echo(f"{done.publications} old publications, {done.pool} pool files that no suite has")
    if really:
        click.echo(
            f"{done.deleted} objects, {done.deleted_bytes / 1e6:.1f} MB, were in the trash long enough and are gone"
        )


@click.command("improve")
@click.argument("names", nargs=-1)
@state_option
@json_option
def improve_indexes(names: tuple[str, ...], state: str | None, as_json: bool) -> None:
    """Compress indexes as hard as xz can, for smaller downloads, and publish them again: for when there is time."""
    app = open_app(state)
    context = app.command_context()
    improved: dict[str, Json] = {}
    for row, live in suites(app.database):
        if row.archive not in _own(app, names) or live is None or live.revision != row.revision:
            continue
        count = improve(context, root_of(context, row))
        if count:
            publish_suite(context, publish_request(app.config(), row, again=True))
        improved[f"{row.archive}/{row.name}"] = count
        if not as_json:
            click.echo(f"{row.archive}/{row.name}: {count} pieces")
    if as_json:
        print_json(improved)


def _own(app: App, names: tuple[str, ...]) -> list[str]:
    if names:
        return [name for name in names if own_archive(app.config(), name)]
    return sorted(name for name, archive in app.config().archives.items() if isinstance(archive, OwnArchive))


def _about(damages: list[Damage]) -> set[Sha256]:
    return {damage.digest for damage in damages}


def _where_it_shows(damages: list[Damage]) -> list[Damage]:
    """Leave out that something is lost where the served paths say it too."""
    shown = {damage.digest for damage in damages if damage.path}
    return [one for one in damages if one.path or one.digest not in shown or not one.what.startswith(HELD_AND_LOST)]


def _copy(given: str) -> Path | str:
    """Tell a folder from an address; raise NotFound, BadUsage."""
    if "://" in given:
        return checked_fetch_url(given)
    if not Path(given).is_dir():
        raise NotFound(f"{quoted(given)} is no folder", hint="name a backup, or a tree with a pool: --from DIR|URL")
    return Path(given)


def _plain(told: Told) -> Json:
    damage = told.damage
    return {
        "thing": told.thing,
        "what": damage.what,
        "digest": str(damage.digest),
        "path": damage.path or None,
        "hint": told.hint,
    }
