"""What changed from one image to another: packages, sizes, privileges, services, files; and what was measured of both. Pure."""

import re
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from distwright.checks.image_contents import ImageContents, ImageFile, names_of
from distwright.model.digests import Json, Sha256

Said = str | int
Facts = Mapping[str, Said]

_RULES = (
    "etc/sudoers",
    "etc/doas.conf",
    "etc/polkit-1/",
    "usr/share/polkit-1/",
    "usr/lib/polkit-1/",
    "var/lib/polkit-1/",
)
_UNIT = re.compile(r"(?:etc|usr/lib)/systemd/(system|user)/(?:([^/]+)\.(?:wants|requires|upholds)/)?([^/]+\.[a-z]+)")
_SCRIPT = re.compile(r"etc/(rc[S2-5]\.d/S[^/]+)")
_SHOWN_DIGITS = 32  # all that is known of a content: two that differ must not be taken for one


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What is known of an image. packages: name -> version of what is installed. size_bytes: of the ISO.

    boots: firmware -> seconds that it took to start, of those that were tried.
    """

    name: str
    iso: Sha256
    size_bytes: int
    packages: Mapping[str, str]
    contents: ImageContents
    boots: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that is not the same. section: a key of SECTIONS. first, second: None where it is not there.

    package: whose file it is, "" for everything else and for files of nobody.
    """

    section: str
    what: str
    first: Said | None
    second: Said | None
    package: str = ""

    def to_json(self) -> Json:
        """Give it as plain values."""
        shown: dict[str, Json] = {
            "section": self.section,
            "what": self.what,
            "first": self.first,
            "second": self.second,
        }
        return {**shown, "package": self.package} if self.section == "file" else shown


@dataclass(frozen=True, slots=True)
class ImageDelta:
    """All changes, by section and name. measured: what was measured -> of both, None for not known; no change by itself."""

    is_same: bool
    changes: tuple[Change, ...]
    measured: Mapping[str, tuple[Said | None, Said | None]]

    @property
    def moved_packages(self) -> frozenset[str]:
        """The packages that came, went or have another version: what their files do follows from that."""
        return frozenset(change.what for change in self.changes if change.section == "package")

    def to_json(self) -> dict[str, Json]:
        """Give it as plain values."""
        return {
            "same": self.is_same,
            "changes": [change.to_json() for change in self.changes],
            "measured": {what: list(both) for what, both in self.measured.items()},
        }


def compare_images(first: ImageFacts, second: ImageFacts) -> ImageDelta:
    """Say what changed from one image to the other. Times of files are no difference: every image has its own."""
    changes = tuple(
        change for name, section in SECTIONS.items() for change in _changes(name, section(first), section(second))
    )
    owners = {
        path: file.package for side in (first, second) for path, file in side.contents.files.items()
    }  # of both, the second's
    named = tuple(
        Change(one.section, one.what, one.first, one.second, owners.get(one.what, "")) if one.section == "file" else one
        for one in changes
    )
    return ImageDelta(first.iso == second.iso, named, _measured(first, second))


def _changes(section: str, first: Facts, second: Facts) -> Iterator[Change]:
    for what in sorted(first.keys() | second.keys()):
        if first.get(what) != second.get(what):
            yield Change(section, what, first.get(what), second.get(what))


def _measured(first: ImageFacts, second: ImageFacts) -> dict[str, tuple[Said | None, Said | None]]:
    firmwares = sorted(first.boots.keys() | second.boots.keys()) or ["bios"]
    boots: dict[str, tuple[Said | None, Said | None]] = {
        f"seconds to start ({firmware})": (first.boots.get(firmware), second.boots.get(firmware))
        for firmware in firmwares
    }
    return {**boots, "ports that listen": (None, None)}  # no test writes them down so far


def _packages(image: ImageFacts) -> Facts:
    return image.packages


def _sizes(image: ImageFacts) -> Facts:
    contents = image.contents
    whole = {
        "(ISO)": image.size_bytes, "(squashfs)": contents.squashfs_bytes, "(all files)": sum(contents.sizes.values()),
    }  # fmt: skip
    return whole | {package or "(of no package)": size for package, size in contents.sizes.items()}


