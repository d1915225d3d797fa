"""Choose the pool files that come with a record: everything, or listed packages with what they need and their sources."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from distwright.archive.beside import Beside, suites_beside
from distwright.archive.chosen import (
    entries_where,
    files_of,
    in_names_of,
    is_source_among,
    parse_chosen,
    source_named,
    sources_of,
    write_chosen,
)
from distwright.archive.closure import closure
from distwright.archive.judging import RecordRequest
from distwright.archive.poolindex import PoolFile, read_pool_index
from distwright.archive.shelf import recorded_pool
from distwright.archive.snapshots import PoolChoice, RecordedSuite
from distwright.archive.tree import TreeEntry
from distwright.errors import Refused
from distwright.jobs.step import Context
from distwright.model.digests import Sha256, digest_of


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

    if not request.together:
        return _chosen(choice, suites, _closure(request, choice.packages, suites, context, []), context)
    beside = list(suites_beside(request, context))
    place = context.paths.cache / "closures" / _key(request, suites, beside)
    if not place.exists():
        files = _chosen(choice, suites, _with_others(request, choice, suites, beside, context), context)
        place.parent.mkdir(parents=True, exist_ok=True)
        partial = place.with_suffix(".new")
        partial.write_bytes(write_chosen(files))
        partial.rename(place)
    return parse_chosen(place.read_bytes())


def _with_others(
    request: RecordRequest,
    choice: PoolChoice,
    suites: Mapping[str, RecordedSuite],
    beside: Sequence[Beside],
    context: Context,
) -> frozenset[str]:
    """Give what packages need of this archive where it is alone, as far as that is enough, and where all are together."""
    together = _closure(request, choice.packages, suites, context, beside)
    try:
        return together | _closure(request, choice.packages, suites, context, [])
    except Refused as error:
        context.log(f"{request.archive} alone is not enough: {error.message}")
        return together


def _closure(
    request: RecordRequest,
    packages: Sequence[str],
    suites: Mapping[str, RecordedSuite],
    context: Context,
    beside: Sequence[Beside],
) -> frozenset[str]:
    def is_cancelled() -> bool:
        context.check_cancelled()
        return False

    return closure(
        suites,
        packages,
        request.architectures,
        context.objects,
        context.paths.cache,
        recommends=request.pool is not None and request.pool.has_recommends,
        is_cancelled=is_cancelled,
        beside=beside,
        more=request.together_packages if beside else (),
    )


def _chosen(
    choice: PoolChoice,
    suites: Mapping[str, RecordedSuite],
    paths: frozenset[str],
    context: Context,
) -> list[PoolFile]:
    is_wanted = in_names_of(paths)[0]
    entries = [entry for suite in suites.values() for entry in entries_where(suite, context.objects, is_wanted)]
    if choice.has_sources:
        entries += _sources(entries, suites, context)
    files = {file.path: file for file in files_of(entries)}
    return [files[path] for path in sorted(files)]


def _key(request: RecordRequest, suites: Mapping[str, RecordedSuite], beside: Sequence[Beside]) -> Sha256:
    """Name everything that the answer follows from."""
    choice = None if request.pool is None else request.pool.to_json()
    return digest_of(
        {
            "choice": choice,
            "more": list(request.together_packages),
            "architectures": list(request.architectures),
            "components": list(request.components),
            "suites": {name: str(suite.release) for name, suite in suites.items()},
            "beside": [[other.archive, other.suite.name, str(other.state)] for other in beside],
        }
    )


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
