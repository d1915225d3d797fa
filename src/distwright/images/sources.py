"""Where what went into an image can be had again: its APT sources as they were, and the source of every package in it."""

from collections.abc import Iterator, Mapping

from distwright.archive.chosen import (
    SourceName,
    entries_where,
    is_source_among,
    source_named,
    tree_entries_where,
)
from distwright.archive.handout import sources_text
from distwright.archive.snapshots import parse_snapshot
from distwright.archive.tree import TreeEntry, parse_root
from distwright.builds.environment import EnvironmentRecipe
from distwright.errors import BadInput
from distwright.formats.sources import iter_source_files
from distwright.images.bills import installed_packages
from distwright.jobs.step import Inputs, ShelfEntry
from distwright.model import plain
from distwright.store.archives import list_snapshots
from distwright.store.database import Transaction
from distwright.store.objects import ObjectStore

_NO_URL = "# [site] has no url: put the address of the installation before each path.\n\n"
_MISSING = "-\tno source is recorded"


def serials_of(tx: Transaction, inputs: Inputs) -> dict[str, str]:
    """Give `archive/suite` -> serial of each recorded state that an image was made of: the first one, which stays the first."""
    found: dict[str, str] = {}
    for entry in _shelf(inputs):
        rows = [] if entry.is_own else list_snapshots(tx, entry.archive)
        if serials := [row.serial for row in rows if row.digest == entry.document]:
            found[entry.name] = min(serials)
    return found


def apt_sources(inputs: Inputs, serials: Mapping[str, str]) -> bytes:
    """Give the sources, deb822: recorded archives as they were; ours as they are, with the revision that was used as a comment."""
    recipe = EnvironmentRecipe.from_json(plain.mapping(inputs, "root"))
    url, vendors = plain.text(inputs, "url"), plain.mapping(inputs, "vendors")
    stanzas = []
    for entry in recipe.shelf:
        serial = serials.get(entry.name, "")
        state = f"snapshot {serial}, " if serial else ""
        said = f"# {entry.name}: {state}{'revision' if entry.is_own else 'document'} sha256:{entry.document}\n"
        if entry.archive in vendors:
            address = f"{url}/{entry.archive}/{serial}".rstrip("/")
            said += sources_text(address, entry.suite, recipe.components[entry.name], _trust(inputs, entry.archive))
        stanzas.append(said)
    return (("" if url else _NO_URL) + "\n".join(stanzas)).encode()


def source_packages(inputs: Inputs, manifest: plain.Plain, objects: ObjectStore, *, known: bytes = b"") -> bytes:
    """List the sources of what is installed, and what it was built with into itself: name, version, .dsc, its SHA-256, by tabs.

    The .dsc is `archive/suite/path`. A source that none of the states has is listed as such. Reads the index of sources of each.

    known: a list of an image that was made from the same states but of our suites: what it has is not looked for in theirs again.
    """
    wanted = set(_sources_of(manifest))
    found = dict(_listed(known))
    for entry in _shelf(inputs):
        if known and not entry.is_own:
            continue
        for source in _entries(entry, wanted - found.keys(), objects):
            found[source_named(source.stanza)] = _dsc(entry, source)
    return "".join(f"{one.name}\t{one.version}\t{found.get(one, _MISSING)}\n" for one in sorted(wanted)).encode()


def _listed(known: bytes) -> Iterator[tuple[SourceName, str]]:
    for line in known.decode().splitlines():
        name, version, where = line.split("\t", 2)
        if where != _MISSING:
            yield SourceName(name, version), where


def _shelf(inputs: Inputs) -> tuple[ShelfEntry, ...]:
    return EnvironmentRecipe.from_json(plain.mapping(inputs, "root")).shelf


def _trust(inputs: Inputs, archive: str) -> bytes | str:
    """Give what an image has for an archive: the certificate that its repo brings, or where a package puts it."""
    certificate = plain.text_map(inputs, "files").get(f"{archive}.asc")
    return certificate.encode() if certificate else plain.text_map(inputs, "keyrings").get(archive, "")


def _sources_of(manifest: plain.Plain) -> Iterator[SourceName]:
    for package in installed_packages(manifest):
        yield SourceName(plain.text(package, "source"), plain.text(package, "source_version"))
        for built in plain.texts(package, "built_using") if "built_using" in package else ():
            name, _, version = built.partition(" ")
            yield SourceName(name, version)


def _entries(entry: ShelfEntry, wanted: set[SourceName], objects: ObjectStore) -> Iterator[TreeEntry]:
    content = objects.read(entry.document)
    if entry.is_own:
        return tree_entries_where(parse_root(content), objects.read, is_source_among(wanted), sources=True)
    suite = parse_snapshot(content).suites[entry.suite]
    return entries_where(suite, objects, is_source_among(wanted), sources=True)


def _dsc(entry: ShelfEntry, source: TreeEntry) -> str:
    for path, sha256, _ in iter_source_files(source.stanza):
        if path.endswith(".dsc"):
            return f"{entry.name}/{path}\t{sha256}"
    raise BadInput(
        f"source {source.name} {source.version} of {entry.name} has no .dsc", hint="record the archive again"
    )