class _Owners:
    """Writes owners by name, as far as the image has names."""

    def __init__(self, contents: ImageContents) -> None:
        self._users, self._groups = names_of(contents.users), names_of(contents.groups)

    def __call__(self, file: ImageFile) -> str:
        return f"{self._users.get(file.uid, file.uid)}/{self._groups.get(file.gid, file.gid)}"


def _chosen(contents: ImageContents, is_meant: Callable[[ImageFile], bool]) -> Facts:
    """Give mode and owner of the files that are meant."""
    owner = _Owners(contents)
    return {
        path: f"{stat.filemode(file.mode)} {owner(file)}" for path, file in contents.files.items() if is_meant(file)
    }


def _setuid(image: ImageFacts) -> Facts:
    return _chosen(
        image.contents, lambda file: stat.S_ISREG(file.mode) and bool(file.mode & (stat.S_ISUID | stat.S_ISGID))
    )


def _writable(image: ImageFacts) -> Facts:
    return _chosen(image.contents, lambda file: bool(file.mode & stat.S_IWOTH) and not stat.S_ISLNK(file.mode))


def _capabilities(image: ImageFacts) -> Facts:
    return {path: file.capabilities for path, file in image.contents.files.items() if file.capabilities}


def _users(image: ImageFacts) -> Facts:
    """Give name -> numbers, home and shell."""
    rows = [[*line.split(":"), *[""] * 6] for line in image.contents.users if line.strip()]
    return {row[0]: f"{row[2]}:{row[3]} {row[5]} {row[6]}".rstrip() for row in rows}


def _groups(image: ImageFacts) -> Facts:
    rows = [[*line.split(":"), *[""] * 3] for line in image.contents.groups if line.strip()]
    return {row[0]: f"{row[2]} {row[3]}".rstrip() for row in rows}


def _rules(image: ImageFacts) -> Facts:
    """Give the files that say who may become whom, or do what: sudo, doas, polkit."""
    return {
        path: file.what[:_SHOWN_DIGITS]
        for path, file in image.contents.files.items()
        if path.startswith(_RULES) and stat.S_ISREG(file.mode)
    }


def _services(image: ImageFacts) -> Facts:
    """Give what systemd and init scripts start: links in folders of targets, masked units, units under another name."""
    found: dict[str, Said] = {}
    for path, file in image.contents.files.items():
        if not stat.S_ISLNK(file.mode):
            continue
        if unit := _UNIT.fullmatch(path):
            manager, target, name = unit.groups()
            said = (
                f"in {target}"
                if target
                else "masked"
                if file.what == "/dev/null"
                else f"is {file.what.rpartition('/')[2]}"
            )
            shown = name if manager == "system" else f"{name} (of users)"
            found[shown] = ", ".join(sorted({*str(found[shown]).split(", "), said})) if shown in found else said
        elif script := _SCRIPT.fullmatch(path):
            found[script[1]] = file.what
    return found


def _files(image: ImageFacts) -> Facts:
    owner = _Owners(image.contents)
    return {path: _shown_file(file, owner(file)) for path, file in image.contents.files.items()}


def _shown_file(file: ImageFile, owner: str) -> str:
    size = f" {file.size:,}" if stat.S_ISREG(file.mode) else ""
    what = f" → {file.what}" if stat.S_ISLNK(file.mode) else f" {file.what[:_SHOWN_DIGITS]}" if file.what else ""
    more = f" {file.capabilities}" if file.capabilities else ""
    return f"{stat.filemode(file.mode)} {owner}{size}{what}{more}"


def _medium(image: ImageFacts) -> Facts:
    return {path: f"{size:,} {what[:_SHOWN_DIGITS]}" for path, (size, what) in image.contents.medium.items()}


def _boot(image: ImageFacts) -> Facts:
    return image.contents.boot


SECTIONS: Mapping[str, Callable[[ImageFacts], Facts]] = {
    "package": _packages,
    "size": _sizes,
    "setuid": _setuid,
    "capability": _capabilities,
    "world-writable": _writable,
    "user": _users,
    "group": _groups,
    "rule": _rules,
    "service": _services,
    "medium": _medium,
    "boot": _boot,
    "file": _files,
}
