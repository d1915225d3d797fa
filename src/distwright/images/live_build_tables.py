"""The tables of an image that comes from live-build: archives, environment, repo and image, as TOML with comments."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import TypeAdapter, ValidationError

from distwright.config.values import KernelWord, VolumeLabel
from distwright.images.live_build_settings import Settings
from distwright.images.live_build_variables import Notice, Verdict
from distwright.images.recipe_archives import Source

TOOLS = (
    "squashfs-tools", "dosfstools", "mtools", "grub-common", "grub-pc-bin", "grub-efi-amd64-signed", "shim-signed", "xorriso",
)  # fmt: skip
_DEBIAN_KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"
_WITHOUT_MORE = ("sid", "unstable")
_OLD_SECURITY = ("buster", "jessie", "stretch")
_DEFAULT_DISTRIBUTION = "bullseye"  # of live-build 20230502
_DEFAULT_APPEND = "boot=live components quiet splash"
_ALWAYS = ("boot=live", "components", "config")  # the menu has the first two; the third is an older word for the second
_CONSOLES = ("console=ttyS0,115200", "console=tty0")
_STAMP = "@ISOVOLUME_TS@"


@dataclass(frozen=True, slots=True)
class ArchiveTable:
    """An [archive.NAME] of kind upstream. keyring: "" for Debian's. sets_fetch_from: no machine's apt has it."""

    name: str
    suites: tuple[str, ...]
    components: tuple[str, ...]
    live_url: str
    fetch_from: str = ""
    keyring: str = ""
    label: str = ""
    sets_fetch_from: bool = False


@dataclass(slots=True)
class Tables:
    """What the settings of a tree come to. said: variable -> what became of its value, where that is not what always becomes."""

    archives: list[ArchiveTable]
    packages: list[str]
    image: dict[str, str | bool | list[str]]
    said: dict[str, Notice] = field(default_factory=dict)


def tables_of(settings: Settings) -> Tables:
    """Translate the settings (pure)."""
    tables = Tables([], [], {})
    tables.archives = list(_debian(settings, tables))
    tables.packages = _packages(settings, tables)
    tables.image = _image(settings, tables)
    return tables


def add_sources(
    archives: Sequence[ArchiveTable], name: str, sources: Sequence[Source], keyring: str
) -> list[ArchiveTable]:
    """Add what a file of archives/ names: to an archive with that address, or as one of its own called `name`."""
    found = list(archives)
    for source in sources:
        url = source.url.rstrip("/")
        at = next((at for at, one in enumerate(found) if one.live_url == url), None)
        if at is None:
            taken = {one.name for one in found}
            free = next(
                text for number in range(1, 1000) if (text := name if number == 1 else f"{name}-{number}") not in taken
            )
            found.append(
                ArchiveTable(
                    free,
                    (source.suite,),
                    source.components,
                    url,
                    url,
                    keyring or f"keys/{free}.asc",
                    sets_fetch_from=True,
                )
            )
        else:
            one = found[at]
            found[at] = replace(
                one,
                suites=tuple(dict.fromkeys((*one.suites, source.suite))),
                components=tuple(dict.fromkeys((*one.components, *source.components))),
            )
    return found


def toml_of(tables: Tables, name: str, recipe: str, tools: Sequence[str] = TOOLS) -> str:
    """Write the tables. name: of the image and its repo. recipe: folder in the repo."""
    suites = [f"{archive.name}/{suite}" for archive in tables.archives for suite in archive.suites]
    parts = [
        "# What `distwright image import` made of a tree of live-build. Read it, then: distwright config check\n",
        *(_archive(archive) for archive in tables.archives),
        _table(f"environment.{name}-tools", {"from": suites, "variant": "minbase", "include": list(tools)}),
        f"\n[repo.{name}]\n",
        _table(
            f"image.{name}",
            {
                "repo": name,
                "recipe": recipe,
                "from": suites,
                "tools": f"{name}-tools",
                **tables.image,
                "boot_expect": "login:",
            },
        ),
        "# The last line is what the first serial console must show for a boot to count; so there is a console=ttyS0 above.\n",
    ]
    return "".join(parts)


def _debian(settings: Settings, tables: Tables) -> Iterator[ArchiveTable]:
    """Give Debian's archives as functions/sourcelist.sh of live-build does: the parent's settings are the ones that count."""
    suite = settings.get(
        "LB_PARENT_DISTRIBUTION_CHROOT", "LB_PARENT_DISTRIBUTION", "LB_DISTRIBUTION_CHROOT", "LB_DISTRIBUTION",
        default=_DEFAULT_DISTRIBUTION,
    )  # fmt: skip
    for name in ("LB_DISTRIBUTION_BINARY", "LB_PARENT_DISTRIBUTION_BINARY"):
        if settings.get(name) == suite:
            tables.said[name] = Notice(f"{name}={suite}", Verdict.NOT_NEEDED, "as it is here")
    for name in ("LB_DISTRIBUTION", "LB_DISTRIBUTION_CHROOT", "LB_PARENT_DISTRIBUTION"):
        if settings.get(name, default=suite) != suite:
            tables.said[name] = Notice(
                f"{name}={settings.get(name)}", Verdict.NOT_HONOURED, f"LB_PARENT_DISTRIBUTION_CHROOT counts, {suite}"
            )
    areas = tuple(settings.words("LB_PARENT_ARCHIVE_AREAS", "LB_ARCHIVE_AREAS", default="main"))
    _overridden(settings, tables)
    suites = [suite]
    may_have_more = suite not in _WITHOUT_MORE
    if may_have_more and settings.get("LB_UPDATES", default="true") == "true":
        suites.append(f"{suite}-updates")
    if may_have_more and settings.get("LB_BACKPORTS") == "true":
        suites.append(f"{suite}-backports")
    yield ArchiveTable(
        "debian", tuple(suites), areas, _url(settings, "MIRROR_BINARY"), _url(settings, "MIRROR_CHROOT"), label="Debian"
    )
    if may_have_more and settings.get("LB_SECURITY", default="true") == "true":
        yield ArchiveTable(
            "debian-security",
            (f"{suite}/updates" if suite in _OLD_SECURITY else f"{suite}-security",),
            areas,
            _url(settings, "MIRROR_BINARY_SECURITY"),
            _url(settings, "MIRROR_CHROOT_SECURITY"),
            label="Debian-Security",
        )


def _overridden(settings: Settings, tables: Tables) -> None:
    """live-build 20230502 takes the parent's value where there are two."""
    names = ("ARCHIVE_AREAS", "MIRROR_BINARY", "MIRROR_BINARY_SECURITY", "MIRROR_CHROOT", "MIRROR_CHROOT_SECURITY")
    for name in names:
        ours, parents = settings.get(f"LB_{name}"), settings.get(f"LB_PARENT_{name}")
        if ours and parents and ours != parents:
            tables.said[f"LB_{name}"] = Notice(
                f"LB_{name}={ours}", Verdict.NOT_NEEDED, f"live-build 20230502 takes LB_PARENT_{name}, and so did we"
            )


