"""What people do with suites: branch, merge, pull, remove, reset, undo, seal. Each is one row, one event, and can be undone."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from distwright.archive.changing import SuiteChange, edited, move, root_of, touch_new
from distwright.archive.configured import refuse_codename
from distwright.archive.editing import find_stanzas, split_leaf
from distwright.archive.indexes import I18N
from distwright.archive.merging import (
    Difference,
    MergePlan,
    differences,
    plan_merge,
    plan_pull,
    plan_removal,
)
from distwright.archive.phasing import EVERYBODY, plan_phase
from distwright.archive.publish import PublishRequest, publish
from distwright.archive.suite_rows import begin_suite
from distwright.archive.translations import Offered
from distwright.archive.tree import EMPTY_ROOT, TreeRoot, parse_root
from distwright.config.tables_archive import OwnArchive
from distwright.errors import NotFound, Refused, listed
from distwright.formats.deb822 import raw_field
from distwright.jobs.step import Context
from distwright.model.digests import Sha256
from distwright.model.names import our_name
from distwright.model.records import Publication, Revision, SuiteState
from distwright.store.objects import ObjectStore
from distwright.store.suites import (
    find_suite,
    get_suite,
    list_revisions,
    seal_suite,
)

OVERLAY = "overlay"


@dataclass(frozen=True, slots=True)
class Who:
    """Who asks, and why: both are kept with the revision."""

    actor: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was done, or would be. after: the revision; the present one if nothing changes. kept: what stays although it differs."""

    before: Sha256
    after: Sha256
    changes: tuple[Difference, ...]
    kept: tuple[str, ...] = ()


def branch_suite(context: Context, archive: str, name: str, parent: str, kind: str, who: Who) -> SuiteState:
    """Make a suite of another's present state, in constant time; an overlay begins empty. Raises Refused if the name is taken."""
    our_name(name, "suite")
    refuse_codename(context.config, archive, name)
    now = context.now()
    context.objects.put(EMPTY_ROOT.to_bytes())
    with context.write() as tx:
        origin = get_suite(tx, archive, parent)
        if find_suite(tx, archive, name) is not None:
            raise Refused(f"suite {archive}/{name} exists", hint="choose another name: distwright suite list")
        revision = EMPTY_ROOT.revision if kind == OVERLAY else origin.revision
        row = SuiteState(archive, name, kind, revision, now, follows=origin.settings, parent=parent)
        begin_suite(tx, row, "branch", who.actor, who.reason, now, context.job)
    return row


def merge_suite(context: Context, archive: str, into: str, other: str, who: Who, *, dry_run: bool) -> Outcome:
    """Bring what another suite has newer, added and removed; the other stays as it is. Raises Refused (merging.plan_merge)."""
    source = _suite(context, archive, other)

    def plan(root: TreeRoot) -> MergePlan:
        return plan_merge(root, root_of(context, source), context.objects.read)

    return _carry_out(
        context, archive, into, SuiteChange("merge", _reason(who, other), who.actor), plan, source, dry_run
    )


def pull_packages(
    context: Context, archive: str, into: str, other: str, sources: Sequence[str], who: Who, *, dry_run: bool
) -> Outcome:
    """Take some sources of another suite, with everything built from them. Raises Refused for a downgrade or an unknown source."""
    source = _suite(context, archive, other)

    def plan(root: TreeRoot) -> MergePlan:
        return plan_pull(root, root_of(context, source), sources, context.objects.read)

    return _carry_out(
        context, archive, into, SuiteChange("pull", _reason(who, other), who.actor), plan, source, dry_run
    )


def remove_packages(
    context: Context, archive: str, suite: str, names: Sequence[str], who: Who, *, dry_run: bool
) -> Outcome:
    """Take packages out, by name, or by source with everything built from it. Raises Refused for a name that is not there."""

    def plan(root: TreeRoot) -> MergePlan:
        return plan_removal(root, names, context.objects.read)

    change = SuiteChange("remove", who.reason or ", ".join(names), who.actor)
    return _carry_out(context, archive, suite, change, plan, None, dry_run)


def phase_sources(
    context: Context, archive: str, suite: str, sources: Sequence[str], percent: int, who: Who, *, dry_run: bool
) -> Outcome:
    """Offer what was built from sources to a share of the machines that have it. Raises Refused for a source that is not there."""

    def plan(root: TreeRoot) -> MergePlan:
        return plan_phase(root, sources, percent, context.objects.read)

    share = "everybody" if percent == EVERYBODY else f"{percent} %"
    change = SuiteChange("phase", who.reason or f"{', '.join(sources)}: {share}", who.actor)
    return _carry_out(context, archive, suite, change, plan, None, dry_run)


def reset_suite(
    context: Context,
    archive: str,
    suite: str,
    target: Sha256,
    who: Who,
    *,
    action: str,
    downgrades: bool,
    dry_run: bool,
) -> Outcome:
    """Make a suite exactly another state. Raises Refused, naming them, for downgrades unless wanted, and for what is gone."""
    before = _suite(context, archive, suite)
    present, wanted = root_of(context, before), parse_root(context.objects.read(target))
    changes = differences(present, wanted, context.objects.read)
    worse = [
        f"{change.name} {change.old} to {change.new} ({change.list_name})" for change in changes if change.is_downgrade
    ]
    if worse and not downgrades:
        raise Refused(
            f"{archive}/{suite} would be downgraded:\n{listed(worse)}",
            hint="add --downgrade; clients do not downgrade by themselves",
        )
    if not dry_run and target != before.revision:
        touch_new(context, present, wanted)
        with context.write() as tx:
            move(tx, before, target, SuiteChange(action, who.reason, who.actor), context)
    return Outcome(before.revision, target, changes)


