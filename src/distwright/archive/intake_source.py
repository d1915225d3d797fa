"""Take a source package in: its .dsc and the files that it names, from beside it."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from distwright.archive.intake import Placed
from distwright.archive.upload import component_of
from distwright.errors import BadInput, quoted
from distwright.formats.clearsign import without_armour
from distwright.formats.dsc import parse_dsc
from distwright.formats.paths import pool_file_name
from distwright.formats.sources import source_stanza
from distwright.formats.values import FileHash
from distwright.model.digests import Sha256
from distwright.model.names import pool_folder
from distwright.store.adopting import FoundFile, found_file

DSC_LIMIT_BYTES = 4 << 20
_PIECE = 1 << 20
_AGAIN = "fetch the source package again: dget, or apt-get source"


@dataclass(frozen=True, slots=True)
class TakenSource:
    """A source package that was read. pool_files: pool path and file, the .dsc first."""

    name: str
    version: str
    component: str
    stanza: bytes
    pool_files: Sequence[tuple[str, FoundFile]]

    architecture = "source"

    @property
    def list_name(self) -> str:
        """The list of the tree that it belongs to."""
        return f"{self.component}/source"


def take_source(path: str, placed: Placed | None = None, *, paths: Mapping[str, str] | None = None) -> TakenSource:
    """Read a .dsc and hash its files; raise BadInput for anything that is not whole and sound.

    A signature on the .dsc is not looked at: whoever adds it answers for it. placed: a .dsc says neither component nor section.
    paths: where the files lie, by their names in the pool, the .dsc among them; without, they lie beside it.
    """
    place = Path(path)
    if place.stat().st_size > DSC_LIMIT_BYTES:
        raise BadInput(f"{quoted(path)} is too large for a .dsc", hint="name the .dsc file itself")
    content = place.read_bytes()
    try:
        dsc = parse_dsc(without_armour(content))
        component = component_of("") if placed is None else placed.component
        section, priority = ("", "") if placed is None else (placed.section, placed.priority)
        folder = pool_folder(component, dsc.source)
        own_name = next((name for name, where in (paths or {}).items() if where == path), place.name)
        own, own_file = _hashed(place, own_name)
        files = [(f"{folder}/{pool_file_name(own_name)}", own_file)]
        for named in dsc.files:
            found, file = _hashed(Path((paths or {}).get(named.name) or place.parent / named.name), named.name)
            if (found.sha256, found.size) != (named.sha256, named.size):
                raise BadInput(
                    f"{named.name} is not the file that it names",
                    hint=_AGAIN,
                )
            files.append((f"{folder}/{pool_file_name(named.name)}", file))
        stanza = source_stanza(
            dsc, directory=folder, dsc_file=own, section=section or "misc", priority=priority or "optional"
        )
    except BadInput as error:
        raise BadInput(f"{quoted(path)}: {error.message}", hint=error.hint) from error
    return TakenSource(dsc.source, str(dsc.version), component, stanza.rstrip(b"\n") + b"\n", files)


def _hashed(path: Path, name: str) -> tuple[FileHash, FoundFile]:
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            while piece := file.read(_PIECE):
                sha256.update(piece)
                md5.update(piece)
    except FileNotFoundError:
        raise BadInput(f"{name} is not beside it", hint=_AGAIN) from None
    digest = Sha256(sha256.hexdigest())
    return FileHash(name, status.st_size, digest, md5.hexdigest()), found_file(str(path), digest, status)
