"""Inquiries: asked until answered, whatever is killed, slow, broken or stopped on the way."""

import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from tests.worlds.installation import WorldContext, make_context
from tests.worlds.killing import NEVER, run_killed_at
from tests.worlds.state import COUNT, count_order

from distwright.archive.resolve import Ground, NotReadyError
from distwright.checks.findings import see
from distwright.checks.inquiries import (
    Look,
    Move,
    advance_inquiries,
    again_at,
    answered,
    ask,
    get_inquiry,
    holder_of,
    made_jobs,
    pause_after,
    placed_jobs,
    stop,
    tries_of,
    waits_for,
)  # fmt: skip
from distwright.errors import Busy, NotFound, OutOfSpace, ProgramFailed, Refused
from distwright.jobs.lease import Ending, Retry, claim_next, end_attempt
from distwright.jobs.order import JobOrder, cancel, place_order, retry
from distwright.model.digests import Json, sha256_of
from distwright.model.embargo import PUBLIC, Embargo
from distwright.model.events import Event, EventKind
from distwright.model.outcomes import JobState, Outcome
from distwright.model.records import Inquiry, InquiryState, Job
from distwright.store.database import Database
from distwright.store.embargoes import add_private_names
from distwright.store.events import append_event
from distwright.store.findings import list_findings
from distwright.store.holds import Hold, holds_of, serial_hold
from distwright.store.jobs import find_by_digest, list_jobs

SECRET = sha256_of(b"made in secret")
HOLD = serial_hold("", "debian", "2024011001", "it is asked about")


@dataclass
class Counting:
    """Asks for jobs one after another; the answer says how each ended."""

    orders: list[JobOrder]
    looks: int = 0
    trouble: list[Exception] = field(default_factory=list)

    def look(self, database: Database, ground: Ground, row: Inquiry) -> Move:
        """Ask for the first that is not answered. What an order names is kept before."""
        self.looks += 1
        ground.objects.put(b"what is asked about")
        if self.trouble:
            raise self.trouble[0]
        ended: list[Json] = []
        for order in self.orders:
            with database.read() as tx:
                job = answered(tx, order.digest, placed_jobs(row))
            if job is None:
                return Move([order], progress={"so far": list(ended)}, holds=[HOLD])
            ended.append(str(job.outcome))
        return Move(answer={"ended": list(ended)}, holds=[])


@dataclass
class World:
    """An installation with one look."""

    context: WorldContext
    counting: Counting

    @property
    def database(self) -> Database:
        return self.context.database

    def advance(self, look: Look | None = None, database: Database | None = None) -> int:
        looks: Mapping[str, Look] = {"count": look or self.counting.look}
        return advance_inquiries(database or self.database, self.context.ground(), looks, lambda _pool: None, "c" * 40)

    def ask(self) -> int:
        return ask(self.database, "count", "things", {}, "user ada", self.context.clock)

    def row(self, number: int) -> Inquiry:
        with self.database.read() as tx:
            return get_inquiry(tx, number)

    def end(self, outcome: Outcome = Outcome.OK) -> Job:
        job = claim_next(self.database, ["local"], "test", self.context.clock)
        assert job is not None
        end_attempt(self.database, job, Ending(outcome, "so it is", {}), self.context.clock, retry=Retry.NEVER)
        return job

    def jobs(self) -> list[Job]:
        with self.database.read() as tx:
            return list_jobs(tx)

    def happen(self) -> None:
        """Let something else happen."""
        body = {"about": "x", "what": "y", "hint": "z"}
        with self.database.write() as tx:
            append_event(tx, Event(EventKind.WARNING_RAISED, self.context.clock, "x", body))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(make_context(tmp_path), Counting([count_order(number) for number in range(3)]))


