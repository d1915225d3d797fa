"""Where the packages of a build go: a suite of ours, or nowhere, because it is only tried."""

from dataclasses import dataclass

from distwright.archive.branching import suites_of_topic
from distwright.config.model import Config
from distwright.config.tables import Repo
from distwright.config.tables_archive import OwnArchive
from distwright.errors import BadInput, BadUsage, NotFound, quoted
from distwright.jobs.step import KindName
from distwright.model.names import suite_of_branch
from distwright.repos.branches import HEADS, is_topic
from distwright.store.branches import find_branch_suite
from distwright.store.database import Database, Transaction
from distwright.store.suites import find_suite, list_suites

BUILD_KIND, TRY_KIND = KindName("package.build", 1), KindName("package.try", 1)


@dataclass(frozen=True, slots=True)
class Destination:
    """archive, suite: whose name the build bears. is_upload: whether the packages go there. note: why not, and what to type."""

    archive: str
    suite: str
    is_upload: bool = True
    note: str = ""

    @property
    def kind(self) -> KindName:
        """The kind of job: both plan the same, so what one has done the other knows."""
        return BUILD_KIND if self.is_upload else TRY_KIND


def suite_given(database: Database, name: str) -> Destination:
    """Find a suite of ours by `SUITE` or `ARCHIVE/SUITE`; raise NotFound, BadUsage if two archives have one of that name."""
    with database.read() as tx:
        found = [row for row in list_suites(tx) if name in (row.name, f"{row.archive}/{row.name}")]
    if not found:
        raise NotFound(f"there is no suite {quoted(name)}", hint="distwright suite list")
    if len(found) > 1:
        names = ", ".join(f"{row.archive}/{row.name}" for row in found)
        raise BadUsage(f"{quoted(name)} may mean {names}", hint="name the archive too: --suite ARCHIVE/SUITE")
    return Destination(found[0].archive, found[0].name)


def suite_of_repo(config: Config, repo: str) -> Destination:
    """Say where the tags of a package's repo go; raise NotFound, BadInput for a repo that is no package."""
    table = config.repos.get(repo)
    if table is None:
        raise NotFound(f"repo {quoted(repo)} is not configured", hint="distwright repo list")
    suite, _ = package_settings(table, repo)
    return Destination(config.suites[suite].archive, suite)


def package_settings(table: Repo, repo: str) -> tuple[str, str]:
    """Give suite and environment of a package's repo; raise BadInput for one that is no package."""
    if table.suite is None or table.environment is None:
        raise BadInput(f"repo {repo} is not a package", hint=f"set package = true in [repo.{repo}]")
    return table.suite, table.environment


def suite_of_ref(database: Database, config: Config, repo: str, branch: str | None) -> Destination:
    """Say where a branch's packages go: the default branch's as a tag's, another one's to its own suite, if it has one.

    branch: None for a commit that was named by itself, which goes nowhere. Source: REQUIREMENTS A1; raises as `suite_of_repo` does.
    """
    usual = suite_of_repo(config, repo)
    if branch == config.repos[repo].default_branch:
        return usual
    if branch is None:
        note = "a commit is only tried; to upload what is built of it, add --suite SUITE"
        return Destination(usual.archive, usual.suite, is_upload=False, note=note)
    name = suite_of_branch(branch)
    with database.read() as tx:
        row = find_branch_suite(tx, repo, f"{HEADS}{branch}", usual.archive)
        # One that was never looked at (or is wip) may have a suite that somebody made for it.
        by_hand = find_suite(tx, usual.archive, name) if row is None and name not in config.suites else None
    if row is not None and row.suite:
        return Destination(row.archive, row.suite)
    if by_hand is not None:
        return Destination(by_hand.archive, by_hand.name)
    if row is not None:
        note = f"it is only tried: {row.problem}"
    else:
        note = (
            f"branch {quoted(branch)} has no suite, so it is only tried; to give it one: "
            f"distwright suite branch {usual.archive}/{usual.suite} {name}"
        )
    return Destination(usual.archive, usual.suite, is_upload=False, note=note)


def sources_of_branch(tx: Transaction, config: Config, environment: str, repo: str, branch: str | None) -> list[str]:
    """Give the `archive/suite` names that a branch is built with: of a topic, its overlays too where archives of ours are used.

    So packages of one topic can need each other. branch: None for a tag, or a commit that was named by itself.
    """
    names = list(config.environments[environment].from_)
    if branch is None or not is_topic(config.repos[repo], branch):
        return names
    own = {name.partition("/")[0] for name in names}
    own = {archive for archive in own if isinstance(config.archives[archive], OwnArchive)}
    if (table := config.repos[repo]).private and table.suite is not None:
        own.add(config.suites[table.suite].archive)  # what is prepared in secret beside it
    return list(dict.fromkeys([*names, *suites_of_topic(tx, own, branch)]))


def archives_of_origs(config: Config, repo: str, destination: Destination) -> tuple[str, ...]:
    """Name the archives of ours that may have upstream's tarballs of a package: where it goes, and where its public twin's is."""
    twin = config.repos.get(config.repos[repo].private_twin_of or "")
    others = () if twin is None or twin.suite is None else (config.suites[twin.suite].archive,)
    return tuple(dict.fromkeys((destination.archive, *others)))


def suite_of_source(
    database: Database, config: Config, suite: str | None, environment: str | None
) -> tuple[Destination, str]:
    """Say where a source goes that came as files, and in which environment it is built: only tried, unless a suite is given.

    environment: as asked for; else the suite's own, or the only one that packages are built in. Raises NotFound, BadUsage.
    """
    given = None if suite is None else suite_given(database, suite)
    chosen = environment or _usual_environment(database, config, given)
    if chosen not in config.environments:
        known = ", ".join(sorted(config.environments)) or "none"
        raise NotFound(
            f"environment {quoted(chosen)} is not configured, but {known}",
            hint=f"add [environment.{chosen}], or name another",
        )
    if given is not None:
        return given, chosen
    archive, _, name = config.environments[chosen].from_[0].partition("/")
    note = "it is only tried; to upload what is built of it, add --suite SUITE"
    return Destination(archive, name, is_upload=False, note=note), chosen


def _usual_environment(database: Database, config: Config, given: Destination | None) -> str:
    if given is not None:
        with database.read() as tx:
            row = find_suite(tx, given.archive, given.suite)
        table = None if row is None else config.suites.get(row.settings)
        if table is not None and table.environment is not None:
            return table.environment
    used = {table.environment for table in config.repos.values() if table.environment is not None}
    used |= {table.environment for table in config.suites.values() if table.environment is not None}
    if len(used) != 1:
        names = ", ".join(sorted(used or config.environments)) or "none"
        raise BadUsage(f"it may be built in several environments: {names}", hint="add --environment NAME")
    return used.pop()
