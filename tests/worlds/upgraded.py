"""An earlier image of Petrel, and the kit from it to one that was built: the same system under another name, on sticks."""

import io
import tarfile
from pathlib import Path

from tests.habits.samples import INPUTS
from tests.worlds.installation import config
from tests.worlds.kits import OLD, ORDER, Upgrading, squashfs_of, usb_image

from distwright.images.forms import form_inputs
from distwright.jobs.step import Inputs

OPTIONS = ("console=tty0", "console=ttyS0,115200")  # Petrel's
_OS_RELEASE = "usr/lib/os-release"


def upgrade_to(name: str, root: Path, kernel: bytes, initrd: bytes, folder: Path) -> Upgrading:
    """Make the sticks of an image and of the one before it, and what gives the kit between them.

    name: of the image. root: the tar that its squashfs is made of. It takes some minutes and 3 GB below `folder`.
    """
    order: Inputs = {
        **INPUTS["image.build"], **form_inputs(config(), "petrel", "1.0"), **ORDER, "name": name, "outputs": ["iso", "usb"],
        "kernel_options": list(OPTIONS), "persistence_mb": 64, "upgrade_mb": 300,
    }  # fmt: skip
    one = Upgrading(folder, {}, {}, order)
    before = folder / "before.tar"
    folder.mkdir()
    renamed(root, before, name, OLD)
    one.root = one.objects.put_file(root)
    sticks = [
        usb_image(
            {**order, "disk_info": label, "title": label},
            squashfs_of(tar, folder / f"squashfs-{label}", one.objects, order).read_bytes(),
            kernel, initrd, folder / f"usb-{label}", one.objects,
        )
        for label, tar in ((OLD, one.objects.put_file(before)), (name, one.root))
    ]  # fmt: skip
    one.sticks = (sticks[0], sticks[1])
    return one


def renamed(root: Path, target: Path, name: str, other: str) -> None:
    """Copy the tar of a root in which the system has another name in IMAGE_ID."""
    with tarfile.open(root, "r:") as source, tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as tar:
        for member in source:
            content = source.extractfile(member) if member.isreg() else None
            if content is not None and member.name.removeprefix("./") == _OS_RELEASE:
                text = content.read()
                assert name.encode() in text, f"{_OS_RELEASE} does not say {name}"
                text = text.replace(name.encode(), other.encode())
                member.size, content = len(text), io.BytesIO(text)
            tar.addfile(member, content)