def test_an_inquiry_asks_one_thing_after_another_and_then_has_its_answer(world: World) -> None:
    number = world.ask()
    for outcome in (Outcome.OK, Outcome.FAILED, Outcome.TIMED_OUT):
        assert world.advance() == 1
        assert world.row(number).state is InquiryState.OPEN
        world.end(outcome)
    assert world.advance() == 1
    row = world.row(number)
    assert (row.state, row.answer) == (InquiryState.DONE, {"ended": ["ok", "failed", "timed-out"], "builds": 3})
    assert world.advance() == 0
    assert [job.config_commit for job in world.jobs()] == ["c" * 40] * 3


@pytest.mark.parametrize("asked", [{"repo": "twin"}, {"candidate": {"files": {"hello.deb": str(SECRET)}}}, {}])
def test_all_that_is_asked_about_something_private_is_private_whatever_an_order_names(
    world: World, asked: Mapping[str, Json]
) -> None:
    with world.database.write() as tx:
        add_private_names(tx, ["repo/twin"], world.context.clock)
        place_order(tx, JobOrder(COUNT, {"repo": "twin"}, "a build"), world.context.clock)
    built = claim_next(world.database, ["local"], "test", world.context.clock)
    assert built is not None
    end_attempt(
        world.database, built, Ending(Outcome.OK, "", {"files": {"hello.deb": str(SECRET)}}), world.context.clock
    )
    ask(world.database, "count", "things", asked, "user ada", world.context.clock)
    world.advance()
    found = world.jobs()[0]
    assert found.embargo == (Embargo(frozenset({"repo/twin"})) if asked else PUBLIC)
    with world.database.write() as tx:
        opened = place_order(tx, world.counting.orders[0], world.context.clock)
    assert (opened.id, opened.embargo) == (found.id, PUBLIC), "somebody may ask the same for what is public"


def test_nobody_looks_while_nothing_has_happened(world: World) -> None:
    world.ask()
    world.advance()
    world.happen()
    for _ in range(3):
        assert world.advance() == 0
    assert world.counting.looks == 1, "its job is not done"
    world.end()
    assert world.advance() == 1


def test_what_is_known_already_is_walked_through_at_once(world: World) -> None:
    for order in world.counting.orders[:2]:
        with world.database.write() as tx:
            place_order(tx, order, world.context.clock)
        world.end()
    number = world.ask()
    assert world.advance() == 1
    assert [job.state for job in world.jobs()] == [JobState.QUEUED, JobState.DONE, JobState.DONE]
    assert made_jobs(world.row(number)) == placed_jobs(world.row(number)) == (3,)
    world.end()
    world.advance()
    assert (world.row(number).answer or {})["builds"] == 1


def test_a_job_that_broke_for_good_is_an_answer_and_is_not_begun_again(world: World) -> None:
    number = world.ask()
    world.advance()
    world.end(Outcome.BROKEN)
    world.advance()
    assert world.row(number).progress["so far"] == ["broken"]
    assert [job.state for job in world.jobs()] == [JobState.QUEUED, JobState.DONE]


def test_a_job_that_broke_before_anybody_asked_is_begun_again(world: World) -> None:
    with world.database.write() as tx:
        place_order(tx, world.counting.orders[0], world.context.clock)
    world.end(Outcome.BROKEN)
    world.ask()
    world.advance()
    assert [job.state for job in world.jobs()] == [JobState.QUEUED]


def test_a_job_that_somebody_cancels_is_noticed_though_no_event_says_so(world: World) -> None:
    number = world.ask()
    world.advance()
    with world.database.write() as tx:
        cancel(tx, 1, world.context.clock)
    assert world.advance() == 1
    assert world.row(number).progress["so far"] == ["cancelled"]
    assert world.jobs()[-1].outcome is Outcome.CANCELLED


def test_a_job_that_somebody_begins_again_is_waited_for(world: World) -> None:
    number = world.ask()
    world.advance()
    world.end(Outcome.FAILED)
    world.advance()
    with world.database.write() as tx:
        retry(tx, 1, world.context.clock)
    world.advance()
    assert world.row(number).progress["so far"] == []
    while world.end().id != 1:
        pass  # what waited already comes first
    world.advance()
    assert world.row(number).progress["so far"] == ["ok", "ok"]


