"""A git checkout of somebody's own, tried as if it were hosted here: what is committed, and nothing else."""

import shlex
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from distwright.archive.resolve import Ground
from distwright.builds.architectures import order_elsewhere
from distwright.builds.destinations import TRY_KIND
from distwright.builds.resolve import commit_order
from distwright.config.model import Config
from distwright.config.tables import Repo
from distwright.errors import BadUsage, NotFound, Refused, listed, quoted
from distwright.formats.changelog import top_entry
from distwright.jobs.order import JobOrder
from distwright.model.names import package_name
from distwright.store.database import Database
from distwright.store.paths import StatePaths
from distwright.tools.git import copy_checkout, file_at, look_at_checkout

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class TryRequest:
    """What is to be tried. path: in a git work tree.

    repo: the [repo.NAME] whose suite and environment count; "" is that of the source's name. environment, suite: others than its
    own; both are needed for a package that the configuration does not have.
    """

    path: Path
    repo: str = ""
    environment: str = ""
    suite: str = ""


def try_order(database: Database, ground: Ground, request: TryRequest) -> JobOrder:
    """Order the trial of the commit that a checkout is at: as the build of the same commit is ordered where it is hosted.

    Raises NotFound for what is no git checkout or no package, Refused for one that is dirty or shallow, BadUsage if the
    configuration does not say where such a package is built, and what `commit_order` raises.
    """
    look = look_at_checkout(request.path)
    top = shlex.quote(str(look.top))  # hints are typed
    if look.changed:
        shown = [
            *look.changed[:_SHOWN],
            *([f"and {len(look.changed) - _SHOWN} more"] if len(look.changed) > _SHOWN else []),
        ]
        raise Refused(
            f"{quoted(str(look.top))} has files that are not committed, and only commits are built:\n{listed(shown)}",
            hint=f"git -C {top} add --all && git -C {top} commit; or git -C {top} stash --include-untracked",
        )
    if look.is_shallow:
        raise Refused(
            f"{quoted(str(look.top))} has no history: versions of commits are counted in it",
            hint=f"git -C {top} fetch --unshallow",
        )
    with _hosted(ground, look.top) as (elsewhere, hosted):
        name = _source_name(hosted, look.commit, look.top)
        repo, config = _settings(ground.config, name, request)
        hosted.rename(elsewhere.repo(repo))
        there = replace(ground, config=config, paths=elsewhere)
        order, _ = commit_order(database, there, repo=repo, ref=look.branch or look.commit)
        if request.environment:
            order = order_elsewhere(database, there, order, request.environment)
    title = f"try {order.inputs['source']} {order.inputs['version']}"
    return JobOrder(TRY_KIND, {**order.inputs, "archive": ""}, title, holds=order.holds)


@contextmanager
def _hosted(ground: Ground, top: Path) -> Iterator[tuple[StatePaths, Path]]:
    """Give a place like a state's that has a bare copy of a checkout with all its branches and tags, and that copy."""
    ground.paths.cache.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="checkout-", dir=ground.paths.cache) as scratch:
        elsewhere = StatePaths(Path(scratch))
        hosted = elsewhere.repo("new")
        hosted.parent.mkdir()
        copy_checkout(top, hosted)
        yield elsewhere, hosted


def _source_name(hosted: Path, commit: str, top: Path) -> str:
    content = file_at(hosted, commit, "debian/changelog")
    if content is None:
        raise NotFound(f"{quoted(str(top))} has no debian/changelog", hint="add one: dch --create")
    return package_name(top_entry(content.decode(errors="replace")).package)


def _settings(config: Config, source: str, request: TryRequest) -> tuple[str, Config]:
    """Say by which repo's table a package is built, and the configuration with what was asked for instead."""
    repo = request.repo or source
    table = config.repos.get(repo)
    if table is None and request.repo:
        raise NotFound(f"repo {quoted(repo)} is not configured", hint="distwright repo list")
    table = table or Repo()
    suite, environment = request.suite or table.suite, table.environment or request.environment
    if suite is None or not environment:
        packages = ", ".join(name for name, other in config.repos.items() if other.package) or "none"
        raise BadUsage(
            f"no [repo.{repo}] says where {source} is built; packages are: {packages}",
            hint="add --repo NAME, or --environment NAME and --suite NAME",
        )
    for kind, name, known in (("environment", environment, config.environments), ("suite", suite, config.suites)):
        if name not in known:
            raise NotFound(
                f"{kind} {quoted(name)} is not configured, but {', '.join(known) or 'none'}", hint=f"add --{kind} NAME"
            )
    changed = table.model_copy(update={"package": True, "suite": suite, "environment": environment})
    return repo, replace(config, repos={**config.repos, repo: changed})
