"""The sweep: does our stuff still build? All our packages against new serials, the cheapest first."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial

from distwright.archive.resolve import Ground
from distwright.checks.answers import known_job, twins_of
from distwright.checks.culprit import holds_of_line, question
from distwright.checks.filing import BUILDS, READER, SWEEP, is_swept
from distwright.checks.findings import FAILS, see, see_no_more
from distwright.checks.history import Break, Tried, break_of, on_the_way, tried_of
from distwright.checks.inquiries import Effect, Move, answered, ask, ask_with, placed_jobs
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

_ASKED = "asked"
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
    """Order all trials at first; then see how they end."""
    if "targets" not in row.progress:
        return _begin(database, ground, row)
    members = [plain.mapping({"target": one}, "target") for one in plain.members(row.progress, "targets")]
    effects: list[Effect] = []
    left: list[Mapping[str, Json]] = []
    with database.read() as tx:
        jobs = [_job_of(tx, row, member) if member["state"] == _ASKED else None for member in members]
        if any(job is not None and job.outcome in _DECIDED and not _is_filed(tx, job) for job in jobs):
            return Move(waits_for="its last results are being filed")  # another worker ended a job a moment ago
    for member, job in zip(members, jobs, strict=True):
        now = member if job is None else {**member, **_ended(job)}
        effects += [] if job is None else _effects(database, ground, now, job)
        left.append(now)
    progress: dict[str, Json] = {"targets": list(left)}
    is_open = any(member["state"] == _ASKED for member in left)
    return Move(progress=progress, effects=effects, answer=None if is_open else _answer(left))


def _begin(database: Database, ground: Ground, row: Inquiry) -> Move:
    is_automatic = "archive" in row.asked
    if is_automatic:
        with database.read() as tx:
            others = list_inquiries(tx, kind=SWEEP, only_open=True, limit=None)
        earlier = [other.id for other in others if other.id < row.id and "archive" in other.asked]
        if earlier:
            return Move(waits_for=f"inquiry {min(earlier)}")
    serials = {} if is_automatic else plain.text_map(row.asked, "serials")
    wanted = {plain.text(row.asked, "archive")} if is_automatic else set(serials)
    members: list[dict[str, Json]] = []
    orders: dict[str, JobOrder] = {}
    for target in _chosen(database, ground, wanted, is_automatic=is_automatic):
        member: dict[str, Json] = {
            "source": target.source,
            "key": target.key,
            "target": target.to_json(),
            "state": _ASKED,
        }
        try:
            order = target_trial(database, pinned(ground, serials), target)
        except DistwrightError as error:  # one that cannot be asked keeps no other from being asked
            members.append({**member, "state": "unknown", "message": f"{error.message} ({error.hint})"})
            continue
        with database.read() as tx:
            at = serials_in(tx, recipe_of(order.inputs)) or {}
            known = known_job(tx, order.digest, (), twins_of(tx, target.source))
        if known is None:
            orders[order.digest] = order
        answer: dict[str, Json] = {} if known is None else {"job": known.id}
        members.append({**member, "order": str(order.digest), "serials": dict(at), **answer})
    if not any(member["state"] == _ASKED for member in members):
        return Move(progress={"targets": list(members)}, answer=_answer(members))
    return Move(orders=list(orders.values()), progress={"targets": list(members)})


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
    tried = on_the_way(ground, target.repo, every, target.commit)
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
    counts = {name: states.count(name) for name in ("ok", "failed", "unknown")}
    text = f"{counts['ok']} build, {counts['failed']} do not, {counts['unknown']} could not be tried"
    return {"text": text if members else "there is no package of ours to try", **counts, "targets": list(members)}
