"""The image build: tools, root, initrd, squashfs, ISO, then manifest, checksums and signature."""

import json
from datetime import datetime

from distwright.builds.environment import environment_step
from distwright.images.iso import plan_iso, plan_squashfs
from distwright.images.manifest import manifest_of, package_list
from distwright.images.rootfs import plan_initrd, plan_root
from distwright.jobs.step import Action, Conclusion, Context, Earlier, Inputs, JobKind, KindName, Step, StepResult
from distwright.model import plain
from distwright.model.digests import Json, Sha256
from distwright.model.events import Event, EventKind
from distwright.store.holds import holds_on_all, replace_holds

KIND = KindName("image.build", 1)
IMAGE_CREDENTIAL = "image"


def describe(context: Context, inputs: Inputs, earlier: Earlier) -> StepResult:
    """Write what is inside and vouch for it: manifest, package list, SHA256SUMS and its signature, beside the ISO."""
    name = plain.text(inputs, "name")
    manifest = manifest_of(name, earlier["root"].fetched, plain.mapping(inputs, "states"), context.objects)
    files: dict[str, Sha256] = {
        f"{name}.iso": earlier["iso"].outputs["iso"],
        f"{name}.manifest.json": context.objects.put(manifest),
        f"{name}.packages": context.objects.put(package_list(json.loads(manifest))),
    }
    sums = "".join(f"{digest}  {file}\n" for file, digest in sorted(files.items())).encode()
    files["SHA256SUMS"] = context.objects.put(sums)
    files["SHA256SUMS.asc"] = context.objects.put(context.signer(IMAGE_CREDENTIAL).sign_detached(sums))
    with context.write() as tx:
        replace_holds(tx, f"image {context.job}", holds_on_all(dict(files)), context.now())
    folder = context.paths.public / "images" / name
    # Everything is replaced, the ISO too: the name follows from the commit, so a newer state of an archive gives other bytes under
    # it. rename(2) leaves both names if they are links to one object.
    for file, digest in files.items():
        partial = folder / f".{file}.new"
        partial.unlink(missing_ok=True)
        context.objects.place(digest, partial)
        partial.rename(folder / file)
        partial.unlink(missing_ok=True)
    return StepResult(files)


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
        Step("initrd", plan_initrd),
        Step("squashfs", plan_squashfs),
        Step("iso", plan_iso),
        Action("describe", describe),
    ),
    conclude,
)
