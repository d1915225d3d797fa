"""An upload as values: a .changes and its files, opened; nothing in it is trusted yet."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from distwright.archive.deb_survey import DebSurvey
from distwright.archive.editing import source_of, version_of
from distwright.archive.indexes import UDEBS
from distwright.archive.tree import Stanzas
from distwright.formats.buildinfo import BuildInfo
from distwright.formats.changes import Changes
from distwright.formats.deb import DebControl
from distwright.formats.dsc import Dsc
from distwright.model.digests import Sha256
from distwright.model.names import pool_folder
from distwright.model.versions import DebVersion

ALL = "all"


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """A file that came along. md5, sha1 prove nothing, but indexes repeat them."""

    digest: Sha256
    size_bytes: int
    md5: str
    sha1: str


@dataclass(frozen=True, slots=True)
class UploadedDeb:
    """A .deb or .udeb of an upload: what the .changes calls it, and what it says of itself."""

    file_name: str
    file: UploadedFile
    deb: DebControl
    survey: DebSurvey

    @property
    def name(self) -> str:
        """The package's name."""
        return self.deb.control["Package"]

    @property
    def version(self) -> DebVersion:
        """The package's version."""
        return DebVersion(self.deb.control["Version"])

    @property
    def source(self) -> str:
        """The source package it was built from."""
        return self.deb.control.get("Source", self.name).partition(" ")[0]

    @property
    def source_version(self) -> str:
        """The version of that source: stands beside it where it is not the package's own."""
        _, _, version = self.deb.control.get("Source", "").partition("(")
        return version.rstrip(") ") or str(self.version)

    @property
    def architecture(self) -> str:
        """`all` or a Debian architecture."""
        return self.deb.control["Architecture"]

    @property
    def component(self) -> str:
        """The component that its section says."""
        return component_of(self.deb.control.get("Section", ""))

    @property
    def is_udeb(self) -> bool:
        """Say whether it is for the installer only: such packages have lists of their own."""
        return self.file_name.endswith(".udeb")

    @property
    def list_name(self) -> str:
        """The list of the tree that it belongs to."""
        return f"{self.component}/{f'{UDEBS}/' if self.is_udeb else ''}binary-{self.architecture}"

    @property
    def pool_path(self) -> str:
        """Where the archive publishes it."""
        return f"{pool_folder(self.component, self.source)}/{self.file_name}"


@dataclass(frozen=True, slots=True)
class Upload:
    """What the checks see.

    signed_at: when the signature was made. files: everything that came along; unsigned: of these, signed by another key than the
    .changes, with the reason. present: what the suite has of its source and of the names of its packages: list and name -> stanzas.
    taken: those of its pool paths that mean something in the archive already; lost: of these, whose bytes are not here. is_known:
    whether the archive ever had the source. components, architectures: those of the archive. earlier: when it was accepted before.
    """

    suite: str
    changes: Changes
    signers: Sequence[str]
    signed_at: datetime
    now: datetime
    files: Mapping[str, UploadedFile]
    debs: tuple[UploadedDeb, ...]
    dsc: Dsc | None
    buildinfos: Mapping[str, BuildInfo]
    foreign: Mapping[str, str]
    present: Mapping[tuple[str, str], Stanzas]
    components: Sequence[str]
    architectures: Sequence[str]
    taken: Mapping[str, Sha256] = field(default_factory=dict)
    lost: Sequence[str] = ()
    is_known: bool = True
    earlier: str = ""

    @property
    def source_component(self) -> str:
        """The component that the .changes gives the source."""
        return next((component_of(file.section) for file in self.changes.files if file.name.endswith(".dsc")), "main")

    @property
    def has_source(self) -> bool:
        """Say whether its source comes along; otherwise the suite has it."""
        return any(name.endswith(".dsc") for name in self.files)

    @property
    def source_there(self) -> list[DebVersion]:
        """The versions of its source that the suite has."""
        return [
            version_of(stanza)
            for (list_name, name), stanzas in self.present.items()
            for stanza in stanzas
            if list_name.endswith("/source") and name == self.changes.source
        ]

    def is_replaced(self, list_name: str, name: str) -> bool:
        """Say whether what the suite has under this name goes: it is of the same source, or taken over with its name.

        A source with packages replaces all that was built of it. A source alone replaces the source: packages of the version before
        stay until new ones are built. Packages alone replace those of their architectures.
        """
        if list_name.endswith("/source"):
            return self.has_source and name == self.changes.source
        if not self.debs:
            return False
        stanzas = self.present.get((list_name, name), ())
        is_ours = all(source_of(stanza) == self.changes.source for stanza in stanzas)
        kind = list_name.rpartition("/binary-")[2]
        if self.has_source or kind in {deb.architecture for deb in self.debs}:
            return is_ours or any(deb.name == name for deb in self.debs)
        return any(deb.name == name and ALL in (kind, deb.architecture) for deb in self.debs)

    def taken_over(self) -> Iterator[tuple[str, str, bytes]]:
        """Yield list, source and stanza of packages that the suite has of other sources under names that came."""
        names = {deb.name for deb in self.debs}
        for (list_name, name), stanzas in self.present.items():
            for stanza in stanzas if name in names and not list_name.endswith("/source") else ():
                if source_of(stanza) != self.changes.source:
                    yield list_name, source_of(stanza), stanza

    def source_path(self, name: str) -> str:
        """Say where the archive publishes a file of the source."""
        return f"{pool_folder(self.source_component, self.changes.source)}/{name}"

    def pool_paths(self) -> Iterator[tuple[str, Sha256]]:
        """Yield where everything of it would be published, and as what."""
        for deb in self.debs:
            yield deb.pool_path, deb.file.digest
        for name, file in self.files.items():
            if name.endswith(".dsc"):
                yield self.source_path(name), file.digest
        for listed in () if self.dsc is None else self.dsc.files:
            yield self.source_path(listed.name), listed.sha256


def component_of(section: str) -> str:
    """Say which component a section is in: `contrib/utils` names one, `utils` means main (Debian Policy 2.4)."""
    area, slash, _ = section.partition("/")
    return area if slash else "main"
