"""Repos of another forge: fetched from there when it is time, or when a webhook says so; then their refs are as after a push."""

import hmac
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from pathlib import Path

from distwright.config.model import Config
from distwright.errors import DistwrightError, NotAllowed, NotFound, Refused, quoted
from distwright.jobs.order import JobOrder
from distwright.jobs.step import Action, Conclusion, Context, Earlier, Inputs, JobKind, KindName, StepResult
from distwright.model import plain
from distwright.model.digests import Json
from distwright.model.events import Event, EventKind
from distwright.model.outcomes import JobState
from distwright.model.records import Job
from distwright.repos.configured import git_account, make_repos
from distwright.store.database import Transaction
from distwright.store.events import append_event, newest_event
from distwright.store.jobs import list_jobs
from distwright.store.locks import locked
from distwright.tools.accounts import Account, acting_as
from distwright.tools.git import refs
from distwright.tools.git_fetch import fetch_all
from distwright.tools.git_pack import pack_if_many

FETCH_KIND = KindName("repo.fetch", 1)


def fetch_order(config: Config, name: str, at: datetime) -> JobOrder:
    """Order a fetch. at: what makes it another one than the last. Raises NotFound, Refused for a repo that is hosted here."""
    table = config.repos.get(name)
    if table is None:
        raise NotFound(f"repo {quoted(name)} is not configured", hint="distwright repo list")
    if table.url is None:
        raise Refused(f"repo {name} is hosted here: it is pushed to", hint=f"set url in [repo.{name}], or push to it")
    inputs: dict[str, Json] = {"repo": name, "url": table.url, "at": at.isoformat()}
    return JobOrder(FETCH_KIND, inputs, f"fetch {name} from {table.url}")


def waiting_fetch(tx: Transaction, name: str) -> Job | None:
    """Find a fetch of a repo that has not begun: it will bring all that is there by then."""
    waiting = list_jobs(tx, states=[JobState.QUEUED])
    return next((job for job in waiting if job.kind == FETCH_KIND.name and job.inputs.get("repo") == name), None)


def is_signed(secret: str, headers: Mapping[str, str], wanted: str) -> bool:
    """Say whether a webhook bears the secret: as GitHub and Forgejo sign (HMAC-SHA-256 of the body), or as GitLab sends it.

    headers: by names in lower case; wanted: what its body gives with the secret, in hexadecimal digits. Sources: docs.github.com
    "Validating webhook deliveries"; forgejo.org "Webhooks"; docs.gitlab.com "Webhooks", secret token.
    """
    given = [
        (headers.get("x-hub-signature-256", "").removeprefix("sha256="), wanted),
        (headers.get("x-forgejo-signature", ""), wanted),
        (headers.get("x-gitea-signature", ""), wanted),
        (headers.get("x-gitlab-token", ""), secret),
    ]
    right = [hmac.compare_digest(one.encode(), other.encode()) for one, other in given]
    return bool(secret) and any(right)


def refuse_unsigned(secret: str, headers: Mapping[str, str], wanted: str) -> None:
    """Raise NotAllowed unless a webhook bears the secret (`is_signed`); in the same words, whatever is wrong."""
    if not is_signed(secret, headers, wanted):
        raise NotAllowed("no repo here has a webhook with this signature", hint="set the same secret at both ends")


def _fetch(context: Context, inputs: Inputs, _earlier: Earlier) -> StepResult:
    name, url = plain.text(inputs, "repo"), plain.text(inputs, "url")
    table = context.config.repos.get(name)
    if table is None or table.url != url:
        raise Refused(f"repo {name} is no longer fetched from {url}", hint=f"distwright repo fetch {name}")
    make_repos(context.config, context.paths, [name])
    path = context.paths.repo(name)
    account = git_account(context.config, context.paths)

    def fetch() -> list[str]:
        return list(fetch_all(path, url).moved_tags)

    with locked(context.paths.lock(f"fetch-{name}"), patience_s=0):  # another one runs: this one is tried again later
        before = refs(path)
        moved = fetch() if account is None else acting_as(account, fetch)
        after = refs(path)
        _pack(context, path, account)
    changed = {ref for ref in before | after if before.get(ref) != after.get(ref)}
    if moved:
        _tell(context, name, url, moved)
    return StepResult({}, values={"changed": sorted(changed), "moved_tags": list(moved)})


def _pack(context: Context, path: Path, account: Account | None) -> None:
    """Pack what fetches have left, now and then; that this fails is no fault of the fetch."""
    try:
        done = pack_if_many(path) if account is None else acting_as(account, partial(pack_if_many, path))
    except DistwrightError as error:
        done = [f"{path.stem} is not packed: {error.message} ({error.hint})"]
    for line in done:
        context.log(line)


def _tell(context: Context, name: str, url: str, moved: list[str]) -> None:
    """Say once that tags were moved there: what was built of them here can be built again, so they stay."""
    what = f"tags were moved at {url} and stay here what they were: {', '.join(moved[:20])}"
    body: dict[str, Json] = {"about": f"repo {name}", "what": what, "hint": "ask whoever moved them for new names"}
    with context.write() as tx:
        last = newest_event(tx, f"repo {name}", EventKind.WARNING_RAISED)
        if last is None or last.event.body != body:
            append_event(tx, Event(EventKind.WARNING_RAISED, context.now(), f"repo {name}", body, context.job))


def _fetched(inputs: Inputs, earlier: Earlier, _now: datetime, _job: int) -> Conclusion:
    values = earlier["fetch"].values
    changed, moved = (plain.texts(values, key) for key in ("changed", "moved_tags"))
    news = f"{len(changed)} refs changed" if changed else "nothing new"
    more = f"; moved there and not here: {', '.join(moved[:5])}" if moved else ""
    return Conclusion(dict(values), f"{inputs['repo']}: {news}{more}")


REPO_FETCH = JobKind(FETCH_KIND, (Action("fetch", _fetch),), _fetched)
