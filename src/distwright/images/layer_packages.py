"""Which packages a layer brings: those of our own suites that changed, if apt would take nothing else for them; pure."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Self

from distwright.errors import Refused
from distwright.formats.deb822 import Stanza, parse_one, parse_stanzas, raw_field
from distwright.formats.relations import Relation, parse_relations
from distwright.images.recipe_lists import package_of
from distwright.model.digests import Sha256
from distwright.model.versions import DebVersion, compare

_HINT = "distwright image build NAME builds it in full"
_NEEDS = ("Pre-Depends", "Depends")
_SCRIPTS = ("preinst", "postinst", "prerm", "postrm", "config", "templates", "triggers")
_ASKING = frozenset({"config", "templates"})
_BY_PRIORITY = ("required", "important", "standard")
_SIGNS: Mapping[str, Callable[[int], bool]] = {
    "<<": lambda order: order < 0, "<=": lambda order: order <= 0, "=": lambda order: order == 0,
    ">=": lambda order: order >= 0, ">>": lambda order: order > 0,
}  # fmt: skip


class NotLayered(Refused):
    """An image cannot be a layer on one that there is, and is built in full."""

    def __init__(self, reasons: Collection[str]) -> None:
        """Say all reasons."""
        super().__init__("; ".join(reasons), hint=_HINT)


@dataclass(frozen=True, slots=True)
class OwnPackage:
    """A package of one of our suites. suite: `archive/suite`. raw: its paragraph of the index; read whole only where it matters."""

    suite: str
    name: str
    version: DebVersion
    raw: bytes

    @classmethod
    def of(cls, suite: str, raw: bytes) -> Self:
        """Read what tells one from another; raise BadInput."""
        name, version = ((raw_field(raw, field) or b"").decode() for field in (b"Package", b"Version"))
        return cls(suite, name, DebVersion(version), raw)

    @property
    def stanza(self) -> Stanza:
        """All that its index says."""
        return parse_one(self.raw)

    @property
    def sha256(self) -> Sha256:
        """Its file."""
        return Sha256((raw_field(self.raw, b"SHA256") or b"").decode())


@dataclass(frozen=True, slots=True)
class InBase:
    """A package that the base has. is_ours: its file came from a suite of ours."""

    version: DebVersion
    sha256: Sha256
    is_ours: bool


@dataclass(frozen=True, slots=True)
class LayerPackage:
    """A package of a layer. is_new: the base has none of its name; such a one is there because another one needs it."""

    package: OwnPackage
    is_new: bool


Own = Mapping[str, OwnPackage]
Group = tuple[Relation, ...]  # alternatives


def newest_of(packages: Iterable[OwnPackage]) -> dict[str, OwnPackage]:
    """Give of each name what apt takes: the highest version; of one version the first."""
    found: dict[str, OwnPackage] = {}
    for one in packages:
        if one.name not in found or compare(one.version, found[one.name].version) > 0:
            found[one.name] = one
    return found


def layer_packages(
    base: Mapping[str, InBase], before: Own, after: Own, asked: Collection[str], *, recommends: bool
) -> list[LayerPackage]:
    """Say which packages a layer over a base brings, by name.

    base: what is installed there. before, after: what our suites had for it, and have now. asked: what the recipe asks for, as it
    writes it. recommends: what packages recommend is installed, too. Raises NotLayered with all reasons why apt may choose
    otherwise in a full build, or if nothing changed.
    """
    problems: list[str] = []
    changed = {name: after[name] for name in sorted(base) if _is_changed(name, base[name], after, problems)}
    new = _needed(changed, base, after, recommends=recommends)
    there = base.keys() | new.keys()
    wanted = {package_of(one) for one in asked}
    for name, package in changed.items():
        problems += [f"the recipe asks for {one}" for one in asked if package_of(one) == name != one]
        problems += _unlike(package, before.get(name), there, wanted, recommends=recommends)
    if problems:
        raise NotLayered(problems)
    if not changed:
        raise NotLayered(("none of its packages that are ours has changed",))
    return [LayerPackage(one, one.name in new) for _, one in sorted({**changed, **new}.items())]


def _is_changed(name: str, there: InBase, after: Own, problems: list[str]) -> bool:
    """Say whether our suites have something else than the base has; of that from elsewhere only a later version counts."""
    now = after.get(name)
    if now is None:
        if there.is_ours:
            problems.append(f"{name} is in our suites no more")
        return False
    order = compare(now.version, there.version)
    if there.is_ours and order < 0:
        problems.append(f"{name} went back from {there.version} to {now.version}")
    if not there.is_ours and order == 0 and now.sha256 != there.sha256:
        problems.append(f"{name} {now.version} is in our suites as well, with other content")
    return order > 0 or (there.is_ours and order == 0 and now.sha256 != there.sha256)


def _unlike(
    package: OwnPackage, was: OwnPackage | None, there: Set[str], asked: Set[str], *, recommends: bool
) -> Iterator[str]:
    """Say what about a new version may have apt choose otherwise, or cannot be installed over what is there.

    there: names of what the image has with the layer. asked: names that the recipe asks for.
    """
    name, stanza = package.name, package.stanza
    for field in ("Essential", "Protected"):
        if stanza.get(field) == "yes":
            yield f"{name} is {field.lower()}"
    if was is None:
        yield f"{name} was not ours before"
        return
    if was.stanza.get("Priority", "") != stanza.get("Priority", ""):
        yield f"{name} has another priority"
    yield from _other_needs(
        name, set(_groups(was.stanza, recommends=recommends)), stanza, there, asked, recommends=recommends
    )
    if _provided(was.stanza) - _provided(stanza):
        yield f"{name} no longer provides {', '.join(sorted(_provided(was.stanza) - _provided(stanza)))}"


def _other_needs(
    name: str, before: Set[Group], stanza: Stanza, there: Set[str], asked: Set[str], *, recommends: bool
) -> Iterator[str]:
    """Say which needs are met by something else, or by nothing any more, in a full build.

    Of a need that is written as it was, apt takes what it took. Of any other it takes the first alternative, if it can.
    """
    after = set(_groups(stanza, recommends=recommends))
    for group in sorted(after - before, key=_shown_group):
        if group[0].name not in there:
            yield f"{name} asks for {_shown_group(group)}, of which the first is not there"
    still = {one.name for group in after for one in group}
    for group in sorted(before - after, key=_shown_group):
        names = {one.name for one in group}
        met = names & there
        if not (met & still if met else names & still) and not (met and met <= asked):
            yield f"{name} no longer asks for {_shown_group(group)}"


def _needed(changed: Own, base: Mapping[str, InBase], after: Own, *, recommends: bool) -> dict[str, OwnPackage]:
    """Give what our suites alone can bring for packages that need it and the base has not: first alternatives, as apt takes."""
    new: dict[str, OwnPackage] = {}
    open_ = list(changed.values())
    while open_:
        for group in _groups(open_.pop().stanza, recommends=recommends):
            if any(one.name in base for one in group) or group[0].name not in after or group[0].name in new:
                continue
            new[group[0].name] = after[group[0].name]
            open_.append(after[group[0].name])
    return new


def refuse_other_choices(status: bytes, before: Own, after: Own, *, recommends: bool) -> None:
    """Raise NotLayered if what is installed now is not what apt would have installed.

    status: dpkg's, with the layer. So is a need that nothing there meets, and a package of ours that came or changed, is not
    installed, and that something installed names: apt may have taken it.
    """
    stanzas = [one for one in parse_stanzas(status) if one.get("Status", "").endswith(" installed")]
    installed: dict[str, list[str]] = {}  # "" for no version
    for one in stanzas:
        installed.setdefault(one["Package"], []).append(one["Version"])
        for provided in _relations(one, "Provides"):
            installed.setdefault(provided.name, []).append(provided.version)
    problems = [
        f"{one['Package']} needs {_shown_group(group)}"
        for one in stanzas
        for group in _groups(one, recommends=False)
        if not any(_is_met(each, installed.get(each.name, ())) for each in group)
    ]
    named = {each.name for one in stanzas for group in _groups(one, recommends=recommends) for each in group}
    for name, package in sorted(after.items()):
        was = before.get(name)
        if name in installed or (was is not None and was.raw == package.raw):
            continue
        stanza = package.stanza
        if stanza.get("Priority") in _BY_PRIORITY or stanza.get("Essential") == "yes":
            problems.append(f"{name} is of priority {stanza.get('Priority', 'required')}")
        elif chosen := sorted(({name} | _provided(stanza)) & named):
            problems.append(f"{name} may be what is asked for as {', '.join(chosen)}")
    if problems:
        raise NotLayered(problems)


def other_scripts(name: str, was: Mapping[str, bytes], now: Mapping[str, bytes], *, has_preseed: bool) -> Iterator[str]:
    """Say why what a package does, beside bringing its files, may come out otherwise than in a full build.

    was, now: control files of both versions. What a script left is not taken back by another one, so they must be the same. debconf
    forgets the answers of the recipe with the version before. has_preseed: the recipe has some.
    """
    for file in _SCRIPTS:
        if was.get(file) != now.get(file):
            yield f"{name} has another {file}"
    if has_preseed and not now.keys().isdisjoint(_ASKING):
        yield f"{name} asks what the recipe answers in preseed/"


def _is_met(relation: Relation, versions: Iterable[str]) -> bool:
    wanted = relation.version
    return any(
        not wanted or (version and _SIGNS[relation.relation](compare(DebVersion(version), DebVersion(wanted))))
        for version in versions
    )


def _shown(relation: Relation) -> str:
    return f"{relation.name} ({relation.relation} {relation.version})" if relation.relation else relation.name


def _shown_group(group: Group) -> str:
    return " | ".join(map(_shown, group))


def _provided(stanza: Stanza) -> set[str]:
    return {one.name for one in _relations(stanza, "Provides")}


def _groups(stanza: Stanza, *, recommends: bool) -> Iterator[Group]:
    for field in (*_NEEDS, *(["Recommends"] if recommends else [])):
        if text := stanza.get(field):
            yield from parse_relations(text)


def _relations(stanza: Stanza, field: str) -> Iterator[Relation]:
    if text := stanza.get(field):
        yield from (one for group in parse_relations(text, has_choice=False) for one in group)
