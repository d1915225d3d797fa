"""What a sweep tries: our packages in the newest version that each of our suites has, from git or as they were uploaded."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace

from distwright.archive.resolve import Ground
from distwright.archive.tree import list_text, parse_root
from distwright.builds.resolve import source_build_order
from distwright.builds.trying import commit_trial, trial_of
from distwright.builds.versions_of_commits import tag_of_version
from distwright.config.tables_archive import Suite
from distwright.errors import BadInput, NotFound
from distwright.formats.changelog import ChangelogEntry, top_entry
from distwright.formats.sources import SourceEntry, iter_sources
from distwright.jobs.order import JobOrder
from distwright.model import plain
from distwright.model.digests import Json, Sha256
from distwright.model.versions import DebVersion, compare
from distwright.store.database import Database
from distwright.store.suites import find_suite
from distwright.tools.git import file_at, refs, resolve

_TEXTS = ("source", "version", "archive", "suite", "environment", "repo", "commit")


@dataclass(frozen=True, slots=True)
class Target:
    """A package of ours. repo, commit: where its source is; or files: its .dsc and what that names, as they were uploaded."""

    source: str
    version: str
    archive: str
    suite: str
    environment: str
    repo: str = ""
    commit: str = ""
    files: Mapping[str, Sha256] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """What a finding about it is known by, beside its source."""
        return f"{self.environment}/{self.suite}"

    def to_json(self) -> dict[str, Json]:
        """Give what an inquiry keeps of it."""
        return {
            "source": self.source, "version": self.version, "archive": self.archive, "suite": self.suite,
            "environment": self.environment, "repo": self.repo, "commit": self.commit,
            "files": {name: str(digest) for name, digest in self.files.items()},
        }  # fmt: skip

    @classmethod
    def from_json(cls, given: plain.Plain) -> "Target":
        """Read what `to_json` gave; raise BadInput."""
        texts = {key: plain.text(given, key) for key in _TEXTS}
        return cls(**texts, files=plain.digest_map(given, "files"))


def targets(database: Database, ground: Ground) -> list[Target]:
    """List our packages that can be built here, by suite and name."""
    found: list[Target] = []
    for name, table in sorted(ground.config.suites.items()):
        with database.read() as tx:
            row = find_suite(tx, table.archive, name)
        if row is None:
            continue
        sources = sorted(_newest(ground, row.revision), key=lambda entry: entry.name)
        repos = [repo for repo, its in sorted(ground.config.repos.items()) if its.package and its.suite == name]
        tags = {repo: refs(ground.paths.repo(repo)) for repo in repos if ground.paths.repo(repo).exists()}
        for entry in sources:
            target = _from_git(ground, name, table, entry, tags) or _uploaded(ground, name, table, entry)
            if target is not None:
                found.append(target)
    return found


def find_target(database: Database, ground: Ground, source: str, environment: str | None = None) -> Target:
    """Find one of our packages by its name: as a suite has it, or else as its repo has it, which may never have been built.

    Raises NotFound, or BadInput if it is in several suites or environments.
    """
    found = [one for one in targets(database, ground) if one.source == source] or _unbuilt(ground, source)
    found = [one for one in found if environment is None or one.environment == environment]
    if not found:
        raise NotFound(f"source {source} is in no suite of ours that is built here", hint="distwright suite list")
    if len(found) > 1:
        raise BadInput(
            f"source {source} is built as {', '.join(one.key for one in found)}",
            hint=f"name one: --environment {found[0].environment}",
        )
    return found[0]


def _unbuilt(ground: Ground, source: str) -> list[Target]:
    """Give the default branches of repos that have a package of this name."""
    found = []
    for repo, table in sorted(ground.config.repos.items()):
        where = ground.paths.repo(repo)
        head = f"refs/heads/{table.default_branch}"
        names = refs(where) if table.package and where.exists() else {}
        entry = _changelog(ground, repo, names[head]) if head in names else None
        if entry is not None and entry.package == source and table.suite is not None and table.environment is not None:
            archive = ground.config.suites[table.suite].archive
            version = str(entry.version)
            found.append(
                Target(source, version, archive, table.suite, table.environment, repo=repo, commit=names[head])
            )
    return found


def target_trial(database: Database, ground: Ground, target: Target, commit: str = "") -> JobOrder:
    """Order the trial of a package, at another commit perhaps, with what its environment's suites are for `ground`."""
    if target.repo:
        return commit_trial(database, ground, repo=target.repo, commit=commit or target.commit)
    order = source_build_order(
        database, ground, archive=target.archive, suite=target.suite, environment=target.environment,
        source=target.source, version=target.version, files=target.files,
    )  # fmt: skip
    return trial_of(order)


def _newest(ground: Ground, revision: Sha256) -> Collection[SourceEntry]:
    root = parse_root(ground.objects.read(revision))
    newest: dict[str, SourceEntry] = {}
    for name in root.lists:
        if name.rpartition("/")[2] == "source":
            for entry in iter_sources(list_text(root, name, ground.objects.read)):
                known = newest.get(entry.name)
                if known is None or compare(known.version, entry.version) < 0:
                    newest[entry.name] = entry
    return newest.values()


def _from_git(
    ground: Ground, suite: str, table: Suite, entry: SourceEntry, tags: dict[str, dict[str, str]]
) -> Target | None:
    """Find the tag that a source was built from: of its version, in a repo of its suite, whose changelog has its name."""
    ref = f"refs/tags/{tag_of_version(DebVersion(str(entry.version)))}"
    for repo, names in tags.items():
        if ref not in names:
            continue
        where = ground.paths.repo(repo)
        commit = resolve(where, names[ref])
        environment = ground.config.repos[repo].environment
        top = _changelog(ground, repo, commit)
        if environment is not None and top is not None and top.package == entry.name:
            version = str(entry.version)
            return Target(entry.name, version, table.archive, suite, environment, repo=repo, commit=commit)
    return None


def _changelog(ground: Ground, repo: str, commit: str) -> ChangelogEntry | None:
    content = file_at(ground.paths.repo(repo), commit, "debian/changelog")
    try:
        return None if content is None else top_entry(content.decode(errors="replace"))
    except BadInput:
        return None


def _uploaded(ground: Ground, suite: str, table: Suite, entry: SourceEntry) -> Target | None:
    if table.environment is None or not all(ground.objects.has(file.sha256) for file in entry.files):
        return None
    files = {file.name: file.sha256 for file in entry.files}
    return Target(entry.name, str(entry.version), table.archive, suite, table.environment, files=files)


def used_archives(ground: Ground, environment: str) -> Iterator[str]:
    """Name the archives that an environment uses."""
    for suite in ground.config.environments[environment].from_:
        yield suite.partition("/")[0]


def pinned(ground: Ground, serials: dict[str, str]) -> Ground:
    """Give the ground on which these serials are what is newest."""
    return replace(ground, pins={**ground.pins, **serials})
