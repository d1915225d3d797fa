"""Release files: what a suite says about itself, and the size and digests of each of its indexes.

Source: wiki.debian.org/DebianRepository/Format, "Release files"; field order and layout are those of dak, so that a
Release of Debian comes back byte for byte.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from distwright.errors import BadInput, quoted
from distwright.formats.dates import parse_date, release_date
from distwright.formats.deb822 import parse_one, write_stanza
from distwright.formats.fields import FieldReader
from distwright.formats.paths import safe_path
from distwright.formats.values import architectures, checksum_list, comma_list, md5, words, yes_or_no
from distwright.model.digests import Sha256

_BEFORE_DATE = ("Origin", "Label", "Suite", "Version", "Codename", "Changelogs", "Snapshots")
_KNOWN = frozenset(
    name.lower()
    for name in (
        *_BEFORE_DATE, "Date", "Valid-Until", "NotAutomatic", "ButAutomaticUpgrades", "Acquire-By-Hash",
        "No-Support-for-Architecture-all", "Architectures", "Components", "Description", "Signed-By",
        "MD5Sum", "SHA1", "SHA256", "SHA512",
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One index file, by its path below the folder of the Release file."""

    path: str
    size: int
    sha256: Sha256
    md5: str | None = None


@dataclass(frozen=True, slots=True)
class Release:
    """A Release file. Texts that are missing or empty are None; dates are in UTC; the indexes stand by path.

    extra: fields we have no word for, as they stood. SHA-1 and SHA-512 lists are not kept: they would go stale.
    signed_by: fingerprints, each perhaps with `!`, or the names of keyrings.
    """

    date: datetime
    indexes: Mapping[str, IndexEntry]
    origin: str | None = None
    label: str | None = None
    suite: str | None = None
    version: str | None = None
    codename: str | None = None
    changelogs: str | None = None
    snapshots: str | None = None
    valid_until: datetime | None = None
    not_automatic: bool = False
    but_automatic_upgrades: bool = False
    acquire_by_hash: bool = False
    no_support_for_architecture_all: str | None = None
    architectures: tuple[str, ...] = ()
    components: tuple[str, ...] = ()
    description: str | None = None
    signed_by: tuple[str, ...] = ()
    extra: tuple[tuple[str, str], ...] = ()


def parse_release(data: bytes) -> Release:
    """Read a Release file, or an InRelease file without its armour; its signature is not looked at.

    Date and SHA256 are mandatory; Suite, Codename, Architectures and Components may be missing, as in flat archives.
    Paths must pass `safe_path`. Raises BadInput with all problems.
    """
    stanza = parse_one(data)
    fields = FieldReader(stanza, "a Release file")
    release = Release(
        date=fields.parsed("Date", _utc),
        indexes=_indexes(fields),
        origin=stanza.get("Origin") or None,
        label=stanza.get("Label") or None,
        suite=stanza.get("Suite") or None,
        version=stanza.get("Version") or None,
        codename=stanza.get("Codename") or None,
        changelogs=stanza.get("Changelogs") or None,
        snapshots=stanza.get("Snapshots") or None,
        valid_until=fields.optional("Valid-Until", _utc),
        not_automatic=fields.optional("NotAutomatic", yes_or_no) or False,
        but_automatic_upgrades=fields.optional("ButAutomaticUpgrades", yes_or_no) or False,
        acquire_by_hash=fields.optional("Acquire-By-Hash", yes_or_no) or False,
        no_support_for_architecture_all=stanza.get("No-Support-for-Architecture-all") or None,
        architectures=fields.optional("Architectures", architectures) or (),
        components=fields.optional("Components", _components) or (),
        description=stanza.get("Description") or None,
        signed_by=fields.optional("Signed-By", comma_list) or (),
        extra=tuple((name, value) for name, value in stanza.items() if name.lower() not in _KNOWN),
    )
    fields.finish()
    return release


def write_release(release: Release) -> bytes:
    """Write a Release file in dak's order, indexes sorted by path; MD5Sum lists those that have one, if any has.

    Raises BadInput when there are no indexes (apt refuses such a file), and for what `parse_release` would refuse.
    """
    if not release.indexes:
        raise BadInput("a Release file without indexes", hint="publish at least one index, it may be empty")
    return write_stanza(_fields(release))


def _fields(release: Release) -> Iterator[tuple[str, str]]:
    texts = release.origin, release.label, release.suite, release.version, release.codename
    for name, text in zip(_BEFORE_DATE, (*texts, release.changelogs, release.snapshots), strict=True):
        if text:
            yield name, text
    yield "Date", release_date(release.date)
    if release.valid_until:
        yield "Valid-Until", release_date(release.valid_until)
    switches = release.not_automatic, release.but_automatic_upgrades, release.acquire_by_hash
    for name, is_on in zip(("NotAutomatic", "ButAutomaticUpgrades", "Acquire-By-Hash"), switches, strict=True):
        if is_on:
            yield name, "yes"
    if release.no_support_for_architecture_all:
        yield "No-Support-for-Architecture-all", release.no_support_for_architecture_all
    if release.architectures:
        yield "Architectures", _one_line("Architectures", release.architectures)
    if release.components:
        yield "Components", _one_line("Components", release.components)
    if release.description:
        yield "Description", release.description
    if release.signed_by:
        yield "Signed-By", ",".join(release.signed_by)
    yield from release.extra
    yield from _digest_lists(release.indexes)


def _digest_lists(indexes: Mapping[str, IndexEntry]) -> Iterator[tuple[str, str]]:
    entries = sorted(indexes.values(), key=lambda entry: entry.path)
    for entry in entries:
        if safe_path(entry.path) != entry.path or " " in entry.path:
            raise BadInput(f"an index cannot be listed as {quoted(entry.path)}", hint="use a path without blanks")
    weak = [(md5(entry.md5), entry) for entry in entries if entry.md5 is not None]
    if weak:
        yield "MD5Sum", "".join([f"\n {digest} {entry.size:8d} {entry.path}" for digest, entry in weak])
    yield "SHA256", "".join([f"\n {entry.sha256} {entry.size:8d} {entry.path}" for entry in entries])


def _one_line(name: str, members: tuple[str, ...]) -> str:
    text = " ".join(members)
    if words(text) != members:
        raise BadInput(f"{name} cannot be written as {quoted(text)}", hint="use names without blanks")
    return text


def _indexes(fields: FieldReader) -> dict[str, IndexEntry]:
    sha256s = fields.parsed("SHA256", lambda text: checksum_list(text, Sha256, safe_path)) or {}
    md5s = fields.optional("MD5Sum", lambda text: checksum_list(text, md5, safe_path)) or {}
    entries: dict[str, IndexEntry] = {}
    for path, (digest, size) in sha256s.items():
        weak, weak_size = md5s.get(path, (None, size))
        if weak_size != size:
            fields.problem(f"MD5Sum and SHA256 give {quoted(path)} different sizes")
        entries[path] = IndexEntry(path, size, digest, weak)
    return entries


def _utc(text: str) -> datetime:
    return parse_date(text).astimezone(UTC)


def _components(text: str) -> tuple[str, ...]:
    return tuple(safe_path(word) for word in words(text))
