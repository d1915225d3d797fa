"""Ready for review: who works on a topic says so, and its jobs come before those of other topics.

It is said by a command and kept as a row, for it is no property of a commit: it stays when the topic is pushed again, and goes with
the branch.
"""

from datetime import datetime

from distwright.config.model import Config
from distwright.errors import NotFound, Refused, quoted
from distwright.jobs.order import PRIORITY_REVIEW, PRIORITY_TOPIC
from distwright.model.branches import HEADS, ReadyBranch
from distwright.model.digests import Json
from distwright.model.events import Event, EventKind
from distwright.repos.branches import is_base, is_never_built
from distwright.store.branch_states import queued_jobs_of_ref, ready_branches_of, set_ready, unset_ready
from distwright.store.database import Database
from distwright.store.events import append_event
from distwright.store.jobs import change_priority
from distwright.store.refs import refs_of


def say_ready(
    database: Database, config: Config, repo: str, branch: str, *, is_ready: bool, actor: str, now: datetime
) -> bool:
    """Note that a topic is ready for review, or is not any more; say whether that changed anything.

    Its jobs that wait change their class in the same transaction. Raises NotFound, Refused for a base and for what is never built.
    """
    table = config.repos.get(repo)
    if table is None:
        raise NotFound(f"repo {quoted(repo)} is not configured", hint="distwright repo list")
    if is_base(table, branch) or is_never_built(branch):
        what = "a base" if is_base(table, branch) else "never built"
        raise Refused(
            f"branch {quoted(branch)} of {repo} is {what}, not a topic for review", hint="name a topic branch"
        )
    with database.write() as tx:
        if f"{HEADS}{branch}" not in refs_of(tx, repo):
            raise NotFound(f"repo {repo} has no branch {quoted(branch)}", hint="push it, or name another")
        was = ready_branches_of(tx, repo).get(branch)
        if (was is not None) == is_ready:
            return False
        if is_ready:
            set_ready(tx, ReadyBranch(repo, branch, actor, now))
        else:
            unset_ready(tx, repo, branch)
        classes = (PRIORITY_TOPIC, PRIORITY_REVIEW) if is_ready else (PRIORITY_REVIEW, PRIORITY_TOPIC)
        change_priority(tx, queued_jobs_of_ref(tx, repo, f"{HEADS}{branch}"), *classes)
        body: dict[str, Json] = {"repo": repo, "branch": branch, "ready": is_ready, "actor": actor}
        append_event(tx, Event(EventKind.BRANCH_READY, now, f"{repo} {branch}", body))
    return True
