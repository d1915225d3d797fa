"""Where an exception comes from, and what is read below it: one state of a suite of ours, or of a recorded archive."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from distwright.archive.changing import root_of
from distwright.archive.chosen import entries_where
from distwright.archive.editing import find_stanzas
from distwright.archive.exception_rules import built_from
from distwright.archive.indexes import I18N, SOURCE
from distwright.archive.merging import of_source
from distwright.archive.pinning import pins_at, upstream_archives
from distwright.archive.pins import LATEST
from distwright.archive.snapshots import RecordedSuite, parse_snapshot
from distwright.archive.stanzas import recorded_stanzas
from distwright.archive.translations import Offered
from distwright.archive.tree import TreeEntry, TreeRoot
from distwright.config.embargo import is_private_archive
from distwright.config.tables_archive import UpstreamArchive
from distwright.errors import BadInput, BadUsage, NotFound, quoted
from distwright.formats.deb822 import raw_field
from distwright.jobs.step import Context
from distwright.model.records import FreezeException, Snapshot
from distwright.model.serials import Serial
from distwright.model.versions import DebVersion
from distwright.store.archives import find_snapshot, newest_snapshot
from distwright.store.suites import find_suite, list_suites
from distwright.tools.git import refs

_HEADS = "refs/heads/"


@dataclass(frozen=True, slots=True)
class State:
    """One state. name: `petrel/devel`, `debian/trixie@2026112301`. url: where its pool files were fetched, "" if they are here."""

    name: str
    archive: str
    url: str
    suites: Sequence[RecordedSuite | TreeRoot]

    def version_of(self, source: str, context: Context) -> str | None:
        """Give the highest version of a source; where no sources were recorded, that of what was built from it."""
        if all(_has_sources(suite) for suite in self.suites):  # the half of all lists is not read then
            found = [entry for suite in self.suites for entry in _sources(suite, source, context)]
            versions = [str(entry.version) for entry in found]
        else:
            entries = self.entries(source, context)
            versions = [str(entry.version) if is_source(entry) else built_from(entry.stanza)[1] for entry in entries]
        return max(versions, key=lambda version: DebVersion(version).sort_key(), default=None)

    def suite_with(self, source: str, version: str, context: Context) -> str:
        """Name the recorded suite that has a version of a source, `ARCHIVE/SUITE`; "" if none has."""
        for suite in self.suites:
            if isinstance(suite, RecordedSuite):
                found = _sources(suite, source, context)
                if any(str(entry.version) == version for entry in found):
                    return f"{self.archive}/{suite.name}"
        return ""

    def entries(self, source: str, context: Context) -> list[TreeEntry]:
        """Give everything of a source, in all its versions."""
        return sorted({entry for suite in self.suites for entry in _entries(suite, source, context)}, key=_order)

    def translations(self, entries: Sequence[TreeEntry], context: Context) -> Offered:
        """Give the long descriptions of packages, as far as they are here."""
        wanted: dict[str, set[str]] = {}
        for entry in entries:
            if not is_source(entry):
                wanted.setdefault(entry.list_name.rpartition("/")[0], set()).add(entry.name)
        found: dict[str, dict[str, list[bytes]]] = {component: {} for component in wanted}
        for suite in self.suites:
            for component, names in wanted.items():
                for name, text in _translations(suite, component, names, context):
                    found[component].setdefault(name, []).append(text)
        return found


def open_state(context: Context, name: str, near: str = "") -> State:
    """Open `SUITE`, `ARCHIVE/SUITE` of ours, or `ARCHIVE`, `ARCHIVE/SUITE` of upstream, these perhaps with `@SERIAL`.

    near: the archive of ours that a bare name of a suite is looked for first; no other is looked at that is private. Raises
    NotFound, BadUsage.
    """
    place, at, serial = name.partition("@")
    archive, _, suite = place.partition("/")
    if isinstance(context.config.archives.get(archive), UpstreamArchive):
        return _recorded(context, archive, suite, serial or LATEST)
    if at:
        raise BadUsage(f"{quoted(place)} is no upstream archive, only those have serials here", hint="leave out the @")
    return _own(context, place, near)


def base_of(row: FreezeException, context: Context) -> tuple[str, State | None]:
    """Open what is read below an exception's suite, and say what it is called now; "" if it has none.

    No state for one that is gone or cannot be read: what depends on it stays.
    """
    if not row.base:
        return "", None
    try:
        serial = f"@{_pinned(row, context)}" if row.branch else ""
        state = open_state(context, f"{row.base}{serial}", row.archive)
    except (NotFound, BadInput) as error:
        return f"{row.base} ({error.message})", None
    return state.name, state


def _pinned(row: FreezeException, context: Context) -> str:
    """Say which serial of the base the branch uses now; raise NotFound for a branch that is gone."""
    repo, _, branch = row.branch.partition("/")
    path = context.paths.repo(repo)
    commit = refs(path).get(f"{_HEADS}{branch}") if repo in context.config.repos and path.exists() else None
    if commit is None:
        raise NotFound(f"there is no branch {branch} of {repo}", hint="distwright repo list")
    pins = pins_at(path, commit, upstream_archives(context.config))
    return str(pins.get(row.base.partition("/")[0]) or LATEST)


def _own(context: Context, place: str, near: str) -> State:
    with context.database.read() as tx:
        row = find_suite(tx, near, place)
        rows = [row] if row is not None else list_suites(tx)
    rows = [row for row in rows if row.archive == near or not is_private_archive(context.config, row.archive)]
    found = [row for row in rows if place in (row.name, f"{row.archive}/{row.name}")]
    if not found:
        raise NotFound(f"there is no suite {quoted(place)}", hint="distwright suite list")
    if len(found) > 1:
        names = ", ".join(f"{row.archive}/{row.name}" for row in found)
        raise BadUsage(f"{quoted(place)} may mean {names}", hint="name the archive too: ARCHIVE/SUITE")
    return State(f"{found[0].archive}/{found[0].name}", found[0].archive, "", [root_of(context, found[0])])


def _recorded(context: Context, archive: str, suite: str, serial: str) -> State:
    row = _snapshot(context, archive, serial)
    recorded = parse_snapshot(context.objects.read(row.digest)).suites
    if suite and suite not in recorded:
        raise NotFound(
            f"snapshot {row.serial} of {archive} has no suite {quoted(suite)}",
            hint=f"distwright snapshot show {archive} {row.serial}",
        )
    suites = [recorded[suite]] if suite else list(recorded.values())
    name = f"{archive}/{suite}" if suite else archive
    return State(f"{name}@{row.serial}", archive, row.fetched_from, suites)


def _snapshot(context: Context, archive: str, serial: str) -> Snapshot:
    with context.database.read() as tx:
        row = newest_snapshot(tx, archive) if serial == LATEST else find_snapshot(tx, archive, Serial(serial))
    if row is None:
        what = "snapshot" if serial == LATEST else f"snapshot {serial}"
        raise NotFound(f"archive {archive} has no {what}", hint=f"distwright snapshot list {archive}")
    return row


def _entries(suite: RecordedSuite | TreeRoot, source: str, context: Context) -> Iterator[TreeEntry]:
    if isinstance(suite, TreeRoot):
        for (list_name, name), stanzas in of_source(suite, source, context.objects.read).items():
            for stanza in stanzas:
                yield TreeEntry(list_name, name, DebVersion((raw_field(stanza, b"Version") or b"0").decode()), stanza)
        return
    yield from _sources(suite, source, context)
    yield from entries_where(suite, context.objects, _is_built_from(source), udebs=True)


def _sources(suite: RecordedSuite | TreeRoot, source: str, context: Context) -> Iterator[TreeEntry]:
    if isinstance(suite, TreeRoot):
        yield from filter(is_source, _entries(suite, source, context))
    else:
        yield from entries_where(suite, context.objects, _is_source_named(source), sources=True)


def _has_sources(suite: RecordedSuite | TreeRoot) -> bool:
    """Say whether the source of every package is here: a suite of ours may have packages that were added without theirs."""
    return not isinstance(suite, TreeRoot) and any("/source/Sources" in index.path for index in suite.indexes)


def _translations(
    suite: RecordedSuite | TreeRoot, component: str, names: set[str], context: Context
) -> Iterator[tuple[str, bytes]]:
    if isinstance(suite, TreeRoot):
        found = find_stanzas(suite, f"{component}/{I18N}", sorted(names), context.objects.read)
        yield from ((name, text) for name, texts in found.items() for text in texts)
        return
    for _, raw in recorded_stanzas(suite, context.objects, lambda name: name == f"{component}/{I18N}"):
        name = (raw_field(raw, b"Package") or b"").decode()
        if name in names:
            yield name, raw.rstrip(b"\n") + b"\n"


def _is_source_named(source: str) -> Callable[[bytes], bool]:
    wanted = source.encode()
    return lambda raw: raw_field(raw, b"Package") == wanted


def _is_built_from(source: str) -> Callable[[bytes], bool]:
    mark = source.encode()
    return lambda raw: mark in raw and built_from(raw)[0] == source


def is_source(entry: TreeEntry) -> bool:
    """Say whether an entry is a source."""
    return entry.list_name.endswith(f"/{SOURCE}")


def _order(entry: TreeEntry) -> tuple[str, str, bytes, bytes]:
    return entry.order
