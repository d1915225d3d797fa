"""A source package of a recorded archive, by name: what the signed indexes of a serial say, and the files that they promise."""

import difflib
from collections.abc import Sequence
from typing import Protocol

from distwright.archive.chosen import entries_where, files_of
from distwright.archive.fetching import Holdings
from distwright.archive.shelf import Mirrors, Shelf
from distwright.archive.snapshots import RecordedSuite, parse_snapshot
from distwright.archive.tree import TreeEntry
from distwright.builds.dsc_source import unsigned
from distwright.builds.resolve import GivenSource
from distwright.config.model import Config
from distwright.config.tables_archive import UpstreamArchive
from distwright.errors import BadUsage, NotFound, quoted
from distwright.formats.deb822 import raw_field
from distwright.jobs.step import ShelfEntry
from distwright.model.digests import Sha256
from distwright.model.records import Snapshot
from distwright.store.archives import find_snapshot, newest_snapshot
from distwright.store.paths import StatePaths

_NEAR = 4


class Recorded(Holdings, Protocol):
    """Holdings with recorded archives."""

    @property
    def config(self) -> Config:
        """The configuration."""
        ...

    @property
    def paths(self) -> StatePaths:
        """Where derived files are."""
        ...

    @property
    def mirrors(self) -> Mirrors:
        """Where archives are fetched from now."""
        ...


def read_recorded(context: Recorded, place: str, wanted: str, serial: str | None) -> GivenSource:
    """Find a source of a recorded suite and keep its files. place: ARCHIVE/SUITE; wanted: NAME or NAME=VERSION; serial: or newest.

    Of several versions the latest counts. The .dsc is kept without its signature, as by `read_dsc`. Raises NotFound, with what is
    near; Refused or Unreachable for files that no mirror has as they were signed.
    """
    archive, _, suite_name = place.partition("/")
    name, _, version = wanted.partition("=")
    row = _snapshot(context, archive, serial)
    suite = parse_snapshot(context.objects.read(row.digest)).suites.get(suite_name)
    if suite is None:
        known = sorted(parse_snapshot(context.objects.read(row.digest)).suites)
        raise NotFound(
            f"snapshot {row.serial} of {archive} has no suite {quoted(suite_name)}, but {', '.join(known)}",
            hint=f"distwright snapshot show {archive} {row.serial}",
        )
    entry = _entry(context, suite, f"{archive}/{suite_name} at {row.serial}", name, version)
    shelf = Shelf(
        [ShelfEntry(archive, suite_name, row.digest)], context, context.paths.cache / "pool", mirrors=context.mirrors
    )
    files: dict[str, Sha256] = {}
    for file in files_of([entry]):
        shelf.find(f"{archive}/{file.path}")[0].close()
        file_name = file.path.rpartition("/")[2]
        files[file_name] = file.sha256
        if file_name.endswith(".dsc"):
            files[file_name] = context.objects.put(unsigned(context.objects.read(file.sha256)))
    return GivenSource(name, entry.version, files, f"{archive}/{suite_name}@{row.serial}")


def _snapshot(context: Recorded, archive: str, serial: str | None) -> Snapshot:
    if not isinstance(context.config.archives.get(archive), UpstreamArchive):
        raise NotFound(f"archive {quoted(archive)} is no upstream archive", hint="distwright archive list")
    with context.database.read() as tx:
        row = newest_snapshot(tx, archive) if serial is None else find_snapshot(tx, archive, serial)
    if row is None:
        what = "snapshot" if serial is None else f"snapshot {quoted(serial)}"
        raise NotFound(f"archive {archive} has no {what}", hint=f"distwright snapshot list {archive}")
    return row


def _entry(context: Recorded, suite: RecordedSuite, where: str, name: str, version: str) -> TreeEntry:
    """Find the source; raise NotFound with its versions, or with names that are written alike."""
    if not any("/source/Sources" in f"/{index.path}" for index in suite.indexes):
        raise BadUsage(f"{where} was recorded without its sources", hint="set sources = true in its [archive.NAME]")
    wanted = name.encode()
    found = list(entries_where(suite, context.objects, lambda raw: raw_field(raw, b"Package") == wanted, sources=True))
    fitting = [entry for entry in found if version in ("", str(entry.version))]
    if fitting:
        return max(fitting, key=lambda entry: entry.version.sort_key())
    if found:
        versions = ", ".join(sorted(str(entry.version) for entry in found))
        raise NotFound(
            f"{where} has {name} {versions}, not {quoted(version)}", hint="leave out =VERSION, or correct it"
        )
    near = difflib.get_close_matches(name, _names(context, suite), n=_NEAR)
    others = f"; near are {', '.join(near)}" if near else ""
    raise NotFound(f"{where} has no source {quoted(name)}{others}", hint="name a source, not one of its packages")


def _names(context: Recorded, suite: RecordedSuite) -> Sequence[str]:
    return sorted({entry.name for entry in entries_where(suite, context.objects, lambda _raw: True, sources=True)})
