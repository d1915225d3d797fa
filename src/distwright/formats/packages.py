"""Packages indexes: the entry of a binary package read fast, and written from the control file of a .deb.

Source: wiki.debian.org/DebianRepository/Format, "Packages Indices"; the order of fields is dak's (its
metadata_keys), read off bookworm's main index.
"""

import hashlib
import mmap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from distwright.errors import BadInput, quoted
from distwright.formats.deb822 import Stanza, raw_field, raw_stanzas, write_bounded
from distwright.formats.fields import FieldReader
from distwright.formats.paths import safe_path
from distwright.formats.values import architecture, number, source_field
from distwright.formats.values import md5 as checked_md5
from distwright.model.digests import Sha256
from distwright.model.names import package_name
from distwright.model.versions import DebVersion

_FIRST = (
    "Package", "Source", "Version", "Essential", "Installed-Size", "Maintainer", "Original-Maintainer", "Architecture",
    "Replaces", "Provides", "Depends", "Pre-Depends", "Recommends", "Suggests", "Enhances", "Conflicts", "Breaks",
    "Description", "Multi-Arch", "Homepage",
)  # fmt: skip
_LAST = ("Build-Essential", "Tag", "Section", "Priority", "Filename", "Size", "MD5sum", "SHA256")
FIELD_PLACES = {name.lower(): place for place, name in enumerate(_FIRST)} | {
    name.lower(): len(_FIRST) + 1 + place for place, name in enumerate(_LAST)
}
_LIMIT_BYTES = 256 << 10  # of a paragraph
FIELDS_BEFORE = len(_FIRST)  # where fields go that have no place of their own
# A control file must not say these about itself, and an index has no word for Status.
OWN_FIELDS = frozenset({"filename", "size", "md5sum", "sha1", "sha256", "sha512", "description-md5", "status"})


@dataclass(frozen=True, slots=True)
class PackageEntry:
    """One stanza of a Packages index. source and source_version are the package's own when the stanza has no Source."""

    name: str
    version: DebVersion
    architecture: str
    source: str
    source_version: DebVersion
    filename: str
    size: int
    sha256: Sha256
    section: str | None
    raw: bytes


def iter_packages(data: bytes | memoryview | mmap.mmap) -> Iterator[PackageEntry]:
    """Read the entries of an index one by one, about 80,000 a second. Raises BadInput as `package_entry` does."""
    for raw in raw_stanzas(data):
        yield package_entry(raw)


def iter_pool_files(data: bytes | memoryview | mmap.mmap) -> Iterator[tuple[str, Sha256, int]]:
    """Give path, SHA-256 and size of each package of an index, about 180,000 a second. Raises BadInput."""
    for raw in raw_stanzas(data):
        try:
            yield safe_path(_text(raw, b"Filename")), Sha256(_text(raw, b"SHA256")), number(_text(raw, b"Size"))
        except UnicodeDecodeError:
            raise _bad_entry(raw, "it is not UTF-8") from None
        except BadInput as problem:
            raise _bad_entry(raw, problem.message) from None


def package_entry(raw: bytes) -> PackageEntry:
    """Read one entry from its raw stanza; fields beyond those of the entry are not looked at.

    Raises BadInput naming the package, for a missing field, a bad value, or a Filename that fails `safe_path`.
    """
    try:
        name = package_name(_text(raw, b"Package"))
        version = DebVersion(_text(raw, b"Version"))
        written = raw_field(raw, b"Source")
        source, source_version = source_field(written.decode()) if written else (name, None)
        section = raw_field(raw, b"Section")
        return PackageEntry(
            name=name,
            version=version,
            architecture=architecture(_text(raw, b"Architecture")),
            source=source,
            source_version=source_version or version,
            filename=safe_path(_text(raw, b"Filename")),
            size=number(_text(raw, b"Size")),
            sha256=Sha256(_text(raw, b"SHA256")),
            section=section.decode() if section else None,
            raw=raw,
        )
    except UnicodeDecodeError:
        raise _bad_entry(raw, "it is not UTF-8") from None
    except BadInput as problem:
        raise _bad_entry(raw, problem.message) from None


def package_stanza(
    control: Stanza,
    *,
    filename: str,
    size: int,
    md5: str,
    sha256: Sha256,
    extra: Iterable[tuple[str, str]] = (),
) -> bytes:
    """Write the entry of a .deb from its control file: the synopsis only, with the Description-md5 of the whole text.

    extra: fields that replace those of the same name (Section, Priority, Tag, Phased-Update-Percentage). What the
    control file says itself about Filename, Size and digests is dropped. Raises BadInput with all problems of the
    control file, and for a paragraph that is too large for apt.
    """
    _check_control(control)
    fields = {name.lower(): (name, text) for name, text in control.items() if name.lower() not in OWN_FIELDS and text}
    synopsis = control["Description"].split("\n", 1)[0]
    source = _source(control)
    ours = (
        # A control file may write these otherwise (package:, two blanks before the version); readers look for them as here.
        ("Package", control["Package"]),
        *([("Source", source)] if source else []),
        ("Description", synopsis),
        ("Description-md5", description_md5(control)),
        *extra,
        ("Filename", safe_path(filename)),
        ("Size", str(size)),
        ("MD5sum", checked_md5(md5)),
        ("SHA256", sha256),
    )
    fields |= {name.lower(): (name, value) for name, value in ours}
    return write_bounded(
        sorted(fields.values(), key=lambda item: (FIELD_PLACES.get(item[0].lower(), FIELDS_BEFORE), item[0])),
        _LIMIT_BYTES,
    )


def translation_stanza(control: Stanza) -> bytes:
    """Write the Translation-en entry of a package: its whole description, found by apt through Description-md5."""
    _check_control(control)
    return write_bounded(
        (
            ("Package", control["Package"]),
            ("Description-md5", description_md5(control)),
            ("Description-en", control["Description"]),
        ),
        _LIMIT_BYTES,
    )


def description_md5(control: Stanza) -> str:
    """Hash the whole description as it stands in the control file, with one newline at its end."""
    return hashlib.md5(control["Description"].encode() + b"\n", usedforsecurity=False).hexdigest()


def _source(control: Stanza) -> str:
    written = control.get("Source", "")
    name, version = source_field(written) if written else ("", None)
    return name if version is None else f"{name} ({version})"


def _check_control(control: Stanza) -> None:
    fields = FieldReader(control, "the control file of a package")
    fields.parsed("Package", package_name)
    fields.parsed("Version", DebVersion)
    fields.parsed("Architecture", architecture)
    fields.optional("Source", source_field)
    fields.text("Maintainer")
    fields.text("Description")
    fields.no_control_signs()
    fields.finish()


def _text(raw: bytes, name: bytes) -> str:
    value = raw_field(raw, name)
    if not value:
        raise BadInput(f"{name.decode()} is missing", hint="add the field")
    return value.decode()


def _bad_entry(raw: bytes, problem: str) -> BadInput:
    name = (raw_field(raw, b"Package") or raw).decode("ascii", "backslashreplace")
    return BadInput(f"entry {quoted(name, 60)} of an index: {problem}", hint="make the index again from its packages")
