"""Pushes become events: first those that hooks announced, then what the refs themselves say. Refs are the truth."""

import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

from distwright.model.events import Event, EventKind
from distwright.repos.spool import NOTHING, RefUpdate, announced_updates, replayed, spool_files
from distwright.store.database import Database, Transaction
from distwright.store.events import append_event
from distwright.store.holds import Hold, replace_holds
from distwright.store.paths import StatePaths
from distwright.store.refs import refs_of, set_ref
from distwright.tools.git import existing_commits, refs, unreadable_refs

Needs = Callable[[Path, Sequence[str]], Mapping[str, Sequence[Hold]]]
"""Says what commits of a repo need, as far as they need anything: commit -> holds."""


def ref_holder(repo: str, ref: str) -> str:
    """Say who holds what a branch or tag needs."""
    return f"ref {repo} {ref}"


def need_nothing(_repo: Path, _commits: Sequence[str]) -> Mapping[str, Sequence[Hold]]:
    """Hold nothing."""
    return {}


class Settling(Protocol):
    """What else follows from the refs of a repo, in the transaction that records them (the suites of branches)."""

    def is_settled(self, tx: Transaction, repo: str, refs: Collection[str]) -> bool:
        """Say whether nothing is to be done for these refs."""
        ...

    def prepare(self, path: Path, repo: str, updates: Sequence[RefUpdate]) -> Mapping[str, str]:
        """Do what is slow, before the transaction."""
        ...

    def settle(
        self, tx: Transaction, repo: str, refs: Collection[str], prepared: Mapping[str, str], now: datetime
    ) -> Callable[[], None]:
        """Make it so; give what is to be done after the transaction. Safe to repeat."""
        ...


def nothing_more() -> None:
    """Do nothing."""


class NothingSettles:
    """Nothing else follows from refs."""

    def is_settled(self, tx: Transaction, repo: str, refs: Collection[str]) -> bool:
        """Say so."""
        return True

    def prepare(self, path: Path, repo: str, updates: Sequence[RefUpdate]) -> Mapping[str, str]:
        """Prepare nothing."""
        return {}

    def settle(
        self, tx: Transaction, repo: str, refs: Collection[str], prepared: Mapping[str, str], now: datetime
    ) -> Callable[[], None]:
        """Change nothing."""
        return nothing_more


def take_in_pushes(
    database: Database,
    paths: StatePaths,
    repos: Sequence[str],
    now: datetime,
    needs: Needs = need_nothing,
    settling: Settling | None = None,
) -> int:
    """Turn everything that was pushed since the last call into events, each ref update once; say how many.

    settling: what else follows from refs; its rows are there before the events of the push.
    needs: what the commit that a ref comes to needs is held from the same moment on, until the ref moves on or is gone.
    Two pushes of one ref are two events if their hooks announced them. What no hook announced is found in the refs as they are. A
    spool file is removed only after its events are committed; one of a repo that is not in `repos` is removed too.
    """
    spooled = spool_files(paths.spool)
    announced: dict[str, list[RefUpdate]] = {}
    for file in spooled:
        for update in announced_updates(file):
            announced.setdefault(update.repo, []).append(update)
    count = 0
    for repo in repos:
        path = paths.repo(repo)
        if path.exists():
            count += _take_in(database, path, repo, announced.get(repo, []), now, needs, settling or NothingSettles())
    for file in spooled:
        with contextlib.suppress(OSError):
            file.unlink(missing_ok=True)
    return count


def ref_updates(repo: str, known: Mapping[str, str], actual: Mapping[str, str]) -> list[RefUpdate]:
    """Compare the refs as recorded with the refs as they are; sorted by name, tags after branches."""
    names = sorted(set(known) | set(actual))
    return [
        RefUpdate(repo, name, known.get(name, NOTHING), actual.get(name, NOTHING))
        for name in names
        if known.get(name) != actual.get(name)
    ]


def _take_in(
    database: Database,
    path: Path,
    repo: str,
    announced: Sequence[RefUpdate],
    now: datetime,
    needs: Needs,
    settling: Settling,
) -> int:
    """Record what leads from the rows to the refs; begin again when another process has changed the rows meanwhile."""
    while True:
        with database.read() as tx:
            known = refs_of(tx, repo)
            is_settled = settling.is_settled(tx, repo, known)
        actual = refs(path)  # after the rows: read before them, a push that another process took in looks undone
        updates = _updates(path, repo, announced, known, actual)
        if not updates and is_settled:
            return 0
        prepared = settling.prepare(path, repo, updates)
        needed = needs(path, sorted({update.new for update in updates} - {NOTHING}))
        with database.write() as tx:
            is_current = refs_of(tx, repo) == known
            if is_current:
                finish = settling.settle(tx, repo, actual, prepared, now)
                for update in updates:
                    _record(tx, update, now)
                    replace_holds(tx, ref_holder(repo, update.ref), needed.get(update.new, ()), now)
        if is_current:
            finish()
            return len(updates)


def _updates(
    path: Path, repo: str, announced: Sequence[RefUpdate], known: Mapping[str, str], actual: Mapping[str, str]
) -> list[RefUpdate]:
    present = existing_commits(path, sorted({update.new for update in announced} - {NOTHING}))
    updates = replayed(announced, known, actual, present.__contains__)
    reached = dict(known)
    for update in updates:
        reached[update.ref] = update.new
    reached = {ref: name for ref, name in reached.items() if name != NOTHING}
    return [*updates, *ref_updates(repo, reached, actual)]


def _record(tx: Transaction, update: RefUpdate, now: datetime) -> None:
    set_ref(tx, update.repo, update.ref, None if update.new == NOTHING else update.new, now)
    body = {
        "repo": update.repo, "ref": update.ref, "old": update.old, "new": update.new, "pusher": update.pusher
    }  # fmt: skip
    append_event(tx, Event(EventKind.REPO_PUSHED, now, f"{update.repo} {update.ref}", body))


def report_unreadable(paths: StatePaths, repos: Sequence[str], tell: Callable[[str], None]) -> None:
    """Say which refs `take_in_pushes` passes over, because their names are not UTF-8 and so can stand in no row and no answer."""
    for repo in repos:
        path = paths.repo(repo)
        for name in unreadable_refs(path) if path.exists() else ():
            tell(
                f"repo {repo}: {name} is not UTF-8, or too long, and is passed over; rename it: git -C {path} for-each-ref"
            )


def spooled_pushes(spool: Path) -> int:
    """Say how many pushes wait in the spool."""
    return len(spool_files(spool))
