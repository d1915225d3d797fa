"""Let a source into a frozen suite with everything that was built from it; `tidying` takes it out again."""

from collections.abc import Sequence
from dataclasses import dataclass

from distwright.archive.changing import SuiteChange, edited, move, refuse_other_content, root_of
from distwright.archive.chosen import files_of
from distwright.archive.exception_origin import State, base_of, is_source, open_state
from distwright.archive.exception_rules import (
    built_from,
    is_older,
    plan_exception,
)
from distwright.archive.gathering import gather
from distwright.archive.indexes import SOURCE, UDEBS, is_for_apt
from distwright.archive.merging import Difference
from distwright.archive.shelf import Mirrors, no_mirrors
from distwright.archive.tree import TreeEntry
from distwright.config.tables_archive import UpstreamArchive
from distwright.errors import BadUsage, Lost, Refused, listed, quoted
from distwright.formats.deb822 import raw_field
from distwright.formats.values import comma_list
from distwright.jobs.step import Context
from distwright.model.records import FreezeException, SuiteState
from distwright.store.exceptions import end_exception, insert_exception, list_exceptions
from distwright.store.suites import get_suite

OVERLAY = "overlay"


@dataclass(frozen=True, slots=True)
class ExceptionRequest:
    """What to let in. origin: where it is (exception_origin.open_state). reason, actor: kept for good.

    base: what is read below the suite, `ARCHIVE/SUITE`; "" means, with a branch, the suite of upstream where it comes from; without
    one the parent of an overlay, and nothing for other suites. branch: whose pins say which serial of an upstream base counts,
    `REPO/BRANCH`.
    """

    archive: str
    suite: str
    source: str
    version: str
    origin: str
    reason: str
    actor: str
    base: str = ""
    branch: str = ""


@dataclass(frozen=True, slots=True)
class LetIn:
    """What was done, or would be. missing: packages that the source lists and its origin has not: of other architectures, say."""

    row: FreezeException
    changes: tuple[Difference, ...]
    missing: tuple[str, ...]


def let_in(request: ExceptionRequest, context: Context, mirrors: Mirrors = no_mirrors, *, dry_run: bool) -> LetIn:
    """Import a source in one version, with all that was built from it; what else the suite has of the source goes.

    Raises NotFound; Refused if the origin has not that version, the suite or its base has it or a newer one, or a file name means
    something else already: then nothing has changed. Pool files of upstream are fetched and verified.
    """
    if not request.reason.strip():
        raise BadUsage("an exception needs a reason: the next release asks for it", hint="add --reason")
    with context.database.read() as tx:
        before = get_suite(tx, request.archive, request.suite)
    origin = open_state(context, request.origin, request.archive)
    row = _row(request, before, origin, context)
    entries = _wanted(request, origin, context)
    _refuse_present(row, context)
    root = root_of(context, before)
    planned = plan_exception(root, request.source, entries, context.objects.read)
    if planned.refused or not planned.changes:
        problems = planned.refused or (f"{row.name} is there already",)
        raise Refused(
            f"{request.archive}/{request.suite} stays as it is:\n{listed(problems)}",
            hint=f"distwright suite show {request.archive}/{request.suite}",
        )
    if not dry_run:
        _bring(origin, entries, context, mirrors)
        after = edited(context, root, planned.edits, origin.translations(entries, context), planned.tombstones)
        names = [(file.path, file.sha256) for file in files_of(entries)]
        change = SuiteChange("exception", f"{row.name} from {row.origin}: {row.reason}", row.actor, _added(entries))
        with context.write() as tx:
            refuse_other_content(tx, request.archive, names)
            move(tx, before, after.revision, change, context, names)
            for other in list_exceptions(tx, row.archive, row.suite):
                if other.source == row.source:
                    end_exception(tx, other.id, f"{row.version} was let in", context.now())
            insert_exception(tx, row)
    return LetIn(row, planned.changes, _missing(entries))


