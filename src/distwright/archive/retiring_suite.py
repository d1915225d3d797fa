"""Retire suites: a topic branch is merged, a release is over. Nobody is served any more; for a month it can be taken back."""

import json
from datetime import timedelta

from distwright.archive.changing import hold_suite
from distwright.archive.suites import Who
from distwright.archive.tree import EMPTY_ROOT
from distwright.archive.trees import ServedTree
from distwright.errors import NotFound, Refused, listed
from distwright.jobs.step import Context
from distwright.model.digests import Json, Sha256, canonical_json
from distwright.model.events import Event, EventKind
from distwright.model.records import Revision, SuiteState
from distwright.store.archives import list_publications, set_publication_states
from distwright.store.database import Transaction
from distwright.store.events import append_event
from distwright.store.exceptions import list_exceptions
from distwright.store.holds import Hold, holds_of, replace_holds
from distwright.store.locks import locked
from distwright.store.suites import delete_suite, find_suite, get_suite, insert_revision, insert_suite, list_suites

UNDO_TIME = timedelta(days=30)


def retire_suite(context: Context, archive: str, name: str, who: Who, *, dry_run: bool) -> SuiteState:
    """Stop serving a suite and forget its row; its packages and history stay for UNDO_TIME. Gives what it was.

    Raises NotFound, and Refused with everything that still needs it. dry_run: only that.
    """
    with locked(context.paths.lock(f"archive-{archive}")):
        with context.database.read() as tx:
            row = get_suite(tx, archive, name)
            _refuse_needed(tx, context, row)
        if dry_run:
            return row
        # What clients see first: cut off here, the row is still there, and the same command does the rest.
        ServedTree(context.paths.public / archive).withdraw(name)
        kept = context.objects.put(canonical_json(_document(row)))
        with context.write() as tx:
            _refuse_needed(tx, context, get_suite(tx, archive, name))
            rows = list_publications(tx, archive=archive, suite=name)
            served = [one.id for one in rows if not one.serial and one.state in ("live", "building")]
            set_publication_states(tx, served, "retired")
            delete_suite(tx, archive, name)
            replace_holds(tx, f"suite {archive}/{name}", [], context.now())
            holder = _holder(archive, name)
            until = context.now() + UNDO_TIME
            replace_holds(tx, holder, [Hold(holder, "object", kept, "to take it back", until)], context.now())
            _keep_step(tx, context, row, "retire", row.revision, EMPTY_ROOT.revision, who)
            body: dict[str, Json] = {"archive": archive, "suite": name, "revision": row.revision}
            append_event(tx, Event(EventKind.SUITE_RETIRED, context.now(), f"{archive}/{name}", body, context.job))
    return row


def take_back_suite(context: Context, archive: str, name: str, who: Who) -> SuiteState:
    """Have a retired suite again as it was; it is served when it is published. Raises NotFound, Refused if the name is taken."""
    now = context.now()
    with context.write() as tx:
        if find_suite(tx, archive, name) is not None:
            raise Refused(f"suite {archive}/{name} exists", hint="distwright suite list")
        holder = _holder(archive, name)
        held = [hold for hold in holds_of(tx, holder) if hold.until is None or hold.until > now]
        if not held:
            raise NotFound(
                f"no suite {archive}/{name} was retired lately", hint="distwright suite branch makes a new one"
            )
        document = json.loads(context.objects.read(Sha256(held[0].target)))
        row = SuiteState(
            archive,
            name,
            document["kind"],
            Sha256(document["revision"]),
            now,
            follows=document["follows"],
            parent=document["parent"],
            is_sealed=document["is_sealed"],
        )
        insert_suite(tx, row)
        hold_suite(tx, archive, name, row.revision, context)
        replace_holds(tx, holder, [], now)
        before = EMPTY_ROOT.revision
        _keep_step(tx, context, row, "take back", before, row.revision, who)
        body: dict[str, Json] = {"archive": archive, "suite": name, "before": before, "revision": row.revision}
        body |= {"action": "take back", "added": []}
        append_event(tx, Event(EventKind.SUITE_CHANGED, now, f"{archive}/{name}", body, context.job))
    return row


def _holder(archive: str, name: str) -> str:
    return f"retired suite {archive}/{name}"


def _document(row: SuiteState) -> dict[str, Json]:
    return {
        "format": 1,
        "kind": row.kind,
        "revision": row.revision,
        "follows": row.follows,
        "parent": row.parent,
        "is_sealed": row.is_sealed,
    }


def _keep_step(
    tx: Transaction, context: Context, row: SuiteState, action: str, before: Sha256, after: Sha256, who: Who
) -> None:
    insert_revision(tx, Revision(0, row.archive, row.name, before, after, action, who.reason, who.actor, context.now()))


def _refuse_needed(tx: Transaction, context: Context, row: SuiteState) -> None:
    """Refuse a suite of the configuration, which would be made anew, and one that others build on."""
    name = f"{row.archive}/{row.name}"
    table = context.config.suites.get(row.name)
    problems = ["the configuration has it"] if table is not None and table.archive == row.archive else []
    problems += [
        f"suite {other.name} is an overlay of it"
        for other in list_suites(tx)
        if (other.archive, other.parent, other.kind) == (row.archive, row.name, "overlay")
    ]
    problems += [
        f"exception {one.source} {one.version} of suite {one.archive}/{one.suite} waits for it"
        for one in list_exceptions(tx)
        if one.base == name
    ]
    if problems:
        raise Refused(f"suite {name} is needed:\n{listed(problems)}", hint=f"distwright suite list {row.archive}")
