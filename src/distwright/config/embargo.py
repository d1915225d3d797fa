"""What is private, who may read it, and that nothing of it comes where everybody looks (docs/design/0016)."""

import json
from collections.abc import Iterable, Iterator

from distwright.config.access import at_least
from distwright.config.model import Config
from distwright.config.problems import Fault, wanted_name
from distwright.config.tables_archive import OwnArchive, UpstreamArchive
from distwright.errors import quoted
from distwright.model.embargo import ARCHIVE, REPO

_WANT_PRIVATE = "a suite of an own archive with private = true"
_SAME = ("package", "default_branch")


def private_names(config: Config) -> frozenset[str]:
    """Give what is private, as `repo/NAME` and `archive/NAME`."""
    repos = (f"{REPO}/{name}" for name, repo in config.repos.items() if repo.private)
    return frozenset((*repos, *(f"{ARCHIVE}/{name}" for name in config.archives if is_private_archive(config, name))))


def is_private_archive(config: Config, name: str) -> bool:
    """Say whether an archive is ours and private."""
    archive = config.archives.get(name)
    return isinstance(archive, OwnArchive) and archive.private


def audience(config: Config, name: str) -> frozenset[str]:
    """Give the persons who may see what comes of `repo/NAME` or `archive/NAME`.

    Of an archive, those who may read each repo whose packages are in it. Nobody, if it is no longer configured, or not as private:
    what was made of it in secret stays so.
    """
    kind, _, own = name.partition("/")
    if name not in private_names(config):
        return frozenset()
    if kind == REPO:
        return at_least(config.persons, config.repos[own], "read")
    readers = [at_least(config.persons, config.repos[repo], "read") for repo in _repos_into(config, own)]
    return frozenset.intersection(*readers) if readers else frozenset()


def embargo_faults(config: Config) -> Iterator[Fault]:
    """Yield what would bring something private where everybody looks. What is missing altogether is told elsewhere."""
    for name, repo in config.repos.items():
        suite = config.suites.get(repo.suite or "")
        if suite is not None and suite.archive in config.archives:
            is_hidden = is_private_archive(config, suite.archive)
            if repo.private and repo.package and not is_hidden:
                problem = f"is in archive {quoted(suite.archive)}, which everybody reads, and the repo is private"
                yield Fault(("repo", name, "suite"), problem, _WANT_PRIVATE)
            if is_hidden and not repo.private:
                problem = f"is in archive {quoted(suite.archive)}, which is private, and the repo is not"
                yield Fault(("repo", name, "suite"), problem, "private = true, or a suite of another archive")
        allowed = {suite.archive} if suite is not None and repo.private else set()
        yield from _environment(config, ("repo", name, "environment"), repo.environment, allowed)
        yield from _twin(config, name)
    for name, suite in config.suites.items():
        yield from _environment(config, ("suite", name, "environment"), suite.environment, {suite.archive})
    for name, image in config.images.items():
        yield from _sources(config, ("image", name, "from"), image.from_)
        yield from _environment(config, ("image", name, "tools"), image.tools, set())
        yield from _environment(config, ("image", name, "testers"), image.testers, set())
    for name, archive in config.archives.items():
        if isinstance(archive, UpstreamArchive):
            yield from _sources(config, ("archive", name, "together_with"), archive.together_with)


def _repos_into(config: Config, archive: str) -> list[str]:
    """Name the private repos whose packages go to an archive."""
    suites = {name for name, suite in config.suites.items() if suite.archive == archive}
    return [name for name, repo in config.repos.items() if repo.private and repo.package and repo.suite in suites]


def _private_of(config: Config, environment: str) -> set[str]:
    """Name the private archives that an environment reads, or its checkers do."""
    table = config.environments.get(environment)
    others = config.environments.get(table.checkers or "") if table is not None else None
    names = (*(table.from_ if table else ()), *(others.from_ if others else ()))
    return {archive for name in names if is_private_archive(config, archive := name.partition("/")[0])}


def _environment(
    config: Config, path: tuple[str | int, ...], environment: str | None, allowed: set[str]
) -> Iterator[Fault]:
    for archive in sorted(_private_of(config, environment or "") - allowed):
        problem = f"environment {quoted(environment or '')} reads archive {quoted(archive)}, which is private"
        yield Fault(path, problem, "an environment without it")


def _sources(config: Config, path: tuple[str | int, ...], names: Iterable[str]) -> Iterator[Fault]:
    for position, name in enumerate(names):
        archive = name.partition("/")[0]
        if is_private_archive(config, archive):
            problem = f"archive {quoted(archive)} is private, and what is made here is not"
            yield Fault((*path, position), problem, "a suite of another archive")


def _twin(config: Config, name: str) -> Iterator[Fault]:
    repo = config.repos[name]
    if repo.private_twin_of is None:
        return
    path, other = ("repo", name, "private_twin_of"), config.repos.get(repo.private_twin_of)
    others = [known for known, table in config.repos.items() if not table.private]
    if not repo.private:
        yield Fault(path, "is set, and the repo is not private", "private = true")
    if other is None:
        want = wanted_name(repo.private_twin_of, others, "the name of a [repo.NAME] table that is not private")
        yield Fault(path, f"repo {quoted(repo.private_twin_of)} does not exist", want)
    elif other.private:
        yield Fault(path, f"repo {quoted(repo.private_twin_of)} is private itself", "the name of one that is not")
    else:
        for setting in (setting for setting in _SAME if getattr(repo, setting) != getattr(other, setting)):
            problem = f"is another one than that of repo {quoted(repo.private_twin_of)}, whose twin it is"
            yield Fault(("repo", name, setting), problem, f"{setting} = {json.dumps(getattr(other, setting))}")
