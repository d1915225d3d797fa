"""Images as people name them, and what is known of each: its manifest, what was read of it, how its tests went."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePath

from distwright.checks.image_contents import KIND as CONTENTS
from distwright.checks.image_contents import contents_order, parse_contents
from distwright.checks.image_delta import ImageFacts
from distwright.errors import NotFound, Refused, quoted
from distwright.images.boot import KIND as BOOT
from distwright.images.forms import MAKING
from distwright.jobs.order import JobOrder
from distwright.model import plain
from distwright.model.digests import Sha256
from distwright.model.outcomes import Outcome
from distwright.model.records import Job
from distwright.store.database import Database, Transaction
from distwright.store.jobs import attempts_of, find_by_digest, list_jobs
from distwright.store.objects import ObjectStore, sha256_of_file

_LOOKED_AT = 100_000
_ENDINGS = (".iso", ".usb.img", ".manifest.json", ".squashfs")


@dataclass(frozen=True, slots=True)
class NamedImage:
    """An image that was built. image: its table. files: name -> object, of its public folder."""

    job: int
    image: str
    name: str
    iso: Sha256
    files: Mapping[str, Sha256]
    built_at: datetime | None


def image_named(database: Database, name: str) -> NamedImage:
    """Find an image by its full name, the name of its table (then its newest), its folder, or its ISO.

    Raises NotFound; Refused where a file of that name lies at the path and is not what was built.
    """
    last = PurePath(name).name
    wanted = next((last.removesuffix(ending) for ending in _ENDINGS if last.endswith(ending)), last)
    with database.read() as tx:
        made = [job for kind in MAKING for job in list_jobs(tx, kind=kind, limit=_LOOKED_AT) if _is_built(job)]
    built = [_named(job) for job in sorted(made, key=lambda job: job.id, reverse=True)]
    found = next((one for one in built if one.name == wanted), None)
    found = found or next((one for one in built if one.image == wanted), None)
    if found is None:
        raise NotFound(f"there is no image {quoted(wanted)}", hint="distwright image list")
    path = Path(name)
    if path.is_file() or ("/" in name and path.is_dir()):
        _check_path(path, found)
    return found


def _check_path(path: Path, image: NamedImage) -> None:
    """Refuse a path where something else lies than the image that has its name."""
    iso = path / f"{image.name}.iso" if path.is_dir() else path
    if not iso.is_file():
        raise NotFound(f"there is no file {quoted(str(iso))}", hint="distwright image list")
    if sha256_of_file(iso) not in {image.iso, image.files.get(iso.name)}:
        raise Refused(
            f"{quoted(str(iso))} has the name of {image.name}, which was built here, and other bytes",
            hint="distwright image list; name the image without a folder, or copy it again",
        )


def _is_built(job: Job) -> bool:
    return job.outcome is Outcome.OK and job.outputs is not None and "files" in job.outputs


def _named(job: Job) -> NamedImage:
    outputs = job.outputs or {}
    return NamedImage(
        job.id, plain.text(job.inputs, "image"), plain.text(outputs, "name"), plain.digest(outputs, "iso"),
        plain.digest_map(outputs, "files"), job.finished_at,
    )  # fmt: skip


def order_of_contents(database: Database, objects: ObjectStore, image: NamedImage) -> JobOrder | None:
    """Order the reading of an image; None if it was read already. Raises NotFound for one that is no longer kept."""
    order = contents_order(image.iso, image.name)
    with database.read() as tx:
        known = _contents_of(tx, order)
    if not objects.has(image.iso):
        raise NotFound(f"{image.name} is no longer kept", hint=f"distwright image build {image.image}")
    return None if known is not None and objects.has(known) else order


def _contents_of(tx: Transaction, order: JobOrder) -> Sha256 | None:
    job = find_by_digest(tx, order.digest)
    if job is None or job.outcome is not Outcome.OK or job.outputs is None:
        return None
    return plain.digest(job.outputs, "contents")


def facts_of_image(database: Database, objects: ObjectStore, image: NamedImage) -> ImageFacts:
    """Give what is known of an image that was read. Raises NotFound for one that is no longer kept, BadInput."""
    with database.read() as tx:
        document = _contents_of(tx, contents_order(image.iso, image.name))
        boots = _boots(tx, image)
    manifest = image.files.get(f"{image.name}.manifest.json")
    if document is None or manifest is None:
        raise NotFound(f"{image.name} was not read: {CONTENTS.name}", hint="distwright job list")
    return ImageFacts(
        image.name, image.iso, objects.size(image.iso), packages_of(objects.read(manifest)),
        parse_contents(objects.read(document)), boots,
    )  # fmt: skip


def packages_of(manifest: bytes) -> dict[str, str]:
    """Give name -> version of what a manifest says is installed; of two architectures of a name, with the architecture."""
    rows = [
        row for row in plain.members(json.loads(manifest), "packages") if isinstance(row, Mapping) and row["installed"]
    ]
    counts = Counter(plain.text(row, "name") for row in rows)
    return {
        name if counts[name] == 1 else f"{name}:{plain.text(row, 'architecture')}": plain.text(row, "version")
        for row in rows
        for name in (plain.text(row, "name"),)
    }


def _boots(tx: Transaction, image: NamedImage) -> dict[str, int]:
    """Give firmware -> seconds of the boots that went well, from the medium to what was expected on the console."""
    found: dict[str, int] = {}
    for job in list_jobs(tx, kind=BOOT.name, limit=_LOOKED_AT):
        if job.outcome is Outcome.OK and job.inputs.get("iso") == image.iso:
            ended = [
                one for one in attempts_of(tx, job.id) if one.outcome is Outcome.OK and one.finished_at is not None
            ]
            if ended and (until := ended[-1].finished_at) is not None:
                found.setdefault(
                    plain.text(job.inputs, "firmware"), int((until - ended[-1].started_at).total_seconds())
                )
    return found
