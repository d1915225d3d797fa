"""Change suites: every change is one step from a revision to the next, with who, why and what; nothing else moves a suite."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from distwright.archive.editing import Edits, edit_tree
from distwright.archive.indexes import pool_of
from distwright.archive.leaving import refuse_leaving
from distwright.archive.translations import Offered, with_translations
from distwright.archive.tree import Tombstone, TreeRoot, parse_root
from distwright.errors import Busy, Refused, listed
from distwright.jobs.step import Context
from distwright.model.digests import Json, Sha256
from distwright.model.events import Event, EventKind
from distwright.model.records import Revision, SuiteState
from distwright.store.database import Transaction
from distwright.store.events import append_event
from distwright.store.holds import object_hold, replace_holds
from distwright.store.suites import (
    find_pool_names,
    find_suite,
    insert_pool_names,
    insert_revision,
    list_revisions,
    move_suite,
)

TAKEN = "take"  # the action of a change that takes over what another installation publishes: read here, not published
UNDO_STEPS = 20  # how many earlier states of a suite are kept for `suite undo`


@dataclass(frozen=True, slots=True)
class SuiteChange:
    """Why a suite moves. action: as in model.records.Revision. added: packages for apt that are new; the event names them."""

    action: str
    reason: str
    actor: str
    added: tuple[str, ...] = ()


def edited(
    context: Context,
    root: TreeRoot,
    edits: Edits,
    offered: Offered,
    tombstones: Sequence[Tombstone] | None = None,
) -> TreeRoot:
    """Make the next state of a suite as objects, the root too; offered: translations of packages that are new."""
    complete = with_translations(root, edits, offered, context.objects.read)
    with context.objects.staging() as put:
        after = edit_tree(root, complete, context.objects.read, put, tombstones)
        put(after.to_bytes())
    return after


def touch_new(context: Context, before: TreeRoot, after: TreeRoot) -> None:
    """Let all objects that a state names beyond those of another count as kept just now; call it before a suite moves there.

    Their last holder may have let go long ago. Raises Refused, naming them, if some are gone. Cost: the leaves that differ.
    """
    known = {leaf.digest for leaves in before.lists.values() for leaf in leaves}
    leaves = {leaf.digest for leaves in after.lists.values() for leaf in leaves} - known
    files = {file.sha256: file.path for file in pool_of(after, context.objects.read, without=before)}
    names = {after.revision: "its list of packages", **dict.fromkeys(sorted(leaves), "a part of its list"), **files}
    lost = [f"{name} ({digest.short})" for digest, name in names.items() if not context.objects.touch(digest)]
    if lost:
        raise Refused(
            f"the state {after.revision.short} is not whole any more:\n{listed(lost)}",
            hint="restore objects/ from a backup, or: distwright archive fsck --repair --from DIR",
        )


def move(
    tx: Transaction,
    before: SuiteState,
    after: Sha256,
    change: SuiteChange,
    context: Context,
    pool: Iterable[tuple[str, Sha256]] = (),
) -> None:
    """Point a suite at its next state; call it in the transaction of whatever wanted that.

    pool: paths that are new, with their content. Raises Busy if the suite has moved meanwhile (nothing is lost: do it again),
    Refused if it is sealed, or public while the job is not.
    """
    refuse_leaving(tx, context.config, before.archive, context.job)
    name = f"{before.archive}/{before.name}"
    now = context.now()
    if not move_suite(tx, before, after, now):
        present = find_suite(tx, before.archive, before.name)  # `before` was read when the work began
        if present is not None and present.is_sealed:
            raise Refused(f"suite {name} is read-only", hint=f"distwright suite show {name}")
        raise Busy(f"suite {name} has changed meanwhile", hint="run the same command again")
    insert_pool_names(tx, before.archive, pool)
    row = Revision(
        0, before.archive, before.name, before.revision, after, change.action, change.reason, change.actor, now
    )
    insert_revision(tx, row)
    hold_suite(tx, before.archive, before.name, after, now)
    body: dict[str, Json] = {
        "archive": before.archive,
        "suite": before.name,
        "before": before.revision,
        "revision": after,
        "action": change.action,
        "added": list(change.added),
    }
    append_event(tx, Event(EventKind.SUITE_CHANGED, now, name, body, context.job))


def hold_suite(tx: Transaction, archive: str, name: str, present: Sha256, now: datetime) -> None:
    """Hold the present state of a suite and those that `undo` can go back to."""
    holder = f"suite {archive}/{name}"
    earlier = {row.before for row in list_revisions(tx, archive, name, UNDO_STEPS)} - {present}
    kept = [object_hold(holder, digest, "undo") for digest in sorted(earlier)]
    replace_holds(tx, holder, [object_hold(holder, present, "present state"), *kept], now)


def root_of(context: Context, row: SuiteState) -> TreeRoot:
    """Read the present state of a suite."""
    return parse_root(context.objects.read(row.revision))


def refuse_other_content(tx: Transaction, archive: str, names: Sequence[tuple[str, Sha256]]) -> None:
    """Raise Refused, naming all, if a pool path means something else already: clients and mirrors may have it."""
    problems = other_content(tx, archive, names)
    if problems:
        raise Refused(listed(problems), hint="give it a new version: dch -i")


def other_content(tx: Transaction, archive: str, names: Sequence[tuple[str, Sha256]]) -> list[str]:
    """Name the pool paths that mean something else already."""
    known = find_pool_names(tx, archive, [path for path, _ in names])
    return [
        f"{path.rpartition('/')[2]} is in archive {archive} already, with other content"
        for path, digest in names
        if known.get(path, digest) != digest
    ]
