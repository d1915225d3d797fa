"""The end of an embargo: a branch of a private twin becomes one of the public repo, by the one way that pushes have.

What was built of it in secret stays secret, for its logs and its names may tell of other work that still is. The public line builds
it once more; steps whose plans are the same are known already.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from distwright.config.model import Config
from distwright.errors import NotFound, Refused, quoted
from distwright.model.branches import HEADS, TAGS
from distwright.repos.configured import git_account, make_repos
from distwright.store.locks import locked
from distwright.store.paths import StatePaths
from distwright.tools.accounts import acting_as
from distwright.tools.git import existing_commits, refs
from distwright.tools.git_fetch import take_refs
from distwright.tools.git_history import is_ancestor
from distwright.tools.git_proposals import commits_without


@dataclass(frozen=True, slots=True)
class Lifted:
    """What everybody sees from now on. before: where the public branch was, "" if there was none.

    commits: newest first, a line each, as many as are shown. tags: those that came along.
    """

    repo: str
    branch: str
    commit: str
    before: str
    commits: tuple[str, ...]
    tags: tuple[str, ...]


def lift(
    config: Config, paths: StatePaths, twin: str, branch: str, tags: Sequence[str] = (), *, dry_run: bool = False
) -> Lifted:
    """Bring a branch of a private twin, and tags, to the public repo; nothing happens if they are there.

    dry_run: only say what would. All of the branch's history comes along, and nothing else. Branches only go forward there, and
    tags never move. Raises NotFound; Refused for a repo that is no twin, and for what the public one has otherwise.
    """
    table = config.repos.get(twin)
    if table is None:
        raise NotFound(f"repo {quoted(twin)} is not configured", hint="distwright repo list")
    if table.private_twin_of is None:
        raise Refused(f"repo {twin} is no private twin", hint=f'set private_twin_of = "REPO" in [repo.{twin}]')
    repo = table.private_twin_of
    if config.repos[repo].url is not None:
        raise Refused(f"repo {repo} is kept at {config.repos[repo].url}", hint="git push to it there; it is fetched")
    source, target = paths.repo(twin), paths.repo(repo)
    wanted = [f"{HEADS}{branch}", *(f"{TAGS}{tag}" for tag in tags)]
    with locked(paths.lock(f"lift-{repo}")):
        make_repos(config, paths, [repo])
        there, here = refs(source) if source.exists() else {}, refs(target)
        for ref in wanted:
            if ref not in there:
                raise NotFound(f"{quoted(twin)} has no {quoted(ref)}", hint=f"distwright branch status {twin}")
        _refuse_other_tags(repo, wanted[1:], there, here)
        commit, before = there[wanted[0]], here.get(wanted[0], "")
        _refuse_going_back(repo, branch, source, before, commit)
        known = existing_commits(source, sorted(set(here.values())))
        lifted = Lifted(
            repo, branch, commit, before, tuple(commits_without(source, commit, sorted(known))), tuple(tags)
        )
        if not dry_run:
            _bring(config, paths, source, target, {ref: there[ref] for ref in wanted})
    return lifted


def _refuse_other_tags(repo: str, tags: Sequence[str], there: dict[str, str], here: dict[str, str]) -> None:
    for tag in tags:
        if here.get(tag, there[tag]) != there[tag]:
            raise Refused(f"{quoted(tag)} is another commit in {repo}", hint="git tag -s NAME, and push that")


def _refuse_going_back(repo: str, branch: str, source: Path, before: str, commit: str) -> None:
    """A public branch that has what the twin's has not must be merged there first: nobody rewinds what everybody saw."""
    if before and not (existing_commits(source, [before]) and is_ancestor(source, before, commit)):
        what = f"branch {quoted(branch)} of {repo} has commits that the twin's has not"
        raise Refused(what, hint="git pull --rebase from the public repo, push to the twin, and try again")


def _bring(config: Config, paths: StatePaths, source: Path, target: Path, wanted: dict[str, str]) -> None:
    def take() -> list[str]:
        take_refs(target, source, wanted)
        return []

    account = git_account(config, paths)
    take() if account is None else acting_as(account, take)
