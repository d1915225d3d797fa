"""Sources indexes: the entry of a source package, read, and written from its .dsc.

Source: wiki.debian.org/DebianRepository/Format, "Sources Indices"; the order of fields is dak's.
"""

import mmap
from collections.abc import Iterator
from dataclasses import dataclass

from distwright.errors import BadInput, quoted
from distwright.formats.deb822 import parse_one, raw_field, raw_stanzas, write_bounded
from distwright.formats.dsc import Dsc
from distwright.formats.fields import FieldReader
from distwright.formats.filelists import file_hashes
from distwright.formats.paths import safe_file_name, safe_path
from distwright.formats.values import FileHash, architectures, checksum_list, comma_list, md5
from distwright.model.digests import Sha256
from distwright.model.names import package_name
from distwright.model.versions import DebVersion

_FIRST = (
    "Package", "Binary", "Version", "Maintainer", "Uploaders", "Build-Depends", "Build-Depends-Indep",
    "Build-Depends-Arch", "Build-Conflicts", "Build-Conflicts-Indep", "Build-Conflicts-Arch", "Architecture",
    "Standards-Version", "Format", "Files", "Vcs-Browser", "Vcs-Git", "Checksums-Sha256", "Homepage", "Package-List",
    "Testsuite", "Testsuite-Triggers",
)  # fmt: skip
_LIMIT_BYTES = 4 << 20  # of a paragraph: lists of files are long
_LAST = ("Directory", "Priority", "Section")
_PLACES = {name.lower(): place for place, name in enumerate(_FIRST)} | {
    name.lower(): len(_FIRST) + 1 + place for place, name in enumerate(_LAST)
}
# Source becomes Package; the lists are written anew with the .dsc among them; SHA-1 has gone from Debian's indexes.
_REPLACED = frozenset(
    {"source", "package", "files", "checksums-sha1", "checksums-sha256", "checksums-sha512", "directory"}
)


@dataclass(frozen=True, slots=True)
class SourceEntry:
    """One stanza of a Sources index. files: with the .dsc, each below `directory`."""

    name: str
    version: DebVersion
    binaries: tuple[str, ...]
    architectures: tuple[str, ...]
    directory: str
    files: tuple[FileHash, ...]
    section: str | None
    raw: bytes


def iter_sources(data: bytes | memoryview | mmap.mmap) -> Iterator[SourceEntry]:
    """Read the entries of an index one by one, about 20,000 a second. Raises BadInput as `source_entry` does."""
    for raw in raw_stanzas(data):
        yield source_entry(raw)


def iter_source_files(data: bytes | memoryview | mmap.mmap) -> Iterator[tuple[str, Sha256, int]]:
    """Give path, SHA-256 and size of each file of an index, the .dsc among them; about 100,000 sources a second.

    Raises BadInput naming the source; fields beyond Directory and Checksums-Sha256 are not looked at.
    """
    for raw in raw_stanzas(data):
        try:
            directory = _directory(_text(raw, b"Directory"))
            files = checksum_list(_text(raw, b"Checksums-Sha256"), Sha256, safe_file_name)
        except (UnicodeDecodeError, BadInput) as problem:
            name = (raw_field(raw, b"Package") or raw).decode("ascii", "backslashreplace")
            reason = problem.message if isinstance(problem, BadInput) else "it is not UTF-8"
            raise BadInput(
                f"entry {quoted(name, 60)} of a Sources index: {reason}", hint="make the index again from its sources"
            ) from None
        for file_name, (digest, size) in files.items():
            yield f"{directory}/{file_name}".removeprefix("/"), digest, size


def source_entry(raw: bytes) -> SourceEntry:
    """Read one entry from its raw stanza. A directory of "." (flat archives) is given as an empty text.

    Raises BadInput with all problems: missing fields, bad values, a Directory that fails `safe_path`.
    """
    stanza = parse_one(raw)
    fields = FieldReader(stanza, f"the entry {quoted(stanza.get('Package') or '?')} of a Sources index")
    entry = SourceEntry(
        name=fields.parsed("Package", package_name),
        version=fields.parsed("Version", DebVersion),
        binaries=fields.optional("Binary", comma_list) or (),
        architectures=fields.optional("Architecture", architectures) or (),
        directory=fields.parsed("Directory", _directory),
        files=file_hashes(fields, "Files"),
        section=stanza.get("Section"),
        raw=raw,
    )
    fields.finish()
    return entry


def source_stanza(dsc: Dsc, *, directory: str, dsc_file: FileHash, section: str, priority: str) -> bytes:
    """Write the entry of a source package: the fields of its .dsc, its files and the .dsc itself with MD5 and SHA-256.

    Raises BadInput when a file has no MD5 (the field Files is mandatory in an index) or the .dsc is listed in itself,
    and for a paragraph that is too large.
    """
    if dsc_file.name in {file.name for file in dsc.files}:
        raise BadInput(f"{quoted(dsc_file.name)} lists itself", hint="build the source package again")
    files = [dsc_file, *dsc.files]
    ours = (
        ("Package", dsc.source),
        ("Files", "".join([f"\n {md5(file.md5 or '')} {file.size} {safe_file_name(file.name)}" for file in files])),
        ("Checksums-Sha256", "".join([f"\n {file.sha256} {file.size} {file.name}" for file in files])),
        ("Directory", safe_path(directory)),
        ("Priority", priority),
        ("Section", section),
    )
    fields = {name.lower(): (name, text) for name, text in dsc.stanza.items() if name.lower() not in _REPLACED and text}
    fields |= {name.lower(): (name, value) for name, value in ours}
    middle = len(_FIRST)
    rows = sorted(fields.values(), key=lambda item: (_PLACES.get(item[0].lower(), middle), item[0]))
    return write_bounded(rows, _LIMIT_BYTES)


def _text(raw: bytes, name: bytes) -> str:
    value = raw_field(raw, name)
    if not value:
        raise BadInput(f"{name.decode()} is missing", hint="add the field")
    return value.decode()


def _directory(text: str) -> str:
    return "" if text in (".", "./") else safe_path(text)