def test_what_an_open_inquiry_needs_is_held_until_it_ends(world: World) -> None:
    number = ask(world.database, "count", "x", {}, "", world.context.clock, holds=[HOLD])

    def held() -> list[Hold]:
        with world.database.read() as tx:
            return [hold for hold in holds_of(tx, holder_of(number)) if hold.kind == "serial"]

    needed = [replace(HOLD, holder=holder_of(number))]
    for _ in range(3):
        assert held() == needed
        world.advance()
        world.end()
    world.counting.trouble = [NotReadyError("no snapshot yet", hint="record one")]
    world.advance()
    assert held() == needed, "also while it waits"
    world.counting.trouble = []
    world.advance()
    with world.database.read() as tx:
        assert holds_of(tx, holder_of(number)) == []


def test_one_that_is_not_ready_says_what_it_waits_for_and_goes_on_when_it_is(world: World) -> None:
    number = world.ask()
    world.counting.trouble = [NotReadyError("no snapshot yet", hint="record one")]
    assert world.advance() == 1
    assert world.advance() == 0, "that it still waits is no news: nobody would ever stop to look"
    assert waits_for(world.row(number)) == "no snapshot yet (record one)"
    world.counting.trouble = []
    assert world.advance() == 1
    assert waits_for(world.row(number)) == ""
    assert len(world.jobs()) == 1


@pytest.mark.parametrize(
    ("trouble", "message"),
    [
        (NotFound("serial 1 is gone", hint="distwright snapshot list"), "serial 1 is gone"),
        (KeyError("build"), "the configuration no longer has 'build'"),
        (ZeroDivisionError("x"), "a bug of distwright in an inquiry of kind count: \"ZeroDivisionError('x')\""),
    ],
)
def test_one_that_cannot_be_answered_stops_and_says_why(world: World, trouble: Exception, message: str) -> None:
    number = world.ask()
    world.counting.trouble = [trouble]
    world.advance()
    row = world.row(number)
    assert row.state is InquiryState.STOPPED
    assert str((row.answer or {})["error"]).replace("\\", "") in (message, message.replace('"', "'"))


def test_one_that_waits_is_written_only_when_something_changes(world: World) -> None:
    number = world.ask()
    world.counting.trouble = [NotReadyError("no snapshot yet", hint="record one")]
    world.advance()
    with closing(sqlite3.connect(world.context.paths.root / "db.sqlite")) as reader:
        before = version_of(reader)
        world.advance()
        assert version_of(reader) == before
        world.happen()
        before = version_of(reader)
        world.advance()
        assert version_of(reader) == before, "what happens elsewhere is no news of it"
        world.counting.trouble = [NotReadyError("no suite yet", hint="publish one")]
        world.advance()
        assert version_of(reader) != before
    assert (world.counting.looks, waits_for(world.row(number))) == (4, "no suite yet (publish one)")


def version_of(reader: sqlite3.Connection) -> int:
    """Say which state of the database this is: another one after each write of somebody else."""
    (version,) = reader.execute("PRAGMA data_version").fetchone()
    return int(version)


def test_trouble_of_this_machine_ends_nothing_and_is_named(world: World) -> None:
    number = world.ask()
    world.counting.trouble = [OutOfSpace("the disk is full", hint="df")]
    world.advance()
    row = world.row(number)
    assert (row.state, waits_for(row), tries_of(row)) == (InquiryState.OPEN, "the disk is full (df)", 1)
    assert again_at(row) == world.context.clock + timedelta(minutes=1)
    world.counting.trouble = []
    world.happen()
    assert world.advance() == 0, "not yet"
    world.context.clock += timedelta(minutes=1)
    assert world.advance() == 1
    row = world.row(number)
    assert (waits_for(row), tries_of(row), again_at(row)) == ("", 0, None)
    assert len(world.jobs()) == 1


