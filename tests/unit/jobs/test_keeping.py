"""Holds of work: whatever a job needs is held as long as it needs it, and passes to what it made without a gap."""

import pytest
from tests.habits.samples import EARLIER, INPUTS
from tests.worlds.state import COUNT, placed
from tests.worlds.times import NOW

from distwright.jobs.keeping import hold_for_attempt, hold_what_job_leaves
from distwright.jobs.lease import Ending, Retry, claim_next, end_attempt
from distwright.jobs.order import JobOrder, cancel, get_job, place_order, retry
from distwright.jobs.step import JobKind, StepResult
from distwright.model.digests import Json, digests_in, sha256_of
from distwright.model.events import Event, EventKind
from distwright.model.outcomes import Outcome
from distwright.model.records import Job
from distwright.store.database import Database
from distwright.store.events import events_after
from distwright.store.holds import Hold, all_holds, holds_of, object_hold, serial_hold
from distwright.worker.kinds import KINDS

SOURCE, MADE, LOG = (sha256_of(word) for word in (b"source", b"made", b"log"))
SERIAL = serial_hold("", "debian", "2026112301", "the base")
ORDER = JobOrder(COUNT, {"tree": {"source": SOURCE}, "number": 1}, "count", holds=(SERIAL,))
NEEDED = [Hold("job 1", "object", SOURCE, "tree.source"), Hold("job 1", "serial", SERIAL.target, "the base")]


def held(database: Database) -> list[Hold]:
    with database.read() as tx:
        return [hold for hold in all_holds(tx) if not hold.holder.startswith("event ")]


def claimed(database: Database) -> Job:
    job = claim_next(database, ["local"], "holder", NOW)
    assert job is not None
    return job


def test_a_job_holds_everything_that_its_inputs_name_and_its_serials(database: Database) -> None:
    placed(database, ORDER)
    assert held(database) == NEEDED
    claimed(database)
    assert held(database) == NEEDED


def test_a_job_that_is_tried_again_still_holds_what_it_needs(database: Database) -> None:
    placed(database, ORDER)
    end_attempt(database, claimed(database), Ending(Outcome.BROKEN, "no network"), NOW, retry=Retry.LATER)
    assert held(database) == NEEDED


@pytest.mark.parametrize("outcome", Outcome)
def test_a_job_that_is_done_needs_nothing_any_more(database: Database, outcome: Outcome) -> None:
    placed(database, ORDER)
    end_attempt(database, claimed(database), Ending(outcome, "the end"), NOW, retry=Retry.NEVER)
    assert held(database) == []


def test_a_job_that_was_cancelled_in_the_queue_needs_nothing_any_more(database: Database) -> None:
    placed(database, ORDER)
    with database.write() as tx:
        cancel(tx, 1, NOW)
    assert held(database) == []


def test_what_a_job_needed_passes_to_what_it_made(database: Database) -> None:
    placed(database, ORDER)
    end_attempt(database, claimed(database), Ending(Outcome.OK, "ok", {"out": MADE}, heir="build 1"), NOW)
    assert held(database) == [
        Hold("build 1", "object", *pair) for pair in sorted([(MADE, "0.out"), (SOURCE, "tree.source")])
    ] + [Hold("build 1", "serial", SERIAL.target, "the base")]


def test_what_steps_made_is_held_until_their_attempt_ends(database: Database) -> None:
    placed(database, ORDER)
    job = claimed(database)
    with database.write() as tx:
        hold_for_attempt(tx, job.id, job.fence, [object_hold("", MADE, "out")], NOW)
        hold_for_attempt(tx, job.id, job.fence + 1, [object_hold("", LOG, "out")], NOW)
    assert held(database) == [Hold("attempt 1-1", "object", MADE, "out"), *NEEDED], "only an attempt that has its job"
    end_attempt(database, job, Ending(Outcome.BROKEN, "no network"), NOW)
    assert held(database) == NEEDED


def test_evidence_of_all_attempts_stays_with_the_job(database: Database) -> None:
    placed(database, ORDER)
    for content, when in ((LOG, Retry.AT_ONCE), (MADE, Retry.NEVER)):
        ending = Ending(Outcome.BROKEN, "no", evidence={"boot/console": content})
        end_attempt(database, claimed(database), ending, NOW, retry=when)
        assert Hold("job 1", "object", content, f"attempt {1 if content == LOG else 2}.boot/console") in held(database)
    assert {hold.target for hold in held(database)} == {LOG, MADE}


def test_what_a_failure_concluded_is_evidence(database: Database) -> None:
    placed(database, ORDER)
    end_attempt(database, claimed(database), Ending(Outcome.FAILED, "no", {"report": LOG}), NOW)
    assert held(database) == [Hold("job 1", "object", LOG, "0.report")]


