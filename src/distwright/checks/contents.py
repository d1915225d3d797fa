"""What a package or source package consists of, for comparisons: its fields, its files, its control files."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

from distwright.errors import BadInput, quoted
from distwright.formats.clearsign import without_armour
from distwright.formats.deb import read_deb
from distwright.formats.dsc import parse_dsc
from distwright.formats.packagetree import TreeMember, is_deb, read_tree

_SUMS = frozenset({"files", "checksums-sha1", "checksums-sha256"})


@dataclass(frozen=True, slots=True)
class Contents:
    """One package, or a source package (architecture "source"). files, control_files: path -> member. size_bytes: as packed."""

    name: str
    version: str
    architecture: str
    file: str
    sha256: str
    size_bytes: int
    fields: Mapping[str, str]
    files: Mapping[str, TreeMember]
    control_files: Mapping[str, TreeMember] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str]:
        """What it is compared by: a source package is not the package of its name."""
        return self.name, "source" if self.architecture == "source" else ""


def read_binary(file: BinaryIO, name: str, sha256: str, *, look: Callable[[], None] = lambda: None) -> Contents:
    """Read a .deb; raise BadInput if it is damaged or passes a limit. name: of the file, for messages."""
    try:
        if not is_deb(file):
            raise BadInput("it is no .deb", hint="give a file that dpkg-deb has made")
        control = dict(read_deb(file).control.items())
        parts = {
            part.stem: {member.path: member for member in part.members} for part in read_tree(file, name, look=look)
        }
        size = file.seek(0, 2)
        return Contents(
            name=control.get("Package", name),
            version=control.get("Version", ""),
            architecture=control.get("Architecture", ""),
            file=name,
            sha256=sha256,
            size_bytes=size,
            fields=control,
            files=parts.get("data.tar", {}),
            control_files={path: row for path, row in parts.get("control.tar", {}).items() if path != "."},
        )
    except BadInput as problem:
        raise BadInput(f"{quoted(name)}: {problem.message}", hint="fetch or build the file again") from problem


def read_source(
    dsc: bytes, name: str, sha256: str, tars: Mapping[str, BinaryIO], *, look: Callable[[], None] = lambda: None
) -> Contents:
    """Read a source package: its .dsc, and what its tars unpack to (before patches). tars: those of its files that are tars.

    The folder that a tar of upstream or of a native package has everything in is left out, as dpkg-source does. Raises BadInput.
    """
    try:
        source = parse_dsc(without_armour(dsc))
        files: dict[str, TreeMember] = {}
        for tar, opened in sorted(tars.items()):
            for part in read_tree(opened, tar, look=look):
                files |= _below_top({member.path: member for member in part.members})
        return Contents(
            name=source.source,
            version=str(source.version),
            architecture="source",
            file=name,
            sha256=sha256,
            size_bytes=sum(file.size for file in source.files),
            fields={key: value for key, value in source.stanza.items() if key.lower() not in _SUMS},
            files=files,
        )
    except BadInput as problem:
        raise BadInput(f"{quoted(name)}: {problem.message}", hint="fetch or build the file again") from problem


def _below_top(files: Mapping[str, TreeMember]) -> dict[str, TreeMember]:
    tops = {path.partition("/")[0] for path in files} - {"."}
    if len(tops) != 1 or "debian" in tops:
        return dict(files)
    top = f"{tops.pop()}/"
    return {path.removeprefix(top): member for path, member in files.items() if path.startswith(top)}
