"""What an open inquiry or a queued order needs stays: real collection of objects, and real dropping of snapshots."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.unit.checks.test_impact import ENDS, FOUND, end_of
from tests.worlds.breaking import BreakingWorld, breaking_world, moved
from tests.worlds.installation import WorldContext

from distwright.archive.garbage import FRESH, GRACE, collect
from distwright.archive.made_suite import made_entry
from distwright.archive.own_snapshots import drop_snapshots
from distwright.archive.tree import TreeRoot
from distwright.builds.environment import EnvironmentRecipe
from distwright.builds.trying import KIND as TRY
from distwright.builds.trying import commit_trial
from distwright.checks import impact
from distwright.checks.candidates import ARCHIVE, Candidate, CandidatePackage
from distwright.checks.culprit import question
from distwright.checks.dependents import FoundAll
from distwright.checks.impact import Question
from distwright.checks.inquiries import ask, get_inquiry, stop
from distwright.checks.search import CULPRIT
from distwright.checks.targets import find_target
from distwright.errors import Refused
from distwright.jobs.lease import Ending, Retry, claim_next, end_attempt
from distwright.jobs.order import JobOrder, cancel, place_order
from distwright.model import plain
from distwright.model.digests import Json, Sha256
from distwright.model.outcomes import Outcome
from distwright.model.records import InquiryState, Job
from distwright.store.archives import find_snapshot
from distwright.store.holds import holds_of
from distwright.store.jobs import list_jobs


@pytest.fixture
def world(tmp_path: Path) -> BreakingWorld:
    return breaking_world(tmp_path, serials=2)


def collect_much_later(context: WorldContext) -> None:
    """Let so much time pass that nothing is fresh, and collect until the trash is empty."""
    newest = max(context.objects.touched_at(digest) for digest in context.objects.digests())
    context.clock = max(context.clock, newest) + FRESH + timedelta(days=1)
    collect(context, [], really=True)
    context.clock += GRACE + timedelta(days=1)
    collect(context, [], really=True)


def can_drop(world: BreakingWorld, serial: str) -> str:
    """Say why a snapshot cannot be dropped; "" if it can."""
    try:
        drop_snapshots(world.context, "debian", [serial], dry_run=True)
    except Refused as error:
        return error.message
    return ""


def recipe(world: BreakingWorld) -> EnvironmentRecipe:
    """Give the environment with the first serial."""
    ground = replace(world.context.ground(), pins={"debian": world.serials[0]})
    order = commit_trial(world.context.database, ground, repo="greeter", commit=world.commits[0])
    return EnvironmentRecipe.from_json(plain.mapping(order.inputs, "environment"))


def asked_impact(world: BreakingWorld) -> Question:
    """Ask about a candidate whose packages are here, in the state with the first serial."""
    put = world.context.objects.put
    entry = made_entry(world.context.objects, TreeRoot({}), ("main",), "amd64", ARCHIVE, "candidate")
    packages = {"libtally-dev": CandidatePackage("2", (), "libtally-dev_2_all.deb", put(b"deb of the candidate"))}
    sources = {"tally_2.dsc": put(b"dsc of the candidate")}
    state = recipe(world)
    candidate = Candidate("tally", "2", entry, ("main",), packages, sources, has_tests=True)
    assert entry.archive == ARCHIVE
    return Question(candidate, state, replace(state, variant="minbase"), 1, 20)


def found_here(world: BreakingWorld) -> FoundAll:
    """Give what the search found, with files that it has fetched."""
    put = world.context.objects.put
    found = tuple(replace(one, files={f"{one.name}_1.dsc": put(one.name.encode())}) for one in FOUND.found)
    debs = {"libtally-dev_1_all.deb": put(b"deb of now")}
    return replace(FOUND, found=found, debs=debs, build_needs=put(b"Package: needs\n"))


def end_next(world: BreakingWorld, outputs: dict[str, Json] | None = None) -> Job:
    """Have the next job end: with these outputs, or as others of its title end."""
    job = claim_next(world.context.database, ["local"], "test", world.context.clock)
    assert job is not None
    outcome, message, usual = (Outcome.OK, "", outputs) if outputs is not None else end_of(job, ENDS)
    ending = Ending(outcome, message, usual)
    end_attempt(world.context.database, job, ending, world.context.clock, retry=Retry.NEVER)
    return job


def test_what_a_search_for_dependents_fetched_is_there_when_somebody_looks(world: BreakingWorld) -> None:
    context = world.context
    world.run()
    asked, found = asked_impact(world), found_here(world)
    number = ask(context.database, impact.KIND, "tally 2", asked.to_json(), "ada", context.clock)
    world.look()
    end_next(world, found.to_json())
    collect_much_later(context)
    fetched = [digest for one in found.found for digest in one.files.values()]
    assert [
        digest for digest in (*fetched, *found.debs.values(), found.build_needs) if not context.objects.has(digest)
    ] == []
    world.look()
    collect_much_later(context)
    while world.inquiry(number).state is InquiryState.OPEN:
        job = end_next(world)
        assert [name for name in names_of(job) if not context.objects.has(name)] == [], job.title
        collect_much_later(context)
        assert "is needed by inquiry" in can_drop(world, world.serials[0]), (
            "while anybody may ask for one of its jobs again"
        )
        world.look()
    collect_much_later(context)
    assert not any(context.objects.has(digest) for digest in fetched), "it is over"
    assert can_drop(world, world.serials[0]) == ""


def names_of(job: Job) -> list[Sha256]:
    """Give what an order was given beside its state."""
    texts = [plain.digest_map(job.inputs, key) for key in ("source_files", "debs") if key in job.inputs]
    return [digest for files in texts for digest in files.values()]


def test_orders_of_an_impact_hold_their_serial_themselves(world: BreakingWorld) -> None:
    context = world.context
    world.run()
    number = ask(context.database, impact.KIND, "tally 2", asked_impact(world).to_json(), "ada", context.clock)
    world.look()
    [search] = [job for job in placed(world) if job.kind == "package.dependents"]
    with context.database.write() as tx:
        assert f"debian/{world.serials[0]}" in {hold.target for hold in holds_of(tx, f"job {search.id}")}
        stop(tx, number, "ada", context.clock)
    assert can_drop(world, world.serials[0]) == "", "its job went with it"


def placed(world: BreakingWorld) -> list[Job]:
    with world.context.database.read() as tx:
        return list_jobs(tx)


def test_an_order_that_only_names_a_state_holds_its_serial_until_it_is_done(world: BreakingWorld) -> None:
    context = world.context
    world.run()
    order = JobOrder(TRY, {"environment": recipe(world).to_json()}, "try it")
    with context.database.write() as tx:
        job = place_order(tx, order, context.clock)
    assert f"{world.serials[0]} is needed by job {job.id}: " in can_drop(world, world.serials[0])
    with context.database.write() as tx:
        cancel(tx, job.id, context.clock)
    assert can_drop(world, world.serials[0]) == ""


def test_a_mixture_holds_both_of_its_serials(world: BreakingWorld) -> None:
    context = world.context
    world.breaks = lambda tried: "build" if float(tried.versions["libfoo-dev"]) >= 2 else ""
    world.record(*moved(3))
    good, bad, commit = world.serials[0], world.serials[1], world.commits[0]
    target = find_target(context.database, context.ground(), "greeter")
    asked = question(target, ({"debian": good}, commit), ({"debian": bad}, commit))
    number = ask(context.database, CULPRIT, "greeter", asked, "ada", context.clock)

    def is_mixed() -> Job | None:
        waiting = [job for job in placed(world) if job.outcome is None and "sources moved" in job.title]
        return waiting[0] if waiting else None

    mixed = until(world, is_mixed)
    with context.database.read() as tx:
        held = {hold.target for hold in holds_of(tx, f"job {mixed.id}") if hold.kind == "serial"}
        assert held == {f"debian/{good}", f"debian/{bad}"}
        assert get_inquiry(tx, number).state is InquiryState.OPEN
        assert find_snapshot(tx, "debian", good) is not None
    assert "is needed by" in can_drop(world, good)


def until(world: BreakingWorld, found: Callable[[], Job | None]) -> Job:
    """Run job after job until something is there."""
    for _ in range(20):
        job = found()
        if job is not None:
            return job
        world.run(limit=1)
    raise AssertionError("it never came")
