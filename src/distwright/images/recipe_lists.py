"""Package lists as live-build reads them: `functions/packagelists.sh` of 20230502, but for what it runs."""

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from distwright.errors import BadInput, quoted
from distwright.images.recipe_files import ImageFile, is_link
from distwright.model.names import installable_name
from distwright.model.versions import DebVersion

LIST_FILE = re.compile(r"package-lists/[^/]+\.list(\.chroot(_install|_live)?)?")
# VAR -> words, as `#if VAR word` compares them.
Values = Mapping[str, Sequence[str]]
NO_VALUES: Values = MappingProxyType({})
_COMMENT = re.compile(r"(^|\s)#.*$")
_CONDITION = re.compile(r"#(if|nif)(?:\s+(\S+))?(?:\s+(.*))?")
_ASKED = re.compile(r"([^:=/]+)(?::([a-z0-9-]+))?([=/].*)?")
_FROM_SUITE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~/-]*")
_PATTERN_SIGNS = frozenset("~?*[]^$()|")


def condition_values(architecture: str, suite: str, components: Sequence[str], *, recommends: bool) -> Values:
    """Give the variables of live-build, without LB_, that an image here has a value for.

    suite: what the first of its suites is called, for DISTRIBUTION; components: of that archive, for ARCHIVE_AREAS.
    """
    areas = tuple(components)
    distributions = ("DISTRIBUTION", "DISTRIBUTION_CHROOT", "DISTRIBUTION_BINARY")
    return {
        "ARCHITECTURE": (architecture,),
        "ARCHITECTURES": (architecture,),
        "ARCHIVE_AREAS": areas,
        "PARENT_ARCHIVE_AREAS": areas,
        **dict.fromkeys((*distributions, *(f"PARENT_{name}" for name in distributions)), (suite,)),
        "APT_RECOMMENDS": (str(recommends).lower(),),
        "BOOTLOADERS": ("grub-pc", "grub-efi"),
        "BOOTLOADER_BIOS": ("grub-pc",),
        "BOOTLOADER_EFI": ("grub-efi",),
        "CHROOT_FILESYSTEM": ("squashfs",),
        "DEBIAN_INSTALLER": ("none",),
        "IMAGE_TYPE": ("iso-hybrid",),
        "INITRAMFS": ("live-boot",),
        "INITSYSTEM": ("systemd",),
        "MODE": ("debian",),
        "SYSTEM": ("live",),
        "UNION_FILESYSTEM": ("overlay",),
    }


def packages_of(file: ImageFile, values: Values, problems: list[str]) -> dict[str, str]:
    """Give what a list asks apt for, `name`, `name=version` or `name/suite`, with the line that does so first.

    values: of the variables of `#if VAR words`.
    """
    found: dict[str, str] = {}
    if is_link(file, problems):
        return found
    is_wanted, opened = True, 0
    for number, raw in enumerate(file.content.decode(errors="replace").splitlines(), start=1):
        line, place = raw.strip(), f"{file.path}:{number}"
        if condition := _CONDITION.fullmatch(line):
            if opened:
                problems.append(f"{place}: a condition inside another one")
            opened = number
            is_wanted = _is_met(condition, values, place, problems)
        elif line.startswith("#endif"):
            if not opened:
                problems.append(f"{place}: #endif without #if")
            is_wanted, opened = True, 0
        elif line.startswith("!"):
            problems.append(f"{place}: commands are not run, write the packages that it prints")
        elif is_wanted:
            found = dict.fromkeys(_named(line, values, place, problems), place) | found
    if opened:
        problems.append(f"{file.path}:{opened}: the condition has no #endif")
    return found


def package_of(asked: str) -> str:
    """Give the name of what a list asks for."""
    return re.split(r"[=/]", asked, maxsplit=1)[0]


def _is_met(condition: re.Match[str], values: Values, place: str, problems: list[str]) -> bool:
    """`#if`: one of the words is one of the variable's; `#nif`: none is."""
    kind, name, words = condition.groups()
    if not name or not words:
        problems.append(f"{place}: want #{kind} VARIABLE word ...")
        return False
    if name not in values:
        problems.append(f"{place}: {quoted(name)} has no value here, only: {', '.join(sorted(values)) or 'none'}")
        return False
    return bool(set(words.split()) & set(values[name])) == (kind == "if")


def _named(line: str, values: Values, place: str, problems: list[str]) -> set[str]:
    found = set()
    for word in _COMMENT.sub("", line).split():
        parts = _ASKED.fullmatch(word)
        name, architecture, rest = ("", None, None) if parts is None else parts.groups()
        asked = f"{name}{rest or ''}"
        if _PATTERN_SIGNS & set(package_of(word)):
            problems.append(f"{place}: {quoted(word)}: patterns and tasks are not looked up, name the packages")
        elif not _is_askable(asked):
            problems.append(f"{place}: {quoted(word)} is not a package name")
        elif architecture is not None and architecture not in values.get("ARCHITECTURE", ()):
            problems.append(f"{place}: {quoted(word)}: packages of another architecture are not installed")
        else:
            found.add(asked)
    return found


def _is_askable(word: str) -> bool:
    try:
        installable_name(package_of(word))
        if "=" in word:
            DebVersion(word.partition("=")[2])
            return "," not in word  # parts the list for mmdebstrap
    except BadInput:
        return False
    return "/" not in word or _FROM_SUITE.fullmatch(word.partition("/")[2]) is not None