def _row(request: ExceptionRequest, before: SuiteState, origin: State, context: Context) -> FreezeException:
    base = request.base or (origin.suite_with(request.source, request.version, context) if request.branch else "")
    if not base and before.kind == OVERLAY and before.parent:
        base = f"{before.archive}/{before.parent}"
    archive, _, suite = base.partition("/")
    is_upstream = isinstance(context.config.archives.get(archive), UpstreamArchive)
    if is_upstream and (not suite or "@" in suite):
        raise BadUsage(f"{quoted(base)} is no suite that moves on", hint="give --base ARCHIVE/SUITE, without a serial")
    if is_upstream != bool(request.branch):
        raise BadUsage(
            f"{quoted(base)} is an upstream archive: a branch says which serial counts"
            if is_upstream
            else "a branch says which serial of an upstream base counts, and there is none",
            hint="give both --base ARCHIVE/SUITE and --branch REPO/BRANCH",
        )
    if base and not is_upstream:
        base = open_state(context, base, before.archive).name
    if base == f"{before.archive}/{before.name}":
        raise BadUsage(f"{base} cannot be its own base", hint="name what is read below it, with --base")
    return FreezeException(
        0, before.archive, before.name, request.source, request.version, origin.name, base, request.branch,
        request.reason, request.actor, context.now(),
    )  # fmt: skip


def _wanted(request: ExceptionRequest, origin: State, context: Context) -> list[TreeEntry]:
    """Choose the source and what was built from this version of it, for the architectures of the archive."""
    table = context.config.archives[request.archive]
    everything = origin.entries(request.source, context)
    kinds = {SOURCE, "binary-all", *(f"binary-{name}" for name in table.architectures)}
    entries = [
        entry
        for entry in everything
        if entry.list_name.rpartition("/")[2] in kinds
        and (str(entry.version) if is_source(entry) else built_from(entry.stanza)[1]) == request.version
    ]
    if not any(is_source(entry) for entry in entries) or all(is_source(entry) for entry in entries):
        versions = sorted({str(entry.version) for entry in everything if is_source(entry)})
        lacks = "nothing built from it" if entries and is_source(entries[0]) else "no source of it"
        has = f", but {', '.join(versions)}" if versions and request.version not in versions else f": {lacks}"
        raise Refused(
            f"{origin.name} has not {request.source} {request.version}{has}",
            hint="name another origin with --from; sources must be recorded too",
        )
    components = {entry.list_name.rpartition("/")[0].removesuffix(f"/{UDEBS}") for entry in entries}
    if unknown := sorted(components - set(table.components)):
        raise Refused(
            f"archive {request.archive} has no component {unknown[0]}",
            hint=f"add it to components in [archive.{request.archive}]",
        )
    return entries


def _refuse_present(row: FreezeException, context: Context) -> None:
    name, state = base_of(row, context)
    below = None if state is None else state.version_of(row.source, context)
    if below is not None and not is_older(below, row.version):
        raise Refused(f"{name} has {row.source} {below}: no exception is needed", hint="look at what --base names")


def _bring(origin: State, entries: Sequence[TreeEntry], context: Context, mirrors: Mirrors) -> None:
    files = list(files_of(entries))
    urls = tuple(dict.fromkeys((*mirrors(origin.archive), *([origin.url] if origin.url else []))))
    missing = [file.path for file in files if not context.objects.touch(file.sha256)]
    if missing and not urls:
        raise Lost(f"{missing[0]} of {origin.name} is lost", hint="restore objects/ from a backup")
    gather(files, urls, context, f"let in from {origin.name}")


def _missing(entries: Sequence[TreeEntry]) -> tuple[str, ...]:
    have = {entry.name for entry in entries if is_for_apt(entry.list_name)}
    listed_names = {
        name
        for entry in entries
        if is_source(entry)
        for name in comma_list((raw_field(entry.stanza, b"Binary") or b"").decode())
    }
    return tuple(sorted(listed_names - have))


def _added(entries: Sequence[TreeEntry]) -> tuple[str, ...]:
    return tuple(sorted({entry.name for entry in entries if is_for_apt(entry.list_name)}))
