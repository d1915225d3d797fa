"""The end of an image build: what vouches for its files, and the moment from which everybody sees them."""

import json
from collections.abc import Mapping
from urllib.parse import quote

from distwright.builds.environment import root_of
from distwright.formats.log_text import log_text
from distwright.formats.torrent import hash_file, torrent
from distwright.images.accounting import ENDINGS
from distwright.images.bills import components_of, packages_of
from distwright.images.bundle import write_bundle
from distwright.images.forms import form_of, texts_asked, wants
from distwright.images.made_by import KEY as MADE_BY
from distwright.images.made_by import programs_of
from distwright.images.netboot import netboot_menus, netboot_set
from distwright.images.provenance import provenance
from distwright.images.public import show_image
from distwright.images.upgrades import IMAGE_CREDENTIAL, say_no_upgrade
from distwright.jobs.step import Context, Earlier, Inputs, StepResult
from distwright.model import plain
from distwright.model.digests import Sha256
from distwright.store.holds import holds_on_all, replace_holds

SUMS = "SHA256SUMS"


def describe(context: Context, inputs: Inputs, earlier: Earlier) -> StepResult:
    """Vouch for the image: what was made, what is said of it, SHA256SUMS and its signature, all public at one moment.

    From form 2 on also the log so far, and the bundle if it is asked for. The sums name neither: the log is another one whenever
    the same image is built again, and the bundle has the sums. And before the image is public, so is what its devices are told of
    upgrades: that there is none, until a kit is made.
    """
    name = plain.text(inputs, "name")
    if form_of(inputs) >= 5:
        inputs = {**inputs, MADE_BY: dict(programs_of(inputs))}
    files = summed_files(context, inputs, earlier)
    sums = sums_of(files)
    files[SUMS] = context.objects.put(sums)
    signature = context.signer(IMAGE_CREDENTIAL).sign_detached(sums)
    files[f"{SUMS}.asc"] = context.objects.put(signature)
    if wants(inputs, "bundle"):
        files[f"{name}.bundle"] = write_bundle(context, inputs, earlier, sums, signature)
    if form_of(inputs) >= 2 and (log := _log(context)):
        files[f"{name}.log"] = context.objects.put(log)
    with context.write() as tx:
        replace_holds(tx, f"image {context.job}", holds_on_all(dict(files)), context.now())
    if form_of(inputs) >= 2:
        say_no_upgrade(context, inputs)
    show_image(context.paths.public / "images", name, files, context.objects)
    return StepResult(files, values={MADE_BY: inputs[MADE_BY]} if MADE_BY in inputs else {})


def summed_files(context: Context, inputs: Inputs, earlier: Earlier) -> dict[str, Sha256]:
    """Give all that the sums name: what was made, and what is said of it. It follows from the order and from what was made."""
    name = plain.text(inputs, "name")
    made = {f"{name}.{ending}": digest for ending, digest in _made(inputs, earlier).items()}
    said = {ENDINGS[paper]: digest for paper, digest in earlier["account"].outputs.items()}
    if form_of(inputs) >= 2:
        said |= _said_of(context, inputs, earlier, made)
    return made | {f"{name}.{ending}": digest for ending, digest in said.items()}


def sums_of(files: Mapping[str, Sha256]) -> bytes:
    """Write SHA256SUMS, as sha256sum(1) reads it."""
    return "".join(f"{digest}  {file}\n" for file, digest in sorted(files.items())).encode()


def _made(inputs: Inputs, earlier: Earlier) -> dict[str, Sha256]:
    """Give what people start, by the end of its name."""
    made = {"iso": earlier["iso"].outputs["iso"]}
    if wants(inputs, "usb"):
        made["usb.img"] = earlier["usb"].outputs["usb"]
    return made | (netboot_set(earlier) if wants(inputs, "netboot") else {})


def _said_of(context: Context, inputs: Inputs, earlier: Earlier, made: Mapping[str, Sha256]) -> dict[str, Sha256]:
    """Write what follows from the files that were made, by the end of its name."""
    texts = {"intoto.json": _provenance(context, inputs, earlier, made)}
    if "base" not in inputs:  # a layer is for who waits for it
        texts["torrent"] = _torrent(context, inputs, earlier["iso"].outputs["iso"])
    if wants(inputs, "netboot"):
        texts |= {ending: menu.encode() for ending, menu in netboot_menus(inputs).items()}
    return {ending: context.objects.put(text) for ending, text in texts.items()}


def _log(context: Context) -> bytes:
    """Give what the job has said so far, as harmless text; nothing if nobody has written it down."""
    path = context.paths.job_log(context.job, context.fence) if context.job is not None else None
    if path is None or not path.exists():
        return b""
    with path.open("rb") as file:
        return log_text(file).encode()


def _torrent(context: Context, inputs: Inputs, iso: Sha256) -> bytes:
    """Make the torrent of the ISO; 3 s of CPU for 1 GB."""
    name = plain.text(inputs, "name")
    with context.objects.open(iso) as file:
        hashes = hash_file(file, context.objects.size(iso))
    seeds = [f"{base}/{quote(name)}/{quote(name)}.iso" for base in texts_asked(inputs, "web_seeds")]
    return torrent(f"{name}.iso", hashes, trackers=texts_asked(inputs, "trackers"), web_seeds=seeds)


def _provenance(context: Context, inputs: Inputs, earlier: Earlier, made: Mapping[str, Sha256]) -> bytes:
    manifest = earlier["account"].outputs["manifest"]
    packages = packages_of(json.loads(context.objects.read(manifest)))
    return provenance(
        inputs, made, manifest, components_of(inputs, packages, {}), root_of(earlier["tools"]), programs_of(inputs)
    )