def undo_change(context: Context, archive: str, suite: str, who: Who, *, dry_run: bool) -> Outcome:
    """Take the last change back, as a change of its own; undoing again takes the one before. Raises Refused if there is none."""
    with context.database.read() as tx:
        row = undoable(list_revisions(tx, archive, suite, 1000))
        get_suite(tx, archive, suite)
    if row is None:
        raise Refused(f"{archive}/{suite} has no change to undo", hint=f"distwright suite history {archive}/{suite}")
    if not context.objects.has(row.before):
        raise Refused(
            f"the state before revision {row.number} is gone",
            hint="distwright suite reset SUITE SUITE@NUMBER",
        )
    undone = f"undoes {row.number} ({row.action} by {row.actor})"
    why = Who(who.actor, f"{undone}: {who.reason}" if who.reason else undone)
    return reset_suite(context, archive, suite, row.before, why, action="undo", downgrades=True, dry_run=dry_run)


def undoable(rows: Sequence[Revision]) -> Revision | None:
    """Find the newest change that is not taken back yet. rows: of one suite, newest first."""
    skip = 0
    for row in rows:
        if row.action == "branch":
            return None  # what was before belonged to another suite of this name
        if row.action == "undo":
            skip += 1
        elif skip:
            skip -= 1
        else:
            return row
    return None


def set_sealed(context: Context, archive: str, suite: str, *, is_sealed: bool) -> None:
    """Make a suite read-only (a release that is filled), or open it again."""
    with context.write() as tx:
        get_suite(tx, archive, suite)
        seal_suite(tx, archive, suite, is_sealed=is_sealed)


def diff_suites(context: Context, old: Sha256, new: Sha256) -> tuple[Difference, ...]:
    """List what differs between two revisions. Cost follows the difference."""
    get = context.objects.read
    return differences(parse_root(get(old)), parse_root(get(new)), get)


def publish_suite(context: Context, request: PublishRequest) -> Publication:
    """Serve a revision now, signed with the key of its archive."""
    archive = context.config.archives[request.archive]
    if not isinstance(archive, OwnArchive):
        raise NotFound(f"archive {request.archive} is not our own", hint="distwright archive list")
    return publish(request, context, context.signer(*archive.credentials))


def packages_of(objects: ObjectStore, row: SuiteState) -> Iterator[tuple[str, str, str]]:
    """Give what a suite has, one by one: list, name, version."""
    root = parse_root(objects.read(row.revision))
    for list_name, leaves in root.lists.items():
        for leaf in () if list_name.endswith(f"/{I18N}") else leaves:
            for name, stanza in split_leaf(objects.read(leaf.digest)):
                yield list_name, name, (raw_field(stanza, b"Version") or b"").decode()


def has_source(objects: ObjectStore, row: SuiteState, source: str, version: str) -> bool:
    """Say whether a suite has this version of a source package."""
    root = parse_root(objects.read(row.revision))
    lists = [name for name in root.lists if name.endswith("/source")]
    stanzas = [one for name in lists for one in find_stanzas(root, name, [source], objects.read)[source]]
    return version in {(raw_field(stanza, b"Version") or b"").decode() for stanza in stanzas}


def _carry_out(
    context: Context,
    archive: str,
    suite: str,
    change: SuiteChange,
    plan: Callable[[TreeRoot], MergePlan],
    source: SuiteState | None,
    dry_run: bool,  # noqa: FBT001  # as its callers got it
) -> Outcome:
    before = _suite(context, archive, suite)
    root = root_of(context, before)
    planned = plan(root)
    if planned.refused:
        raise Refused(
            f"{archive}/{suite} stays as it is:\n{listed(planned.refused)}", hint="distwright suite diff OLD NEW"
        )
    if dry_run or (not planned.changes and planned.tombstones == root.tombstones):
        return Outcome(before.revision, before.revision, planned.changes, planned.kept)
    offered = {} if source is None else _texts_of(context, root_of(context, source), planned)
    after = edited(context, root, planned.edits, offered, planned.tombstones)
    touch_new(context, root, after)
    with context.write() as tx:
        move(tx, before, after.revision, change, context)
    return Outcome(before.revision, after.revision, planned.changes, planned.kept)


def _texts_of(context: Context, other: TreeRoot, planned: MergePlan) -> Offered:
    """Take along the translations that the other suite has of what comes over."""
    from_there: dict[str, set[str]] = {}
    reader = context.objects.read
    for change in sorted(planned.changes, key=lambda change: (change.list_name, change.name)):
        component, _, kind = change.list_name.rpartition("/")
        if kind.startswith("binary-") and change.new:
            from_there.setdefault(component, set()).add(change.name)
    return {
        component: find_stanzas(other, f"{component}/{I18N}", sorted(names), reader)
        for component, names in from_there.items()
    }


def _suite(context: Context, archive: str, name: str) -> SuiteState:
    with context.database.read() as tx:
        return get_suite(tx, archive, name)


def _reason(who: Who, other: str) -> str:
    return f"{other}: {who.reason}" if who.reason else other
