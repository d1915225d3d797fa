"""Check that the tables fit together: every name that one refers to exists, and is of the right kind."""

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass

from distwright.config.access import access_faults
from distwright.config.embargo import embargo_faults
from distwright.config.model import Config
from distwright.config.problems import Fault, Path, wanted_name
from distwright.config.tables import Environment, Image
from distwright.config.tables_archive import OwnArchive, UpstreamArchive
from distwright.errors import quoted
from distwright.model.names import suite_of_branch


@dataclass(frozen=True, slots=True)
class Unsure:
    """What could not be read: names that are declared with faults, and whether whole files are missing."""

    declared: frozenset[tuple[str, str]] = frozenset()
    files: bool = False

    def about(self, table: str, name: str) -> bool:
        """Say whether `name` may exist although the Config does not have it."""
        return self.files or (table, name) in self.declared


SURE = Unsure()


def reference_faults(config: Config, unsure: Unsure = SURE) -> Iterator[Fault]:
    """Yield what does not fit together; what `unsure` may have is never called missing."""
    for name, archive in config.archives.items():
        if isinstance(archive, UpstreamArchive):
            yield from _pool(name, archive)
    yield from _suites(config, unsure)
    yield from _codenames(config)
    yield from _repos(config, unsure)
    suites = _suites_by_archive(config)
    for name, archive in config.archives.items():
        if isinstance(archive, UpstreamArchive):
            yield from _together(config, suites, unsure, name, archive)
    for name, environment in config.environments.items():
        yield from _sources(config, suites, unsure, ("environment", name), environment)
        if environment.checkers is not None:
            where = ("environment", name, "checkers")
            yield from _missing(where, environment.checkers, "environment", config.environments, unsure)
    for name, image in config.images.items():
        yield from _sources(config, suites, unsure, ("image", name), image)
        yield from _missing(("image", name, "repo"), image.repo, "repo", config.repos, unsure)
        yield from _missing(("image", name, "tools"), image.tools, "environment", config.environments, unsure)
        if image.testers is not None:
            yield from _missing(("image", name, "testers"), image.testers, "environment", config.environments, unsure)
        elif image.features:
            yield Fault(
                ("image", name, "testers"), "is missing, and features need it", "the name of an [environment.NAME]"
            )
    yield from _keys_of_two(config)
    yield from _uploads(config, unsure)
    yield from _next_keys(config)
    yield from _addresses(config)
    yield from embargo_faults(config)
    yield from access_faults(config, unsure.declared, is_whole=not unsure.files)


def _addresses(config: Config) -> Iterator[Fault]:
    """A builder is called by ssh; any other host calls us."""
    for name, host in config.hosts.items():
        if host.role == "builder" and host.address is None:
            yield Fault(
                ("host", name, "address"),
                'is missing, and role = "builder" needs it',
                'a string "ssh://user@host:port"',
            )


def _missing(path: Path, name: str, table: str, existing: Mapping[str, object], unsure: Unsure) -> Iterator[Fault]:
    if name not in existing and not unsure.about(table, name):
        want = wanted_name(name, existing, f"the name of a [{table}.NAME] table")
        yield Fault(path, f"{table} {quoted(name)} does not exist", want)


def _pool(name: str, archive: UpstreamArchive) -> Iterator[Fault]:
    is_listed = archive.pool == "listed"
    if is_listed and not archive.packages:
        yield Fault(("archive", name, "packages"), 'is missing, and pool = "listed" needs it', "package names")
    if not is_listed:
        given = {"recommends": archive.recommends, "pool_sources": archive.pool_sources}
        for setting in (setting for setting, value in given.items() if value):
            yield Fault(("archive", name, setting), f'says nothing for pool = "{archive.pool}"', 'pool = "listed"')
    if archive.pool_sources and not archive.sources:
        yield Fault(("archive", name, "pool_sources"), "needs the lists of sources", "sources = true")
    if archive.serve == "filtered":
        if not is_listed:
            yield Fault(("archive", name, "serve"), "has nothing to filter by", 'pool = "listed"')
        if archive.key is None:
            want = 'key = { credential = "NAME" }'
            yield Fault(("archive", name, "key"), 'is missing, and serve = "filtered" needs it', want)


def _suites(config: Config, unsure: Unsure) -> Iterator[Fault]:
    own = {name: archive for name, archive in config.archives.items() if isinstance(archive, OwnArchive)}
    name_by_branch_suite: dict[str, str] = {}
    for name, suite in config.suites.items():
        path = ("suite", name, "archive")
        archive = config.archives.get(suite.archive)
        if isinstance(archive, UpstreamArchive):
            want = wanted_name(suite.archive, own, 'the name of an archive with kind = "own"')
            yield Fault(path, f"archive {quoted(suite.archive)} is an upstream one, which has its own suites", want)
        elif archive is None and not unsure.about("archive", suite.archive):
            want = wanted_name(suite.archive, own, 'the name of an archive with kind = "own"')
            yield Fault(path, f"archive {quoted(suite.archive)} does not exist", want)
        if suite.environment is not None:
            where = ("suite", name, "environment")
            yield from _missing(where, suite.environment, "environment", config.environments, unsure)
        other = name_by_branch_suite.setdefault(suite_of_branch(name), name)
        if other != name:
            yield Fault(
                ("suite", name), f"stands for the same branches as suite {quoted(other)}", "one suite of that name"
            )


