"""Pushes become events: first those that hooks announced, then what the refs themselves say. Refs are the truth."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from distwright.model.events import Event, EventKind
from distwright.store.database import Database, Transaction
from distwright.store.events import append_event
from distwright.store.paths import StatePaths
from distwright.store.refs import refs_of, set_ref
from distwright.tools.git import refs, unreadable_refs

NOTHING = "0" * 40


@dataclass(frozen=True, slots=True)
class RefUpdate:
    """One ref of a push: where it pointed (NOTHING if it is new) and where it points now (NOTHING if it is gone)."""

    repo: str
    ref: str
    old: str
    new: str


def take_in_pushes(database: Database, paths: StatePaths, repos: Sequence[str], now: datetime) -> int:
    """Turn everything that was pushed since the last call into events, each ref update once; say how many.

    Works from the refs as they are, so a push whose hook was lost is found too. A spool file is removed only after its events
    are committed.
    """
    spooled = _spooled(paths.spool)
    count = 0
    for repo in repos:
        path = paths.repo(repo)
        if not path.exists():
            continue
        actual = refs(path)
        with database.write() as tx:
            for update in ref_updates(repo, refs_of(tx, repo), actual):
                _record(tx, update, now)
                count += 1
    for file in spooled:
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


def _record(tx: Transaction, update: RefUpdate, now: datetime) -> None:
    set_ref(tx, update.repo, update.ref, None if update.new == NOTHING else update.new, now)
    body = {"repo": update.repo, "ref": update.ref, "old": update.old, "new": update.new}
    append_event(tx, Event(EventKind.REPO_PUSHED, now, f"{update.repo} {update.ref}", body))


def report_unreadable(paths: StatePaths, repos: Sequence[str], tell: Callable[[str], None]) -> None:
    """Say which refs `take_in_pushes` passes over, because their names are not UTF-8 and so can stand in no row and no answer."""
    for repo in repos:
        path = paths.repo(repo)
        for name in unreadable_refs(path) if path.exists() else ():
            tell(f"repo {repo}: {name} is not UTF-8 and is passed over; rename it: git -C {path} for-each-ref")


def spooled_pushes(spool: Path) -> int:
    """Say how many pushes wait in the spool."""
    return len(_spooled(spool))


def _spooled(spool: Path) -> list[Path]:
    """List what hooks left: files. Whoever may push may also make a folder there, which is nothing of ours."""
    return sorted(file for file in spool.glob("*.push") if file.is_file() and not file.is_symlink())
