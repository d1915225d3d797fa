"""From an image's table to the order of a layer on an image that was built in full; NotLayered says why there is none."""

import json
import shlex
from collections.abc import Collection, Iterator, Mapping

from distwright.archive.resolve import Ground
from distwright.archive.stanzas import tree_stanzas
from distwright.archive.tree import parse_root
from distwright.builds.environment import EnvironmentRecipe
from distwright.formats.deb import read_deb
from distwright.images.forms import BUILD_KIND, LAYER_KIND, Purpose, compression_for
from distwright.images.layer_packages import (
    InBase,
    LayerPackage,
    NotLayered,
    Own,
    OwnPackage,
    layer_packages,
    newest_of,
    other_scripts,
)
from distwright.images.resolve import image_order
from distwright.jobs.order import PRIORITY_WAITED, JobOrder
from distwright.jobs.step import Inputs, ShelfEntry
from distwright.model import plain
from distwright.model.digests import Json, Sha256
from distwright.model.outcomes import Outcome
from distwright.model.records import Job
from distwright.model.versions import DebVersion
from distwright.store.database import Database
from distwright.store.jobs import list_jobs
from distwright.store.objects import ObjectStore

_LOOKED_AT = 200
_OS_RELEASE = "os-release-more"
# What is another one for each image, says what our suites were, which is compared by packages, or is for the bundle alone.
_OF_ITSELF = frozenset({"name", "disk_info", "commit", "states", "outputs", "asked_at", "recorded"})
_WORDS: Mapping[str, str] = {
    "root": "packages of the recipe", "epoch": "the date of the changelog", "version": "the version of the changelog",
    "includes": "included files", "files": "what the image is told of its sources and names", "form": "the version of distwright",
}  # fmt: skip


def layer_order(database: Database, ground: Ground, name: str) -> JobOrder:
    """Order a layer over the newest image that differs from what a full build would be in packages of our own only.

    Raises NotLayered with the reasons if there is no such image, or apt may choose otherwise; and what `image_order` raises.
    """
    full = image_order(database, ground, name)
    base = _base(database, ground.objects, full.inputs)
    inputs = _layered(full.inputs, base)
    inputs["packages"] = [_row(one) for one in _packages(inputs, ground.objects)]
    inputs["compression"] = compression_for(Purpose.LAYER, ground.config.images[name].compression)
    return JobOrder(LAYER_KIND, inputs, f"build image {inputs['name']} as a layer", PRIORITY_WAITED, holds=full.holds)


def _base(database: Database, objects: ObjectStore, full: Inputs) -> Job:
    with database.read() as tx:
        found = [
            job
            for job in list_jobs(tx, kind=BUILD_KIND.name, limit=_LOOKED_AT)
            if job.outcome is Outcome.OK and job.inputs["image"] == full["image"] and _is_kept(job, objects)
        ]
    if not found:
        raise NotLayered((f"no image of {full['image']} that was built in full is kept",))
    base = next((job for job in found if not other_orders(job.inputs, full)), None)
    if base is None:
        raise NotLayered(other_orders(found[0].inputs, full))
    return base


def _is_kept(job: Job, objects: ObjectStore) -> bool:
    if job.outputs is None or "files" not in job.outputs:
        return False
    return all(objects.has(digest) for digest in plain.digest_map(job.outputs, "files").values())


def other_orders(base: Inputs, full: Inputs) -> list[str]:
    """Say what two orders of an image differ in beside what our own suites had: then one is no base of the other (pure)."""
    was, now = _compared(base), _compared(full)
    differing = sorted(key for key in was.keys() | now.keys() if was.get(key) != now.get(key))
    shown = [_WORDS.get(key, key.replace("_", " ")) for key in differing]
    return [f"{what} changed since {base['name']}" for what in shown]


def _compared(inputs: Inputs) -> dict[str, Json]:
    """Leave out of an order what may differ; what differs of archives is named by suite."""
    recipe = EnvironmentRecipe.from_json(plain.mapping(inputs, "root"))
    files = {name: text for name, text in plain.text_map(inputs, "files").items() if name != _OS_RELEASE}
    shelf: dict[str, Json] = {}
    for entry in recipe.shelf:
        said = plain.mapping({"entry": entry.to_json()}, "entry")
        shelf[f"{'suite' if entry.is_own else 'the snapshot of'} {entry.name}"] = (
            {key: value for key, value in said.items() if key != "document"} if _is_ours(entry) else dict(said)
        )
    root = {key: value for key, value in plain.mapping(inputs, "root").items() if key != "shelf"}
    rest = {key: value for key, value in inputs.items() if key not in _OF_ITSELF}
    return {**rest, "files": dict(files), "root": root, **shelf}


