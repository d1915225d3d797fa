"""What changed between two packages, or two sets of them, as debdiff says it: files, modes, fields, dependencies, sizes."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from distwright.checks.contents import Contents
from distwright.checks.difference import shown_owner
from distwright.errors import quoted
from distwright.formats.packagetree import TreeMember
from distwright.formats.relations import BINARY_RELATIONS, BUILD_RELATIONS
from distwright.formats.tar import TarKind
from distwright.model.digests import Json

_RELATIONS = frozenset(name.lower() for name in (*BINARY_RELATIONS, *BUILD_RELATIONS, "Binary"))
_OF_SIZE = "installed-size"


@dataclass(frozen=True, slots=True)
class FieldDelta:
    """A field that is another. first, second: None where it is not there. gone, new: members of a list of packages."""

    name: str
    first: str | None
    second: str | None
    gone: tuple[str, ...] = ()
    new: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FileDelta:
    """A file that is there in both and not the same. what: aspect -> (before, after), in words."""

    path: str
    what: Mapping[str, tuple[str, str]]


@dataclass(frozen=True, slots=True)
class PackageDelta:
    """What changed in one package. first or second is None for one that is new or gone. Files are listed by path."""

    name: str
    first: Contents | None
    second: Contents | None
    fields: tuple[FieldDelta, ...] = ()
    added: tuple[TreeMember, ...] = ()
    removed: tuple[TreeMember, ...] = ()
    moved: tuple[tuple[str, str], ...] = ()
    changed: tuple[FileDelta, ...] = ()
    control: tuple[FileDelta, ...] = ()

    @property
    def is_same(self) -> bool:
        """Say whether every byte is the same."""
        return self.first is not None and self.second is not None and self.first.sha256 == self.second.sha256

    @property
    def is_told(self) -> bool:
        """Say whether anything here says what differs."""
        told = (self.fields, self.added, self.removed, self.moved, self.changed, self.control)
        return self.first is None or self.second is None or any(told)

    def to_json(self) -> Json:
        """Give it as plain values."""
        return {
            "package": self.name,
            "same": self.is_same,
            "first": _summary(self.first),
            "second": _summary(self.second),
            "fields": [
                {"field": one.name, "first": one.first, "second": one.second, "gone": one.gone, "new": one.new}
                for one in self.fields
            ],
            "added": [_shown_file(member) for member in self.added],
            "removed": [_shown_file(member) for member in self.removed],
            "moved": [{"from": before, "to": after} for before, after in self.moved],
            "changed": [_shown_delta(one) for one in self.changed],
            "control": [_shown_delta(one) for one in self.control],
        }


@dataclass(frozen=True, slots=True)
class Delta:
    """What changed between two sets. between: path, package that had it, package that has it."""

    packages: tuple[PackageDelta, ...]
    between: tuple[tuple[str, str, str], ...] = field(default=())

    @property
    def is_same(self) -> bool:
        """Say whether both sets are the same, byte for byte."""
        return all(package.is_same for package in self.packages)


def compare_sets(first: Iterable[Contents], second: Iterable[Contents]) -> Delta:
    """Say what changed from one set to the other: packages are paired by name; a single one is paired with a single one (pure)."""
    before, after = {one.key: one for one in first}, {one.key: one for one in second}
    if len(before) == 1 == len(after) and before.keys() != after.keys():
        [one], [other] = before.values(), after.values()
        return Delta((compare_packages(one, other),))
    keys = sorted(before.keys() | after.keys(), key=lambda key: (key[1] != "", key[0]))
    packages = tuple(compare_packages(before.get(key), after.get(key)) for key in keys)
    return Delta(packages, tuple(_between(packages)))


def compare_packages(first: Contents | None, second: Contents | None) -> PackageDelta:
    """Say what changed from one package to the other, of which one may not be there."""
    if first is None or second is None:
        there = first or second
        return PackageDelta("" if there is None else there.name, first, second)
    moved = _moved(first.files, second.files)
    gone, come = {before for before, _ in moved}, {after for _, after in moved}
    return PackageDelta(
        name=second.name,
        first=first,
        second=second,
        fields=tuple(_fields(first.fields, second.fields)),
        added=tuple(row for path, row in sorted(second.files.items()) if path not in first.files and path not in come),
        removed=tuple(
            row for path, row in sorted(first.files.items()) if path not in second.files and path not in gone
        ),
        moved=moved,
        changed=tuple(_changed(first.files, second.files)),
        control=tuple(_control(first.control_files, second.control_files)),
    )


def _fields(first: Mapping[str, str], second: Mapping[str, str]) -> Iterable[FieldDelta]:
    names = {name.lower(): name for name in (*first, *second)}
    before = {name.lower(): value for name, value in first.items()}
    after = {name.lower(): value for name, value in second.items()}
    for key, name in names.items():
        one, other = before.get(key), after.get(key)
        if one == other:
            continue
        gone: tuple[str, ...] = ()
        new: tuple[str, ...] = ()
        if key in _RELATIONS:
            gone, new = _only_in(_members(one), _members(other)), _only_in(_members(other), _members(one))
        yield FieldDelta(name, one, other, gone, new)


def _members(value: str | None) -> tuple[str, ...]:
    return tuple(" ".join(part.split()) for part in (value or "").split(",") if part.strip())


def _only_in(one: Sequence[str], other: Sequence[str]) -> tuple[str, ...]:
    known = set(other)
    return tuple(member for member in one if member not in known)


def _moved(first: Mapping[str, TreeMember], second: Mapping[str, TreeMember]) -> tuple[tuple[str, str], ...]:
    """Find files that are at one other path: the same content, not empty, and nothing else that has it."""
    sides: list[dict[str, list[str]]] = []
    for one, other in ((first, second), (second, first)):
        by_content: dict[str, list[str]] = defaultdict(list)
        for path, member in one.items():
            if path not in other and member.kind is TarKind.FILE and member.size:
                by_content[member.sha256].append(path)
        sides.append(by_content)
    before, after = sides
    pairs = ((paths, after.get(content, [])) for content, paths in before.items())
    return tuple(sorted((paths[0], there[0]) for paths, there in pairs if len(paths) == 1 == len(there)))


def _changed(first: Mapping[str, TreeMember], second: Mapping[str, TreeMember]) -> Iterable[FileDelta]:
    for path in sorted(first.keys() & second.keys()):
        what = _aspects(first[path], second[path])
        if what:
            yield FileDelta(path, what)


def _aspects(one: TreeMember, other: TreeMember) -> dict[str, tuple[str, str]]:
    """Say what about a file is another. Its time is not worth telling: it is another with every version."""
    rows = {
        "type": (one.kind.value, other.kind.value),
        "link": (quoted(one.link), quoted(other.link)),
        "mode": (f"{one.mode:04o}", f"{other.mode:04o}"),
        "owner": (shown_owner(one.owner), shown_owner(other.owner)),
        "size": (str(one.size), str(other.size)),
    }
    what = {name: both for name, both in rows.items() if both[0] != both[1]}
    if one.sha256 != other.sha256 and "size" not in what and "type" not in what:
        what["content"] = one.sha256[:12], other.sha256[:12]
    return what


def _control(first: Mapping[str, TreeMember], second: Mapping[str, TreeMember]) -> Iterable[FileDelta]:
    """Compare maintainer scripts and the like; the fields of `control` and the sums of `md5sums` say themselves what is another."""
    for path in sorted((first.keys() | second.keys()) - {"control", "md5sums"}):
        if path not in first or path not in second:
            yield FileDelta(path, {"there": ("yes", "no") if path in first else ("no", "yes")})
        elif what := _aspects(first[path], second[path]):
            yield FileDelta(path, what)


def _between(packages: Sequence[PackageDelta]) -> Iterable[tuple[str, str, str]]:
    had: dict[str, str] = {}
    for package in packages:
        removed = package.first.files if package.second is None and package.first is not None else None
        for path in removed or (member.path for member in package.removed):
            had[path] = package.name
    for package in packages:
        added = package.second.files if package.first is None and package.second is not None else None
        for path in added or (member.path for member in package.added):
            member = (package.second.files if package.second is not None else {}).get(path)
            if path in had and had[path] != package.name and member is not None and member.kind is not TarKind.FOLDER:
                yield path, had[path], package.name


def installed_size(contents: Contents) -> int | None:
    """Give the Installed-Size in KiB, if it says a number."""
    value = next((text for name, text in contents.fields.items() if name.lower() == _OF_SIZE), "")
    return int(value) if value.isascii() and value.isdigit() and len(value) < 15 else None


def _summary(contents: Contents | None) -> Json:
    if contents is None:
        return None
    return {
        "file": contents.file,
        "version": contents.version,
        "architecture": contents.architecture,
        "sha256": contents.sha256,
        "size": contents.size_bytes,
        "installed_size": installed_size(contents),
        "files": len(contents.files),
    }


def _shown_file(member: TreeMember) -> Json:
    return {
        "path": member.path,
        "type": member.kind.value,
        "mode": f"{member.mode:04o}",
        "owner": shown_owner(member.owner),
        "size": member.size,
        "link": member.link,
    }


def _shown_delta(one: FileDelta) -> Json:
    return {"path": one.path, **{name: list(both) for name, both in one.what.items()}}
