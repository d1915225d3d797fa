"""The menus of the netboot set: one address for everything, whatever the site is called."""

import shlex

from tests.habits.samples import EARLIER, EPOCH, INITRD, SQUASHFS, VMLINUZ

from distwright.images.netboot import netboot_menus, netboot_set
from distwright.model.digests import Json

INPUTS: dict[str, Json] = {
    "name": "petrel-1~rc1+x", "epoch": EPOCH, "title": "Ada's Petrel", "url": "https://petrel.example:8443/here",
    "kernel_options": ["quiet", "a=b,c"],
}  # fmt: skip
BASE = "http://petrel.example:8443/here/images/petrel-1~rc1%2Bx"
FILE = "petrel-1~rc1%2Bx"


def test_the_set_is_what_the_image_starts_with() -> None:
    assert netboot_set(EARLIER) == {"vmlinuz": VMLINUZ, "initrd.img": INITRD, "squashfs": SQUASHFS}


def test_ipxe_and_grub_load_the_kernel_and_tell_it_where_the_file_system_is() -> None:
    menus = netboot_menus(INPUTS)
    lines = menus["ipxe"].splitlines()
    assert lines[0] == "#!ipxe"
    assert [line for line in lines if not line.startswith("#")] == [
        f"set base {BASE}",
        f"kernel ${{base}}/{FILE}.vmlinuz initrd={FILE}.initrd.img boot=live components fetch={BASE}/{FILE}.squashfs quiet a=b,c",
        f"initrd ${{base}}/{FILE}.initrd.img",
        "boot",
    ]
    grub = [shlex.split(line, comments=True) for line in menus["grub.cfg"].splitlines()]
    assert [words for words in grub if words] == [
        ["set", "base=(http,petrel.example:8443)/here/images/petrel-1~rc1%2Bx"],
        ["menuentry", "Ada's Petrel", "{"],
        [
            "linux",
            f"$base/{FILE}.vmlinuz",
            "boot=live",
            "components",
            f"fetch={BASE}/{FILE}.squashfs",
            "quiet",
            "a=b,c",
        ],
        ["initrd", f"$base/{FILE}.initrd.img"],
        ["}"],
    ]


def test_a_site_without_address_leaves_a_word_to_replace() -> None:
    menus = netboot_menus({**INPUTS, "url": ""})
    assert "set base http://SERVER/images/" in menus["ipxe"]
    assert "set base=(http,SERVER)/images/" in menus["grub.cfg"]
