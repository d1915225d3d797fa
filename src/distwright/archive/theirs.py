"""What another program's archive has: its suites, their packages, and where the files lie."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from distwright.archive.indexes import UDEBS
from distwright.archive.spool import Spool, Spooled

SOURCE = "source"
_NOT_MACHINES = (SOURCE, "all")


@dataclass(frozen=True, slots=True)
class TheirFile:
    """A file of theirs. name: in a pool. path: where it lies. sha256, size_bytes: what their index says, to be checked."""

    name: str
    path: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class TheirPackage:
    """A package as their index has it. architecture: its own, `source` for a source. files: the .deb, .udeb or .dsc first.

    phase: the share of the machines that it is offered to (Phased-Update-Percentage), "" for all.
    """

    component: str
    name: str
    version: str
    architecture: str
    section: str
    priority: str
    files: tuple[TheirFile, ...]
    phase: str = ""

    @property
    def list_name(self) -> str:
        """The list of our tree that it belongs to."""
        if self.architecture == SOURCE:
            return f"{self.component}/{SOURCE}"
        below = f"{UDEBS}/" if self.files[0].name.endswith(".udeb") else ""
        return f"{self.component}/{below}binary-{self.architecture}"


@dataclass(frozen=True, slots=True)
class TheirSuite:
    """A suite of theirs. components, architectures: that it claims to have. fields: of its Release, as far as they say it.

    packages: gives what it has; a package may come several times.
    """

    name: str
    components: tuple[str, ...]
    architectures: tuple[str, ...]
    packages: Callable[[], Iterable[TheirPackage]]
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TheirArchive:
    """An archive of theirs. uploaders: who may upload to a suite, as lines for people. notes: what a person should know."""

    suites: tuple[TheirSuite, ...]
    uploaders: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Listing:
    """All packages of one suite of theirs, on disk: read while their index was, gone through by list and name."""

    def __init__(self, suite: TheirSuite, spool: Spool) -> None:
        """Read them; raise BadInput, Refused for an index that cannot be read or believed."""
        self.suite = suite
        self.components = set(suite.components)
        self.architectures = set(suite.architectures)
        self._lists: dict[str, Spooled] = {}
        for package in suite.packages():
            self.components.add(package.component)
            self.architectures.add(package.architecture)
            self._lists.setdefault(package.list_name, Spooled(spool)).add(package.name, _to_row(package))
        self.architectures.difference_update(_NOT_MACHINES)

    @property
    def names(self) -> int:
        """Count names of packages, list by list."""
        return sum(map(len, self._lists.values()))

    def groups(self) -> Iterator[tuple[str, str, list[TheirPackage]]]:
        """Give list, name and all versions of it; in the order of the package tree, each package once."""
        for list_name in sorted(self._lists):
            spooled = self._lists[list_name]
            for name in sorted(spooled):
                yield list_name, name, [_from_row(row) for row in dict.fromkeys(spooled[name])]


def _to_row(package: TheirPackage) -> bytes:
    files = [(file.name, file.path, file.sha256, file.size_bytes) for file in package.files]
    row = (
        package.component,
        package.name,
        package.version,
        package.architecture,
        package.section,
        package.priority,
        files,
        package.phase,
    )
    return json.dumps(row).encode()


def _from_row(row: bytes) -> TheirPackage:
    component, name, version, architecture, section, priority, files, phase = json.loads(row)
    own = tuple(TheirFile(*file) for file in files)
    return TheirPackage(component, name, version, architecture, section, priority, own, phase)
