"""Relations between packages as control files write them: `libc6 (>= 2.36), mail-transport-agent | postfix`."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from distwright.errors import BadInput, quoted
from distwright.formats.deb822 import Stanza
from distwright.model.names import package_name
from distwright.model.versions import DebVersion

BUILT_FROM = ("Built-Using", "Static-Built-Using")
WITH_CHOICE = ("Pre-Depends", "Depends", "Recommends", "Suggests", "Enhances")
WITHOUT_CHOICE = ("Breaks", "Conflicts", "Replaces", "Provides", *BUILT_FROM)
BINARY_RELATIONS = (*WITH_CHOICE, *WITHOUT_CHOICE)
BUILD_RELATIONS = tuple(
    f"Build-{kind}{ending}" for kind in ("Depends", "Conflicts") for ending in ("", "-Arch", "-Indep")
)
_LIMIT_CHARACTERS = 1 << 20
# One alternative: name[:architecture] [(relation version)] [[architectures]] [<profiles>]…; each part has an end of its own, so no
# text takes more than linear time.
_ALTERNATIVE = re.compile(
    r"(?P<name>[^ \t\n()\[\]<>:|,]+)(?::(?P<architecture>[a-z0-9-]+))?"
    r"[ \t\n]*+(?:\([ \t\n]*+(?P<relation>[<>=]+)[ \t\n]*+(?P<version>[^ \t\n()]+)[ \t\n]*+\))?"
    r"[ \t\n]*+(?:\[(?P<limits>[^\[\]]*+)\])?"
    r"[ \t\n]*+(?P<profiles>(?>(?:<[^<>]*+>[ \t\n]*+)*))"
)
_LIMIT = re.compile(r"!?[a-z0-9][a-z0-9-]*")
_PROFILE = re.compile(r"!?[a-z0-9][a-z0-9.+-]*")
_RELATIONS = frozenset({"<<", "<=", "=", ">=", ">>"})
_HINT = "write it as Debian Policy 7.1 says: name (>= version) | other"


@dataclass(frozen=True, slots=True)
class Relation:
    """One alternative. relation, version: "" without a version. limits, profiles: of build dependencies, as they stand."""

    name: str
    architecture: str
    relation: str
    version: str
    limits: tuple[str, ...] = ()
    profiles: tuple[tuple[str, ...], ...] = ()


def parse_relations(text: str, *, for_build: bool = False, has_choice: bool = True) -> tuple[tuple[Relation, ...], ...]:
    """Read a field such as Depends: groups joined by commas, each of alternatives joined by `|`. Linear in the text.

    for_build: restrictions to architectures and profiles are allowed. has_choice: `|` is allowed. Raises BadInput for anything that
    dpkg would not read, and for an empty field. Source: Debian Policy 7.1, deb-control(5).
    """
    if len(text) > _LIMIT_CHARACTERS:
        raise BadInput(f"the relations take {len(text)} characters", hint=f"write at most {_LIMIT_CHARACTERS}")
    groups = [group for part in text.split(",") if (group := part.strip(" \t\n"))]
    if not groups:
        raise BadInput("the field is empty", hint=_HINT)
    return tuple(_group(group, for_build=for_build, has_choice=has_choice) for group in groups)


def unreadable(stanza: Stanza, names: tuple[str, ...], *, for_build: bool = False) -> Iterator[str]:
    """Say of each of these fields that the stanza has and that apt or dpkg would not read as a relation what is wrong with it."""
    for name in names:
        text = stanza.get(name)
        if text is None:
            continue
        try:
            groups = parse_relations(text, for_build=for_build, has_choice=name not in WITHOUT_CHOICE)
        except BadInput as error:
            yield f"{name}: {error.message}"
            continue
        wrong = name == "Provides" and any(one.relation not in ("", "=") for group in groups for one in group)
        if wrong or (name in BUILT_FROM and any(one.relation != "=" for group in groups for one in group)):
            yield f"{name}: a version here is written with ="


def _group(text: str, *, for_build: bool, has_choice: bool) -> tuple[Relation, ...]:
    parts = text.split("|")
    if len(parts) > 1 and not has_choice:
        raise BadInput(f"{quoted(text)} gives a choice, which this field does not know", hint=_HINT)
    return tuple(_relation(part.strip(" \t\n"), for_build=for_build) for part in parts)


def _relation(text: str, *, for_build: bool) -> Relation:
    match = _ALTERNATIVE.fullmatch(text)
    if match is None or (match["relation"] or "=") not in _RELATIONS:
        raise BadInput(f"{quoted(text)} is not a relation to a package", hint=_HINT)
    limits, profiles = _limits(match["limits"]), _profiles(match["profiles"])
    if (limits or profiles) and not for_build:
        raise BadInput(f"{quoted(text)} is restricted, which only build dependencies may be", hint=_HINT)
    version = DebVersion(match["version"]) if match["version"] else ""
    return Relation(
        package_name(match["name"]), match["architecture"] or "", match["relation"] or "", version, limits, profiles
    )


def _limits(text: str | None) -> tuple[str, ...]:
    if text is None:
        return ()
    limits = tuple(text.split())
    if not limits or not all(_LIMIT.fullmatch(limit) for limit in limits):
        raise BadInput(f"{quoted(f'[{text}]')} names no architectures", hint=_HINT)
    return limits


def _profiles(text: str) -> tuple[tuple[str, ...], ...]:
    lists = tuple(tuple(part.split()) for part in re.findall(r"<([^<>]*)>", text))
    if not all(words and all(_PROFILE.fullmatch(word) for word in words) for words in lists):
        raise BadInput(f"{quoted(text.strip())} names no build profiles", hint=_HINT)
    return lists
