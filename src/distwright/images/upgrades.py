"""What upgrades from an image are public: `images/upgrades/IMAGE/`, the signed description with the kits, always as a whole."""

from collections.abc import Callable

from distwright.images.kit_descriptions import (
    FILE,
    SIGNATURE,
    Description,
    Release,
    Upgrade,
    read_description,
    with_upgrade,
)
from distwright.images.public import show_image
from distwright.jobs.step import Context, Inputs
from distwright.model import plain
from distwright.model.digests import Sha256
from distwright.store.database import Transaction
from distwright.store.holds import holds_of, holds_on_all, replace_holds
from distwright.store.locks import locked

IMAGE_CREDENTIAL = "image"
FOLDER = "upgrades"


def say_no_upgrade(context: Context, inputs: Inputs) -> None:
    """Publish that there is no upgrade from an image that was just built; kits that there are already stay. inputs: its order."""
    _change(context, no_upgrade(inputs), lambda upgrades: upgrades)


def say_upgrade(context: Context, initial: Description, upgrade: Upgrade) -> None:
    """Publish a kit and the description that names it, in place of the one before. initial: what is said if there is none."""
    _change(context, initial, lambda upgrades: with_upgrade(upgrades, upgrade))


def no_upgrade(inputs: Inputs) -> Description:
    """Give what is said of an image from the beginning. inputs: its order, of form 2 or later."""
    return Description(plain.text(inputs, "image"), plain.text(inputs, "branch"), release_of(inputs))


def release_of(inputs: Inputs) -> Release:
    """Give what upgrades call the image of an order."""
    return Release(plain.text(inputs, "name"), plain.text(inputs, "version"))


def kit_file(target: str) -> str:
    """Name the kit to an image, beside the description."""
    return f"{target}.kit.tar"


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
            replace_holds(tx, _holder(name), holds_on_all(dict(files)), context.now())
        show_image(context.paths.public / "images" / FOLDER, name, files, context.objects)


def _current(tx: Transaction, name: str) -> Sha256 | None:
    """Find the description in what it holds: that is the row of it."""
    return next((Sha256(hold.target) for hold in holds_of(tx, _holder(name)) if hold.reason == FILE), None)


def _holder(name: str) -> str:
    return f"upgrades {name}"
