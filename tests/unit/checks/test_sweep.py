"""The sweep: all ours against a new serial, once; what fails is a finding that says since when, and closes when it builds again."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.worlds.archive import make_deb, make_source, make_upload
from tests.worlds.breaking import BreakingWorld, FullDisk, Trying, breaking_world, moved
from tests.worlds.times import NOW
from tests.worlds.uploads import Suite

from distwright.builds.resolve import build_order
from distwright.builds.trying import commit_trial
from distwright.checks.filing import BUILDS, SWEEP
from distwright.checks.findings import FAILS
from distwright.checks.inquiries import waits_for
from distwright.config.model import Config
from distwright.jobs.order import JobOrder
from distwright.model import plain
from distwright.model.digests import Json, sha256_of
from distwright.model.outcomes import JobState, Outcome
from distwright.model.records import FindingState, InquiryState, Trial
from distwright.store.findings import list_findings
from distwright.store.inquiries import list_inquiries
from distwright.store.jobs import list_jobs
from distwright.store.trials import set_trial


@pytest.fixture
def world(tmp_path: Path) -> BreakingWorld:
    world = breaking_world(tmp_path)
    world.run()
    return world


def since(number: int) -> Callable[[Trying], str]:
    def breaks(tried: Trying) -> str:
        return "build" if float(tried.versions["libfoo-dev"]) >= number else ""

    return breaks


def test_a_new_serial_has_our_packages_tried_once(world: BreakingWorld) -> None:
    assert [tried.versions["libfoo-dev"] for tried in world.built] == ["1.0"], "by the record of the first one"
    assert world.finding() is None
    world.sweep()
    assert world.run() == 0, "the same state is never built twice"
    world.record(*moved(2))
    assert world.run() == 1
    with world.context.database.read() as tx:
        rows = list_inquiries(tx, kind=SWEEP)
    assert [(row.state, row.answer and row.answer["text"]) for row in rows] == [
        (InquiryState.DONE, "1 build, 0 do not, 0 could not be tried")
    ] * 3


def test_what_fails_is_a_finding_that_says_since_when_and_what_broke_it(world: BreakingWorld) -> None:
    world.breaks = since(2)
    bad = world.record(*moved(2))
    world.run()
    found = world.finding()
    assert found is not None
    assert found.state is FindingState.NEW
    good = world.serials[0]
    evidence = {key: found.evidence[key] for key in ("version", "commit", "serials", "since", "last_good", "message")}
    assert evidence == {
        "version": "1.0", "commit": world.commits[0], "serials": {"debian": bad}, "since": {"debian": bad},
        "last_good": {"debian": good}, "message": "build: build failed",
    }  # fmt: skip
    culprit = found.evidence["culprit"]
    assert isinstance(culprit, dict)
    assert culprit["last_good"] == {"serials": {"debian": good}, "commit": world.commits[0]}
    assert culprit["text"] == f"libfoo 2.0 from serial {bad} of archive debian breaks it"


def test_the_search_tells_more_exactly_since_when_it_fails(world: BreakingWorld) -> None:
    world.context.config, sweeping = without_sweeps(world.context.config), world.context.config
    for number in (2, 3, 4):
        world.record(*moved(number))
        world.run()
    world.breaks, world.context.config = since(4), sweeping
    world.record(*moved(5))
    world.run()
    found = world.finding()
    assert found is not None
    assert (found.evidence["since"], found.evidence["last_good"]) == (
        {"debian": world.serials[3]},
        {"debian": world.serials[2]},
    )


def trial(world: BreakingWorld, commit: str, **changed: Json) -> JobOrder:
    """Order the trial of a commit, in the environment that is configured unless it is changed."""
    order = commit_trial(world.context.database, world.context.ground(), repo="greeter", commit=commit)
    environment = {**plain.mapping(order.inputs, "environment"), **changed}
    return replace(order, inputs={**order.inputs, "environment": environment})


def last_good(world: BreakingWorld) -> Json:
    """Say what the newest finding names as the last good state, before anybody searches."""
    world.take_in()
    while world.run_next():
        world.take_in()
        found = world.finding()
        if found is not None:
            return found.evidence.get("last_good")
    raise AssertionError("nothing failed")


def test_a_good_build_in_another_environment_is_not_the_last_good_one(world: BreakingWorld) -> None:
    world.context.config, sweeping = without_sweeps(world.context.config), world.context.config
    world.record(*moved(2))
    world.build(trial(world, world.commits[0], architecture="i386"))
    world.build(trial(world, world.commits[0], include=["clang"]))
    world.breaks, world.context.config = since(2), sweeping
    world.record(*moved(3))
    assert last_good(world) == {"debian": world.serials[0]}


def test_a_good_build_of_a_branch_beside_is_not_the_last_good_one(world: BreakingWorld) -> None:
    world.commit("second", tag="2.0", version="2.0")
    world.upload("2.0")
    world.context.config, sweeping = without_sweeps(world.context.config), world.context.config
    world.record(*moved(2))
    world.build(trial(world, world.commit("beside", version="1.9", branch="topic")))
    world.breaks, world.context.config = since(2), sweeping
    world.record(*moved(3))
    assert last_good(world) == {"debian": world.serials[0]}


def without_sweeps(config: Config) -> Config:
    build = config.environments["build"].model_copy(update={"sweep": False})
    return replace(config, environments={**config.environments, "build": build})


def test_a_repo_that_is_gone_when_the_answers_come_keeps_none_of_them_away(world: BreakingWorld) -> None:
    world.breaks = since(2)
    world.record(*moved(2))
    world.take_in()  # asked, not built yet
    shutil.rmtree(world.context.paths.repo("greeter"))
    world.run()
    found = world.finding()
    assert found is not None
    assert ("since" in found.evidence, found.evidence["message"]) == (False, "build: build failed")
    with world.context.database.read() as tx:
        assert [row.state for row in list_inquiries(tx, kind=SWEEP)] == [InquiryState.DONE] * 2


def test_a_finding_stays_the_same_while_it_fails_and_closes_when_it_builds_again(world: BreakingWorld) -> None:
    world.breaks = since(2)
    first = world.record(*moved(2))
    world.run()
    builds = len(world.built)
    world.record(*moved(3))
    assert world.run() == 1, "nobody asks for the culprit again"
    found = world.finding()
    assert found is not None
    assert (found.state, found.evidence["since"]) == (FindingState.NEW, {"debian": first})
    assert "culprit" in found.evidence
    world.breaks = lambda tried: "build" if tried.versions["libfoo-dev"] in ("2.0", "3.0") else ""
    world.record(*moved(4))
    world.run()
    assert len(world.built) == builds + 2
    found = world.finding()
    assert found is not None
    assert found.state is FindingState.FIXED


def test_an_older_serial_says_nothing_of_now(world: BreakingWorld) -> None:
    world.record(*moved(2))
    world.run()
    world.breaks = since(0)
    world.sweep(debian=world.serials[0])
    world.run()
    assert world.finding() is None


def test_if_all_is_known_the_answer_is_there_at_once(world: BreakingWorld) -> None:
    number = world.sweep()
    world.take_in()
    row = world.inquiry(number)
    assert (row.state, (row.answer or {})["builds"]) == (InquiryState.DONE, 0)


def test_a_build_of_the_same_state_that_failed_is_an_answer_too(world: BreakingWorld) -> None:
    world.commit("second", tag="2.0", version="2.0")
    world.upload("2.0")
    world.breaks = lambda tried: "build" if tried.commit == world.commits[1] else ""
    order = build_order(world.context.database, world.context.ground(), repo="greeter", tag="2.0")
    world.build(order)
    assert world.built[-1].job.kind == "package.build"
    count = len(world.built)
    number = world.sweep()
    world.run()
    answer = world.inquiry(number).answer or {}
    assert answer["text"] == "0 build, 1 do not, 0 could not be tried"
    found = world.finding()
    assert found is not None
    assert found.evidence["last_good_version"] == "1.0"
    guilty = f"commit {world.commits[1][:12]} (Ada, files) breaks it"
    assert found.evidence["culprit"]["text"] == guilty  # type: ignore[call-overload, index]
    assert len(world.built) == count, "both ends were known, and nothing lies between them"


def test_the_cheapest_is_tried_first_and_what_cannot_be_asked_holds_up_nothing(world: BreakingWorld) -> None:
    suite = Suite(world.context)
    for name in ("quick", "slow", "unknown", "lost"):
        suite.accept(make_upload(make_source(name, "1.0"), make_deb(name, "1.0")))
    world.context.config = builds_what_is_uploaded(world.context.config)
    for name, took in (("quick", 5), ("slow", 50)):
        with world.context.database.write() as tx:
            set_trial(tx, trial_of_source(name, took))
    sent = make_source("lost", "1.0").files["lost_1.0.tar.gz"]
    world.context.objects.local_path(sha256_of(sent)).unlink()
    number = world.sweep()
    world.take_in()
    with world.context.database.read() as tx:
        titles = [job.title for job in reversed(list_jobs(tx, kind="package.try")) if job.state is not JobState.DONE]
    assert titles == ["try quick 1.0", "try slow 1.0", "try unknown 1.0"], "greeter is known; lost has lost its source"
    world.breaks = lambda tried: "build" if tried.job.inputs["source"] == "slow" else ""
    world.run()
    assert (world.inquiry(number).answer or {})["text"] == "3 build, 1 do not, 0 could not be tried"
    with world.context.database.read() as tx:
        [found] = list_findings(tx, kind=FAILS)
    assert (found.subject, found.key) == ("slow", "build/devel")


def trial_of_source(name: str, took_s: int) -> Trial:
    return Trial(
        0, BUILDS, name, "0.9", "", {}, sha256_of(name.encode()), 1, Outcome.OK, "", took_s, NOW
    )  # fmt: skip


def builds_what_is_uploaded(config: Config) -> Config:
    suites = {"devel": config.suites["devel"].model_copy(update={"environment": "build"})}
    return replace(config, suites=suites)


def test_an_uploaded_source_is_searched_for_its_culprit_over_serials(world: BreakingWorld) -> None:
    world.context.config = builds_what_is_uploaded(world.context.config)
    Suite(world.context).accept(make_upload(make_source("sent", "1.0"), make_deb("sent", "1.0")))
    world.sweep()
    world.run()
    world.breaks = lambda tried: (
        "build" if tried.job.inputs["source"] == "sent" and tried.versions["bar"] == "2.0" else ""
    )
    bad = world.record(*moved(2))
    world.run()
    with world.context.database.read() as tx:
        [found] = list_findings(tx, kind=FAILS)
    assert found.subject == "sent"
    text = f"bar 2.0 from serial {bad} of archive debian breaks it"
    assert found.evidence["culprit"]["text"] == text  # type: ignore[call-overload, index]


def builds_later(config: Config, *archives: str) -> Config:
    """Build what is uploaded in an environment of its own."""
    late = config.environments["build"].model_copy(update={"from_": tuple(f"{one}/stable" for one in archives)})
    suites = {"devel": config.suites["devel"].model_copy(update={"environment": "late"})}
    return replace(config, environments={**config.environments, "late": late}, suites=suites)


@pytest.fixture
def late(world: BreakingWorld) -> BreakingWorld:
    """Have a source that is built with an archive of which nothing is recorded, beside another one."""
    world.context.config = builds_later(world.context.config, "debian", "security")
    Suite(world.context).accept(make_upload(make_source("sent", "1.0"), make_deb("sent", "1.0")))
    world.commit("second", tag="2.0", version="2.0")
    world.upload("2.0")
    return world


def test_what_is_not_ready_is_asked_later_and_holds_up_nothing(late: BreakingWorld) -> None:
    number = late.sweep()
    late.run()
    row = late.inquiry(number)
    assert (row.state, [tried.job.title for tried in late.built[1:]]) == (InquiryState.OPEN, ["try greeter 2.0"])
    assert waits_for(row).startswith("sent: archive security has no snapshot")
    late.context.config = builds_later(late.context.config, "debian")
    late.context.clock += timedelta(minutes=1)
    late.run()
    assert (late.inquiry(number).answer or {})["text"] == "2 build, 0 do not, 0 could not be tried"


def test_what_is_never_ready_is_named_and_does_not_keep_the_next_sweep_waiting(late: BreakingWorld) -> None:
    number = late.sweep()
    for _ in range(40):
        late.run()
        late.context.clock += timedelta(minutes=10)
    answer = late.inquiry(number).answer or {}
    assert answer["text"] == "1 build, 0 do not, 0 could not be tried, 1 could not be asked"
    [sent] = [one for one in plain.members(answer, "targets") if plain.mapping({"": one}, "")["source"] == "sent"]
    member = plain.mapping({"": sent}, "")
    assert member["state"] == "not asked"
    assert str(member["message"]).startswith("archive security has no snapshot")


def test_a_sweep_that_cannot_go_on_does_not_keep_the_next_one_waiting(late: BreakingWorld) -> None:
    late.record(*moved(2))
    late.run()
    late.record(*moved(3))
    late.run()
    with late.context.database.read() as tx:
        rows = [row for row in list_inquiries(tx, kind=SWEEP) if row.state is InquiryState.OPEN]
    assert [row.subject for row in rows] == [f"debian/{serial}" for serial in reversed(late.serials[1:])]
    assert [tried.versions["bar"] for tried in late.built[-2:]] == ["2.0", "3.0"]
    assert {waits_for(row).partition(":")[0] for row in rows} == {"sent"}


def test_trouble_of_this_machine_is_no_answer_about_a_package(world: BreakingWorld) -> None:
    world.commit("second", tag="2.0", version="2.0")
    world.upload("2.0")
    objects = world.context.objects
    world.context.objects = FullDisk(world.context.paths.objects)
    number = world.sweep()
    world.run()
    row = world.inquiry(number)
    assert (row.state, waits_for(row)) == (InquiryState.OPEN, "greeter: no space left (df)")
    world.context.objects = objects
    world.context.clock += timedelta(minutes=1)
    world.run()
    assert (world.inquiry(number).answer or {})["text"] == "1 build, 0 do not, 0 could not be tried"
