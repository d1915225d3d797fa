"""An upgrade kit: what turns a USB stick of one image into another, bit for bit; made, tried in the tool root, and published."""

import re
import shlex
from datetime import datetime

from distwright.builds.environment import environment_step, root_of
from distwright.errors import WorkFailed
from distwright.images.iso import GRUB_HEAD, squashfs_excludes, squashfs_options
from distwright.images.kit_cutting import Member, cut, listed_files, piece_lines, read_members
from distwright.images.kit_descriptions import Description, Release, Upgrade
from distwright.images.kit_scripts import APPLY, PROVE, SURVEY, make_scripts
from distwright.images.rootfs import plan_customise, plan_root
from distwright.images.scenarios import packed
from distwright.images.upgrades import kit_file, release_of, say_upgrade
from distwright.jobs.step import (
    Action,
    Conclusion,
    Context,
    Earlier,
    Inputs,
    JobKind,
    KindName,
    Plan,
    PlannedCommand,
    Step,
    StepResult,
)
from distwright.model import plain
from distwright.model.digests import Json, Sha256

KIND = KindName("image.kit", 1)
_LOOK_TIMEOUT_S, _MAKE_TIMEOUT_S = 1800, 4 * 3600
MENU, SQUASHFS, KERNEL, MARKS = "boot/grub/grub.cfg", "live/filesystem.squashfs", "live/vmlinuz", ".disk/id/"
_KERNEL = re.compile(r"boot/vmlinuz-[A-Za-z0-9.+~_-]+")
_CLUSTER_BYTES, _SPARE_BYTES = 32 << 10, 1 << 20  # of FAT at most; for its folders

# While both systems are there, each file of the new one is either in upgrade/ or at its place.
_MENU = """set kernel=/live/vmlinuz
set initrd=/live/initrd.img
set media=/live
if [ -f /upgrade/live/vmlinuz ]; then set kernel=/upgrade/live/vmlinuz; fi
if [ -f /upgrade/live/initrd.img ]; then set initrd=/upgrade/live/initrd.img; fi
if [ -f /upgrade/live/filesystem.squashfs ]; then set media=/upgrade/live; fi
set timeout=1
menuentry {title} {{
    linux $kernel boot=live components live-media-path=$media {options}
    initrd $initrd
}}
"""

# inputs: from (name, version, product, channel, usb: the old image), to (usb: the new image), order (the inputs that the new image
# was built by), url (of the folder of upgrades, "": relative).


def order_of(inputs: Inputs) -> Inputs:
    """Give the order of the new image."""
    return plain.mapping(inputs, "order")


def _plan_tools(inputs: Inputs, earlier: Earlier) -> Plan:
    return _TOOLS.plan(order_of(inputs), earlier)


def _plan_root(inputs: Inputs, earlier: Earlier) -> Plan:
    return plan_root(order_of(inputs), earlier)


def _plan_customise(inputs: Inputs, earlier: Earlier) -> Plan:
    return plan_customise(order_of(inputs), earlier)


_TOOLS = environment_step("tools", "tools")


def _images(inputs: Inputs) -> dict[str, Sha256]:
    return {f"{side}.img": plain.digest(plain.mapping(inputs, side), "usb") for side in ("from", "to")}


def _command(inputs: Inputs, earlier: Earlier, script: str, timeout_s: int) -> PlannedCommand:
    environment = (("SOURCE_DATE_EPOCH", str(plain.number(order_of(inputs), "epoch"))),)
    return PlannedCommand((f"./{script}",), timeout_s, root=root_of(earlier["tools"]), environment=environment)


def plan_survey(inputs: Inputs, earlier: Earlier) -> Plan:
    """Plan the look at both images."""
    names = ("from.sums", "to.sums", "to.sizes", "from.files")
    return Plan(
        (_command(inputs, earlier, "survey.sh", _LOOK_TIMEOUT_S),),
        place=_images(inputs),
        write={"survey.sh": SURVEY},
        collect={name: name for name in names},
    )


def gone_of(old: dict[str, str], new: dict[str, str]) -> list[str]:
    """List what is no longer there, by names as FAT has them, which knows no case.

    Raises WorkFailed for two new files of one such name.
    """
    names = {path.casefold(): path for path in new}
    if len(names) < len(new):
        twice = next(path for path in sorted(new) if names[path.casefold()] != path)
        raise WorkFailed(
            f"{twice} and {names[twice.casefold()]} are one file on a stick", hint="rename one in includes.binary/"
        )
    return [path for path in sorted(old) if path.casefold() not in names and not path.startswith(MARKS)]


def cut_root(context: Context, inputs: Inputs, earlier: Earlier) -> StepResult:
    """Say what is in the kit: which files are new, and how the root that the new squashfs is made of is cut."""
    found = earlier["survey"].outputs
    # A name that is no UTF-8 is none that a piece is described by.
    survey = {name: context.objects.read(digest).decode(errors="replace") for name, digest in found.items()}
    old, new = _sums(survey["from.sums"]), _sums(survey["to.sums"])
    changed = {path: digest for path, digest in new.items() if old.get(path) != digest or path == MENU}
    members: list[Member] = []
    if SQUASHFS in changed:
        root = root_of(earlier["customise"])
        with context.objects.open(root) as tar:
            members = read_members(tar, context.objects.size(root))
    pieces = cut(members, listed_files(survey["from.files"]))
    kernels = [member.path for member in members if _KERNEL.fullmatch(member.path)]
    room = _room(changed, survey["to.sizes"])
    files = {
        "apply": _apply(inputs, room),
        "menu": _menu(order_of(inputs), next(path for path in old if path.startswith(MARKS))),
        "before": _lines(old),
        "after": _lines(new),
        "new": _lines(changed),
        "gone": "".join(f"{path}\n" for path in gone_of(old, new)),
        "pieces/list": piece_lines(pieces),
        **({"kernel": kernels[0]} if KERNEL in changed and len(kernels) == 1 else {}),
    }
    for number, piece in enumerate(pieces):
        files[f"pieces/{number:05d}.old"] = "".join(f"{path}\n" for path in piece.old)
    return StepResult({"cut": context.objects.put(packed({name: text.encode() for name, text in files.items()}))})


