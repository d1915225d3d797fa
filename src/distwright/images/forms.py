"""What an order of an image asks for: its form, and the outputs of its table. What is absent is as it was before it came."""

from enum import StrEnum

from distwright.config.model import Config
from distwright.config.tables_archive import OwnArchive
from distwright.jobs.step import Inputs, KindName
from distwright.model import plain
from distwright.model.digests import Json

BUILD_KIND, LAYER_KIND = KindName("image.build", 1), KindName("image.layer", 1)
MAKING = (BUILD_KIND.name, LAYER_KIND.name)  # what makes an image that people see
FORM = 5  # of the orders that are made now
TOOLS_FOR_USB = ("e2fsprogs", "fdisk")  # Debian packages, beyond those that an ISO needs


class Purpose(StrEnum):
    """What an image is built for."""

    TOPIC = "topic"
    LAYER = "layer"
    BASE = "base"
    TAG = "tag"


# Who waits for it wants it soon; what many fetch shall be small.
_COMPRESSIONS = {
    Purpose.TOPIC: "zstd-3", Purpose.LAYER: "zstd-3", Purpose.BASE: "zstd-9", Purpose.TAG: "zstd-19",
}  # fmt: skip


def compression_for(purpose: Purpose, chosen: str | None) -> str:
    """Say how a squashfs is packed. chosen: what the table says; None if it says nothing."""
    return chosen or _COMPRESSIONS[purpose]


def form_of(inputs: Inputs) -> int:
    """Say which form an order has.

    From 2 on: licences and bills, sources, provenance, and the outputs beside the ISO. From 3 on: step `customise` asks the image
    what is in it, and the initrd is made in a root of its own. From 4 on: the image is told its name after that, so that this root
    is not another one for each name. From 5 on: its modules are copied many at a time, it has what lies beside the files that it is
    made from, packages and hooks are told no name of the machine and no home, keys that they made are not shared by all copies, a
    stick has on it what the recipe puts on the medium, and what a bundle says of recorded archives is in the order.
    """
    return plain.number(inputs, "form") if "form" in inputs else 1


def wants(inputs: Inputs, output: str) -> bool:
    """Say whether an output beside the ISO is asked for: `usb`, `netboot`, `bundle`."""
    return form_of(inputs) >= 2 and output in plain.texts(inputs, "outputs")


def texts_asked(inputs: Inputs, key: str) -> tuple[str, ...]:
    """Give a list of the inputs that is absent where it is empty: `trackers`, `web_seeds`."""
    return plain.texts(inputs, key) if key in inputs else ()


def missing_tools(config: Config) -> dict[str, tuple[str, ...]]:
    """Give environment -> packages that it does not name, and that an image which it makes for USB sticks needs.

    What comes along without being named (e2fsprogs, where it is of priority required) is among them: naming it changes nothing.
    """
    environments = {image.tools for image in config.images.values() if "usb" in image.outputs}
    missing = {
        name: tuple(package for package in TOOLS_FOR_USB if package not in config.environments[name].include)
        for name in sorted(environments)
    }
    return {name: packages for name, packages in missing.items() if packages}


def form_inputs(config: Config, name: str, version: str, branch: str | None = None) -> dict[str, Json]:
    """Give the part of the inputs that came with form 2.

    url: of the site, "" if it has none: what bills and statements are named below. vendors: archive -> origin in lower case, as
    package URLs have it. keyrings: archive -> file that a package of the archive brings. version: as the changelog writes it.
    branch: or what stands for it; None: the default branch.
    """
    table = config.images[name]
    archives = sorted({source.partition("/")[0] for source in table.from_})
    asked: dict[str, Json] = {
        "persistence_mb": table.persistence_mb,
        "upgrade_mb": table.upgrade_mb,
        "trackers": list(table.trackers),
        "web_seeds": [seed.rstrip("/") for seed in table.web_seeds],
    }
    keyrings = {archive: _keyring(config, archive) for archive in archives}
    return {
        "form": FORM,
        "repo": table.repo,
        "branch": branch or config.repos[table.repo].default_branch,
        "version": version,
        "url": (config.site.url or "").rstrip("/"),
        "keyrings": {archive: path for archive, path in keyrings.items() if path.startswith("/")},
        "outputs": sorted(table.outputs),
        **{key: value for key, value in asked.items() if value},
        "vendors": {archive: (config.archives[archive].origin or archive).lower() for archive in archives},
    }


def _keyring(config: Config, archive: str) -> str:
    table = config.archives[archive]
    return (table.live_key if isinstance(table, OwnArchive) else table.keyring) or ""