def _is_ours(entry: ShelfEntry) -> bool:
    """Say whether a state is that of a suite of ours; the recipe's own packages are a part of the recipe."""
    return entry.is_own and not entry.archive.startswith("_")


def _layered(full: Inputs, base: Job) -> dict[str, Json]:
    """Give what an order in full says, under a name and with a system that say what lies on what."""
    base_name = plain.text(base.inputs, "name")
    name = f"{full['name']}-on-{base_name.rpartition('-')[2]}"
    files = plain.text_map(full, "files")
    lines = files[_OS_RELEASE].splitlines(keepends=True)
    kept = "".join(line for line in lines if not line.startswith("IMAGE_ID="))
    files[_OS_RELEASE] = f"IMAGE_ID={shlex.quote(name)}\n{kept}DISTWRIGHT_LAYER_ON={shlex.quote(base_name)}\n"
    made = plain.digest_map(base.outputs or {}, "files")
    told: dict[str, Json] = {
        what: str(made[f"{base_name}.{what}"])
        for what in ("manifest.json", "source-packages")
        if f"{base_name}.{what}" in made
    }
    return {
        **full, "name": name, "disk_info": name, "files": dict(files), "outputs": ["iso"],
        "base": dict(base.inputs), "base_files": told,
    }  # fmt: skip


def _packages(inputs: Inputs, objects: ObjectStore) -> list[LayerPackage]:
    recipe, base = EnvironmentRecipe.from_json(plain.mapping(inputs, "root")), plain.mapping(inputs, "base")
    if "preferences" in inputs:
        raise NotLayered(("the recipe has preferences of apt, which decide what a full build takes",))
    manifest = objects.read(plain.digest(plain.mapping(inputs, "base_files"), "manifest.json"))
    there = in_base(json.loads(manifest), {entry.archive for entry in recipe.shelf if _is_ours(entry)})
    packages = layer_packages(
        there,
        own_packages(base, objects),
        own_packages(inputs, objects),
        recipe.include,
        recommends="recommends" in inputs,
    )
    problems: list[str] = []
    for one in packages:
        if not one.is_new:
            was, now = (_control(digest, objects) for digest in (there[one.package.name].sha256, one.package.sha256))
            problems += other_scripts(one.package.name, was, now, has_preseed="preseed" in inputs)
    if problems:
        raise NotLayered(problems)
    return packages


def in_base(manifest: plain.Plain, ours: Collection[str]) -> dict[str, InBase]:
    """Read from a manifest what is installed, by name. ours: archives whose suites may change."""
    return {
        plain.text(row, "name"): InBase(
            DebVersion(plain.text(row, "version")),
            plain.digest(row, "sha256"),
            any(place.partition("/")[0] in ours for place in plain.texts(row, "from")),
        )
        for row in plain.members(manifest, "packages")
        if isinstance(row, Mapping) and row["installed"]
    }


def own_packages(inputs: Inputs, objects: ObjectStore) -> Own:
    """Give what apt would take from our suites as an order has them. Raises NotLayered if it takes nothing by itself."""
    recipe = EnvironmentRecipe.from_json(plain.mapping(inputs, "root"))
    found: list[OwnPackage] = []
    for entry in recipe.shelf:
        if _is_ours(entry):
            if "NotAutomatic" in dict(entry.fields):
                raise NotLayered((f"apt takes nothing from {entry.name} by itself",))
            found += _of_suite(entry.name, objects.read(entry.document), recipe.architecture, objects)
    return newest_of(found)


def _of_suite(suite: str, document: bytes, architecture: str, objects: ObjectStore) -> Iterator[OwnPackage]:
    folders = (f"binary-{architecture}", "binary-all")
    found = tree_stanzas(
        parse_root(document), objects.read, lambda name: name.count("/") == 1 and name.rpartition("/")[2] in folders
    )
    return (OwnPackage.of(suite, raw) for _, raw in found)


def _control(digest: Sha256, objects: ObjectStore) -> Mapping[str, bytes]:
    with objects.open(digest) as file:
        return read_deb(file).files


def _row(one: LayerPackage) -> Json:
    stanza = one.package.stanza
    return {
        "name": one.package.name, "sha256": str(one.package.sha256), "size_bytes": int(stanza["Size"]),
        "from": f"{one.package.suite}/{stanza['Filename']}", "purged": not one.is_new, "automatic": one.is_new,
    }  # fmt: skip
