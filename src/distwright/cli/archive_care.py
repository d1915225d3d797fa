"""`distwright archive`: the verbs that look after archives: check, repair, collect."""

from pathlib import Path

import click

from distwright.app import App, open_app
from distwright.archive.changing import root_of
from distwright.archive.fsck import Damage, check_archive, check_objects, repair
from distwright.archive.garbage import collect
from distwright.archive.publish import improve
from distwright.archive.resolve import publish_request
from distwright.archive.suites import publish_suite
from distwright.cli.options import json_option, print_json, state_option
from distwright.config.tables_archive import OwnArchive
from distwright.model.digests import Json
from distwright.site.views import suites


@click.command()
@click.argument("names", nargs=-1)
@click.option("--quick", is_flag=True, help="Look at what is served only; do not read every object.")
@click.option("--repair", "mend", is_flag=True, help="Bring back what another copy still has.")
@click.option(
    "--from",
    "copies",
    multiple=True,
    type=click.Path(exists=True, file_okay=False),
    help="A backup, or a tree with a pool.",
)
@state_option
@json_option
def fsck(
    names: tuple[str, ...], quick: bool, mend: bool, copies: tuple[str, ...], state: str | None, as_json: bool
) -> None:
    """Check that everything which is served is there, with its hash, and every object intact.

    Exit codes: 0 all is well (or repaired), 1 something is damaged, 10 no such archive.
    """
    app = open_app(state)
    context = app.command_context()
    places = [Path(copy) for copy in copies]

    def mended(damages: list[Damage]) -> list[Damage]:
        return repair(context, damages, context.mirrors, places) if mend else damages

    found: list[Damage] = [] if quick else list(check_objects(context))
    left = mended(found)
    for name in _own(
        app, names
    ):  # after the objects: what is served of one that was brought back must be laid out anew
        damaged = list(check_archive(context, name))
        found, left = [*found, *damaged], [*left, *mended(damaged)]
    if as_json:
        print_json({"found": len(found), "left": [_plain(damage) for damage in left]})
    else:
        for damage in left:
            click.echo(f"{damage.path or damage.digest or context.paths.database}: {damage.what}")
            click.echo(f"  try: {damage.hint}")
        click.echo(f"{len(found)} damaged, {len(left)} left" if found else "all is well")
    if left:
        raise click.exceptions.Exit(1)


@click.command("collect")
@click.option("--apply", "really", is_flag=True, help="Do it; without, only say what would go.")
@state_option
@json_option
def collect_garbage(really: bool, state: str | None, as_json: bool) -> None:
    """Let go of what nobody holds: it waits in the trash for 7 days, and comes back if it is asked for."""
    app = open_app(state)
    done = collect(app.command_context(), _own(app, ()), really=really)
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
        return [name for name in names if app.own_archive(name)]
    return sorted(name for name, archive in app.config().archives.items() if isinstance(archive, OwnArchive))


def _plain(damage: Damage) -> Json:
    return {"what": damage.what, "digest": str(damage.digest) or None, "path": damage.path or None, "hint": damage.hint}
