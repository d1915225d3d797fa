"""What is asked of every upload: one small question each, all of them answered, pure."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from distwright.archive.editing import source_of, version_of
from distwright.archive.tree import Stanzas
from distwright.formats.changes import Changes
from distwright.formats.deb import DebControl
from distwright.formats.dsc import Dsc
from distwright.model.digests import Sha256
from distwright.model.names import pool_folder
from distwright.model.versions import DebVersion

ALL = "all"


@dataclass(frozen=True, slots=True)
class UploadedDeb:
    """A .deb of an upload: what the .changes calls it, and what it says of itself."""

    file_name: str
    digest: Sha256
    size_bytes: int
    md5: str
    deb: DebControl

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
    def architecture(self) -> str:
        """`all` or a Debian architecture."""
        return self.deb.control["Architecture"]

    @property
    def component(self) -> str:
        """The component that its section says."""
        return component_of(self.deb.control.get("Section", ""))

    @property
    def pool_path(self) -> str:
        """Where the archive publishes it."""
        return f"{pool_folder(self.component, self.source)}/{self.file_name}"


@dataclass(frozen=True, slots=True)
class Upload:
    """A .changes and its files, opened; nothing in it is trusted yet.

    present: what the suite has of its source and of the names of its packages: list and name -> stanzas. taken: those of its
    pool paths that mean something in the archive already. components, architectures: those of the archive.
    """

    suite: str
    changes: Changes
    files: Mapping[str, Sha256]
    sizes: Mapping[str, int]
    debs: tuple[UploadedDeb, ...]
    dsc: Dsc | None
    present: Mapping[tuple[str, str], Stanzas]
    taken: Mapping[str, Sha256]
    components: Sequence[str]
    architectures: Sequence[str]

    @property
    def source_component(self) -> str:
        """The component that the .changes gives the source."""
        return next((component_of(file.section) for file in self.changes.files if file.name.endswith(".dsc")), "main")

    def is_replaced(self, list_name: str, name: str) -> bool:
        """Say whether what the suite has under this name is of the same source, and so goes."""
        stanzas = self.present.get((list_name, name), ())
        source = self.changes.source
        return (
            name == source if list_name.endswith("/source") else all(source_of(stanza) == source for stanza in stanzas)
        )

    def source_path(self, name: str) -> str:
        """Say where the archive publishes a file of the source."""
        return f"{pool_folder(self.source_component, self.changes.source)}/{name}"

    def pool_paths(self) -> Iterator[tuple[str, Sha256]]:
        """Yield where everything of it would be published, and as what."""
        for deb in self.debs:
            yield deb.pool_path, deb.digest
        for name, digest in self.files.items():
            if name.endswith(".dsc"):
                yield self.source_path(name), digest
        for file in () if self.dsc is None else self.dsc.files:
            yield self.source_path(file.name), file.sha256


def component_of(section: str) -> str:
    """Say which component a section is in: `contrib/utils` names one, `utils` means main (Debian Policy 2.4)."""
    area, slash, _ = section.partition("/")
    return area if slash else "main"


def _files_are_here(upload: Upload) -> list[str]:
    return [f"{file.name} is missing" for file in upload.changes.files if file.name not in upload.files]


def _files_are_listed(upload: Upload) -> list[str]:
    listed = {file.name for file in upload.changes.files}
    return [f"{name} is not in .changes, so nobody has signed it" for name in upload.files if name not in listed]


def _hashes_match(upload: Upload) -> list[str]:
    problems = []
    for file in upload.changes.files:
        if file.name not in upload.files:
            continue
        if upload.files[file.name] != file.sha256:
            problems.append(f"{file.name} has another SHA-256 than .changes says")
        elif upload.sizes[file.name] != file.size:
            problems.append(f"{file.name} has {upload.sizes[file.name]} bytes, .changes says {file.size}")
    return problems


def _names_match(upload: Upload) -> list[str]:
    problems = []
    for deb in upload.debs:
        right = f"{deb.name}_{deb.version.without_epoch}_{deb.architecture}.deb"
        if deb.file_name != right:
            problems.append(f"{deb.file_name} holds {right}")
        if deb.source != upload.changes.source:
            problems.append(f"{deb.file_name} is of source {deb.source}, not {upload.changes.source}")
        if deb.architecture not in upload.changes.architectures:
            problems.append(f"{deb.file_name} is for {deb.architecture}, which .changes does not list")
    if upload.dsc is not None and (upload.dsc.source, upload.dsc.version) != (
        upload.changes.source,
        upload.changes.source_version,
    ):
        problems.append(f".dsc is of {upload.dsc.source} {upload.dsc.version}, not of what .changes says")
    return problems


def _listed_architectures_have_debs(upload: Upload) -> list[str]:
    present = {deb.architecture for deb in upload.debs} | ({"source"} if upload.dsc is not None else set())
    return [f"no file for architecture {name}" for name in upload.changes.architectures if name not in present]


def _has_its_source(upload: Upload) -> list[str]:
    count = sum(name.endswith(".dsc") for name in upload.files)
    if count == 0:
        return [f"no .dsc: the suite would have {upload.changes.source} without its source"]
    return [] if count == 1 else [f"{count} .dsc files, want one"]


def _source_is_whole(upload: Upload) -> list[str]:
    problems = []
    for file in () if upload.dsc is None else upload.dsc.files:
        if file.name in upload.files:
            if upload.files[file.name] != file.sha256:
                problems.append(f"{file.name} has another SHA-256 than .dsc says")
        elif upload.source_path(file.name) not in upload.taken:
            problems.append(f"{file.name}, which .dsc names, is neither here nor in the archive")
    return problems


def _belongs_into_the_archive(upload: Upload) -> list[str]:
    problems = [
        f"{name} is for component {component}, the archive has {', '.join(upload.components)}"
        for name, component in (
            *((deb.file_name, deb.component) for deb in upload.debs),
            *((name, upload.source_component) for name in upload.files if name.endswith(".dsc")),
        )
        if component not in upload.components
    ]
    return problems + [
        f"{deb.file_name} is for {deb.architecture}, the archive has {', '.join(upload.architectures)}"
        for deb in upload.debs
        if deb.architecture not in (ALL, *upload.architectures)
    ]


def _is_newer(upload: Upload) -> list[str]:
    version = DebVersion(upload.changes.version)
    return [
        f"{name} {version_of(stanza)} is in {upload.suite} already and not older than {version}"
        for (list_name, name), stanzas in upload.present.items()
        if list_name.endswith("/source") and name == upload.changes.source
        for stanza in stanzas
        if version_of(stanza).sort_key() >= version.sort_key()
    ]


def _same_name_means_same_content(upload: Upload) -> list[str]:
    return [
        f"{path.rpartition('/')[2]} is in the archive already, with other content"
        for path, digest in upload.pool_paths()
        if upload.taken.get(path, digest) != digest
    ]


CHECKS: Mapping[str, Callable[[Upload], list[str]]] = {
    "files-are-here": _files_are_here,
    "files-are-listed": _files_are_listed,
    "hashes-match": _hashes_match,
    "names-match": _names_match,
    "listed-architectures-have-debs": _listed_architectures_have_debs,
    "has-its-source": _has_its_source,
    "source-is-whole": _source_is_whole,
    "belongs-into-the-archive": _belongs_into_the_archive,
    "version-is-newer": _is_newer,
    "same-name-same-content": _same_name_means_same_content,
}


def check_upload(upload: Upload) -> list[str]:
    """Ask every check; give all problems, each with the name of its check."""
    return [f"{name}: {problem}" for name, check in CHECKS.items() for problem in check(upload)]
