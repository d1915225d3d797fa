"""The netboot set: kernel, initrd and file system as files, with menus of iPXE and GRUB that start them over the network."""

import shlex
from collections.abc import Mapping
from urllib.parse import quote, urlsplit

from distwright.jobs.step import Earlier, Inputs
from distwright.model import plain
from distwright.model.digests import Sha256

_SERVER = "SERVER"

# live-boot fetches with busybox's wget, which knows no certificates: what comes so is not protected on its way.
_IPXE = """#!ipxe
# Start it by: chain {base}/{name}.ipxe
# The addresses are http://, for an initrd checks no certificate: use this in networks that you trust.
set base {base}
kernel ${{base}}/{name}.vmlinuz initrd={name}.initrd.img {options}
initrd ${{base}}/{name}.initrd.img
boot
"""
_GRUB = """# For a GRUB that was started over the network (grub-mknetdir), as its grub.cfg.
# The addresses are http://, for an initrd checks no certificate: use this in networks that you trust.
set base=(http,{host}){folder}
menuentry {title} {{
    linux $base/{name}.vmlinuz {options}
    initrd $base/{name}.initrd.img
}}
"""


def netboot_set(earlier: Earlier) -> dict[str, Sha256]:
    """Give the files that were made, by the end of their names."""
    return {
        "vmlinuz": earlier["initrd"].outputs["vmlinuz"],
        "initrd.img": earlier["initrd"].outputs["initrd"],
        "squashfs": earlier["squashfs"].outputs["squashfs"],
    }


def netboot_menus(inputs: Inputs) -> Mapping[str, str]:
    """Give the menus, by the end of their names. A site without URL has SERVER in them, for somebody to replace."""
    name = plain.text(inputs, "name")
    parts = urlsplit(plain.text(inputs, "url"))
    host, folder = parts.netloc or _SERVER, f"{parts.path}/images/{quote(name)}"
    base = f"http://{host}{folder}"
    words = ["boot=live", "components", f"fetch={base}/{quote(name)}.squashfs", *plain.texts(inputs, "kernel_options")]
    return {
        "ipxe": _IPXE.format(base=base, name=quote(name), options=" ".join(words)),
        "grub.cfg": _GRUB.format(
            host=host,
            folder=folder,
            name=quote(name),
            title=shlex.quote(plain.text(inputs, "title")),
            options=" ".join(map(shlex.quote, words)),
        ),
    }