def _url(settings: Settings, name: str) -> str:
    return settings.get(f"LB_PARENT_{name}", f"LB_{name}").rstrip("/")


def _packages(settings: Settings, tables: Tables) -> list[str]:
    """Give what live-build installs though no list of the tree names it; the image has exactly one kernel."""
    architecture = settings.get("LB_ARCHITECTURE", "LB_ARCHITECTURES", default="amd64")
    flavours = settings.words("LB_LINUX_FLAVOURS", "LB_LINUX_FLAVOURS_WITH_ARCH", default=architecture)
    kernels = [name for name in settings.words("LB_LINUX_PACKAGES", default="linux-image") if name != "none"]
    if len(flavours) > 1 or len(kernels) > 1:
        name = "LB_LINUX_FLAVOURS_WITH_ARCH" if len(flavours) > 1 else "LB_LINUX_PACKAGES"
        tables.said[name] = Notice(
            f"{name}={settings.get(name, 'LB_LINUX_FLAVOURS')}", Verdict.NOT_HONOURED,
            f"an image has exactly one kernel: {kernels[0]}-{flavours[0]}",
        )  # fmt: skip
    keyrings = settings.words("LB_KEYRING_PACKAGES", default="debian-archive-keyring")
    return [*(f"{kernel}-{flavours[0].partition(':')[0]}" for kernel in kernels[:1]), *keyrings]


def live_packages(settings: Settings) -> list[str]:
    """Give the packages that `lb config` writes into live.list.chroot."""
    if settings.get("LB_INITRAMFS", default="live-boot") != "live-boot":
        return ["live-boot"]
    init = {"sysvinit": ["live-config-sysvinit", "sysvinit-core"], "none": []}
    chosen = init.get(settings.get("LB_INITSYSTEM", default="systemd"), ["live-config-systemd", "systemd-sysv"])
    return ["live-boot", "live-config", *chosen]


