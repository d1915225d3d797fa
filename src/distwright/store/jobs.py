"""Rows of the job table: the one truth about work. Decisions about them are in `jobs`; here is only the SQL."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa

from distwright.model.digests import Json, Sha256, canonical_json, digest_of
from distwright.model.embargo import PUBLIC, Embargo
from distwright.model.outcomes import JobState, Outcome
from distwright.model.records import Attempt, Job
from distwright.store.database import Transaction, inserted_id
from distwright.store.schema import attempts, jobs, step_results
from distwright.store.stale import mark_branches_of_job
from distwright.store.times import from_text, maybe_from_text, to_text

_LARGEST = 2**31 - 1  # of PostgreSQL, in which numbers of jobs are integers
_ORDER = (jobs.c.rank, jobs.c.turn, jobs.c.id)


@dataclass(frozen=True, slots=True)
class Finish:
    """How an attempt ended; `retry_at` puts the job back into the queue for then.

    outputs: of the job, once it is done. evidence: of this attempt. is_lost: it was interrupted, or its worker is gone. makes_way:
    it was put back for a job of more haste, which no count of the job knows.
    log_bytes: how long the log of an attempt elsewhere was; None where it was written here.
    """

    outcome: Outcome
    message: str
    outputs: Mapping[str, Json] | None = None
    retry_at: datetime | None = None
    evidence: Mapping[str, Sha256] = field(default_factory=dict)
    is_lost: bool = False
    makes_way: bool = False
    log_bytes: int | None = None


def find_by_digest(tx: Transaction, digest: Sha256) -> Job | None:
    """Find the job of an identity."""
    return _maybe_job(tx.connection.execute(sa.select(jobs).where(jobs.c.digest == digest)).first())


def find_job(tx: Transaction, job_id: int) -> Job | None:
    """Find a job by its number; there is none of a number that the database cannot hold."""
    if not 1 <= job_id <= _LARGEST:
        return None
    return _maybe_job(tx.connection.execute(sa.select(jobs).where(jobs.c.id == job_id)).first())


def find_jobs(tx: Transaction, numbers: Collection[int]) -> list[Job]:
    """Find jobs by their numbers, oldest first."""
    query = sa.select(jobs).where(jobs.c.id.in_(sorted(numbers))).order_by(jobs.c.id)
    return [_job(row) for row in tx.connection.execute(query)]


def list_jobs(
    tx: Transaction,
    *,
    kind: str | None = None,
    states: Collection[JobState] = (),
    limit: int = 100,
    embargoes: Collection[str] | None = None,
) -> list[Job]:
    """List jobs, newest first. embargoes: those that may be seen ("" is none), as texts; None: all."""
    query = sa.select(jobs).order_by(jobs.c.id.desc()).limit(limit)
    if kind is not None:
        query = query.where(jobs.c.kind == kind)
    if states:
        query = query.where(jobs.c.state.in_([state.value for state in states]))
    if embargoes is not None:
        query = query.where(jobs.c.embargo.in_(sorted(embargoes)))
    return [_job(row) for row in tx.connection.execute(query)]


def insert_job(
    tx: Transaction,
    *,
    kind: str,
    version: int,
    digest: Sha256,
    inputs: Mapping[str, Json],
    title: str,
    pool: str,
    priority: int,
    now: datetime,
    config_commit: str | None,
    cause: int | None,
    share: str = "",
    embargo: Embargo = PUBLIC,
) -> int:
    """Queue a job; its digest must not be in the table yet. share: whose it is, for its turn."""
    inserted = tx.connection.execute(
        jobs.insert().values(
            kind=kind,
            version=version,
            digest=digest,
            inputs=canonical_json(inputs).decode(),
            title=title,
            pool=pool,
            priority=priority,
            rank=-priority,
            state=JobState.QUEUED.value,
            created_at=to_text(now),
            not_before=to_text(now),
            fence=0,
            broken_count=0,
            lost_count=0,
            is_cancelled=False,
            config_commit=config_commit,
            cause=cause,
            share=share,
            turn=next_turn(tx, pool, priority, share),
            embargo=embargo.text,
        )
    )
    return inserted_id(inserted)


def requeue(tx: Transaction, job_id: int, now: datetime) -> None:
    """Put a finished job back into the queue, as new."""
    job = find_job(tx, job_id)
    turn = 0 if job is None else next_turn(tx, job.pool, job.priority, job.share)
    tx.connection.execute(
        jobs.update()
        .where(jobs.c.id == job_id, jobs.c.state == JobState.DONE.value)
        .values(
            state=JobState.QUEUED.value, outcome=None, message=None, outputs=None, finished_at=None,
            not_before=to_text(now), broken_count=0, lost_count=0, is_cancelled=False, turn=turn,
        )
    )  # fmt: skip
    mark_branches_of_job(tx, job_id)


def raise_priority(tx: Transaction, job_id: int, priority: int) -> None:
    """Let a job come sooner; never later."""
    job = find_job(tx, job_id)
    if job is not None and job.priority < priority:
        turn = next_turn(tx, job.pool, priority, job.share)
        tx.connection.execute(
            jobs.update().where(jobs.c.id == job_id).values(priority=priority, rank=-priority, turn=turn)
        )


def change_priority(tx: Transaction, numbers: Collection[int], old: int, new: int) -> int:
    """Give those of some jobs that wait with a priority another one, in the order of their turns; say how many."""
    waits = (jobs.c.state == JobState.QUEUED.value, jobs.c.priority == old, jobs.c.id.in_(sorted(numbers)))
    rows = tx.connection.execute(sa.select(jobs).where(*waits).order_by(jobs.c.turn, jobs.c.id)).all()
    for row in rows:
        turn = next_turn(tx, row.pool, new, row.share)
        tx.connection.execute(jobs.update().where(jobs.c.id == row.id).values(priority=new, rank=-new, turn=turn))
    return len(rows)


def set_title(tx: Transaction, job_id: int, title: str) -> None:
    """Give a job that is not done another title."""
    tx.connection.execute(
        jobs.update().where(jobs.c.id == job_id, jobs.c.state != JobState.DONE.value).values(title=title)
    )


def claim(
    tx: Transaction,
    pools: Sequence[str],
    holder: str,
    now: datetime,
    lease_until: datetime,
    kinds: Collection[tuple[str, int]] | None = None,
    only: Collection[int] | None = None,
) -> Job | None:
    """Take the next job of these pools under a lease, its fence raised by one; None if there is nothing to do.

    kinds: names and versions of those that the claimer knows; only: numbers of jobs; None takes any. One UPDATE: two claimers never
    get the same job. Order: priority, then turn (see `next_turn`), then age: a walk along an index, however many jobs wait.
    """
    if len(pools) > 1:
        pools = _next_pool(tx, pools, now, kinds, only)
    turn = (
        sa.select(jobs.c.id)
        .where(_is_ready(pools, now, kinds, only))
        .order_by(*_ORDER)
        .limit(1)
        .with_for_update(skip_locked=True)
        .scalar_subquery()
    )
    row = tx.connection.execute(
        jobs.update()
        .where(jobs.c.id == turn)
        .values(
            state=JobState.RUNNING.value,
            fence=jobs.c.fence + 1,
            lease_holder=holder,
            lease_until=to_text(lease_until),
        )
        .returning(*jobs.c)
    ).first()
    if row is None:
        return None
    job = _job(row)
    tx.connection.execute(attempts.insert().values(job=job.id, fence=job.fence, holder=holder, started_at=to_text(now)))
    return job


def unfinished(
    tx: Transaction,
    pools: Sequence[str],
    now: datetime,
    kinds: Collection[tuple[str, int]] | None = None,
    wanted: Collection[int] = (),
) -> list[Job]:
    """List what is left to do in these pools: what a claim would find, what anybody runs, and `wanted` jobs until they are done."""
    is_running = sa.and_(jobs.c.state == JobState.RUNNING.value, jobs.c.pool.in_(list(pools)))
    is_wanted = sa.and_(jobs.c.id.in_(list(wanted)), jobs.c.state != JobState.DONE.value)
    query = sa.select(jobs).where(sa.or_(_is_ready(pools, now, kinds), is_running, is_wanted)).order_by(jobs.c.id)
    return [_job(row) for row in tx.connection.execute(query)]


def is_leased(tx: Transaction, job_id: int, fence: int) -> bool:
    """Say whether an attempt still has its job; while the transaction lasts, nobody can take it away."""
    query = sa.select(jobs.c.id).where(
        jobs.c.id == job_id, jobs.c.fence == fence, jobs.c.state == JobState.RUNNING.value
    )
    return tx.connection.execute(query.with_for_update()).first() is not None


def renew_lease(tx: Transaction, job_id: int, fence: int, lease_until: datetime) -> Job | None:
    """Extend a lease; None if the fence is no longer ours."""
    row = tx.connection.execute(
        jobs.update()
        .where(jobs.c.id == job_id, jobs.c.fence == fence, jobs.c.state == JobState.RUNNING.value)
        .values(lease_until=to_text(lease_until))
        .returning(*jobs.c)
    ).first()
    return _maybe_job(row)


def finish_attempt(tx: Transaction, job_id: int, fence: int, end: Finish, now: datetime) -> bool:
    """Write the end of an attempt if the fence is still ours; say whether it was."""
    values: dict[str, object] = {"lease_holder": None, "lease_until": None, "message": end.message}
    if end.retry_at is None:
        outputs = None if end.outputs is None else canonical_json(end.outputs).decode()
        values |= {
            "state": JobState.DONE.value, "outcome": end.outcome.value, "outputs": outputs, "finished_at": to_text(now),
        }  # fmt: skip
    else:
        values |= {
            "state": JobState.QUEUED.value, "not_before": to_text(end.retry_at), "turn": _first_turn(tx, job_id),
        }  # fmt: skip
        if not end.makes_way:
            count = jobs.c.lost_count if end.is_lost else jobs.c.broken_count
            values[count.name] = count + 1
    ours = tx.connection.execute(
        jobs.update()
        .where(jobs.c.id == job_id, jobs.c.fence == fence, jobs.c.state == JobState.RUNNING.value)
        .values(**values)
    )
    if ours.rowcount == 0:
        return False
    mark_branches_of_job(tx, job_id)
    tx.connection.execute(
        attempts.update()
        .where(attempts.c.job == job_id, attempts.c.fence == fence)
        .values(
            finished_at=to_text(now),
            outcome=end.outcome.value,
            message=end.message,
            outputs=canonical_json(dict(end.evidence)).decode(),
            log_bytes=end.log_bytes,
        )
    )
    return True


def waiting_since(
    tx: Transaction,
    pools: Sequence[str],
    priority: int,
    since: datetime,
    kinds: Collection[tuple[str, int]],
    limit: int,
) -> list[Job]:
    """List jobs of at least this priority that nobody has taken since a time, first the next; at most `limit`."""
    where = sa.and_(_is_ready(pools, since, kinds), jobs.c.rank <= -priority)
    return [_job(row) for row in tx.connection.execute(sa.select(jobs).where(where).order_by(*_ORDER).limit(limit))]


def running_below(tx: Transaction, pools: Sequence[str], priority: int) -> list[Job]:
    """List the jobs of less than a priority that hold a lease in these pools, first the least, of these the youngest."""
    where = (jobs.c.state == JobState.RUNNING.value, jobs.c.pool.in_(list(pools)), jobs.c.rank > -priority)
    rows = tx.connection.execute(sa.select(jobs).where(*where).order_by(jobs.c.priority, jobs.c.id.desc()))
    return [_job(row) for row in rows]


def running_jobs(tx: Transaction) -> list[Job]:
    """List the jobs that hold a lease."""
    return [_job(row) for row in tx.connection.execute(sa.select(jobs).where(jobs.c.state == JobState.RUNNING.value))]


def forget_orders(tx: Transaction, numbers: Collection[int]) -> None:
    """Let the orders of jobs be new ones when they come again: what they gave is no longer kept. The rows stay, as history."""
    rows = tx.connection.execute(sa.select(jobs.c.id, jobs.c.digest).where(jobs.c.id.in_(sorted(numbers)))).all()
    for row in rows:
        fresh = digest_of({"dropped": row.id, "order": row.digest})
        tx.connection.execute(jobs.update().where(jobs.c.id == row.id).values(digest=fresh))


def set_cancelled(tx: Transaction, job_id: int) -> None:
    """Mark a job so that its runner stops it."""
    tx.connection.execute(jobs.update().where(jobs.c.id == job_id).values(is_cancelled=True))


def finish_queued(tx: Transaction, job_id: int, outcome: Outcome, message: str, now: datetime) -> bool:
    """End a job that has not begun; say whether it was still queued."""
    changed = tx.connection.execute(
        jobs.update()
        .where(jobs.c.id == job_id, jobs.c.state == JobState.QUEUED.value)
        .values(state=JobState.DONE.value, outcome=outcome.value, message=message, finished_at=to_text(now))
    )
    mark_branches_of_job(tx, job_id)
    return changed.rowcount == 1


def attempts_of(tx: Transaction, job_id: int) -> list[Attempt]:
    """List the attempts of a job, first to last."""
    rows = tx.connection.execute(sa.select(attempts).where(attempts.c.job == job_id).order_by(attempts.c.fence))
    return [
        Attempt(
            job=row.job,
            fence=row.fence,
            holder=row.holder,
            started_at=from_text(row.started_at),
            finished_at=maybe_from_text(row.finished_at),
            outcome=None if row.outcome is None else Outcome(row.outcome),
            message=row.message,
            outputs={name: Sha256(digest) for name, digest in json.loads(row.outputs or "{}").items()},
            log_bytes=row.log_bytes,
        )
        for row in rows
    ]


def find_step_result(tx: Transaction, key: Sha256) -> Sha256 | None:
    """Find the cached result (an object) of a step with this key."""
    found = tx.connection.execute(sa.select(step_results.c.result).where(step_results.c.key == key)).scalar()
    return None if found is None else Sha256(found)


def keep_step_result(tx: Transaction, key: Sha256, step: str, result: Sha256, now: datetime) -> None:
    """Remember the result of a step; a second result for the same key replaces the first."""
    changed = tx.connection.execute(
        step_results.update().where(step_results.c.key == key).values(step=step, result=result, at=to_text(now))
    )
    if changed.rowcount == 0:
        tx.connection.execute(step_results.insert().values(key=key, step=step, result=result, at=to_text(now)))


def forget_step_results(tx: Transaction, keys: Collection[str]) -> None:
    """Drop the results of steps with these keys: the steps are run again when they are wanted again."""
    tx.connection.execute(step_results.delete().where(step_results.c.key.in_(sorted(keys))))


def next_turn(tx: Transaction, pool: str, priority: int, share: str) -> int:
    """Give the turn of a job that is queued now: start-time fair queuing, each share one job a round.

    A round is the turn of the newest job that runs, or of the first that waits. A share that has jobs waiting queues behind its
    own; one that has none comes into this round, not behind all that others have queued before. Two looks into indexes.
    """
    same = (jobs.c.pool == pool, jobs.c.rank == -priority)
    runs, waits = jobs.c.state == JobState.RUNNING.value, jobs.c.state == JobState.QUEUED.value
    last = tx.connection.execute(sa.select(sa.func.max(jobs.c.turn)).where(runs, *same)).scalar()
    if last is None:
        last = tx.connection.execute(sa.select(sa.func.min(jobs.c.turn)).where(waits, *same)).scalar()
    own = tx.connection.execute(sa.select(sa.func.max(jobs.c.turn)).where(waits, *same, jobs.c.share == share)).scalar()
    return max(last or 0, 0 if own is None else own + 1)


def _first_turn(tx: Transaction, job_id: int) -> int:
    """Give the turn of a job that goes back into the queue: that of the first there, or its own if that is sooner."""
    job = tx.connection.execute(sa.select(jobs).where(jobs.c.id == job_id)).one()
    where = (jobs.c.state == JobState.QUEUED.value, jobs.c.pool == job.pool, jobs.c.rank == job.rank)
    first = tx.connection.execute(sa.select(sa.func.min(jobs.c.turn)).where(*where)).scalar()
    return int(job.turn if first is None else min(job.turn, first))


def _next_pool(
    tx: Transaction,
    pools: Sequence[str],
    now: datetime,
    kinds: Collection[tuple[str, int]] | None,
    only: Collection[int] | None,
) -> list[str]:
    """Say in which of several pools the next job is: one short walk in each."""
    found = []
    for pool in pools:
        query = sa.select(*_ORDER).where(_is_ready([pool], now, kinds, only)).order_by(*_ORDER).limit(1)
        row = tx.connection.execute(query).first()
        if row is not None:
            found.append((*row, pool))
    return [min(found)[3]] if found else []


def _is_ready(
    pools: Sequence[str],
    now: datetime,
    kinds: Collection[tuple[str, int]] | None,
    only: Collection[int] | None = None,
) -> sa.ColumnElement[bool]:
    ready = sa.and_(
        jobs.c.state == JobState.QUEUED.value, jobs.c.pool.in_(list(pools)), jobs.c.not_before <= to_text(now)
    )
    if only is not None:
        ready = sa.and_(ready, jobs.c.id.in_(sorted(only)))
    return ready if kinds is None else sa.and_(ready, sa.tuple_(jobs.c.kind, jobs.c.version).in_(list(kinds)))


def _maybe_job(row: sa.Row[tuple[object, ...]] | None) -> Job | None:
    return None if row is None else _job(row)


def _job(row: sa.Row[tuple[object, ...]]) -> Job:
    return Job(
        id=row.id,
        kind=row.kind,
        version=row.version,
        digest=Sha256(row.digest),
        inputs=json.loads(row.inputs),
        title=row.title,
        pool=row.pool,
        priority=row.priority,
        state=JobState(row.state),
        outcome=None if row.outcome is None else Outcome(row.outcome),
        message=row.message,
        outputs=None if row.outputs is None else json.loads(row.outputs),
        created_at=from_text(row.created_at),
        finished_at=maybe_from_text(row.finished_at),
        not_before=from_text(row.not_before),
        fence=row.fence,
        broken_count=row.broken_count,
        lost_count=row.lost_count,
        lease_holder=row.lease_holder,
        lease_until=maybe_from_text(row.lease_until),
        is_cancelled=bool(row.is_cancelled),
        config_commit=row.config_commit,
        cause=row.cause,
        share=row.share,
        embargo=Embargo.of_text(row.embargo),
    )
