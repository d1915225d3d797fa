"""Filtered records: clients see the chosen packages only, in indexes of ours under a Release that says so."""

from collections.abc import Sequence

from distwright.archive.chosen import entries_where, in_names_of, translations_of
from distwright.archive.judging import RecordRequest
from distwright.archive.poolindex import PoolFile
from distwright.archive.resigned import (
    ResignedDocument,
    ResignedSuite,
    partial_release,
    release_files,
    render_entries,
)
from distwright.archive.snapshots import RecordedSuite, SnapshotDocument
from distwright.archive.stanzas import list_of
from distwright.formats.release import parse_release
from distwright.jobs.step import Context

FIELD = ("X-Filtered", "chosen packages of upstream only")


def filtered(
    request: RecordRequest, document: SnapshotDocument, files: Sequence[PoolFile], context: Context
) -> ResignedDocument:
    """Make what clients see of a filtered record; its objects are kept when this ends."""
    paths = frozenset(file.path for file in files)
    return ResignedDocument({name: _suite(request, suite, paths, context) for name, suite in document.suites.items()})


def _suite(request: RecordRequest, suite: RecordedSuite, paths: frozenset[str], context: Context) -> ResignedSuite:
    in_packages, in_sources = in_names_of(paths)
    packages = list(entries_where(suite, context.objects, in_packages))
    entries = [
        *packages,
        *entries_where(suite, context.objects, in_sources, sources=True),
        *translations_of(packages, suite, context.objects),
    ]
    lists = [f"{component}/binary-{name}" for component in suite.components for name in request.architectures]
    if request.has_sources:
        lists += [f"{component}/source" for component in suite.components]
    lists += sorted({list_of(index) for index in suite.indexes if index.is_translation})
    indexes = render_entries(entries, lists, context)
    release = partial_release(parse_release(context.objects.read(suite.release)), indexes, FIELD)
    signed = release_files(release, suite.inrelease, context.signer(request.credential), context.objects)
    return ResignedSuite({path: entry.sha256 for path, entry in indexes.files.items()} | signed, is_whole=True)
