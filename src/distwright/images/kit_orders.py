"""From the names of two images to the order of the kit that upgrades one to the other."""

from distwright.config.model import Config
from distwright.errors import NotFound, Refused, quoted
from distwright.images.kits import KIND
from distwright.images.upgrades import FOLDER
from distwright.jobs.order import JobOrder
from distwright.jobs.step import Inputs
from distwright.model import plain
from distwright.model.digests import Json, Sha256
from distwright.model.events import EventKind
from distwright.store.database import Database, Transaction
from distwright.store.events import newest_event
from distwright.store.jobs import find_job


def kit_order(database: Database, config: Config, source: str, target: str) -> JobOrder:
    """Order a kit. source, target: full names of images that were built here.

    Raises NotFound for an image that is not known; Refused if one is not for USB sticks, or no later image of the same table.
    """
    with database.read() as tx:
        old, old_usb = _built(tx, source)
        new, new_usb = _built(tx, target)
    if old["image"] != new["image"]:
        raise Refused(f"{source} and {target} are not the same image", hint="distwright image list")
    if old_usb == new_usb:
        raise Refused(f"{source} and {target} have the same bytes", hint="distwright image list")
    if plain.number(new, "epoch") < plain.number(old, "epoch"):
        raise Refused(f"{target} is older than {source}", hint=f"distwright image kit {target} {source}")
    url = (config.site.url or "").rstrip("/")
    inputs: dict[str, Json] = {
        "from": {
            "name": source,
            "version": old["version"],
            "product": old["image"],
            "channel": old["branch"],
            "usb": str(old_usb),
        },
        "to": {"usb": str(new_usb)},
        "order": new,
        "url": f"{url}/images/{FOLDER}" if url else "",
    }
    return JobOrder(KIND, inputs, f"upgrade kit from {source} to {target}")


def _built(tx: Transaction, name: str) -> tuple[Inputs, Sha256]:
    """Give the order of an image, and its USB image."""
    stored = newest_event(tx, name, EventKind.IMAGE_BUILT)
    job = find_job(tx, stored.event.job) if stored is not None and stored.event.job is not None else None
    if stored is None or job is None:
        raise NotFound(f"no image {quoted(name)} was built here", hint="distwright image list")
    files = plain.digest_map(stored.event.body, "files")
    if f"{name}.usb.img" not in files:
        raise Refused(
            f"{name} was not made for USB sticks, which are what is upgraded",
            hint='add "usb" to the outputs of its table',
        )
    return job.inputs, files[f"{name}.usb.img"]
