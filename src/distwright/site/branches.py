"""What faces show of branches: which suite each has, what is in it, and what its commit says. Nothing here changes anything."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from distwright.archive.pinning import pins_at, upstream_archives
from distwright.archive.pins import LATEST
from distwright.archive.suites import packages_of
from distwright.archive.tree import EMPTY_ROOT
from distwright.config.model import Config
from distwright.config.tables import Repo
from distwright.errors import BadInput, NotFound, quoted
from distwright.images.branch_sources import Choices, Subject, base_of, read_choices
from distwright.model.digests import Sha256
from distwright.model.records import BranchSuite, Job, SuiteState
from distwright.repos.branches import HEADS, is_base, is_topic, short
from distwright.store.branch_states import newest_jobs_of_ref
from distwright.store.branches import branches_of_repo
from distwright.store.database import Database, Transaction
from distwright.store.jobs import list_jobs
from distwright.store.objects import ObjectStore
from distwright.store.paths import StatePaths
from distwright.store.suites import list_suites
from distwright.tools.git import refs

SHOWN_JOBS = 10
OF_SUITES = ("upload.accept", "suite.publish")
LOOKED_AT = 100  # newest of each of these kinds


@dataclass(frozen=True, slots=True)
class BranchLine:
    """A branch and a suite of it. kind: base, topic, or "" for what has none. suite: `archive/suite`, or "". note: what is odd."""

    repo: str
    branch: str
    commit: str
    kind: str
    suite: str = ""
    revision: Sha256 | None = None
    note: str = ""

    @property
    def is_empty(self) -> bool:
        """Say whether its suite has nothing."""
        return self.revision == EMPTY_ROOT.revision


@dataclass(frozen=True, slots=True)
class BranchDetail:
    """One branch. base: the base branch it lies on, itself for a base. pins: archive -> serial or `latest`.

    packages: list, name, version of what the overlays of a topic have. problems: what its commit says that cannot be used.
    jobs: for a commit of it, or its own suites, the newest first.
    """

    lines: tuple[BranchLine, ...]
    base: str
    overlays: tuple[str, ...]
    pins: dict[str, str]
    packages: tuple[tuple[str, str, str], ...]
    problems: tuple[str, ...]
    jobs: tuple[Job, ...]


def branch_lines(database: Database, paths: StatePaths, config: Config, repo: str | None = None) -> list[BranchLine]:
    """List the branches of a repo, or of all, each with its suites; those that are gone and left packages, too. Raises NotFound."""
    if repo is not None and repo not in config.repos:
        raise NotFound(f"repo {quoted(repo)} is not configured", hint="distwright repo list")
    with database.read() as tx:
        suites = {(row.archive, row.name): row for row in list_suites(tx)}
        rows = {name: branches_of_repo(tx, name) for name in ([repo] if repo else sorted(config.repos))}
    return [
        line
        for name, of_repo in rows.items()
        for line in _lines_of_repo(config.repos[name], name, _heads(paths.repo(name)), of_repo, suites)
    ]


def branch_detail(
    database: Database, objects: ObjectStore, paths: StatePaths, config: Config, repo: str, branch: str
) -> BranchDetail:
    """Say everything of one branch; raise NotFound."""
    lines = tuple(line for line in branch_lines(database, paths, config, repo) if line.branch == branch)
    if not lines:
        raise NotFound(f"repo {repo} has no branch {quoted(branch)}", hint=f"distwright branch list {repo}")
    where, commit = paths.repo(repo), lines[0].commit
    problems: list[str] = []
    choices, pins, base = Choices(), dict[str, str](), ""
    if commit:
        try:
            choices = read_choices(where, commit)
            base = base_of(config.repos[repo], repo, Subject(branch), choices)
        except BadInput as error:
            problems.append(error.message)
        try:
            found = pins_at(where, commit, upstream_archives(config))
            pins = {archive: str(serial or LATEST) for archive, serial in found.items()}
        except BadInput as error:
            problems.append(error.message)
    with database.read() as tx:
        suites = {f"{row.archive}/{row.name}": row for row in list_suites(tx)}
        own_suites = {line.suite for line in lines if line.kind == "topic"} - {""}
        jobs = _jobs_of(tx, repo, branch, own_suites)
    own = [suites[line.suite] for line in lines if line.kind == "topic" and line.suite in suites and not line.is_empty]
    packages = tuple(package for row in own for package in packages_of(objects, row))
    return BranchDetail(lines, base, choices.overlays, pins, packages, tuple(problems), jobs)


def _lines_of_repo(
    table: Repo,
    repo: str,
    heads: dict[str, str],
    rows: list[BranchSuite],
    suites: dict[tuple[str, str], SuiteState],
) -> Iterator[BranchLine]:
    by_ref: dict[str, list[BranchSuite]] = {}
    for row in rows:
        if row.ref.startswith(HEADS):
            by_ref.setdefault(row.ref, []).append(row)
    for ref in sorted({*heads, *by_ref}):
        branch, commit = short(ref), heads.get(ref, "")
        kind = "base" if is_base(table, branch) else "topic" if is_topic(table, branch) else ""
        found = [
            BranchLine(repo, branch, commit, kind, *_of_suite(row, suites.get((row.archive, row.suite))))
            for row in by_ref.get(ref, [])
            if row.gone_at is None or (row.archive, row.suite) in suites
        ]
        if commit or found:
            yield from found or [BranchLine(repo, branch, commit, kind)]


def _of_suite(row: BranchSuite, suite: SuiteState | None) -> tuple[str, Sha256 | None, str]:
    if not row.suite:
        return "", None, row.problem
    name = f"{row.archive}/{row.suite}"
    note = (
        ""
        if row.gone_at is None
        else f"the branch is gone; to let its packages go: distwright suite retire {name} --apply"
    )
    return name, None if suite is None else suite.revision, note


def _heads(where: Path) -> dict[str, str]:
    found = refs(where) if where.exists() else {}
    return {ref: commit for ref, commit in found.items() if ref.startswith(HEADS)}


def _jobs_of(tx: Transaction, repo: str, branch: str, suites: set[str]) -> tuple[Job, ...]:
    """Give the newest jobs that are for a branch, and those by which a person changed its own suites: no commit led to them."""
    found = {job.id: job for job in newest_jobs_of_ref(tx, repo, f"{HEADS}{branch}", SHOWN_JOBS)}
    for kind in OF_SUITES if suites else ():
        for job in list_jobs(tx, kind=kind, limit=LOOKED_AT):
            if f"{job.inputs.get('archive', '')}/{job.inputs.get('suite', '')}" in suites:
                found[job.id] = job
    return tuple(sorted(found.values(), key=lambda job: -job.id)[:SHOWN_JOBS])
