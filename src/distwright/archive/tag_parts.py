"""The archives that a tagged snapshot is cut from, in the states that its manifest names."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field

from distwright.archive.chosen import (
    entries_where,
    translations_of,
    tree_entries_where,
    tree_translations_of,
)
from distwright.archive.indexes import I18N, UDEBS, release_of
from distwright.archive.resolve import index_lists, release_fields, upstream_credential
from distwright.archive.snapshots import RecordedSuite, SnapshotDocument, parse_snapshot
from distwright.archive.stanzas import list_of
from distwright.archive.tag_manifest import Manifest
from distwright.archive.tree import TreeEntry, TreeRoot, parse_root
from distwright.config.tables_archive import OwnArchive
from distwright.errors import NotFound
from distwright.formats.deb822 import raw_field
from distwright.formats.release import Release, parse_release
from distwright.jobs.step import Context
from distwright.model.digests import Sha256
from distwright.store.archives import find_snapshot_by_digest, newest_snapshot
from distwright.store.suites import list_suites


@dataclass(frozen=True, slots=True, eq=False)
class SuitePart:
    """One suite in one state. lists: the indexes that it has, whatever is in them."""

    name: str
    release: Release
    lists: tuple[str, ...]
    state: RecordedSuite | TreeRoot

    @property
    def has_sources(self) -> bool:
        """Say whether it has sources at all."""
        return any(name.endswith("/source") for name in self.lists)

    def entries(
        self, is_wanted: Callable[[bytes], bool], context: Context, *, sources: bool = False
    ) -> list[TreeEntry]:
        """Give the packages (or sources) whose stanza is wanted."""
        if isinstance(self.state, TreeRoot):
            found: Iterator[TreeEntry] = tree_entries_where(
                self.state, context.objects.read, is_wanted, sources=sources
            )
        else:
            found = entries_where(self.state, context.objects, is_wanted, sources=sources)
        return list(found)

    def translations(self, chosen: Collection[TreeEntry], context: Context) -> list[TreeEntry]:
        """Give the descriptions of chosen packages."""
        if isinstance(self.state, TreeRoot):
            return list(tree_translations_of(chosen, self.state, context.objects.read))
        return list(translations_of(chosen, self.state, context.objects))


@dataclass(frozen=True, slots=True)
class ArchivePart:
    """An archive. credential: the key that signs. url: where its pool files were fetched, "" for an own one."""

    archive: str
    credential: str
    url: str
    suites: tuple[SuitePart, ...] = field(default=())


def parts_of(name: str, manifest: Manifest, context: Context) -> ArchivePart:
    """Open an archive in the state that the manifest names, or as it is now if nothing of it was used.

    Raises NotFound, and Refused for an upstream archive without a key of ours.
    """
    table = context.config.archives.get(name)
    states = {
        place.partition("/")[2]: digest for place, digest in manifest.states.items() if place.startswith(f"{name}/")
    }
    if isinstance(table, OwnArchive):
        return ArchivePart(name, table.key.credential, "", tuple(_own(name, table, states, context)))
    credential = upstream_credential(context.config, name)
    with context.database.read() as tx:
        rows = {digest: find_snapshot_by_digest(tx, name, digest) for digest in states.values()}
        newest = newest_snapshot(tx, name)
    if newest is None:
        raise NotFound(f"archive {name} has no snapshot", hint=f"distwright archive record {name}")
    digests = set(states.values()) or {newest.digest}
    url = next((row.fetched_from for row in rows.values() if row is not None), newest.fetched_from)
    documents = [parse_snapshot(context.objects.read(digest)) for digest in sorted(digests)]
    return ArchivePart(name, credential, url, tuple(_recorded(documents, context)))


def entries_of(suite: SuitePart, sha256s: Collection[bytes], context: Context) -> list[TreeEntry]:
    """Give the packages whose file is one of these."""
    return suite.entries(lambda raw: raw_field(raw, b"SHA256") in sha256s, context)


def mentioned_entries(
    part: ArchivePart, names: Collection[str], context: Context
) -> Mapping[SuitePart, list[TreeEntry]]:
    """Give the newest version of each of these names that the archive has, in each suite that has it."""
    wanted = {name.encode() for name in names}
    found = {suite: suite.entries(lambda raw: raw_field(raw, b"Package") in wanted, context) for suite in part.suites}
    newest: dict[str, bytes] = {}
    for entry in (entry for entries in found.values() for entry in entries):
        newest[entry.name] = max(newest.get(entry.name, b""), entry.version.sort_key())
    return {
        suite: [entry for entry in entries if entry.version.sort_key() == newest[entry.name]]
        for suite, entries in found.items()
    }


def _recorded(documents: Collection[SnapshotDocument], context: Context) -> Iterator[SuitePart]:
    """Give every suite of the documents once; a suite with several states does not come from one image."""
    suites = {suite.name: suite for document in documents for suite in document.suites.values()}
    for suite in suites.values():
        folders = {
            index.path.rpartition("/")[0]
            for index in suite.indexes
            if index.names_pool_files and f"/{UDEBS}/" not in index.path
        }
        folders |= {list_of(index) for index in suite.indexes if index.is_translation}
        lists = tuple(sorted(folder for folder in folders if not folder.endswith("/binary-all")))
        yield SuitePart(suite.name, parse_release(context.objects.read(suite.release)), lists, suite)


def _own(name: str, table: OwnArchive, states: Mapping[str, Sha256], context: Context) -> Iterator[SuitePart]:
    with context.database.read() as tx:
        rows = {row.name: row for row in list_suites(tx) if row.archive == name}
    revisions = states or {row.name: row.revision for row in rows.values()}
    for suite, revision in sorted(revisions.items()):
        settings = rows[suite].settings if suite in rows else suite
        fields = release_fields(context.config, name, suite, settings)
        root = parse_root(context.objects.read(revision))
        texts = [name for name in root.lists if name.endswith(f"/{I18N}")]
        yield SuitePart(suite, release_of(fields, {}), (*index_lists(table), *texts), root)
