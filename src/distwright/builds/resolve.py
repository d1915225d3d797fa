"""From a tag, a commit or a source package to the order of its build: everything named by digest, once."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from distwright.archive.resolve import Ground, Resolved, check_date, resolve_suites
from distwright.builds.checkout import Checkout, read_checkout, standing_of, tag_of_checkout
from distwright.builds.destinations import (
    BUILD_KIND,
    Destination,
    archives_of_origs,
    package_settings,
    sources_of_branch,
    suite_given,
    suite_of_ref,
    suite_of_repo,
    suite_of_source,
)
from distwright.builds.environment import EnvironmentRecipe
from distwright.builds.limiting_builds import limits_of_builds
from distwright.builds.origs import find_origs
from distwright.builds.versions_of_commits import entry_of_commit, version_of_commit
from distwright.config.model import Config
from distwright.errors import BadInput, BadUsage, NotFound, quoted
from distwright.formats.changelog import ChangelogEntry, write_entry
from distwright.jobs.order import JobOrder
from distwright.model.digests import Json, Sha256
from distwright.model.versions import DebVersion
from distwright.store.database import Database
from distwright.tools.git import refs, resolve, write_tree_tar
from distwright.tools.git_history import committed_at

FORM = 2  # docs/design/0008, "Inputs of a build grow"
_HASH = re.compile(r"[0-9a-f]{7,64}")


@dataclass(frozen=True, slots=True)
class GivenSource:
    """A source package that came as files, all of them kept. origin: where from, for people."""

    name: str
    version: DebVersion
    files: Mapping[str, Sha256]
    origin: str


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


def build_order(
    database: Database,
    ground: Ground,
    *,
    repo: str,
    tag: str,
    revision: str | None = None,
    suite: str | None = None,
) -> JobOrder:
    """Order the build of a tagged package. revision: what the tag named when it was pushed (default: what it names now).

    suite: where it goes; default: where the repo's tags go. Raises NotReadyError while an archive has no snapshot, or a changelog
    is dated ahead; BadInput or NotFound if the tag holds no Debian package, its changelog names another version, or nothing of
    upstream is found; Refused if that is dated far ahead.
    """
    usual = suite_of_repo(ground.config, repo)
    where = ground.paths.repo(repo)
    commit = resolve(where, revision or f"refs/tags/{tag}")
    checkout = read_checkout(where, commit, f"tag {tag} of {repo}")
    if tag not in checkout.tags:
        raise BadInput(
            f"tag {tag} of {repo} holds version {checkout.version} of {checkout.source}",
            hint=f"git tag {checkout.tags[0]}, or correct debian/changelog",
        )
    destination = usual if suite is None else suite_given(database, suite)
    return _tag_order(database, ground, repo, checkout, tag, destination)


def commit_order(
    database: Database, ground: Ground, *, repo: str, ref: str, revision: str | None = None, suite: str | None = None
) -> tuple[JobOrder, Destination]:
    """Order the build of a branch's newest commit, or of any commit; say where it goes.

    revision: what the branch `ref` named when it was pushed (default: what it names now).
    One that is tagged with its version is built as the tag. Raises as `build_order` does, also for a commit dated ahead.
    """
    usual = suite_of_repo(ground.config, repo)
    where = ground.paths.repo(repo)
    commit, branch = (resolve(where, revision), ref) if revision else _find_ref(where, repo, ref)
    checkout = read_checkout(where, commit, f"commit {commit[:12]} of {repo}")
    tag = tag_of_checkout(checkout)
    if suite is not None:
        destination = suite_given(database, suite)
    elif tag is not None and branch is None:
        destination = usual
    else:
        destination = suite_of_ref(database, ground.config, repo, branch)
    if tag is not None:
        return _tag_order(database, ground, repo, checkout, tag, destination, branch), destination
    version = version_of_commit(standing_of(checkout), commit)
    committed = datetime.fromtimestamp(committed_at(where, commit), UTC)
    check_date(checkout.what, committed, ground.now, hint="set the clock, then: git commit --amend --no-edit")
    entry = entry_of_commit(checkout.top, version, commit, committed)
    named: dict[str, Json] = {} if branch is None else {"branch": branch}
    named["changelog"] = str(ground.objects.put(f"{write_entry(entry)}\n".encode() + checkout.changelog))
    return _git_order(database, ground, repo, checkout, entry, named, destination, branch), destination


def given_order(
    database: Database, ground: Ground, source: GivenSource, *, suite: str | None, environment: str | None
) -> tuple[JobOrder, Destination]:
    """Order the build of a source package that came as files; say where it goes: with its source to a suite, or nowhere."""
    destination, chosen = suite_of_source(database, ground.config, suite, environment)
    more: dict[str, Json] = {"form": FORM}
    if destination.is_upload:
        more["brings_source"] = True
    order = _files_order(
        database,
        ground,
        destination,
        chosen,
        source=source.name,
        version=str(source.version),
        files=source.files,
        more=more,
    )
    return order, destination


def source_build_order(
    database: Database, ground: Ground, *, archive: str, suite: str, environment: str, source: str, version: str,
    files: Mapping[str, Sha256],
) -> JobOrder:  # fmt: skip
    """Order the build of a source that was uploaded without packages. files: its .dsc and what that names.

    Raises NotReadyError while an archive of the environment has no snapshot.
    """
    destination = Destination(archive, suite)
    return _files_order(
        database, ground, destination, environment, source=source, version=version, files=files, more={"form": FORM}
    )


def table_from(config: Config, environment: str) -> tuple[str, ...]:
    """Give the `archive/suite` names of an environment."""
    return tuple(config.environments[environment].from_)


def _tag_order(
    database: Database,
    ground: Ground,
    repo: str,
    checkout: Checkout,
    tag: str,
    destination: Destination,
    branch: str | None = None,
) -> JobOrder:
    check_date(checkout.what, checkout.top.date, ground.now)
    return _git_order(database, ground, repo, checkout, checkout.top, {"tag": tag}, destination, branch)


def _git_order(
    database: Database,
    ground: Ground,
    repo: str,
    checkout: Checkout,
    entry: ChangelogEntry,
    named: Mapping[str, Json],
    destination: Destination,
    branch: str | None,
) -> JobOrder:
    """Order a build from git. entry: whose version and date it is. named: the keys that say what was asked for.

    branch: with whose overlays it is built.
    """
    config = ground.config
    epoch = int(entry.date.timestamp())
    folder = f"{entry.package}-{entry.version.without_epoch}/"
    with ground.objects.writing() as writer:
        write_tree_tar(checkout.where, checkout.commit, writer, prefix=folder, mtime=epoch)
    tree = writer.digest
    archives = {name: tuple(config.archives[name].components) for name in archives_of_origs(config, repo, destination)}
    origs = find_origs(database, ground.objects, checkout, archives)
    _, environment = package_settings(config.repos[repo], repo)
    with database.read() as tx:  # after git, which may take long
        resolved = resolve_suites(tx, ground, sources_of_branch(tx, config, environment, repo, branch))
    inputs: dict[str, Json] = {
        "form": FORM,
        "repo": repo,
        "commit": checkout.commit,
        "tree": str(tree),
        "source": entry.package,
        "version": str(entry.version),
        "epoch": epoch,
        "suite": destination.suite,
        "archive": destination.archive if destination.is_upload else "",
        "environment": environment_recipe(config, environment, resolved).to_json(),
        "limits": limits_of_builds(config.environments[environment]),
        **named,
        **origs.to_inputs(),
    }
    return _order(destination, inputs, resolved)


def _files_order(
    database: Database,
    ground: Ground,
    destination: Destination,
    environment: str,
    *,
    source: str,
    version: str,
    files: Mapping[str, Sha256],
    more: Mapping[str, Json],
) -> JobOrder:
    with database.read() as tx:
        resolved = resolve_suites(tx, ground, table_from(ground.config, environment))
    inputs: dict[str, Json] = {
        "repo": "",
        "source": source,
        "version": version,
        "source_files": {name: str(digest) for name, digest in sorted(files.items())},
        "suite": destination.suite,
        "archive": destination.archive if destination.is_upload else "",
        "environment": environment_recipe(ground.config, environment, resolved).to_json(),
        "limits": limits_of_builds(ground.config.environments[environment]),
        **more,
    }
    return _order(destination, inputs, resolved)


def _order(destination: Destination, inputs: Mapping[str, Json], resolved: Resolved) -> JobOrder:
    verb = "build" if destination.kind == BUILD_KIND else "try"
    return JobOrder(destination.kind, inputs, f"{verb} {inputs['source']} {inputs['version']}", holds=resolved.holds)


def _find_ref(where: Path, repo: str, ref: str) -> tuple[str, str | None]:
    """Give the commit of a branch or a commit's name, and the branch; raise NotFound, BadUsage for a tag."""
    known = refs(where) if where.exists() else {}
    if f"refs/heads/{ref}" in known:
        return resolve(where, f"refs/heads/{ref}"), ref
    if f"refs/tags/{ref}" in known:
        raise BadUsage(f"{quoted(ref)} is a tag of {repo}", hint=f"distwright package build {repo} --tag {ref}")
    if known and _HASH.fullmatch(ref):
        return resolve(where, ref), None
    raise NotFound(f"{quoted(ref)} is neither a branch nor a commit of {repo}", hint=f"git -C {where} for-each-ref")
