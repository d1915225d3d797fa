"""Which suite each branch and tag of a repo is to have, and what that takes. Pure: rows and names of refs go in, steps come out.

A suite belongs to the name of a branch, in all repos of its archive together: one topic over several repos has one overlay.
"""

import shlex
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from distwright.archive.tree import EMPTY_ROOT
from distwright.config.model import Config
from distwright.config.tables_archive import OwnArchive
from distwright.errors import BadInput
from distwright.model.names import our_name, suite_of_branch
from distwright.model.records import BranchSuite, SuiteState
from distwright.repos.branches import HEADS, TAGS, is_base, is_topic, short, shown

BASE, OVERLAY, RELEASE = "base", "overlay", "release"
Key = tuple[str, str]  # archive and suite


@dataclass(frozen=True, slots=True)
class Warned:
    """Why a ref has no suite, and what to type."""

    what: str
    hint: str

    def __str__(self) -> str:
        """Both in one line."""
        return f"{self.what} ({self.hint})"


@dataclass(slots=True)
class BranchPlan:
    """What is to be done, in this order. warned: refs that have no suite and had not been told so."""

    ended: list[SuiteState] = field(default_factory=list)
    begun: list[SuiteState] = field(default_factory=list)
    dropped: list[BranchSuite] = field(default_factory=list)
    written: list[BranchSuite] = field(default_factory=list)
    warned: list[tuple[BranchSuite, Warned]] = field(default_factory=list)

    def __bool__(self) -> bool:
        """Say whether anything is to be done."""
        return bool(self.ended or self.begun or self.dropped or self.written)


def seats_of(config: Config, repo: str) -> dict[str, str]:
    """Give own archive -> suite of the default branch, for the archives in which branches of a repo have suites.

    Those are the archive of its packages, and those that images with a recipe there name in `from` (the first suite of each).
    """
    table = config.repos.get(repo)
    if table is None:
        return {}
    names = [] if table.suite is None or not table.package else [(config.suites[table.suite].archive, table.suite)]
    names += [
        (archive, suite)
        for image in config.images.values()
        if image.repo == repo
        for archive, _, suite in (source.partition("/") for source in image.from_)
        if isinstance(config.archives.get(archive), OwnArchive)
    ]
    return dict(reversed(names))


def is_of_image(config: Config, repo: str) -> bool:
    """Say whether a repo has the recipe of an image: only its tags make suites."""
    return any(image.repo == repo for image in config.images.values())


def wanted_of(config: Config, repo: str, refs: Collection[str]) -> dict[tuple[str, str], tuple[str, str]]:
    """Say what the branches among `refs` are to have: (ref, archive) -> kind and name of the suite."""
    table, seats = config.repos.get(repo), seats_of(config, repo)
    if table is None or not seats:
        return {}
    wanted = {}
    for ref in refs:
        if ref.startswith(HEADS) and (is_base(table, short(ref)) or is_topic(table, short(ref))):
            kind, name = OVERLAY if is_topic(table, short(ref)) else BASE, suite_of_branch(short(ref))
            for archive, suite in seats.items():
                wanted[ref, archive] = (kind, suite if short(ref) == table.default_branch else name)
    return wanted


def is_settled(
    config: Config, repo: str, refs: Collection[str], here: Mapping[tuple[str, str], tuple[str, str]]
) -> bool:
    """Say whether rows of a repo are as its branches want them, as far as that is seen without looking at suites.

    here: (ref, archive) -> kind and suite, of refs that are there.
    """
    heads = {key: value for key, value in here.items() if key[0].startswith(HEADS)}
    return heads == wanted_of(config, repo, refs) and all(key[0] in refs for key in here)


def plan_branches(
    config: Config,
    repo: str,
    refs: Collection[str],
    tagged: Mapping[str, str],
    rows: Iterable[BranchSuite],
    suites: Iterable[SuiteState],
    now: datetime,
) -> BranchPlan:
    """Plan what leads from the rows to what the refs of a repo want.

    refs: all branches and tags that there are. tagged: tags that were pushed just now -> the base branch whose state they name; ""
    if none does. rows: of all repos. The first branch that had a suite keeps it: whose suite would be the same has none.
    """
    planner = _Planner(
        config, repo, now,
        {(row.repo, row.ref, row.archive): row for row in rows}, {(row.archive, row.name): row for row in suites},
    )  # fmt: skip
    wanted = wanted_of(config, repo, refs)
    planner.forget_retired()
    for row in [row for row in planner.rows.values() if row.repo == repo]:
        if (row.ref, row.archive) not in wanted and not (row.ref.startswith(TAGS) and row.ref in refs):
            planner.leave(row)
    table = config.repos.get(repo)
    default = f"{HEADS}{table.default_branch}" if table is not None else ""
    order = sorted(wanted, key=lambda key: (key[0] != default, wanted[key][0] != BASE, key))
    for ref, archive in order:
        planner.seat(ref, archive, *wanted[ref, archive])
    for ref, base in sorted(tagged.items()) if is_of_image(config, repo) else ():
        for archive in seats_of(config, repo):
            planner.release(ref, archive, base)
    return planner.plan


