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

AT_ONCE = 400  # updates in one transaction: nobody else writes meanwhile, for about a second
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
    at_once: int = AT_ONCE,
) -> int:
    """Turn what was pushed since the last call into events, each ref update once; say how many: 0 when nothing is left.

    Some `at_once` of each repo, in a transaction of their own: who pushes thousands of branches holds neither other repos up nor
    whoever writes. Call it again for the rest.
    settling: what else follows from refs; its rows are there before the events of the push.
    needs: what the commit that a ref comes to needs is held from the same moment on, until the ref moves on or is gone.
    Two pushes of one ref are two events if their hooks announced them. What no hook announced is found in the refs as they are. A
    spool file is removed only after all events of its repo are committed; one of a repo that is not in `repos` is removed too.
    """
    spooled = {file: announced_updates(file) for file in spool_files(paths.spool)}
    announced: dict[str, list[RefUpdate]] = {}
    for updates in spooled.values():
        for update in updates:
            announced.setdefault(update.repo, []).append(update)
    count, unfinished = 0, set()
    for repo in repos:
        path = paths.repo(repo)
        if path.exists():
            of_repo = announced.get(repo, [])
            settle = settling or NothingSettles()
            taken, is_whole = _take_in(database, path, repo, of_repo, now, needs, settle, at_once)
            count += taken
            unfinished |= set() if is_whole else {repo}
    for file, updates in spooled.items():
        if not unfinished & {update.repo for update in updates}:
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
    at_once: int,
) -> tuple[int, bool]:
    """Record what leads from the rows to the refs; begin again when another process has changed the rows meanwhile.

    Give the number of updates, and whether that was all.
    """
    while True:
        with database.read() as tx:
            known = refs_of(tx, repo)
            is_settled = settling.is_settled(tx, repo, known)
        actual = refs(path)  # after the rows: read before them, a push that another process took in looks undone
        updates, is_whole = part_of(_updates(path, repo, announced, known, actual), announced, at_once)
        if not updates and is_settled:
            return 0, True
        reached = actual if is_whole else after_updates(known, updates)
        prepared = settling.prepare(path, repo, updates)
        needed = needs(path, sorted({update.new for update in updates} - {NOTHING}))
        with database.write() as tx:
            is_current = refs_of(tx, repo) == known
            if is_current:
                finish = settling.settle(tx, repo, reached, prepared, now)
                for update in updates:
                    _record(tx, update, now)
                    replace_holds(tx, ref_holder(repo, update.ref), needed.get(update.new, ()), now)
        if is_current:
            finish()
            return len(updates), is_whole


def part_of(
    updates: Sequence[RefUpdate], announced: Sequence[RefUpdate], limit: int
) -> tuple[Sequence[RefUpdate], bool]:
    """Choose the updates that are recorded at once; say whether they are all.

    What was announced stays until all is recorded, and must not lead on once more from where a ref is by then. So all updates of a
    ref are in one part, and in the last one if an announcement begins where they end.
    """
    if len(updates) <= limit:
        return updates, True
    ends = {update.ref: update.new for update in updates}
    leads_on = {update.ref for update in announced if update.old == ends.get(update.ref)}
    rest = [update for update in updates if update.ref not in leads_on]
    if not rest:
        return updates, True
    chosen = {update.ref for update in rest[:limit]}
    return [update for update in rest if update.ref in chosen], False


def after_updates(known: Mapping[str, str], updates: Sequence[RefUpdate]) -> dict[str, str]:
    """Give the refs as they are after updates."""
    reached = {**known, **{update.ref: update.new for update in updates}}
    return {ref: name for ref, name in reached.items() if name != NOTHING}


def _updates(
    path: Path, repo: str, announced: Sequence[RefUpdate], known: Mapping[str, str], actual: Mapping[str, str]
) -> list[RefUpdate]:
    present = existing_commits(path, sorted({update.new for update in announced} - {NOTHING}))
    return all_updates(repo, announced, known, actual, present)


def all_updates(
    repo: str,
    announced: Sequence[RefUpdate],
    known: Mapping[str, str],
    actual: Mapping[str, str],
    present: Collection[str],
) -> list[RefUpdate]:
    """Give what leads from the refs as recorded to those that are: as announced, then what nobody did. present: objects there."""
    updates = replayed(announced, known, actual, present.__contains__)
    return [*updates, *ref_updates(repo, after_updates(known, updates), actual)]


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
