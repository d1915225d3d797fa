"""Upload control files, .changes: what is uploaded, for which suite, why, and which files come with it."""

from dataclasses import dataclass
from datetime import datetime

from distwright.errors import BadInput, quoted
from distwright.formats.dates import parse_date
from distwright.formats.deb822 import Stanza, parse_one
from distwright.formats.fields import FieldReader
from distwright.formats.paths import safe_file_name
from distwright.formats.values import (
    FileHash,
    architectures,
    checksum_list,
    joined_files,
    md5,
    number,
    rows,
    sha1,
    words,
)
from distwright.model.digests import Sha256
from distwright.model.names import package_name
from distwright.model.versions import DebVersion


@dataclass(frozen=True, slots=True)
class UploadFile:
    """A file of an upload with its section and priority ("-" where it has none). Only the SHA-256 proves anything."""

    name: str
    size: int
    md5: str
    sha1: str | None
    sha256: Sha256
    section: str
    priority: str

    def as_hash(self) -> FileHash:
        """Give the same file without section and priority."""
        return FileHash(self.name, self.size, self.sha256, self.md5, self.sha1)


@dataclass(frozen=True, slots=True)
class Changes:
    """An upload. binaries and description are empty for an upload of source only (dpkg since 1.19.3).

    source_version differs from version in a binary-only rebuild. distribution: as it stands, even when it names several
    suites. description and changes: as `Stanza.get` gives them, see `unwrapped`.
    """

    source: str
    source_version: DebVersion
    version: DebVersion
    binaries: tuple[str, ...]
    architectures: tuple[str, ...]
    distribution: str
    date: datetime
    urgency: str
    maintainer: str
    changed_by: str | None
    description: str
    changes: str
    closes: tuple[int, ...]
    files: tuple[UploadFile, ...]
    stanza: Stanza


def parse_changes(data: bytes) -> Changes:
    """Read the text of a .changes without its armour (see `clearsign`).

    Raises BadInput with all problems: a missing field that Debian Policy 5.5 makes mandatory (but Checksums-Sha1,
    which is on its way out), a bad name, number, version or date, a control character, lists
    of files that differ. Source: deb-changes(5).
    """
    stanza = parse_one(data)
    fields = FieldReader(stanza, "a .changes file")
    fields.text("Format")
    source, source_version = fields.source()
    version = fields.parsed("Version", DebVersion)
    changes = Changes(
        source=source,
        source_version=source_version or version,
        version=version,
        binaries=fields.optional("Binary", _binaries) or (),
        architectures=fields.parsed("Architecture", architectures),
        distribution=fields.text("Distribution"),
        date=fields.parsed("Date", parse_date),
        urgency=(stanza.get("Urgency") or "unknown").lower(),
        maintainer=fields.text("Maintainer"),
        changed_by=stanza.get("Changed-By"),
        description=stanza.get("Description") or "",
        changes=fields.text("Changes"),
        closes=fields.optional("Closes", _closes) or (),
        files=_files(fields),
        stanza=stanza,
    )
    fields.no_control_signs()
    fields.finish()
    return changes


def _binaries(text: str) -> tuple[str, ...]:
    return tuple(package_name(name) for name in words(text))


def _closes(text: str) -> tuple[int, ...]:
    return tuple(number(word) for word in words(text))


def _files(fields: FieldReader) -> tuple[UploadFile, ...]:
    listed = fields.parsed("Files", _listed_files) or {}
    sha256s = fields.parsed("Checksums-Sha256", lambda text: checksum_list(text, Sha256, safe_file_name)) or {}
    sha1s = fields.optional("Checksums-Sha1", lambda text: checksum_list(text, sha1, safe_file_name))
    md5s = {name: (digest, size) for name, (digest, size, _, _) in listed.items()}
    if not listed or not sha256s:
        return ()  # already a problem
    hashes = fields.attempt("Checksums-Sha256", lambda: joined_files(sha256s, md5s, sha1s)) or ()
    return tuple(_upload_file(file, listed[file.name]) for file in hashes)


def _upload_file(file: FileHash, row: tuple[str, int, str, str]) -> UploadFile:
    digest, size, section, priority = row
    return UploadFile(file.name, size, digest, file.sha1, file.sha256, section, priority)


def _listed_files(text: str) -> dict[str, tuple[str, int, str, str]]:
    files: dict[str, tuple[str, int, str, str]] = {}
    for digest, size, section, priority, name in rows(text, 5):
        if name in files:
            raise BadInput(f"{quoted(name)} is listed twice", hint="list each file once")
        files[safe_file_name(name)] = md5(digest), number(size), section, priority
    return files