def test_trouble_is_looked_at_ever_more_seldom(world: World) -> None:
    number = world.ask()
    world.counting.trouble = [ProgramFailed("git failed", hint="look at it")]
    for _ in range(1000):
        world.advance()
        world.context.clock += timedelta(minutes=1)
    assert [int(pause_after(tries) / timedelta(minutes=1)) for tries in (1, 2, 3, 6, 7, 100)] == [1, 2, 4, 32, 60, 60]
    assert world.counting.looks == tries_of(world.row(number)) == 6 + 16


def test_trouble_does_not_keep_a_job_that_ends_from_being_looked_at(world: World) -> None:
    number = world.ask()
    world.advance()
    world.counting.trouble = [Busy("the database is held", hint="try again")]
    world.end()
    world.advance()
    assert placed_jobs(world.row(number)) == (1,), "what was asked before stays known"
    assert world.advance() == 0
    world.counting.trouble = []
    world.context.clock += timedelta(minutes=1)
    assert world.advance() == 1
    assert world.row(number).progress["so far"] == ["ok"]


def test_a_kind_of_a_newer_version_is_left_alone(world: World) -> None:
    number = ask(world.database, "dream", "x", {}, "", world.context.clock)
    assert world.advance() == 0
    assert world.row(number).state is InquiryState.OPEN


def test_of_two_processes_that_look_at_once_one_moves(world: World) -> None:
    number = world.ask()
    other = world.database.reopen()

    def look(database: Database, ground: Ground, row: Inquiry) -> Move:
        assert world.advance(database=other) == 1, "meanwhile another process moves"
        return world.counting.look(database, ground, row)

    assert world.advance(look) == 0
    other.close()
    assert len(world.jobs()) == 1
    assert world.row(number).progress["so far"] == []


def test_one_that_is_stopped_takes_along_the_jobs_that_nobody_else_wants(world: World) -> None:
    first, second = world.ask(), world.ask()
    world.advance()
    with world.database.write() as tx:
        stop(tx, first, "user ada", world.context.clock)
    assert [job.state for job in world.jobs()] == [JobState.QUEUED], "the other wants it"
    with world.database.write() as tx:
        stop(tx, second, "user ada", world.context.clock)
    assert [job.state for job in world.jobs()] == [JobState.QUEUED], "it was the first one that had it made"
    assert (world.row(first).answer or {})["error"] == "stopped by user ada"
    with world.database.write() as tx, pytest.raises(Refused):
        stop(tx, first, "user ada", world.context.clock)
    with world.database.write() as tx, pytest.raises(NotFound):
        stop(tx, 99, "user ada", world.context.clock)


def test_what_follows_is_written_once_together_with_the_move(world: World) -> None:
    def look(_database: Database, _ground: Ground, _row: Inquiry) -> Move:
        effect = partial(see, kind="k", subject="s", key="", evidence={})
        return Move(answer={"text": "so"}, effects=[effect])

    world.ask()
    world.advance(look)
    with world.database.read() as tx:
        assert [row.subject for row in list_findings(tx)] == ["s"]


def test_killed_between_any_two_writes_the_next_look_goes_on(tmp_path: Path) -> None:
    def story(folder: Path) -> tuple[World, Callable[[], object]]:
        world = World(make_context(folder), Counting([count_order(number) for number in range(3)]))
        world.ask()

        def act() -> None:
            again = World(world.context, world.counting)
            database = world.database.reopen()
            while again.advance(database=database):
                pass

        return world, act

    world, act = story(tmp_path / "whole")
    writes = run_killed_at(NEVER, act)
    assert writes
    for number in range(1, writes + 1):
        world, act = story(tmp_path / str(number))
        assert run_killed_at(number, act) is None
        for _ in range(3):
            world.advance()
            world.end()
        world.advance()
        row = world.row(1)
        assert (row.state, row.answer) == (InquiryState.DONE, {"ended": ["ok"] * 3, "builds": 3})
    with world.database.read() as tx:
        assert find_by_digest(tx, world.counting.orders[0].digest) is not None
