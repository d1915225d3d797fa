"""The end of an image build: what vouches for its files, and the moment from which everybody sees them."""

import json
from urllib.parse import quote

from distwright.builds.environment import root_of
from distwright.formats.torrent import hash_file, torrent
from distwright.images.accounting import ENDINGS
from distwright.images.bills import components_of, packages_of
from distwright.images.forms import form_of, texts_asked
from distwright.images.provenance import provenance
from distwright.images.public import show_image
from distwright.jobs.step import Context, Earlier, Inputs, StepResult
from distwright.model import plain
from distwright.model.digests import Sha256
from distwright.store.holds import holds_on_all, replace_holds

IMAGE_CREDENTIAL = "image"


def describe(context: Context, inputs: Inputs, earlier: Earlier) -> StepResult:
    """Vouch for the image: what was made, what is said of it, SHA256SUMS and its signature, all public at one moment."""
    name = plain.text(inputs, "name")
    made: dict[str, Sha256] = {f"{name}.iso": earlier["iso"].outputs["iso"]}
    files = made | {f"{name}.{ENDINGS[paper]}": digest for paper, digest in earlier["account"].outputs.items()}
    if form_of(inputs) >= 2:
        put = context.objects.put
        files[f"{name}.torrent"] = put(_torrent(context, inputs, made[f"{name}.iso"]))
        files[f"{name}.intoto.json"] = put(_provenance(context, inputs, earlier, made))
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


def _provenance(context: Context, inputs: Inputs, earlier: Earlier, made: dict[str, Sha256]) -> bytes:
    manifest = earlier["account"].outputs["manifest"]
    packages = packages_of(json.loads(context.objects.read(manifest)))
    return provenance(inputs, made, manifest, components_of(inputs, packages, {}), root_of(earlier["tools"]))
