"""The image build: tools, root, customisation, account, initrd, squashfs, ISO, then what vouches for them."""

from datetime import datetime

from distwright.builds.environment import environment_step
from distwright.images.accounting import account
from distwright.images.describing import describe
from distwright.images.failing import conclude_failed, judge_hooks, judge_root
from distwright.images.forms import BUILD_KIND
from distwright.images.initrd import plan_initrd
from distwright.images.iso import plan_iso, plan_squashfs
from distwright.images.rootfs import plan_customise, plan_installed, plan_root
from distwright.images.usb import plan_usb
from distwright.jobs.step import Action, Conclusion, Earlier, Inputs, JobKind, Step
from distwright.model import plain
from distwright.model.digests import Json
from distwright.model.events import Event, EventKind

KIND = BUILD_KIND


def conclude(inputs: Inputs, earlier: Earlier, now: datetime, job: int) -> Conclusion:
    """Name the files and announce the image."""
    files: dict[str, Json] = {name: str(digest) for name, digest in earlier["describe"].outputs.items()}
    iso = str(earlier["iso"].outputs["iso"])
    outputs: dict[str, Json] = {"name": inputs["name"], "iso": iso, "files": files, **earlier["describe"].values}
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
    body |= {key: inputs[key] for key in ("base_branch", "base_commit") if key in inputs}
    event = Event(EventKind.IMAGE_BUILT, now, plain.text(inputs, "name"), body, job)
    return Conclusion(outputs, f"built {inputs['name']}.iso", [event], heir=f"image {job}")


IMAGE_BUILD = JobKind(
    KIND,
    (
        environment_step("tools", "tools"),
        Step("root", plan_root, judge_root, beside="tools"),
        Step("customise", plan_customise, judge_hooks),
        Step("installed", plan_installed),
        Action("account", account),
        Step("initrd", plan_initrd),
        Step("squashfs", plan_squashfs, beside="initrd"),
        Step("iso", plan_iso, judge_hooks),
        Step("usb", plan_usb),
        Action("describe", describe),
    ),
    conclude,
    conclude_failed,
)
