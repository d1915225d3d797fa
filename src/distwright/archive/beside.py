"""The suites that clients use together with a recorded archive: what packages need is asked of all of them at once."""

from collections.abc import Iterator
from dataclasses import dataclass

from distwright.archive.indexes import entries_of_texts, index_files, release_of
from distwright.archive.judging import RecordRequest
from distwright.archive.resolve import index_lists, release_fields
from distwright.archive.snapshots import RecordedSuite, parse_snapshot
from distwright.archive.tree import parse_root
from distwright.config.tables_archive import OwnArchive
from distwright.formats.release import write_release
from distwright.jobs.step import Context
from distwright.model.digests import Sha256
from distwright.store.archives import newest_snapshot
from distwright.store.suites import find_suite


@dataclass(frozen=True, slots=True)
class OwnSuite:
    """A suite of ours in one state. files: its Release and indexes, by path below `dists/NAME/`."""

    name: str
    components: tuple[str, ...]
    files: dict[str, bytes]


@dataclass(frozen=True, slots=True)
class Beside:
    """A suite of another archive. state: the digest that says all of it."""

    archive: str
    state: Sha256
    suite: RecordedSuite | OwnSuite


def suites_beside(request: RecordRequest, context: Context) -> Iterator[Beside]:
    """Give the suites of `together_with` in their present states; one that is not there yet is named in the log."""
    for name in request.together:
        archive, _, suite = name.partition("/")
        table = context.config.archives.get(archive)
        found = (
            _own(archive, suite, table, context)
            if isinstance(table, OwnArchive)
            else _recorded(archive, suite, context)
        )
        if found is None:
            context.log(
                f"{name} is not there yet: what packages need of {request.archive} beside it comes with the next record"
            )
        else:
            yield found


def _recorded(archive: str, suite: str, context: Context) -> Beside | None:
    with context.database.read() as tx:
        row = newest_snapshot(tx, archive)
    found = None if row is None else parse_snapshot(context.objects.read(row.digest)).suites.get(suite)
    return None if row is None or found is None else Beside(archive, row.digest, found)


def _own(archive: str, suite: str, table: OwnArchive, context: Context) -> Beside | None:
    with context.database.read() as tx:
        row = find_suite(tx, archive, suite)
    if row is None:
        return None
    texts = index_files(parse_root(context.objects.read(row.revision)), context.objects.read, index_lists(table))
    packages = {path: text for path, text in texts.items() if path.endswith("/Packages")}
    fields = release_fields(context.config, archive, suite, row.settings)
    release = write_release(release_of(fields, entries_of_texts(packages)))
    return Beside(archive, row.revision, OwnSuite(suite, tuple(table.components), {**packages, "Release": release}))