def _sums(text: str) -> dict[str, str]:
    return {path: digest for digest, _, path in (line.partition("  ") for line in text.splitlines())}


def _lines(sums: dict[str, str]) -> str:
    return "".join(f"{digest}  {path}\n" for path, digest in sorted(sums.items()))


def _room(changed: dict[str, str], sizes: str) -> int:
    """Say how many KiB the new files take beside the old ones."""
    size_of = {path: int(size) for size, _, path in (line.partition(" ") for line in sizes.splitlines())}
    clusters = sum(-(-size_of[path] // _CLUSTER_BYTES) + 1 for path in changed)
    return (clusters * _CLUSTER_BYTES + _SPARE_BYTES) >> 10


def _apply(inputs: Inputs, room_kib: int) -> str:
    order = order_of(inputs)
    words = {
        "@FROM@": _name(plain.text(plain.mapping(inputs, "from"), "name")),
        "@TO@": _name(plain.text(order, "name")),
        "@EPOCH@": str(plain.number(order, "epoch")),
        "@ROOM_KIB@": str(room_kib),
        "@OPTIONS@": squashfs_options(order),
    }
    return re.sub("|".join(words), lambda match: words[match[0]], APPLY)


def _name(name: str) -> str:
    """Give a name as it may stand in a comment and between double quotes of a script; names of images are no other."""
    return re.sub(r"[^A-Za-z0-9.+~_-]", "_", name)


def _menu(order: Inputs, mark: str) -> str:
    """Give the menu by which a device starts between the old system and the new one. mark: what it finds itself by."""
    room = "persistence_mb" in order and plain.number(order, "persistence_mb")
    options = [*plain.texts(order, "kernel_options"), *(["persistence"] if room else [])]
    entry = _MENU.format(title=shlex.quote(plain.text(order, "title")), options=" ".join(map(shlex.quote, options)))
    return GRUB_HEAD.replace("@ID@", mark.removeprefix(MARKS)) + entry


def plan_make(inputs: Inputs, earlier: Earlier) -> Plan:
    """Plan the kit: a tar with the pieces, the files beside the squashfs, and the programs that put them together."""
    return Plan(
        (_command(inputs, earlier, "make.sh", _MAKE_TIMEOUT_S),),
        place={
            **_images(inputs),
            **squashfs_excludes(order_of(inputs)),
            "root.tar": root_of(earlier["customise"]),
            "cut.tar": earlier["cut"].outputs["cut"],
        },
        write=make_scripts(),
        collect={"kit": "kit.tar"},
    )


def plan_prove(inputs: Inputs, earlier: Earlier) -> Plan:
    """Plan the trial: the kit makes the files of the old image those of the new one, every bit."""
    return Plan(
        (_command(inputs, earlier, "prove.sh", _LOOK_TIMEOUT_S),),
        place={**_images(inputs), "kit.tar": earlier["make"].outputs["kit"]},
        write={"prove.sh": PROVE},
    )


def publish(context: Context, inputs: Inputs, earlier: Earlier) -> StepResult:
    """Publish the kit, and the signed description that names it. Raises WorkFailed for a kit that saves nothing."""
    kit = earlier["make"].outputs["kit"]
    size, whole = context.objects.size(kit), context.objects.size(_images(inputs)["to.img"])
    if size >= whole:
        raise WorkFailed(
            f"the kit has {size} bytes and the image {whole}", hint="write the new image onto each device instead"
        )
    source, target = plain.mapping(inputs, "from"), release_of(order_of(inputs))
    initial = Description(
        plain.text(source, "product"),
        plain.text(source, "channel"),
        Release(plain.text(source, "name"), plain.text(source, "version")),
    )
    url = plain.text(inputs, "url")
    file = kit_file(target.name)
    where = f"{url}/{initial.initial.name}/{file}" if url else file
    say_upgrade(context, initial, Upgrade(target, where, kit, size))
    return StepResult({"kit": kit}, values={"size_bytes": size})


def conclude(inputs: Inputs, earlier: Earlier, _now: datetime, _job: int) -> Conclusion:
    """Say which kit it is; the description holds it."""
    source, target = plain.text(plain.mapping(inputs, "from"), "name"), plain.text(order_of(inputs), "name")
    published = earlier["publish"]
    size = plain.number(published.values, "size_bytes")
    outputs: dict[str, Json] = {"kit": str(published.outputs["kit"]), "from": source, "to": target, "size_bytes": size}
    return Conclusion(outputs, f"upgrade from {source} to {target}: {size / 1e6:.1f} MB")


IMAGE_KIT = JobKind(
    KIND,
    (
        Step("tools", _plan_tools, _TOOLS.judge),
        Step("root", _plan_root),
        Step("customise", _plan_customise),
        Step("survey", plan_survey),
        Action("cut", cut_root),
        Step("make", plan_make),
        Step("prove", plan_prove, repeat=True),
        Action("publish", publish),
    ),
    conclude,
)