@dataclass(slots=True)
class _Planner:
    """Rows as they will be when the steps so far are done."""

    config: Config
    repo: str
    now: datetime
    rows: dict[tuple[str, str, str], BranchSuite]
    suites: dict[Key, SuiteState]
    plan: BranchPlan = field(default_factory=BranchPlan)

    def forget_retired(self) -> None:
        """Drop rows of tags whose suite was retired: it is not made again, and another may have its name."""
        for row in list(self.rows.values()):
            if row.ref.startswith(TAGS) and row.suite and (row.archive, row.suite) not in self.suites:
                self._drop(row)

    def leave(self, row: BranchSuite) -> None:
        """Let a ref go that is no more: with its overlay, if that is empty and nobody else's."""
        suite = self.suites.get((row.archive, row.suite)) if row.suite else None
        others = [one for one in self._of(row.archive, row.suite) if one is not row]
        is_ours = suite is not None and not self._is_configured(suite) and not [o for o in others if self._is_there(o)]
        if suite is not None and is_ours and self._is_idle(suite):
            self.plan.ended.append(self.suites.pop((suite.archive, suite.name)))
            for other in (row, *others):
                self._drop(other)
        elif not is_ours:
            self._drop(row)
        elif row.gone_at is None:
            self._write(replace(row, gone_at=self.now))

    def seat(self, ref: str, archive: str, kind: str, name: str) -> None:
        """Let a branch have its suite, or say why it has none."""
        old = self.rows.get((self.repo, ref, archive))
        suite = self.suites.get((archive, name))
        row = BranchSuite(self.repo, ref, archive, kind, name, "", self.now)
        if suite is not None and suite.kind == OVERLAY != kind and self._is_idle(suite) and self._is_alone(row):
            self.plan.ended.append(self.suites.pop((archive, name)))  # a topic became a base
            suite = None
        has_it = old is not None and (old.kind, old.suite, old.gone_at) == (kind, name, None)
        if has_it and suite is not None and (suite.kind == kind or self._is_configured(suite)):
            return
        parent = seats_of(self.config, self.repo)[archive]
        self._settle(row, old, self._refusal(row, suite, parent), suite, parent)

    def release(self, ref: str, archive: str, base: str) -> None:
        """Let a tag have a suite, which begins as that of its base is now; one that it has stays as it is."""
        row = BranchSuite(self.repo, ref, archive, RELEASE, suite_of_branch(short(ref)), "", self.now)
        old, suite = self.rows.get((self.repo, ref, archive)), self.suites.get((archive, row.suite))
        of_base = self.rows.get((self.repo, f"{HEADS}{base}", archive))
        parent = "" if of_base is None else of_base.suite
        problem = self._refusal(row, suite, parent)
        if problem is None and not parent and suite is None:
            what = f"{shown(ref)} is in no base branch that has a suite in {archive}"
            problem = Warned(what, f"distwright suite branch {archive}/BASE {row.suite} --kind release")
        self._settle(row, old, problem, suite, parent)

    def _settle(
        self, row: BranchSuite, old: BranchSuite | None, problem: Warned | None, suite: SuiteState | None, parent: str
    ) -> None:
        if problem is not None:
            row = replace(row, suite="", problem=str(problem))
        elif suite is None:
            self._begin(row, parent)
        if old is not None and replace(old, at=row.at) == row:
            return
        self._write(row)
        if problem is not None:
            self.plan.warned.append((row, problem))

    def _begin(self, row: BranchSuite, parent: str) -> None:
        origin = self.suites[row.archive, parent]
        revision = EMPTY_ROOT.revision if row.kind == OVERLAY else origin.revision
        is_sealed = row.kind == RELEASE and revision != EMPTY_ROOT.revision
        follows = origin.settings
        suite = SuiteState(row.archive, row.suite, row.kind, revision, self.now, follows, parent, is_sealed)
        self.plan.begun.append(suite)
        self.suites[row.archive, row.suite] = suite

    def _refusal(self, row: BranchSuite, suite: SuiteState | None, parent: str) -> Warned | None:
        """Say why a ref cannot have a suite; None if it can."""
        what, rename = f"{shown(row.ref)} of {row.repo} would have the suite {row.archive}/{row.suite}", _renaming(row)
        try:
            our_name(row.suite, "suite")
        except BadInput as error:
            return Warned(f"{what}: {error.message}", rename)
        named = next((name for name, table in self.config.suites.items() if self._names(row, name, table)), None)
        if named is not None and row.kind != BASE and not self._is_meant(row):
            return Warned(f"{what}, which is configured, and not for it", rename)
        if named is not None and named != row.suite:
            return Warned(f"{what}, which is the codename of {named}", rename)
        others = self._others(row)
        if others:
            other = others[0]
            return Warned(f"{what}, which belongs to {shown(other.ref)} of {other.repo}", rename)
        if suite is not None and suite.kind != row.kind and not (named and row.kind == BASE):
            return Warned(f"{what}, which is of kind {suite.kind} and not {row.kind}", rename)
        if suite is None and parent and (row.archive, parent) not in self.suites:
            return Warned(
                f"{what}, but {row.archive} has no suite {parent} to begin it from", "distwright config apply"
            )
        return None

    def _is_meant(self, row: BranchSuite) -> bool:
        """Say whether a configured suite is for this very topic or tag: called as it, letter by letter, and of its kind."""
        table = self.config.suites.get(short(row.ref))
        return table is not None and row.suite == short(row.ref) and table.kind == row.kind

    def _names(self, row: BranchSuite, name: str, table: object) -> bool:
        suite = self.config.suites[name]
        return suite.archive == row.archive and row.suite in (name, suite.codename)

    def _others(self, row: BranchSuite) -> list[BranchSuite]:
        """List whoever has the suite under another name, the first one first."""
        found = [one for one in self._of(row.archive, row.suite) if not _is_same_name(one, row)]
        is_shared = self._is_configured_name(row.archive, row.suite)  # by base branches
        return [] if is_shared else sorted(found, key=lambda one: one.at)

    def _is_alone(self, row: BranchSuite) -> bool:
        """Say whether no branch of another repo, or of another name, has the suite of a row."""
        found = self._of(row.archive, row.suite)
        return all((one.repo, one.ref) == (row.repo, row.ref) or not self._is_there(one) for one in found)

    def _of(self, archive: str, suite: str) -> list[BranchSuite]:
        there = (archive, suite) in self.suites
        return [one for one in self.rows.values() if suite and there and (one.archive, one.suite) == (archive, suite)]

    def _is_there(self, row: BranchSuite) -> bool:
        """Say whether a ref is there, in a repo that is configured: others are never looked at again."""
        return row.gone_at is None and row.repo in self.config.repos

    def _is_idle(self, suite: SuiteState) -> bool:
        """Say whether a suite is an overlay with nothing in it, nor on it."""
        on_it = (one for one in self.suites.values() if (one.archive, one.parent) == (suite.archive, suite.name))
        return suite.kind == OVERLAY and suite.revision == EMPTY_ROOT.revision and not any(on_it)

    def _is_configured(self, suite: SuiteState) -> bool:
        return self._is_configured_name(suite.archive, suite.name)

    def _is_configured_name(self, archive: str, name: str) -> bool:
        table = self.config.suites.get(name)
        return table is not None and table.archive == archive

    def _write(self, row: BranchSuite) -> None:
        self.rows[row.repo, row.ref, row.archive] = row
        self.plan.written.append(row)

    def _drop(self, row: BranchSuite) -> None:
        del self.rows[row.repo, row.ref, row.archive]
        self.plan.dropped.append(row)


def _is_same_name(one: BranchSuite, other: BranchSuite) -> bool:
    return one.ref == other.ref and (one.ref.startswith(HEADS) or one.repo == other.repo)


def _renaming(row: BranchSuite) -> str:
    if row.ref.startswith(TAGS):
        return "git tag -s NAME, and push that"
    old = short(row.ref)
    old_ref = shlex.quote(f":{row.ref}")
    return (
        f"rename it: git push ORIGIN {shlex.quote(row.ref)}:{HEADS}NAME {old_ref}" if old.isprintable() else "rename it"
    )
