"""What upgrades from an image are public: `images/upgrades/IMAGE/`, the signed description with the kits, always as a whole."""

import shutil
from collections.abc import Callable
from pathlib import Path

from distwright.errors import NotFound, quoted
from distwright.images.kit_descriptions import (
    FILE,
    SIGNATURE,
    Description,
    Release,
    Upgrade,
    read_description,
    with_upgrade,
)
from distwright.images.public import COMPLETE, show_image
from distwright.jobs.step import Context, Inputs
from distwright.model import plain
from distwright.model.digests import Sha256
from distwright.model.outcomes import JobState
from distwright.store.database import Transaction
from distwright.store.holds import all_holds, drop_holds, holds_of, holds_on_all, replace_holds
from distwright.store.jobs import find_job, list_jobs
from distwright.store.locks import locked
from distwright.store.settle import settle_folders

IMAGE_CREDENTIAL = "image"
FOLDER = "upgrades"
_LOOKED_AT = 1_000_000
_IMAGE = "image "  # holder of what the job of an image left, with its number


def say_no_upgrade(context: Context, inputs: Inputs) -> None:
    """Publish that there is no upgrade from an image that was just built; kits that there are already stay. inputs: its order."""
    _change(context, no_upgrade(inputs), lambda upgrades: upgrades)


def say_upgrade(context: Context, initial: Description, upgrade: Upgrade) -> None:
    """Publish a kit and the description that names it, in place of the one before. initial: what is said if there is none."""
    _change(context, initial, lambda upgrades: with_upgrade(upgrades, upgrade))


def withdraw_kit(context: Context, initial: str, kit: Sha256) -> None:
    """Let the description of an image name a kit no more, which then is not beside it either; nothing if it does not name it."""
    known = described(context, initial)
    if known is not None and any(one.sha256 == kit for one in known.upgrades):
        _change(context, known, lambda upgrades: tuple(one for one in upgrades if one.sha256 != kit))


def settle_upgrades(context: Context) -> None:
    """Drop what is said of images that are neither kept nor being built, public names first; lay out all else as it is held.

    So it ends whatever change was cut off. Safe to repeat.
    """
    folder = _folder(context)
    with locked(context.paths.lock("upgrades")):
        with context.database.read() as tx:
            said, alive = _said_and_alive(tx)
        if said - alive:
            with context.write() as tx:
                said, alive = _said_and_alive(tx)  # one may have been ordered again meanwhile
                for name in said - alive:
                    (folder / name).unlink(missing_ok=True)
                settle_folders({folder} if folder.exists() else set())
                drop_holds(tx, [upgrades_holder(name) for name in said - alive])
        with context.database.read() as tx:
            kept = {name: _held(tx, name) for name in said & alive}
        for name, files in kept.items():
            show_image(folder, name, files, context.objects)
        for path in (folder / COMPLETE).glob("*"):
            if path.name not in kept:
                shutil.rmtree(path)
        for half_shown in folder.glob(".new-*"):
            half_shown.unlink()


def _said_and_alive(tx: Transaction) -> tuple[set[str], set[str]]:
    """Give the images of which something is said, and those that are kept or being made, by whatever kind of job."""
    holders, prefix = {hold.holder for hold in all_holds(tx)}, upgrades_holder("")
    kept = [find_job(tx, int(holder.removeprefix(_IMAGE))) for holder in holders if holder.startswith(_IMAGE)]
    waiting = list_jobs(tx, states=(JobState.QUEUED, JobState.RUNNING), limit=_LOOKED_AT)
    alive = {str(job.inputs.get("name", "")) for job in (*kept, *waiting) if job is not None}
    return {holder.removeprefix(prefix) for holder in holders if holder.startswith(prefix)}, alive


def no_upgrade(inputs: Inputs) -> Description:
    """Give what is said of an image from the beginning. inputs: its order, of form 2 or later."""
    return Description(plain.text(inputs, "image"), plain.text(inputs, "branch"), release_of(inputs))


def release_of(inputs: Inputs) -> Release:
    """Give what upgrades call the image of an order."""
    return Release(plain.text(inputs, "name"), plain.text(inputs, "version"))


def kit_file(target: str) -> str:
    """Name the kit to an image, beside the description."""
    return f"{target}.kit.tar"


def kit_between(tx: Transaction, source: str, target: str) -> Sha256:
    """Find the kit from one image to another, by their full names; raise NotFound if there is none."""
    kit = _held(tx, source).get(kit_file(target))
    if kit is None:
        raise NotFound(
            f"there is no kit from {quoted(source)} to {target}", hint=f"distwright image kit {source} {target}"
        )
    return kit


def described(context: Context, name: str) -> Description | None:
    """Give what is said of an image now; None before it was published."""
    with context.database.read() as tx:
        found = _current(tx, name)
    return None if found is None else read_description(context.objects.read(found))


def _change(
    context: Context, initial: Description, change: Callable[[tuple[Upgrade, ...]], tuple[Upgrade, ...]]
) -> None:
    """Objects, then rows, then the public folder; one at a time, so that of two kits at once none is forgotten. Safe to repeat."""
    name = initial.initial.name
    with locked(context.paths.lock("upgrades")):
        known = described(context, name) or initial
        new = Description(known.product, known.channel, known.initial, change(known.upgrades))
        content = new.to_bytes()
        files: dict[str, Sha256] = {kit_file(one.target.name): one.sha256 for one in new.upgrades}
        files[FILE] = context.objects.put(content)
        files[SIGNATURE] = context.objects.put(context.signer(IMAGE_CREDENTIAL).sign_detached(content))
        with context.write() as tx:
            replace_holds(tx, upgrades_holder(name), holds_on_all(dict(files)), context.now())
        show_image(_folder(context), name, files, context.objects)


def _current(tx: Transaction, name: str) -> Sha256 | None:
    """Find the description in what it holds: that is the row of it."""
    return _held(tx, name).get(FILE)


def _held(tx: Transaction, name: str) -> dict[str, Sha256]:
    """Give what the public folder of an image's upgrades has, or will have: file -> object."""
    return {hold.reason: Sha256(hold.target) for hold in holds_of(tx, upgrades_holder(name))}


def _folder(context: Context) -> Path:
    return context.paths.public / "images" / FOLDER


def upgrades_holder(name: str) -> str:
    """Name who holds what is said of the upgrades from an image, and their kits."""
    return f"upgrades {name}"
