"""Build records, .buildinfo: where, when and with which packages something was built, so that it can be built again."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from distwright.errors import BadInput, quoted
from distwright.formats.dates import parse_date
from distwright.formats.deb822 import Stanza, parse_one
from distwright.formats.fields import FieldReader
from distwright.formats.filelists import file_hashes
from distwright.formats.values import FileHash, architecture, architectures, comma_list, words
from distwright.model.names import package_name
from distwright.model.versions import DebVersion

_INSTALLED = re.compile(r"([a-z0-9][a-z0-9+.-]+)(:[a-z0-9-]+)?[ \t\n]*\(=[ \t]*([^ \t\n()]+)[ \t]*\)")
_VARIABLE = re.compile(r'[ \t]*([A-Za-z_][A-Za-z0-9_]*)="((?>(?:[^"\\]|\\.)*))"[ \t]*')
_ESCAPE = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True)
class BuildInfo:
    """A build. installed_build_depends: package (with `:architecture` where that stands there) and version."""

    source: str
    source_version: DebVersion
    version: DebVersion
    binaries: tuple[str, ...]
    architectures: tuple[str, ...]
    checksums: tuple[FileHash, ...]
    build_origin: str | None
    build_architecture: str
    build_date: datetime | None
    build_path: str | None
    installed_build_depends: tuple[tuple[str, DebVersion], ...]
    environment: Mapping[str, str]
    stanza: Stanza


def parse_buildinfo(data: bytes) -> BuildInfo:
    """Read the text of a .buildinfo without its armour (see `clearsign`).

    Raises BadInput with all problems: a missing Format, Source, Architecture, Version, Checksums-Sha256,
    Build-Architecture or Installed-Build-Depends, a bad value in any field read here. Source: deb-buildinfo(5).
    """
    stanza = parse_one(data)
    fields = FieldReader(stanza, "a .buildinfo file")
    fields.text("Format")
    source, source_version = fields.source()
    version = fields.parsed("Version", DebVersion)
    record = BuildInfo(
        source=source,
        source_version=source_version or version,
        version=version,
        binaries=fields.optional("Binary", _binaries) or (),
        architectures=fields.parsed("Architecture", architectures),
        checksums=file_hashes(fields, "Checksums-Md5"),
        build_origin=stanza.get("Build-Origin"),
        build_architecture=fields.parsed("Build-Architecture", architecture),
        build_date=fields.optional("Build-Date", parse_date),
        build_path=stanza.get("Build-Path"),
        installed_build_depends=fields.parsed("Installed-Build-Depends", _installed),
        environment=fields.optional("Environment", _environment) or {},
        stanza=stanza,
    )
    fields.finish()
    return record


def _binaries(text: str) -> tuple[str, ...]:
    return tuple(package_name(name) for name in words(text))


def _installed(text: str) -> tuple[tuple[str, DebVersion], ...]:
    packages = []
    for member in comma_list(text):
        match = _INSTALLED.fullmatch(member)
        if not match:
            raise BadInput(f"{quoted(member)} is not an installed package", hint="write 'name (= version)'")
        packages.append((match[1] + (match[2] or ""), DebVersion(match[3])))
    return tuple(packages)


def _environment(text: str) -> dict[str, str]:
    variables: dict[str, str] = {}
    for line in text.split("\n"):
        if not line:
            continue
        match = _VARIABLE.fullmatch(line)
        if not match or match[1] in variables:
            raise BadInput(f"{quoted(line)} does not set a new variable", hint='write NAME="value" with \\" and \\\\')
        variables[match[1]] = _ESCAPE.sub(r"\1", match[2])
    return variables
