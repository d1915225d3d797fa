"""Branches of hosted repos have suites: made, and let go, in the transaction that records what was pushed."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from distwright.archive.branch_plan import OVERLAY, BranchPlan, is_of_image, is_settled, plan_branches, seats_of
from distwright.archive.retiring_suite import withdraw_ended
from distwright.archive.suite_rows import begin_suite, end_suite
from distwright.archive.tree import EMPTY_ROOT
from distwright.config.model import Config
from distwright.config.tables_archive import OwnArchive
from distwright.errors import BadInput
from distwright.model.events import Event, EventKind
from distwright.repos.branches import BASE_BRANCH, HEADS, TAGS, is_base, read_base_branch, short
from distwright.repos.pushes import nothing_more
from distwright.repos.spool import NOTHING, RefUpdate
from distwright.store.branches import (
    branches_of_archives,
    branches_of_ref,
    branches_of_repo,
    drop_branch_suite,
    set_branch_suite,
    suites_of_refs,
)
from distwright.store.database import Database, Transaction
from distwright.store.events import append_event
from distwright.store.objects import ObjectStore
from distwright.store.paths import StatePaths
from distwright.store.stale import mark_branch
from distwright.store.suites import list_suites
from distwright.tools.git import refs, small_files_at
from distwright.tools.git_history import tags_within

ACTOR = "push"
_FILE_LIMIT_BYTES = 1024
_PATIENCE_S = 1.0
_NEVER = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class SuitesOfBranches:
    """What `take_in_pushes` asks beside refs: lets each branch have its suite from the moment on that its push is known."""

    database: Database
    objects: ObjectStore
    paths: StatePaths
    config: Config

    def is_settled(self, tx: Transaction, repo: str, refs: Collection[str]) -> bool:
        """Say whether nothing is to be done. Cost: some columns of its rows; all rows while a branch of it has no suite."""
        if is_settled(self.config, repo, refs, suites_of_refs(tx, repo)):
            return True
        return not self._plan(tx, repo, refs, {}, _NEVER)

    def prepare(self, path: Path, repo: str, updates: Sequence[RefUpdate]) -> Mapping[str, str]:
        """Give the base branch of each new tag of an image's repo, and keep what an empty suite is. Git runs here."""
        if seats_of(self.config, repo):
            self.objects.put(EMPTY_ROOT.to_bytes())
        new = {update.ref: update.new for update in updates if update.ref.startswith(TAGS) and update.new != NOTHING}
        if not new or not is_of_image(self.config, repo):
            return {}
        return bases_of_tags(path, self.config, repo, new)

    def settle(
        self, tx: Transaction, repo: str, refs: Collection[str], prepared: Mapping[str, str], now: datetime
    ) -> Callable[[], None]:
        """Make rows as the refs want them; give what is to be done when the transaction has ended."""
        plan = self._plan(tx, repo, refs, prepared, now)
        for suite in plan.ended:
            end_suite(tx, suite, ACTOR, f"its branch in {repo} is gone", now)
        for row in plan.dropped:
            drop_branch_suite(tx, row)
        for suite in plan.begun:
            begin_suite(tx, suite, "branch", ACTOR, f"of {repo}", now)
        for row in plan.written:
            set_branch_suite(tx, row)
            mark_branch(tx, row.repo, row.branch)
        for row, why in plan.warned:
            subject = f"{row.repo} {row.ref}"
            body = {"about": subject, "what": why.what, "hint": why.hint}
            append_event(tx, Event(EventKind.WARNING_RAISED, now, subject, body))
        archives = sorted({suite.archive for suite in plan.ended})
        if not archives:
            return nothing_more
        return partial(withdraw_ended, self.database, self.paths, self.config, archives, patience_s=_PATIENCE_S)

    def _plan(
        self, tx: Transaction, repo: str, refs: Collection[str], tagged: Mapping[str, str], now: datetime
    ) -> BranchPlan:
        archives = {*seats_of(self.config, repo), *(row.archive for row in branches_of_repo(tx, repo))}
        if not archives:
            return BranchPlan()
        suites = [suite for suite in list_suites(tx) if suite.archive in archives]
        return plan_branches(self.config, repo, refs, tagged, branches_of_archives(tx, archives), suites, now)


def suites_of_topic(tx: Transaction, archives: Collection[str], topic: str) -> list[str]:
    """Give the overlays, `archive/suite`, that belong to a topic which is there in any repo."""
    rows = [row for row in branches_of_ref(tx, f"{HEADS}{topic}", archives) if row.gone_at is None]
    return sorted({f"{row.archive}/{row.suite}" for row in rows if row.suite and row.kind == OVERLAY})


def bases_of_tags(path: Path, config: Config, repo: str, tags: Mapping[str, str]) -> dict[str, str]:
    """Say which base branch new tags are of: the one that `config/base_branch` names, if it contains them; else one that does.

    tags: ref -> object. "" for one that no base contains. Three processes, and one for each base branch.
    """
    table = config.repos[repo]
    named = small_files_at(path, [(target, BASE_BRANCH) for target in tags.values()], limit_bytes=_FILE_LIMIT_BYTES)
    bases_here = sorted(ref for ref in refs(path) if ref.startswith(HEADS) and is_base(table, short(ref)))
    within = {short(ref): tags_within(path, ref) for ref in bases_here}
    found = {}
    for ref, target in tags.items():
        bases = [base for base, names in within.items() if ref in names]
        said = _said(named.get((target, BASE_BRANCH)))
        best = said if said in bases else table.default_branch if table.default_branch in bases else ""
        found[ref] = best or next(iter(bases), "")
    return found


def _said(content: bytes | None) -> str:
    try:
        return "" if content is None else read_base_branch(content, BASE_BRANCH)
    except BadInput:
        return ""


def withdraw_all_ended(database: Database, paths: StatePaths, config: Config) -> None:
    """Serve no suite of our archives that there is no row of; for the start of whoever serves."""
    own = sorted(name for name, table in config.archives.items() if isinstance(table, OwnArchive))
    withdraw_ended(database, paths, config, own, patience_s=0)
