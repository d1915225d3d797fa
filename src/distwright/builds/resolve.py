"""From a tag of a repo to the order of its build: everything named by digest, once."""

from collections.abc import Mapping

from distwright.archive.resolve import Ground, Resolved, check_date, resolve_suites
from distwright.builds.environment import EnvironmentRecipe
from distwright.builds.limiting_builds import limits_of_builds
from distwright.builds.package import KIND
from distwright.config.model import Config
from distwright.errors import BadInput, NotFound
from distwright.formats.changelog import top_entry
from distwright.jobs.order import JobOrder
from distwright.model.digests import Json, Sha256
from distwright.model.names import package_name
from distwright.model.versions import DebVersion
from distwright.store.database import Database
from distwright.tools.git import file_at, resolve, write_tree_tar


def environment_recipe(config: Config, name: str, resolved: Resolved) -> EnvironmentRecipe:
    """Make an environment's recipe from its table and the states that its suites have now."""
    table = config.environments[name]
    if resolved.newest is None:
        raise BadInput(
            f"environment {name} names no upstream suite", hint=f'give from = ["debian/…"] in [environment.{name}]'
        )
    return EnvironmentRecipe(
        shelf=resolved.shelf,
        components=resolved.components,
        variant=table.variant,
        include=tuple(table.include),
        architecture=table.architecture,
        epoch=int(resolved.newest.timestamp()),
    )


def build_order(database: Database, ground: Ground, *, repo: str, tag: str, revision: str | None = None) -> JobOrder:
    """Order the build of a tagged package. revision: what the tag named when it was pushed (default: what it names now).

    Raises NotReadyError while an archive has no snapshot, or a changelog is dated ahead; BadInput or NotFound if the tag holds no
    Debian package, or its changelog names another version; Refused if that is dated far ahead.
    """
    config, objects = ground.config, ground.objects
    table = config.repos[repo]
    if table.suite is None or table.environment is None:
        raise BadInput(f"repo {repo} is not a package", hint=f"set package = true in [repo.{repo}]")
    where = ground.paths.repo(repo)
    commit = resolve(where, revision or f"refs/tags/{tag}")
    content = file_at(where, commit, "debian/changelog")
    if content is None:
        raise NotFound(f"tag {tag} of {repo} has no debian/changelog", hint="add one: dch --create")
    entry = top_entry(content.decode(errors="replace"))
    version = DebVersion(str(entry.version))
    if tag_of_version(version) != tag:
        raise BadInput(
            f"tag {tag} of {repo} holds version {version} of {package_name(entry.package)}",
            hint=f"git tag {tag_of_version(version)}, or correct debian/changelog",
        )
    check_date(f"tag {tag} of {repo}", entry.date, ground.now)
    epoch = int(entry.date.timestamp())
    folder = f"{package_name(entry.package)}-{version.without_epoch}/"
    with objects.writing() as writer:
        write_tree_tar(where, commit, writer, prefix=folder, mtime=epoch)
    tree = writer.digest
    with database.read() as tx:  # after git, which may take long
        resolved = resolve_suites(tx, ground, table_from(config, table.environment))
    inputs: dict[str, Json] = {
        "repo": repo,
        "tag": tag,
        "commit": commit,
        "tree": str(tree),
        "source": entry.package,
        "version": str(version),
        "epoch": epoch,
        "suite": table.suite,
        "archive": config.suites[table.suite].archive,
        "environment": environment_recipe(config, table.environment, resolved).to_json(),
        "limits": limits_of_builds(config.environments[table.environment]),
    }
    return JobOrder(KIND, inputs, f"build {entry.package} {version}", holds=resolved.holds)


def source_build_order(
    database: Database, ground: Ground, *, archive: str, suite: str, environment: str, source: str, version: str,
    files: Mapping[str, Sha256],
) -> JobOrder:  # fmt: skip
    """Order the build of a source that was uploaded without packages. files: its .dsc and what that names.

    Raises NotReadyError while an archive of the environment has no snapshot.
    """
    with database.read() as tx:
        resolved = resolve_suites(tx, ground, table_from(ground.config, environment))
    inputs: dict[str, Json] = {
        "repo": "",
        "source": source,
        "version": version,
        "source_files": {name: str(digest) for name, digest in sorted(files.items())},
        "suite": suite,
        "archive": archive,
        "environment": environment_recipe(ground.config, environment, resolved).to_json(),
        "limits": limits_of_builds(ground.config.environments[environment]),
    }
    return JobOrder(KIND, inputs, f"build {source} {version}", holds=resolved.holds)


def tag_of_version(version: DebVersion) -> str:
    """Say which tag belongs to a version: `:` becomes `%`, `~` becomes `_` (DEP-14)."""
    return str(version).replace(":", "%").replace("~", "_")


def table_from(config: Config, environment: str) -> tuple[str, ...]:
    """Give the `archive/suite` names of an environment."""
    return tuple(config.environments[environment].from_)