def test_a_job_that_is_queued_again_holds_its_inputs_again(database: Database) -> None:
    placed(database, ORDER)
    end_attempt(database, claimed(database), Ending(Outcome.CANCELLED, "no"), NOW)
    with database.write() as tx:
        retry(tx, 1, NOW)
    assert held(database) == NEEDED[:1]
    end_attempt(database, claimed(database), Ending(Outcome.CANCELLED, "no"), NOW)
    placed(database, ORDER)
    assert held(database) == NEEDED


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_no_kind_leaves_a_gap_between_its_order_and_what_follows(database: Database, kind: JobKind) -> None:
    """Inputs are held while the job runs; what its events name is held from the transaction of its end."""
    inputs = INPUTS[kind.kind.name]
    with database.write() as tx:
        place_order(tx, JobOrder(kind.kind, inputs, "x"), NOW)
    with database.read() as tx:
        assert {hold.target for hold in holds_of(tx, "job 1")} == {digest for _, digest in digests_in(inputs)}
    if not inputs:
        return  # actions that write their events and holds themselves; tests/unit/site/test_holds.py follows them
    name = inputs.get("name", "petrel-amd64-1.0")
    iso = {f"{name}.iso": MADE, f"{name}.manifest.json": LOG}
    signed = StepResult({"changes/greeter_1.0_amd64.changes": MADE})
    tested = StepResult({}, values={"verdict": "1 passed", "report": str(MADE)})
    read = tested if kind.kind.name == "image.test" else EARLIER["read"]
    earlier = {**EARLIER, "describe": StepResult(iso), "sign": signed, "read": read}
    concluded = kind.conclude(inputs, earlier, NOW, 1)
    ending = Ending(Outcome.OK, "ok", concluded.outputs, concluded.events, concluded.heir)
    end_attempt(database, claimed(database), ending, NOW)
    announced: Json = [event.body for event in concluded.events]
    targets = {hold.target for hold in _all(database)}
    assert {digest for _, digest in digests_in(announced)} <= targets
    if concluded.heir:
        named = {digest for _, digest in digests_in([inputs, concluded.outputs, announced])}
        assert named <= {hold.target for hold in held(database) if hold.holder == concluded.heir}


def test_a_job_that_is_given_up_is_announced_once(database: Database) -> None:
    placed(database, ORDER)
    end_attempt(database, claimed(database), Ending(Outcome.BROKEN, "no network"), NOW, retry=Retry.AT_ONCE)
    assert _announced(database) == []
    end_attempt(database, claimed(database), Ending(Outcome.FAILED, "no"), NOW)
    body: dict[str, Json] = {"job": 1, "kind": "count", "title": "count", "outcome": "failed", "message": "no"}
    assert _announced(database) == [Event(EventKind.JOB_ENDED, NOW, "count", body, 1)]


@pytest.mark.parametrize("outcome", [Outcome.OK, Outcome.SKIPPED, Outcome.CANCELLED])
def test_a_job_that_ended_as_somebody_wanted_is_not_announced(database: Database, outcome: Outcome) -> None:
    placed(database, ORDER)
    end_attempt(database, claimed(database), Ending(outcome, "the end"), NOW)
    assert _announced(database) == []


def _all(database: Database) -> list[Hold]:
    with database.read() as tx:
        return all_holds(tx)


def _announced(database: Database) -> list[Event]:
    with database.read() as tx:
        return [stored.event for stored in events_after(tx, 0)]


@pytest.mark.parametrize("outcome", [Outcome.OK, Outcome.FAILED])
def test_who_waits_for_a_job_holds_what_it_leaves_from_the_moment_that_it_ends(
    database: Database, outcome: Outcome
) -> None:
    job = placed(database, ORDER)
    with database.write() as tx:
        hold_what_job_leaves(tx, "inquiry 7", job, NOW)
    waiting = [Hold("inquiry 7", "job", "1", "count"), Hold("inquiry 7", "object", SOURCE, "tree.source")]
    assert [hold for hold in held(database) if hold.holder == "inquiry 7"] == waiting
    end_attempt(database, claimed(database), Ending(outcome, "the end", {"out": MADE}), NOW, retry=Retry.NEVER)
    left = Hold("inquiry 7", "object", MADE, "0.out")
    assert sorted(held(database), key=str) == sorted(
        [*waiting, left, *([Hold("job 1", "object", MADE, "0.out")] if outcome is Outcome.FAILED else [])], key=str
    )
    with database.write() as tx:
        hold_what_job_leaves(tx, "inquiry 8", get_job(tx, 1), NOW)
        assert {hold.target for hold in holds_of(tx, "inquiry 8")} == {"1", SOURCE, MADE}, "it has ended before"
