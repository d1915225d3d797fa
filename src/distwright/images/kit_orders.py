"""From the names of two images to the order of the kit that upgrades one to the other."""

import json
from dataclasses import dataclass

from distwright.config.model import Config
from distwright.errors import NotFound, Refused, listed, quoted
from distwright.images.bills import installed_packages
from distwright.images.branch_sources import is_for_many, is_release
from distwright.images.kits import KIND
from distwright.images.upgrades import FOLDER
from distwright.jobs.order import JobOrder
from distwright.jobs.step import Inputs
from distwright.model import plain
from distwright.model.digests import Json, Sha256
from distwright.model.events import EventKind
from distwright.model.versions import DebVersion
from distwright.store.database import Database, Transaction
from distwright.store.events import newest_event
from distwright.store.jobs import find_job
from distwright.store.objects import ObjectStore


@dataclass(frozen=True, slots=True)
class _Built:
    """An image: what it was ordered by, its USB image, its manifest."""

    order: Inputs
    usb: Sha256
    manifest: Sha256


def kit_order(database: Database, objects: ObjectStore, config: Config, source: str, target: str) -> JobOrder:
    """Order a kit. source, target: full names of images that were built here.

    Raises NotFound for an image that is not known; Refused if one is not for USB sticks, or no later image of the same table, or
    one that would take its users where they should not go: from what many use to a topic, or to older packages.
    """
    with database.read() as tx:
        was, will_be = _built(tx, source), _built(tx, target)
    (old, old_usb), (new, new_usb) = (was.order, was.usb), (will_be.order, will_be.usb)
    if old["image"] != new["image"]:
        raise Refused(f"{source} and {target} are not the same image", hint="distwright image list")
    if old_usb == new_usb:
        raise Refused(f"{source} and {target} have the same bytes", hint="distwright image list")
    if plain.number(new, "epoch") < plain.number(old, "epoch"):
        raise Refused(f"{target} is older than {source}", hint=f"distwright image kit {target} {source}")
    label, of_old = plain.text(new, "branch"), plain.text(old, "branch")
    if label != of_old and not _may_be_chosen(config, new):
        raise Refused(
            f"{target} is of the topic {quoted(label)}, and {source} of {quoted(of_old)}: its users never asked for that",
            hint="choose an image of a base branch or of a release, see distwright image list",
        )
    if backwards := _backwards(objects, was.manifest, will_be.manifest):
        raise Refused(
            f"{target} has older packages than {source}: {listed(backwards)}",
            hint="build it again on a newer state of its archives, or give what it takes back a higher version",
        )
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


def _may_be_chosen(config: Config, order: Inputs) -> bool:
    """Say whether an image is one that users of another branch may be brought to; where its table is gone, a release."""
    table = config.images.get(plain.text(order, "image"))
    label, version = plain.text(order, "branch"), plain.text(order, "version")
    return is_release(label, version) if table is None else is_for_many(config.repos[table.repo], label, version)


def _backwards(objects: ObjectStore, old: Sha256, new: Sha256) -> list[str]:
    """List packages that both have and of which the new one has an older version, as `NAME OLD -> NEW`."""
    before, after = (
        {
            plain.text(package, "name"): DebVersion(plain.text(package, "version"))
            for package in installed_packages(json.loads(objects.read(manifest)))
        }
        for manifest in (old, new)
    )
    return [
        f"{name} {before[name]} -> {after[name]}"
        for name in sorted(before.keys() & after)
        if after[name].sort_key() < before[name].sort_key()
    ]


def _built(tx: Transaction, name: str) -> _Built:
    """Look an image up."""
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
    return _Built(job.inputs, files[f"{name}.usb.img"], plain.digest(stored.event.body, "manifest"))
