"""`distwright image`: the verbs about what is kept: retire, drop, hold, release."""

import getpass
from collections.abc import Sequence
from datetime import UTC, datetime

import click

from distwright.app import open_app
from distwright.archive.needs import PERSON
from distwright.cli.options import json_option, print_json, print_rows, say, shown_time, state_option
from distwright.errors import NotFound, quoted
from distwright.images.holding import hold_image, release_image
from distwright.images.retention import Budget, JudgedImage, used_by
from distwright.images.retiring import budgets_of, drop_images, retire_images
from distwright.model.digests import Json
from distwright.site.image_facts import image_named

_HEADINGS = ("image", "built", "colour", "MiB", "verdict", "frees MiB", "why")
_COLLECT = "distwright archive collect --apply frees the space"


@click.command()
@click.argument("names", nargs=-1)
@click.option("--keep-mb", type=click.IntRange(1), help="MiB for each branch; unset: as the configuration says.")
@click.option(
    "--keep-files", type=click.IntRange(1), help="Files (inodes) for each branch; unset: as the configuration says."
)
@click.option("--apply", "really", is_flag=True, help="Do it; without, only say what would go.")
@state_option
@json_option
def retire(
    names: tuple[str, ...], keep_mb: int | None, keep_files: int | None, really: bool, state: str | None, as_json: bool
) -> None:
    """Drop old images (of all tables, or those named) beyond what their branch may take; say of each why it stays or goes.

    With an image go the reports and evidence of its tests, the upgrade kits from it and to it, and all logs. What is tagged in git
    or by a snapshot, what a job or a person holds, the newest, the last green and the last red one of each branch, and the newest
    kit from each image stay, whatever they take.
    """
    app = open_app(state)
    context = app.command_context()
    budgets = budgets_of(context)
    if unknown := sorted(set(names) - budgets.keys()):
        raise NotFound(
            f"there is no image {quoted(unknown[0])}", hint="look at the [image.NAME] tables: distwright config show"
        )
    given = {
        name: Budget(
            said.size_bytes if keep_mb is None else keep_mb << 20, said.files if keep_files is None else keep_files
        )
        for name, said in budgets.items()
    }
    _answer(retire_images(context, names, given, really=really), really=really, as_json=as_json)


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--apply", "really", is_flag=True, help="Do it; without, only say what would go.")
@state_option
@json_option
def drop(names: tuple[str, ...], really: bool, state: str | None, as_json: bool) -> None:
    """Drop images by their full names, upgrade kits as OLD/NEW.kit.tar, and failed builds as "job 12", with all of theirs.

    With an image go the kits from it and to it, and what is said of upgrades from it. A kit is no longer named before it goes.

    Exit code 3 if one of them must stay; then none is dropped.
    """
    app = open_app(state)
    _answer(drop_images(app.command_context(), names, really=really), really=really, as_json=as_json)


@click.command()
@click.argument("name", metavar="IMAGE")
@click.option("--reason", required=True, help="Why; whoever wants to drop it reads this.")
@click.option("--until", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M"]), help="When it ends by itself (UTC).")
@state_option
@json_option
def hold(name: str, reason: str, until: datetime | None, state: str | None, as_json: bool) -> None:
    """Keep an image, whatever its branch takes, until you release it. What is tagged, and what a job needs, stays by itself."""
    app = open_app(state)
    image = image_named(app.database, name)
    end = None if until is None else until.replace(tzinfo=UTC)
    hold_image(app.command_context(), image.iso, _holder(None), reason, end)
    _say_who(
        image.name, f"is held by {_holder(None)}", {"holder": _holder(None), "until": shown_time(end)}, as_json=as_json
    )


@click.command()
@click.argument("name", metavar="IMAGE")
@click.option("--of", "person", metavar="USER", help="Whose hold; unset: yours.")
@state_option
@json_option
def release(name: str, person: str | None, state: str | None, as_json: bool) -> None:
    """Let go of an image that was held by hand. Exit code 10 if it was not."""
    app = open_app(state)
    image = image_named(app.database, name)
    release_image(app.command_context(), image.iso, _holder(person))
    _say_who(image.name, f"is no longer held by {_holder(person)}", {"holder": _holder(person)}, as_json=as_json)


KEEPING = (retire, drop, hold, release)


def _holder(person: str | None) -> str:
    return f"{PERSON}{person or getpass.getuser()}"


def _say_who(name: str, words: str, answer: dict[str, Json], *, as_json: bool) -> None:
    if as_json:
        print_json({"image": name, **answer})
    else:
        click.echo(f"{name} {words}")


def _answer(judged: Sequence[JudgedImage], *, really: bool, as_json: bool) -> None:
    word = "dropped" if really else "would be dropped (--apply)"
    rows: list[dict[str, Json]] = [
        {
            "image": one.row.name,
            "table": one.row.image,
            "branch": one.row.branch,
            "built": shown_time(one.row.at),
            "colour": str(one.row.colour),
            "MiB": used_by([one.row])[0] >> 20,
            "files": used_by([one.row])[1],
            "stays": one.stays,
            "verdict": "stays" if one.stays else word,
            "frees MiB": one.frees_bytes >> 20,
            "why": one.why,
        }
        for one in judged
    ]
    print_rows(rows, _HEADINGS, as_json=as_json, empty="there are no images")
    if really and any(not one.stays for one in judged):
        say(_COLLECT)
