"""Source control files, .dsc: what a source package is and of which files it consists."""

from dataclasses import dataclass

from distwright.formats.deb822 import Stanza, parse_one
from distwright.formats.fields import FieldReader
from distwright.formats.filelists import file_hashes
from distwright.formats.values import FileHash, architectures, comma_list
from distwright.model.names import package_name
from distwright.model.versions import DebVersion


@dataclass(frozen=True, slots=True)
class Dsc:
    """A source package. files: those beside the .dsc, in its order. stanza: everything, also what is not read here."""

    format: str
    source: str
    version: DebVersion
    binaries: tuple[str, ...]
    architectures: tuple[str, ...]
    maintainer: str
    files: tuple[FileHash, ...]
    stanza: Stanza


def parse_dsc(data: bytes) -> Dsc:
    """Read the text of a .dsc without its armour (see `clearsign`).

    Raises BadInput with all problems: missing Format, Source, Version, Maintainer, Architecture, Binary or
    Checksums-Sha256, bad names, control characters, lists of files that differ. Source: dsc(5), Debian Policy 5.4.
    """
    stanza = parse_one(data)
    fields = FieldReader(stanza, "a .dsc file")
    dsc = Dsc(
        format=fields.text("Format"),
        source=fields.parsed("Source", package_name),
        version=fields.parsed("Version", DebVersion),
        binaries=fields.parsed("Binary", _binaries),
        architectures=fields.parsed("Architecture", architectures),
        maintainer=fields.text("Maintainer"),
        files=file_hashes(fields, "Files"),
        stanza=stanza,
    )
    fields.no_control_signs()
    fields.finish()
    return dsc


def _binaries(text: str) -> tuple[str, ...]:
    return tuple(package_name(name) for name in comma_list(text))
