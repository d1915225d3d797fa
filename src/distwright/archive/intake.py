"""Take package files in: hash, check, and give the paragraph that the index shows. Made for fifty thousand at once."""

import hashlib
import os
import stat
from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO

from distwright.archive.indexes import UDEBS
from distwright.archive.upload import component_of
from distwright.errors import BadInput, quoted
from distwright.formats.deb import read_deb
from distwright.formats.deb822 import Stanza
from distwright.formats.packages import package_stanza, translation_stanza
from distwright.formats.paths import pool_file_name
from distwright.formats.quickdeb import QuickDeb, quick_deb, quick_stanza, quick_translation
from distwright.formats.relations import BINARY_RELATIONS, unreadable
from distwright.model.digests import Sha256
from distwright.model.names import pool_folder
from distwright.model.versions import DebVersion
from distwright.store.adopting import FoundFile, found_file

_WHOLE_LIMIT_BYTES = 4 << 20  # larger files are hashed in pieces instead of being read whole
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Placed:
    """Where an archive that we move in has a package, whatever its control file says.

    section, priority, phase (the share of the machines it is offered to): "" is as that says.
    """

    component: str
    section: str = ""
    priority: str = ""
    phase: str = ""

    def fields(self) -> tuple[tuple[str, str], ...]:
        """Give what replaces fields of the control file."""
        said = ("Section", self.section), ("Priority", self.priority), ("Phased-Update-Percentage", self.phase)
        return tuple((name, text) for name, text in said if text)


@dataclass(frozen=True, slots=True)
class TakenDeb:
    """A .deb that was read: what it is, where the pool has it, its paragraphs of Packages and of Translation-en."""

    file: FoundFile
    name: str
    version: str
    architecture: str
    component: str
    pool_path: str
    stanza: bytes
    translation: bytes

    @property
    def pool_files(self) -> tuple[tuple[str, FoundFile], ...]:
        """Pool path and file."""
        return ((self.pool_path, self.file),)

    @property
    def list_name(self) -> str:
        """The list of the tree that it belongs to."""
        return f"{self.component}/{f'{UDEBS}/' if self.is_udeb else ''}binary-{self.architecture}"

    @property
    def is_udeb(self) -> bool:
        """Say whether it is for the installer only: such packages have indexes of their own."""
        return self.pool_path.endswith(".udeb")


def take_deb(path: str, placed: Placed | None = None) -> TakenDeb:
    """Read one .deb or .udeb; raise BadInput for anything that is not a sound package. Costs about 120 µs for a small one.

    placed: whatever the control file says; the Section there names the component otherwise.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe would wait for ever
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise BadInput(f"{quoted(path)} is not a file", hint="name .deb or .dsc files, or folders of them")
        if status.st_size > _WHOLE_LIMIT_BYTES:
            return _take_large(path, descriptor, status, placed)
        data = os.read(descriptor, status.st_size + 1)
    finally:
        os.close(descriptor)
    if len(data) != status.st_size:
        raise BadInput(f"{quoted(path)} changed while it was read", hint="try again when it is complete")
    file = found_file(path, Sha256(hashlib.sha256(data).hexdigest()), status)
    md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
    quick = quick_deb(data)
    return _take_strictly(file, BytesIO(data), md5, placed) if quick is None else _taken(file, quick, md5, placed)


def _taken(file: FoundFile, quick: QuickDeb, md5: str, placed: Placed | None) -> TakenDeb:
    component = component_of(quick.section) if placed is None else placed.component
    for name, text in () if placed is None else placed.fields():
        quick.fields[name.lower().encode()] = (name.encode(), text.encode())
    pool_path = _pool_path(file, component, quick.source, quick.name, quick.version, quick.architecture)
    stanza = quick_stanza(quick, filename=pool_path, size=file.size_bytes, md5=md5, sha256=file.sha256)
    return TakenDeb(
        file, quick.name, quick.version, quick.architecture, component, pool_path, stanza, quick_translation(quick)
    )


def _take_large(path: str, descriptor: int, status: os.stat_result, placed: Placed | None) -> TakenDeb:
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    with open(os.dup(descriptor), "rb") as file:  # noqa: PTH123  # an open descriptor
        while piece := file.read(_PIECE):
            sha256.update(piece)
            md5.update(piece)
        file.seek(0)
        found = found_file(path, Sha256(sha256.hexdigest()), status)
        return _take_strictly(found, file, md5.hexdigest(), placed)


def _take_strictly(found: FoundFile, file: BinaryIO, md5: str, placed: Placed | None) -> TakenDeb:
    try:
        control = read_deb(file).control
        name, version, architecture = control["Package"], control["Version"], control["Architecture"]
        source = control.get("Source", name).partition(" ")[0]
        component = component_of(control.get("Section", "")) if placed is None else placed.component
        DebVersion(version)
        if placed is None:  # what is in an archive already has been read by apt, however old its words are
            _check_relations(control)
        pool_folder(component, source)
        pool_path = _pool_path(found, component, source, name, version, architecture)
        pool_file_name(pool_path.rpartition("/")[2])
        stanza = package_stanza(
            control,
            filename=pool_path,
            size=found.size_bytes,
            md5=md5,
            sha256=found.sha256,
            extra=() if placed is None else placed.fields(),
        )
        translation = translation_stanza(control)
    except KeyError as error:
        raise BadInput(
            f"{quoted(found.path)}: its control file has no {error.args[0]}", hint="build it again"
        ) from error
    except BadInput as error:
        raise BadInput(f"{quoted(found.path)}: {error.message}", hint=error.hint) from error
    return TakenDeb(found, name, version, architecture, component, pool_path, stanza, translation)


def _check_relations(control: Stanza) -> None:
    """Raise BadInput for relations that apt cannot read: it would stop there in the index. Empty fields stay out of it."""
    said = tuple(name for name in BINARY_RELATIONS if control.get(name))
    problems = list(unreadable(control, said))
    if problems:
        raise BadInput("; ".join(problems), hint="write relations as Debian Policy 7.1 says, and build it again")


def _pool_path(file: FoundFile, component: str, source: str, name: str, version: str, architecture: str) -> str:
    initial = source[:4] if source.startswith("lib") and len(source) > 3 else source[:1]
    ending = "udeb" if file.path.endswith(".udeb") else "deb"
    file_version = version.partition(":")[2] or version
    return f"pool/{component}/{initial}/{source}/{name}_{file_version}_{architecture}.{ending}"