def _image(settings: Settings, tables: Tables) -> dict[str, str | bool | list[str]]:
    options = _kernel_options(settings, tables)
    is_small = "--variant=minbase" in settings.get("DEBOOTSTRAP_OPTIONS").split()
    values: dict[str, str | bool | list[str]] = {
        "architecture": settings.get("LB_ARCHITECTURE", "LB_ARCHITECTURES", default="amd64"),
        "variant": "minbase" if is_small else "important",
        "recommends": settings.get("LB_APT_RECOMMENDS", default="true") == "true",
        "documentation": True,
        "compression": _compression(settings, tables),
        "kernel_options": [*options, *(() if any(word.startswith("console=") for word in options) else _CONSOLES)],
    }
    for name in ("LB_ARCHITECTURE", "LB_ARCHITECTURES"):
        if settings.get(name, default="amd64") != "amd64":
            tables.said[name] = Notice(
                f"{name}={settings.get(name)}", Verdict.NOT_HONOURED, "images are made for amd64 so far"
            )
    if label := _label(settings, tables):
        values["label"] = label
    return values


def _kernel_options(settings: Settings, tables: Tables) -> list[str]:
    words = settings.get("LB_BOOTAPPEND_LIVE", default=_DEFAULT_APPEND).split()
    if union := settings.get("LB_UNION_FILESYSTEM", default="overlay"):
        words += [] if union == "overlay" else [f"union={union}"]
    wanted = [word for word in words if word not in _ALWAYS]
    wrong = [word for word in wanted if not _is_valid(KernelWord, word)]
    if wrong:
        tables.said["LB_BOOTAPPEND_LIVE"] = Notice(
            f"LB_BOOTAPPEND_LIVE: {' '.join(wrong)}",
            Verdict.NOT_HONOURED,
            "GRUB's menu reads some of its signs as its own",
        )
    if "LB_UNION_FILESYSTEM" in settings.values:
        tables.said["LB_UNION_FILESYSTEM"] = Notice(
            f"LB_UNION_FILESYSTEM={union}", Verdict.HONOURED, "kernel_options of the image, if it is not overlay"
        )
    return [word for word in wanted if word not in wrong]


def _compression(settings: Settings, tables: Tables) -> str:
    kind = settings.get("LB_CHROOT_SQUASHFS_COMPRESSION_TYPE", default="xz")
    level = settings.get("LB_CHROOT_SQUASHFS_COMPRESSION_LEVEL")
    number = int(level) if level.isdigit() else 15
    chosen = "xz" if kind == "xz" else "zstd-3" if number <= 5 else "zstd-9" if number <= 13 else "zstd-19"
    if kind not in ("xz", "zstd") or (level and (kind == "xz" or chosen != f"zstd-{level}")):
        chosen = chosen if kind in ("xz", "zstd") else "zstd-9"
        how = f"{chosen} is the nearest that there is"
        for name in ("LB_CHROOT_SQUASHFS_COMPRESSION_TYPE", "LB_CHROOT_SQUASHFS_COMPRESSION_LEVEL"):
            tables.said[name] = Notice(f"{name}={settings.get(name)}", Verdict.NOT_HONOURED, how)
    return chosen


def _label(settings: Settings, tables: Tables) -> str:
    text = settings.get("LB_ISO_VOLUME")
    label = text.replace(_STAMP, "@VERSION@")
    if text and not _is_valid(VolumeLabel, label):
        tables.said["LB_ISO_VOLUME"] = Notice(
            f"LB_ISO_VOLUME={text}",
            Verdict.NOT_HONOURED,
            "the label is the name of the image and its version; see label",
        )
        return ""
    return label


def _is_valid(kind: Any, text: str) -> bool:
    try:
        TypeAdapter(kind).validate_python(text)
    except ValidationError:
        return False
    return True


def _archive(archive: ArchiveTable) -> str:
    values: dict[str, str | bool | list[str]] = {
        "kind": "upstream",
        "suites": list(archive.suites),
        "components": list(archive.components),
        "architectures": ["amd64"],
        "keyring": archive.keyring or _DEBIAN_KEYS,
    }
    if archive.label:
        values |= {"origin": "Debian", "label": archive.label}
    if archive.live_url:
        values["live_url"] = archive.live_url
    if archive.fetch_from and archive.sets_fetch_from:
        values["fetch_from"] = archive.fetch_from
    comment = (
        f"# fetch_from = {json.dumps(archive.fetch_from)}\n"
        if archive.fetch_from and not archive.sets_fetch_from
        else ""
    )
    return _table(f"archive.{archive.name}", values) + comment


def _table(name: str, values: dict[str, str | bool | list[str]]) -> str:
    """Write a table: a JSON string, list of strings or truth value is one of TOML too."""
    head = ".".join(part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else json.dumps(part) for part in name.split(".", 1))
    return f"\n[{head}]\n" + "".join(
        f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in values.items()
    )
