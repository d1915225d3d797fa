"""Proposals: commits of somebody who may not push, tried as if they were pushed. None is signed, uploaded, or kept in git."""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from distwright.archive.resolve import Ground
from distwright.builds.destinations import TRY_KIND, package_settings
from distwright.builds.resolve import commit_order
from distwright.errors import NotFound, Refused, quoted
from distwright.jobs.order import JobOrder
from distwright.store.database import Database
from distwright.store.paths import StatePaths
from distwright.tools.git import resolve
from distwright.tools.git_proposals import borrow, new_commits, take_file, take_ref


@dataclass(frozen=True, slots=True)
class Proposal:
    """What is proposed to a repo: `source` is a file (bundle, mailbox of patches), or the address of a repository with `ref` in it.

    onto: the branch that it is for; "" for the default branch.
    """

    repo: str
    source: str
    ref: str = ""
    onto: str = ""


@dataclass(frozen=True, slots=True)
class Considered:
    """The order of a proposal's trial. commits: what is new in it, newest first, a line each."""

    order: JobOrder
    commit: str
    commits: tuple[str, ...]


def consider(database: Database, ground: Ground, proposal: Proposal) -> Considered:
    """Order the trial of a proposal's newest commit: the build that its push would lead to, of which nothing goes anywhere.

    Raises NotFound, BadInput for what is no package or no proposal, Refused if it does not apply, proposes nothing, or is for a
    private repo, Unreachable, and what `commit_order` raises.
    """
    table = ground.config.repos.get(proposal.repo)
    hosted = ground.paths.repo(proposal.repo)
    if table is None:
        raise NotFound(f"there is no repo {quoted(proposal.repo)}", hint="distwright repo list")
    package_settings(table, proposal.repo)
    if not hosted.exists():
        raise NotFound(f"nothing was pushed to repo {proposal.repo} yet", hint="distwright repo list")
    if table.private:
        raise Refused(f"repo {proposal.repo} is private: who may read it pushes to it", hint="distwright repo list")
    ground.paths.cache.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="proposal-", dir=ground.paths.cache) as scratch:
        elsewhere = StatePaths(Path(scratch) / "state")
        borrowed, files = elsewhere.repo(proposal.repo), Path(scratch) / "files"
        files.mkdir()
        borrow(hosted, borrowed)
        onto = resolve(borrowed, f"refs/heads/{proposal.onto or table.default_branch}")
        if proposal.ref:
            commit = take_ref(borrowed, proposal.source, proposal.ref)
        else:
            commit = take_file(borrowed, Path(proposal.source), onto, files)
        commits = new_commits(borrowed, commit, onto)
        if not commits:
            raise Refused("it has no commit that is not here", hint=f"git log {onto[:12]}")
        there = replace(ground, paths=elsewhere)
        order, _ = commit_order(database, there, repo=proposal.repo, ref=commit)
    title = f"try {order.inputs['source']} {order.inputs['version']}, as proposed"
    inputs = {key: value for key, value in order.inputs.items() if key != "tag"} | {"archive": ""}
    return Considered(JobOrder(TRY_KIND, inputs, title, holds=order.holds), commit, tuple(commits))
