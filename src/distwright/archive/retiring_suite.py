"""Retire suites: a topic branch is merged, a release is over. Nobody is served any more; for a month it can be taken back."""

import json
from collections.abc import Iterable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from distwright.archive.served_root import tree_root
from distwright.archive.suite_rows import begin_suite, end_suite
from distwright.archive.suites import Who
from distwright.archive.trees import ServedTree
from distwright.config.model import Config
from distwright.errors import Busy, NotFound, Refused, listed
from distwright.jobs.step import Context
from distwright.model.digests import Json, Sha256, canonical_json
from distwright.model.records import SuiteState
from distwright.repos.branches import HEADS
from distwright.store.branches import branches_of_suite
from distwright.store.database import Database, Transaction
from distwright.store.exceptions import list_exceptions
from distwright.store.holds import Hold, holds_of, replace_holds
from distwright.store.locks import locked
from distwright.store.paths import StatePaths
from distwright.store.suites import find_suite, get_suite, list_suites

UNDO_TIME = timedelta(days=30)


def retire_suite(context: Context, archive: str, name: str, who: Who, *, dry_run: bool) -> SuiteState:
    """Stop serving a suite and forget its row; its packages and history stay for UNDO_TIME. Gives what it was.

    Raises NotFound, and Refused with everything that still needs it. dry_run: only that.
    """
    with locked(context.paths.lock(f"archive-{archive}")):
        _withdraw_ended(
            context.database, tree_root(context.config, context.paths, archive)
        )  # what an earlier command was cut off before
        with context.database.read() as tx:
            row = get_suite(tx, archive, name)
            _refuse_needed(tx, context, row)
        if dry_run:
            return row
        kept = context.objects.put(canonical_json(_document(row)))
        with context.write() as tx:
            _refuse_needed(tx, context, row)  # a push may have come
            if get_suite(tx, archive, name) != row:
                raise Busy(f"suite {archive}/{name} has changed meanwhile", hint="run the same command again")
            end_suite(tx, row, who.actor, who.reason, context.now(), context.job)
            holder = _holder(archive, name)
            until = context.now() + UNDO_TIME
            replace_holds(tx, holder, [Hold(holder, "object", kept, "to take it back", until)], context.now())
        ServedTree(tree_root(context.config, context.paths, archive)).withdraw(name)
    return row


def withdraw_ended(
    database: Database, paths: StatePaths, config: Config, archives: Iterable[str], *, patience_s: float = 600
) -> None:
    """Serve no suite that there is no row of: whoever ended it was cut off, or left this to us.

    Archives that somebody publishes for longer than patience_s are left for the next time.
    """
    for archive in archives:
        with suppress(Busy), locked(paths.lock(f"archive-{archive}"), patience_s=patience_s):
            _withdraw_ended(database, tree_root(config, paths, archive))


def _withdraw_ended(database: Database, tree: Path) -> None:
    with database.read() as tx:
        names = {row.name for row in list_suites(tx) if row.archive == tree.name}
    ServedTree(tree).withdraw_all_but(names)


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
        begin_suite(tx, row, "take back", who.actor, who.reason, now, context.job)
        replace_holds(tx, holder, [], now)
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


def _refuse_needed(tx: Transaction, context: Context, row: SuiteState) -> None:
    """Refuse a suite of the configuration or of a branch, which would be made anew, and one that others build on."""
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
    problems += [
        f"branch {one.branch} of {one.repo} has it"
        for one in branches_of_suite(tx, row.archive, row.name)
        if one.gone_at is None and one.ref.startswith(HEADS) and one.repo in context.config.repos
    ]
    if problems:
        raise Refused(f"suite {name} is needed:\n{listed(problems)}", hint=f"distwright suite list {row.archive}")
