"""Choose the pool files that come with a record: everything, or listed packages with what they need and their sources."""

from collections.abc import Mapping
from pathlib import Path

from distwright.archive.chosen import entries_where, files_of, in_names_of, is_source_among, source_named, sources_of
from distwright.archive.closure import closure
from distwright.archive.judging import RecordRequest
from distwright.archive.poolindex import PoolFile, read_pool_index
from distwright.archive.shelf import recorded_pool
from distwright.archive.snapshots import RecordedSuite
from distwright.archive.tree import TreeEntry
from distwright.jobs.step import Context


def choose_pool(
    request: RecordRequest, suites: Mapping[str, RecordedSuite], context: Context, pool_indexes: Path
) -> list[PoolFile]:
    """List the files that must be here before the record counts, each content once, in order of path.

    Raises Refused for packages that are not there or that apt cannot install.
    """
    choice = request.pool
    if choice is None:
        return []
    if choice.is_full:
        return _everything(suites, context, pool_indexes)

    def is_cancelled() -> bool:
        context.check_cancelled()
        return False

    paths = closure(
        suites,
        choice.packages,
        request.architectures,
        context.objects,
        context.paths.cache,
        recommends=choice.has_recommends,
        is_cancelled=is_cancelled,
    )
    is_wanted = in_names_of(paths)[0]
    entries = [entry for suite in suites.values() for entry in entries_where(suite, context.objects, is_wanted)]
    if choice.has_sources:
        entries += _sources(entries, suites, context)
    files = {file.path: file for file in files_of(entries)}
    return [files[path] for path in sorted(files)]


def _everything(suites: Mapping[str, RecordedSuite], context: Context, pool_indexes: Path) -> list[PoolFile]:
    indexes = [index for suite in suites.values() for index in suite.indexes if index.names_pool_files]
    files = {
        file.path: file
        for index in indexes
        for file in read_pool_index(recorded_pool(context.objects, index, pool_indexes))
    }
    return [files[path] for path in sorted(files)]


def _sources(packages: list[TreeEntry], suites: Mapping[str, RecordedSuite], context: Context) -> list[TreeEntry]:
    """Give the sources of packages as far as the archive has them; the log names the others."""
    wanted = {source for entry in packages for source in sources_of(entry.stanza)}
    is_wanted = is_source_among(wanted)
    found = [
        entry for suite in suites.values() for entry in entries_where(suite, context.objects, is_wanted, sources=True)
    ]
    for source in sorted(wanted - {source_named(entry.stanza) for entry in found}):
        context.log(f"the source {source.name} {source.version} is not in the recorded suites")
    return found
