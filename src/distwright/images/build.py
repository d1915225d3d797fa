"""The image build: tools, root, customisation, manifest, initrd, squashfs, ISO, then checksums and signature."""

import json
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import quote

from distwright.builds.environment import EnvironmentRecipe, environment_step
from distwright.formats.torrent import hash_file, torrent
from distwright.images.bills import bills, components_of
from distwright.images.copyrights import read_copyrights
from distwright.images.forms import form_of, texts_asked
from distwright.images.iso import plan_iso, plan_squashfs
from distwright.images.manifest import manifest_of, package_list, parse_installed
from distwright.images.public import show_image
from distwright.images.rootfs import plan_customise, plan_initrd, plan_installed, plan_root
from distwright.images.sources import apt_sources, serials_of, source_packages
from distwright.jobs.step import Action, Conclusion, Context, Earlier, Inputs, JobKind, KindName, Step, StepResult
from distwright.model import plain
from distwright.model.digests import Json, Sha256
from distwright.model.events import Event, EventKind
from distwright.store.holds import holds_on_all, replace_holds

KIND = KindName("image.build", 1)
IMAGE_CREDENTIAL = "image"
# What an account consists of, and how its files are called.
_ENDINGS = {
    "manifest": "manifest.json",
    "packages": "packages",
    "cdx": "cdx.json",
    "spdx": "spdx.json",
    "licences": "licences.json",
    "sources": "sources",
    "source-packages": "source-packages",
}


def account(context: Context, inputs: Inputs, earlier: Earlier) -> StepResult:
    """Write the manifest, the package list and the bills; nothing is built on a root that holds what no archive gave."""
    name = plain.text(inputs, "name")
    tools = EnvironmentRecipe.from_json(plain.mapping(inputs, "tools"))
    states: dict[str, Mapping[str, Json]] = {
        "states": plain.mapping(inputs, "states"),
        "tools": {entry.name: str(entry.document) for entry in tools.shelf},
    }
    installed = parse_installed(context.objects.read(earlier["installed"].outputs["installed"]))
    packages = EnvironmentRecipe.from_json(plain.mapping(inputs, "root")).include
    mentioned = {*packages, *(plain.texts(inputs, "mentioned") if "mentioned" in inputs else ())}
    is_whole = form_of(inputs) >= 2
    manifest = manifest_of(
        name, earlier["root"].fetched, installed, states, context.objects, mentioned, with_built_using=is_whole
    )
    read = json.loads(manifest)
    papers = {"manifest": manifest, "packages": package_list(read)}
    if is_whole:
        with context.objects.open(earlier["installed"].outputs["copyrights"]) as tar:
            components = components_of(inputs, read, read_copyrights(tar))
        papers |= bills(inputs, manifest, components)
        with context.database.read() as tx:
            serials = serials_of(tx, inputs)
        papers["sources"] = apt_sources(inputs, serials)
        papers["source-packages"] = source_packages(inputs, read, context.objects)
    return StepResult({paper: context.objects.put(content) for paper, content in papers.items()})


def describe(context: Context, inputs: Inputs, earlier: Earlier) -> StepResult:
    """Vouch for the image: ISO, manifest and package list, SHA256SUMS and its signature, all public at one moment."""
    name = plain.text(inputs, "name")
    files: dict[str, Sha256] = {f"{name}.iso": earlier["iso"].outputs["iso"]}
    files |= {f"{name}.{_ENDINGS[paper]}": digest for paper, digest in earlier["account"].outputs.items()}
    if form_of(inputs) >= 2:
        files[f"{name}.torrent"] = context.objects.put(_torrent(context, inputs, files[f"{name}.iso"]))
    sums = "".join(f"{digest}  {file}\n" for file, digest in sorted(files.items())).encode()
    files["SHA256SUMS"] = context.objects.put(sums)
    files["SHA256SUMS.asc"] = context.objects.put(context.signer(IMAGE_CREDENTIAL).sign_detached(sums))
    with context.write() as tx:
        replace_holds(tx, f"image {context.job}", holds_on_all(dict(files)), context.now())
    show_image(context.paths.public / "images", name, files, context.objects)
    return StepResult(files)


def _torrent(context: Context, inputs: Inputs, iso: Sha256) -> bytes:
    """Make the torrent of the ISO; 3 s of CPU for 1 GB."""
    name = plain.text(inputs, "name")
    with context.objects.open(iso) as file:
        hashes = hash_file(file, context.objects.size(iso))
    seeds = [f"{base}/{quote(name)}/{quote(name)}.iso" for base in texts_asked(inputs, "web_seeds")]
    return torrent(f"{name}.iso", hashes, trackers=texts_asked(inputs, "trackers"), web_seeds=seeds)


def conclude(inputs: Inputs, earlier: Earlier, now: datetime, job: int) -> Conclusion:
    """Name the files and announce the image."""
    files: dict[str, Json] = {name: str(digest) for name, digest in earlier["describe"].outputs.items()}
    iso = str(earlier["iso"].outputs["iso"])
    outputs: dict[str, Json] = {"name": inputs["name"], "iso": iso, "files": files}
    body: dict[str, Json] = {
        "image": inputs["image"],
        "name": inputs["name"],
        "files": files,
        "manifest": files[f"{inputs['name']}.manifest.json"],
        "commit": inputs["commit"],
        "states": inputs["states"],
        "vmlinuz": str(earlier["initrd"].outputs["vmlinuz"]),
        "tools": str(earlier["tools"].outputs["root"]),
    }
    event = Event(EventKind.IMAGE_BUILT, now, plain.text(inputs, "name"), body, job)
    return Conclusion(outputs, f"built {inputs['name']}.iso", [event], heir=f"image {job}")


IMAGE_BUILD = JobKind(
    KIND,
    (
        environment_step("tools", "tools"),
        Step("root", plan_root),
        Step("customise", plan_customise),
        Step("installed", plan_installed),
        Action("account", account),
        Step("initrd", plan_initrd),
        Step("squashfs", plan_squashfs),
        Step("iso", plan_iso),
        Action("describe", describe),
    ),
    conclude,
)
