"""An image is built again on another kernel: that of Debian, in a machine that has nothing of ours but a bundle and an address.

The machine is emulated where KVM cannot be used, and a program then takes some ten times as long; the image is as small as one
can be that has a kernel, an initrd, a squashfs and an ISO.
"""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.system.imaging import Imaging, imaging, small_config
from tests.worlds.debian_guest import SERVER, Guest
from tests.worlds.small_machine import debian_kernel

from distwright.app import open_app

pytestmark = [pytest.mark.system, pytest.mark.full]
BUILD_TIMEOUT_S, GUEST_TIMEOUT_S = 1800, 6 * 3600
PLANTED = "etc/kernel-of-the-build"

TABLE = """\
outputs = ["iso", "bundle"]
compression = "zstd-3"
kernel_options = ["console=ttyS0,115200"]
boot_expect = "Linux version"
"""
CONFIG = small_config(
    "small",
    f"""\
{TABLE}\
[image.planted]
repo = "small"
recipe = "planted"
from = ["debian/bookworm"]
tools = "image-tools"
rebuild = false
{TABLE}""",
)
CONFIG = CONFIG.replace("[site]\n", f'[site]\nurl = "{SERVER}"\n').replace(
    'label = "Debian"\n', 'label = "Debian"\nsources = false\ntranslations = []\n'
)  # what the guest records, too
PACKAGES = (
    "live-boot\nlive-boot-initramfs-tools\nlinux-image-cloud-amd64\nsystemd-sysv\nzstd\n"  # a kernel with few drivers
)
RECIPE = {
    "image/package-lists/small.list.chroot": PACKAGES,
    "planted/package-lists/small.list.chroot": PACKAGES,
    "planted/hooks/0100-planted.hook.chroot*": f"#!/bin/sh\nuname -r >/{PLANTED}\n",
}
# The second one takes tools and snapshots from what the first one kept.
VERIFY = """\
uname -r
for image in small planted; do
    distwright image verify $image.bundle --keyring image.asc --state state --keep --explain --json >$image.json
    echo "ENDED $image $?"
    cat $image.json
    echo "ENDED"
done
"""


@dataclass(frozen=True)
class Told:
    """What the guest said. kernel: its release. answers: by image. codes: of how the commands ended."""

    kernel: str
    codes: Mapping[str, int]
    answers: Mapping[str, Any]


@pytest.fixture(scope="module")
def told() -> Iterator[Told]:
    with imaging("small", RECIPE, CONFIG, timeout_s=BUILD_TIMEOUT_S) as made:
        files = {}
        for image in ("small", "planted"):
            made.must("image", "build", image)
            files[f"{image}.bundle"] = bundle_of(made, image).read_bytes()
        app = open_app(str(made.line.state))
        files["image.asc"] = app.keys.certificate("image")
        app.database.close()
        place = made.folder / "guest"
        place.mkdir()
        with made.line.serving() as url:
            said = Guest(place).run(VERIFY, files, urlsplit(url).port or 0, GUEST_TIMEOUT_S)
        parts = said.split("ENDED ")[1:]
        heads = [part.partition("\n")[0].split() for part in parts]
        answers = {
            name: json.loads(part.partition("\n")[2].partition("ENDED")[0])
            for (name, _), part in zip(heads, parts, strict=True)
        }
        yield Told(said.partition("\n")[0], {name: int(code) for name, code in heads}, answers)


def bundle_of(made: Imaging, image: str) -> Path:
    [row] = [row for row in made.line.answer("image", "list") if row["image"] == image]
    [path] = Path(row["files"]).glob("*.bundle")
    return path


def test_an_image_is_the_same_on_another_kernel(told: Told) -> None:
    [modules] = (debian_kernel() / "package/lib/modules").iterdir()
    assert told.kernel == modules.name
    assert told.kernel != os.uname().release
    answer = told.answers["small"]
    assert (answer["verdict"], answer["differences"], told.codes["small"]) == ("same", [], 0)


def test_what_tells_the_kernel_is_found_and_named(told: Told) -> None:
    answer = told.answers["planted"]
    assert (answer["verdict"], told.codes["planted"]) == ("differs", 1)
    first = answer["differences"][0]
    assert f"live/filesystem.squashfs: {PLANTED}" in first
    assert f"'{os.uname().release}" in first
    assert f"'{told.kernel}" in first
