"""The sweep: does our stuff still build? All our packages against new serials, the cheapest first."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial

from distwright.archive.resolve import Ground, NotReadyError
from distwright.checks.answers import builds_of
from distwright.checks.culprit import holds_of_line, question
from distwright.checks.filing import BUILDS, READER, SWEEP, is_swept
from distwright.checks.findings import FAILS, see, see_no_more
from distwright.checks.history import Break, Tried, break_of, on_the_way, tried_of
from distwright.checks.inquiries import (
    OUR_FAULTS,
    Effect,
    Move,
    again_at,
    answered,
    ask,
    ask_with,
    placed_jobs,
    tries_of,
)
from distwright.checks.lines import holds_on, made_of, recipe_of, serials_in
from distwright.checks.search import CULPRIT
from distwright.checks.targets import Target, pinned, target_trial, targets, used_archives
from distwright.errors import BadUsage, DistwrightError, NotFound
from distwright.jobs.order import JobOrder
from distwright.model import plain
from distwright.model.digests import Json
from distwright.model.outcomes import Outcome
from distwright.model.records import FindingState, Inquiry, Job
from distwright.store.archives import find_snapshot, newest_snapshot
from distwright.store.database import Database, Transaction
from distwright.store.events import cursor_of, newest_events_of_job
from distwright.store.findings import find_finding
from distwright.store.holds import Hold
from distwright.store.inquiries import list_inquiries
from distwright.store.jobs import find_job
from distwright.store.trials import last_seconds

_LATER, _ASKED, _NOT_ASKED = "later", "asked", "not asked"
_PATIENCE = 8  # looks in vain, over some three hours, until what is left is named
_DECIDED = (Outcome.OK, Outcome.FAILED, Outcome.TIMED_OUT)


def ask_sweep(database: Database, ground: Ground, serials: Mapping[str, str], actor: str) -> int:
    """Ask whether all our packages build with these serials, and the newest ones of other archives; raise NotFound, BadUsage."""
    with database.read() as tx:
        for archive, serial in serials.items():
            if find_snapshot(tx, archive, serial) is None:
                raise NotFound(
                    f"archive {archive} has no snapshot {serial}", hint=f"distwright snapshot list {archive}"
                )
            if not is_swept(ground.config, archive):
                raise BadUsage(
                    f"no package of ours is built with archive {archive}", hint="look at the [environment.NAME] tables"
                )
    subject = ", ".join(f"{archive}/{serial}" for archive, serial in sorted(serials.items())) or "newest"
    return ask(
        database, SWEEP, subject, {"serials": dict(serials)}, actor, ground.now, holds=holds_on(serials, "sweep")
    )


def look(database: Database, ground: Ground, row: Inquiry) -> Move:
    """Order all trials at first, and later those that could not be ordered then; see how they end."""
    if "targets" not in row.progress:
        if earlier := _earlier(database, row):
            return Move(waits_for=f"inquiry {earlier}")
        members = _members(database, ground, row)
    else:
        members = [plain.mapping({"target": one}, "target") for one in plain.members(row.progress, "targets")]
    orders: dict[str, JobOrder] = {}
    effects: list[Effect] = []
    left: list[Mapping[str, Json]] = []
    members = [_ordered(database, ground, row, one, orders) if one["state"] == _LATER else one for one in members]
    with database.read() as tx:
        jobs = [_job_of(tx, row, member) if member["state"] == _ASKED else None for member in members]
        if any(job is not None and job.outcome in _DECIDED and not _is_filed(tx, job) for job in jobs):
            return Move(waits_for="its last results are being filed")  # another worker ended a job a moment ago
    for member, job in zip(members, jobs, strict=True):
        now = member if job is None else {**member, **_ended(job)}
        effects += [] if job is None else _effects(database, ground, now, job)
        left.append(now)
    states = {member["state"] for member in left}
    trouble = ""
    if _LATER in states and _ASKED not in states:
        trouble = next(f"{member['source']}: {member['message']}" for member in left if member["state"] == _LATER)
    if trouble and tries_of(row) >= _PATIENCE:
        left = [{**member, "state": _NOT_ASKED} if member["state"] == _LATER else member for member in left]
        trouble = ""
    progress: dict[str, Json] = {"targets": list(left)}
    is_open = trouble or _ASKED in states
    return Move(list(orders.values()), progress, None if is_open else _answer(left), effects=effects, trouble=trouble)


def _is_automatic(row: Inquiry) -> bool:
    return "archive" in row.asked


def _earlier(database: Database, row: Inquiry) -> int | None:
    """Find the sweep that this one waits for, if nobody has asked for it: at most one runs, but for those that cannot go on."""
    with database.read() as tx:
        others = list_inquiries(tx, kind=SWEEP, only_open=True, limit=None)
    earlier = [other.id for other in others if other.id < row.id and _is_automatic(other) and again_at(other) is None]
    return min(earlier, default=None) if _is_automatic(row) else None


def _members(database: Database, ground: Ground, row: Inquiry) -> list[Mapping[str, Json]]:
    """List what is tried; none of it is asked yet."""
    wanted = {plain.text(row.asked, "archive")} if _is_automatic(row) else set(plain.text_map(row.asked, "serials"))
    return [
        {"source": target.source, "key": target.key, "target": target.to_json(), "state": _LATER}
        for target in _chosen(database, ground, wanted, is_automatic=_is_automatic(row))
    ]


def _ordered(
    database: Database, ground: Ground, row: Inquiry, member: Mapping[str, Json], orders: dict[str, JobOrder]
) -> Mapping[str, Json]:
    """Add the order of a trial, unless its answer is known.

    One that cannot be asked keeps no other from being asked: if what it needs is not there yet, or this machine fails, it is tried
    again in a later look; anything else is its answer.
    """
    target = Target.from_json(plain.mapping(member, "target"))
    serials = {} if _is_automatic(row) else plain.text_map(row.asked, "serials")
    try:
        order = target_trial(database, pinned(ground, serials), target)
    except DistwrightError as error:
        state = _LATER if isinstance(error, (NotReadyError, *OUR_FAULTS)) else "unknown"
        return {**member, "state": state, "message": f"{error.message} ({error.hint})"}
    with database.read() as tx:
        at = serials_in(tx, recipe_of(order.inputs)) or {}
        known = answered(tx, order.digest) or builds_of(tx, target.source).twin(tx, order)
    if known is None:
        orders[order.digest] = order
    answer: dict[str, Json] = {} if known is None else {"job": known.id}
    asked = {key: value for key, value in member.items() if key != "message"}
    return {**asked, "state": _ASKED, "order": str(order.digest), "serials": dict(at), **answer}


def _chosen(database: Database, ground: Ground, archives: set[str], *, is_automatic: bool) -> list[Target]:
    """Give the packages to try, the cheapest first: by how long they took last, those that never did at the end."""
    found = [
        one
        for one in targets(database, ground)
        if (not archives or archives & set(used_archives(ground, one.environment)))
        and (not is_automatic or ground.config.environments[one.environment].sweep)
    ]
    with database.read() as tx:
        took = last_seconds(tx, BUILDS, sorted({one.source for one in found}))
    return sorted(found, key=lambda one: (took.get(one.source, 1 << 31), one.source, one.key))


def _job_of(tx: Transaction, row: Inquiry, member: plain.Plain) -> Job | None:
    """Give the job that answers for a package: the one that was known when the sweep began, or its own."""
    if "job" in member:
        return find_job(tx, plain.number(member, "job"))
    return answered(tx, plain.digest(member, "order"), placed_jobs(row))


def _is_filed(tx: Transaction, job: Job) -> bool:
    """Say whether the events of a job have become rows: without its trial nobody knows since when a package fails."""
    newest = newest_events_of_job(tx, job.id)
    return newest is None or cursor_of(tx, READER) >= newest


def _ended(job: Job) -> dict[str, Json]:
    state = {Outcome.OK: "ok", Outcome.FAILED: "failed", Outcome.TIMED_OUT: "failed"}.get(
        job.outcome or Outcome.BROKEN, "unknown"
    )
    return {"state": state, "job": job.id, "message": "" if state == "ok" else job.message}


def _effects(database: Database, ground: Ground, member: plain.Plain, job: Job) -> list[Effect]:
    """Say what follows from one answer: a finding that is seen or seen no more. An older serial says nothing of now."""
    target = Target.from_json(plain.mapping(member, "target"))
    serials = plain.text_map(member, "serials")
    with database.read() as tx:
        newest = {archive: newest_snapshot(tx, archive) for archive in serials}
    is_now = all(row is not None and row.serial == serials[archive] for archive, row in newest.items())
    if member["state"] == "unknown" or not is_now:
        return []
    if member["state"] == "ok":
        return [partial(see_no_more, kind=FAILS, subject=target.source, key=target.key)]
    with database.read() as tx:
        every = tried_of(tx, ground.config, target.source, made_of(recipe_of(job.inputs)))
    try:
        tried = on_the_way(ground, target.repo, every, target.commit)
    except (DistwrightError, OSError):  # a commit or a repo that is gone must not keep the answers of all others
        tried = []
    failing = next((one for one in tried if one.trial.job == job.id), None)
    broke = None if failing is None else break_of(tried, failing)
    with database.read() as tx:
        holds = _line_of(tx, broke)
    evidence: dict[str, Json] = {
        "version": target.version, "commit": target.commit, "serials": dict(serials), "job": job.id, "message": job.message,
        **({} if broke is None else _since(broke)),
    }  # fmt: skip
    return [partial(_see_failure, target=target, evidence=evidence, holds=holds, broke=broke)]


def _since(broke: Break) -> dict[str, Json]:
    since: dict[str, Json] = {"since": dict(broke.bad.serials)}
    if broke.good is not None:
        since["last_good"] = dict(broke.good.serials)
        since["last_good_version"] = broke.good.trial.version
    return since


def _line_of(tx: Transaction, broke: Break | None) -> list[Hold]:
    return [] if broke is None or broke.good is None else holds_of_line(tx, broke.good.serials, broke.bad.serials)


def _see_failure(
    tx: Transaction,
    now: datetime,
    *,
    target: Target,
    evidence: Mapping[str, Json],
    holds: list[Hold],
    broke: Break | None,
) -> None:
    """Note a failure. One that is news, and of a package that built before, is looked into."""
    known = find_finding(tx, FAILS, target.source, target.key)
    lasts = known is not None and known.state is not FindingState.FIXED
    kept = {"culprit": known.evidence["culprit"]} if known is not None and lasts and "culprit" in known.evidence else {}
    is_news = see(tx, FAILS, target.source, target.key, {**evidence, **kept}, now)
    if is_news and broke is not None and broke.good is not None:
        ends = (_end(broke.good), _end(broke.bad))
        asked = question(target, *ends, finding={"kind": FAILS, "subject": target.source, "key": target.key})
        ask_with(tx, CULPRIT, target.source, asked, "", now, holds=holds)


def _end(one: Tried) -> tuple[Mapping[str, str], str]:
    return one.serials, one.trial.commit


def _answer(members: Sequence[Mapping[str, Json]]) -> dict[str, Json]:
    states = [member["state"] for member in members]
    counts = {name: states.count(name) for name in ("ok", "failed", "unknown")} | {
        "not_asked": states.count(_NOT_ASKED)
    }
    text = f"{counts['ok']} build, {counts['failed']} do not, {counts['unknown']} could not be tried"
    text += f", {counts['not_asked']} could not be asked" if counts["not_asked"] else ""
    return {"text": text if members else "there is no package of ours to try", **counts, "targets": list(members)}