def _codenames(config: Config) -> Iterator[Fault]:
    """Both names of a suite stand in dists/ of its archive."""
    for name, suite in config.suites.items():
        if suite.but_automatic_upgrades and not suite.not_automatic:
            yield Fault(
                ("suite", name, "but_automatic_upgrades"), "says nothing by itself", "not_automatic = true beside it"
            )
        if suite.codename in (None, name):
            continue
        others = (other for other, table in config.suites.items() if other != name and table.archive == suite.archive)
        for other in (other for other in others if suite.codename in (other, config.suites[other].codename)):
            want = "a name that no other suite of the archive has"
            yield Fault(("suite", name, "codename"), f"is a name of suite {quoted(other)} too", want)


def _uploads(config: Config, unsure: Unsure) -> Iterator[Fault]:
    """A suite of a branch is not in the configuration: it is meant by a pattern. Any other name must be there."""
    for name, grant in config.uploads.items():
        for position, suite in enumerate(grant.suites):
            if not {"*", "?"} & set(suite):
                yield from _missing(("upload", name, "suites", position), suite, "suite", config.suites, unsure)


def _repos(config: Config, unsure: Unsure) -> Iterator[Fault]:
    takers = {name for name, suite in config.suites.items() if suite.kind != "release"}
    for name, repo in config.repos.items():
        path = ("repo", name, "suite")
        yield from _needed_by_package(path, repo.suite, "suite", config.suites, unsure, is_package=repo.package)
        if repo.suite and repo.suite in config.suites and repo.suite not in takers:
            want = wanted_name(repo.suite, takers, "a suite that is not a release")
            yield Fault(path, f"suite {quoted(repo.suite)} is a release and takes no packages", want)
        path = ("repo", name, "environment")
        needed = config.environments
        yield from _needed_by_package(path, repo.environment, "environment", needed, unsure, is_package=repo.package)


def _needed_by_package(
    path: Path, name: str | None, table: str, existing: Mapping[str, object], unsure: Unsure, *, is_package: bool
) -> Iterator[Fault]:
    if name is not None:
        yield from _missing(path, name, table, existing, unsure)
    elif is_package:
        want = wanted_name("", existing, f"the name of a [{table}.NAME] table")
        yield Fault(path, "is missing, and package = true needs it", want)


def _sources(
    config: Config, suites: Mapping[str, Set[str]], unsure: Unsure, table: Path, user: Environment | Image
) -> Iterator[Fault]:
    for position, source in enumerate(user.from_):
        path = (*table, "from", position)
        archive_name, _, suite = source.partition("/")
        if ("archive", archive_name) in unsure.declared:
            continue
        archive = config.archives.get(archive_name)
        if archive is None:
            if not unsure.files:
                want = _wanted_source(source, suites, "archive/suite of an archive that exists")
                yield Fault(path, f"archive {quoted(archive_name)} does not exist", want)
        elif suite not in suites[archive_name]:
            if not (isinstance(archive, OwnArchive) and unsure.about("suite", suite)):
                want = _wanted_source(source, suites, "archive/suite that exists")
                yield Fault(path, f"archive {quoted(archive_name)} has no suite {quoted(suite)}", want)
        elif user.architecture not in archive.architectures:
            problem = f"archive {quoted(archive_name)} has no architecture {quoted(user.architecture)}"
            yield Fault(path, problem, f'"{user.architecture}" among the architectures of [archive.{archive_name}]')


def _together(
    config: Config, suites: Mapping[str, Set[str]], unsure: Unsure, name: str, archive: UpstreamArchive
) -> Iterator[Fault]:
    for position, source in enumerate(archive.together_with):
        path = ("archive", name, "together_with", position)
        other, _, suite = source.partition("/")
        if other == name:
            yield Fault(path, "is of this archive, whose suites are together anyway", "a suite of another archive")
        elif suite not in suites.get(other, ()) and not _may_exist(config, unsure, other, suite):
            want = _wanted_source(source, suites, "archive/suite that exists")
            yield Fault(path, f"suite {quoted(source)} does not exist", want)


def _may_exist(config: Config, unsure: Unsure, archive: str, suite: str) -> bool:
    if unsure.about("archive", archive):
        return True
    return isinstance(config.archives.get(archive), OwnArchive) and unsure.about("suite", suite)


def _wanted_source(source: str, suites: Mapping[str, Set[str]], what: str) -> str:
    return wanted_name(source, (f"{archive}/{suite}" for archive, names in suites.items() for suite in names), what)


def _suites_by_archive(config: Config) -> Mapping[str, Set[str]]:
    suites: dict[str, set[str]] = {
        name: set(archive.suites) if isinstance(archive, UpstreamArchive) else set()
        for name, archive in config.archives.items()
    }
    for name, suite in config.suites.items():
        if isinstance(config.archives.get(suite.archive), OwnArchive):
            suites[suite.archive].add(name)
    return suites


def _keys_of_two(config: Config) -> Iterator[Fault]:
    owner_by_key: dict[str, str] = {}
    for name, person in config.persons.items():
        for position, key in enumerate(person.keys):
            owner = owner_by_key.setdefault(key, name)
            if owner != name:
                yield Fault(
                    ("person", name, "keys", position),
                    f"is already a key of person {quoted(owner)}",
                    "a key of their own",
                )


def _next_keys(config: Config) -> Iterator[Fault]:
    for name, archive in config.archives.items():
        if isinstance(archive, OwnArchive) and archive.next_key == archive.key:
            yield Fault(
                ("archive", name, "next_key"), "is the same credential as key", "the name of another credential"
            )
