"""The review of a build: what is ordered, and what becomes of what the checkers say."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.unit.archive.requests import record_request
from tests.worlds.archive import MIRROR, Upstream, UpstreamFetcher
from tests.worlds.installation import CONFIG, WorldContext, make_context
from tests.worlds.packages import make_deb
from tests.worlds.times import NOW

from distwright.archive.record import record
from distwright.builds.environment import EnvironmentRecipe
from distwright.builds.package import KIND as BUILD
from distwright.checks.review import (
    HARDENING,
    LINTIAN,
    PACKAGE_REVIEW,
    QUESTION,
    Built,
    built_of,
    checkers_of,
    judge_blhc,
    order_of_build,
    plan_blhc,
    review_order,
)
from distwright.config.load import parse_config
from distwright.errors import WorkFailed
from distwright.flow.rules import review_what_was_built
from distwright.flow.view import View
from distwright.jobs.lease import Ending, claim_next, end_attempt, holder_name
from distwright.jobs.order import PRIORITY_DAILY, JobOrder, get_job, place_order
from distwright.jobs.step import Action, CommandEnd, Plan, PlannedCommand, ShelfEntry, StepEnd, StepResult
from distwright.model import plain
from distwright.model.digests import Json, sha256_of
from distwright.model.events import Event, EventKind
from distwright.model.outcomes import Outcome
from distwright.model.records import FindingState
from distwright.store.findings import list_findings
from distwright.store.trials import list_trials

DIGEST = sha256_of(b"something")
RECIPE = EnvironmentRecipe(
    (ShelfEntry("debian", "stable", DIGEST),), {"debian/stable": ("main",)}, "minbase", ("lintian",), "amd64", 1
)
BLHC = b"CFLAGS missing (-fPIE): gcc -c a.c\n"


@pytest.fixture
def context(tmp_path: Path) -> WorldContext:
    return make_context(tmp_path)


def lintian(*tags: str) -> bytes:
    hints: list[dict[str, Any]] = [{"tag": tag, "visibility": "warning", "note": ""} for tag in tags]
    return json.dumps({"groups": [{"input_files": [{"path": "./greeter_1.0.dsc", "hints": hints}]}]}).encode()


def review(
    context: WorldContext, version: str, report: bytes | None, log: bytes | None = None, place: str = ""
) -> Json:
    """Review a version as a worker does, from what the checkers left; give the outputs."""
    order = review_order(Built("greeter", version, {"greeter.changes": DIGEST}, place=place), RECIPE)
    with context.database.write() as tx:
        job = place_order(tx, order, NOW)
    claimed = claim_next(context.database, ["local"], holder_name(), NOW)
    assert claimed is not None
    context.job, context.fence = job.id, claimed.fence
    earlier = {
        name: StepResult({} if text is None else {"report": context.objects.put(text)})
        for name, text in (("lintian", report), ("blhc", log))
    }
    step = PACKAGE_REVIEW.steps[-1]
    assert isinstance(step, Action)
    result = step.perform(context, order.inputs, earlier)
    return dict(PACKAGE_REVIEW.conclude(order.inputs, {"file": result}, NOW, job.id).outputs)


def known(context: WorldContext) -> list[tuple[str, str, FindingState]]:
    with context.database.read() as tx:
        return [(one.kind, one.key, one.state) for one in list_findings(tx, subject="greeter", fixed=True)]


def test_what_the_checkers_say_are_findings_about_the_source(context: WorldContext) -> None:
    outputs = review(context, "1.0", lintian("no-manual-page", "bad-rpath"), BLHC)
    assert known(context) == [
        (HARDENING, "CFLAGS without -fPIE", FindingState.NEW),
        (LINTIAN, "bad-rpath source", FindingState.NEW),
        (LINTIAN, "no-manual-page source", FindingState.NEW),
    ]
    assert outputs == {
        LINTIAN: ["bad-rpath source", "no-manual-page source"], HARDENING: ["CFLAGS without -fPIE"],
        "summary": "hardening flags: 1, lintian warning: 2", "overridden": 0, "more": 0,
    }  # fmt: skip
    with context.database.read() as tx:
        (trial,) = list_trials(tx, QUESTION, "greeter")
    assert (trial.version, trial.message) == ("1.0", "hardening flags: 1, lintian warning: 2")


def test_each_review_replaces_all_that_was_found(context: WorldContext) -> None:
    review(context, "1.0", lintian("no-manual-page", "bad-rpath"), BLHC)
    review(context, "1.1", lintian("bad-rpath", "new-tag"), b"")
    assert known(context) == [
        (HARDENING, "CFLAGS without -fPIE", FindingState.FIXED),
        (LINTIAN, "bad-rpath source", FindingState.NEW),
        (LINTIAN, "new-tag source", FindingState.NEW),
        (LINTIAN, "no-manual-page source", FindingState.FIXED),
    ]


def test_a_review_of_an_older_version_changes_nothing(context: WorldContext) -> None:
    review(context, "1.10", lintian("bad-rpath"))
    before = known(context)
    assert review(context, "1.9", lintian("other-tag"))
    assert known(context) == before


def test_a_review_tells_of_its_suite_and_architecture_alone(context: WorldContext) -> None:
    review(context, "2.0", lintian("bad-rpath"), place="topic/amd64")
    review(context, "1.0", lintian("bad-rpath", "no-manual-page"), place="devel/amd64")
    review(context, "1.0", lintian(), place="devel/i386")
    review(context, "1.1", lintian("no-manual-page"), place="devel/amd64")
    review(context, "0.9", lintian("bad-rpath"), place="devel/amd64")
    assert known(context) == [
        (LINTIAN, "bad-rpath source in devel/amd64", FindingState.FIXED),
        (LINTIAN, "bad-rpath source in topic/amd64", FindingState.NEW),
        (LINTIAN, "no-manual-page source in devel/amd64", FindingState.NEW),
    ]


def test_a_review_replaces_what_older_versions_wrote_of_any_suite(context: WorldContext) -> None:
    review(context, "1.0", lintian("bad-rpath", "no-manual-page"))
    review(context, "1.0", lintian("bad-rpath"), place="devel/amd64")
    assert known(context) == [
        (LINTIAN, "bad-rpath source", FindingState.FIXED),
        (LINTIAN, "bad-rpath source in devel/amd64", FindingState.NEW),
        (LINTIAN, "no-manual-page source", FindingState.FIXED),
    ]


def test_what_was_not_looked_at_is_not_called_fixed(context: WorldContext) -> None:
    review(context, "1.0", lintian("bad-rpath"), BLHC)
    review(context, "1.1", None, None)
    assert [state for _, _, state in known(context)] == [FindingState.NEW, FindingState.NEW]


def test_a_report_that_cannot_be_read_fails_the_review(context: WorldContext) -> None:
    with pytest.raises(WorkFailed, match="lintian"):
        review(context, "1.0", b"nothing")


def test_without_a_log_there_is_nothing_for_blhc() -> None:
    inputs = review_order(Built("greeter", "1.0", {}), RECIPE).inputs
    earlier = {"checkers": StepResult({"root": DIGEST})}
    assert plan_blhc(inputs, earlier) == Plan(())
    assert judge_blhc(StepEnd(Plan(()), (), {}, ())).outcome is Outcome.OK
    with_log = review_order(Built("greeter", "1.0", {}, DIGEST), RECIPE).inputs
    assert plan_blhc(with_log, earlier).place == {"build.log": DIGEST}


@pytest.mark.parametrize(
    ("exit_code", "cut", "outcome"),
    [
        (0, "", Outcome.OK),
        (1, "", Outcome.OK),
        (12, "", Outcome.OK),
        (2, "", Outcome.FAILED),
        (127, "", Outcome.FAILED),
        (137, "time limit of 60 s", Outcome.TIMED_OUT),
    ],
)
def test_what_blhc_finds_is_no_failure_of_blhc(exit_code: int, cut: str, outcome: Outcome) -> None:
    plan = Plan((PlannedCommand(("./blhc.sh",), 60),))
    assert judge_blhc(StepEnd(plan, (CommandEnd(exit_code, cut, ()),), {}, ())).outcome is outcome


def test_what_a_build_left_is_read_from_its_outputs() -> None:
    inputs: dict[str, Json] = {
        "source": "greeter", "version": "1.0", "suite": "devel", "environment": RECIPE.to_json()
    }  # fmt: skip
    outputs: dict[str, Json] = {
        "files": {"greeter_1.0.dsc": DIGEST},
        "changes": DIGEST,
        "changes_name": "greeter.changes",
    }
    files = {"greeter_1.0.dsc": DIGEST, "greeter.changes": DIGEST}
    assert built_of(inputs, outputs) == Built("greeter", "1.0", files, None, "devel/amd64")
    assert built_of(inputs, {**outputs, "log": DIGEST}) == Built("greeter", "1.0", files, DIGEST, "devel/amd64")


def test_checkers_are_those_of_the_environment_that_it_is_built_in() -> None:
    with_checkers = CONFIG.replace('include = ["debhelper"]', 'include = ["debhelper"]\ncheckers = "tools"')
    with_checkers = with_checkers.replace("[suite.devel]", '[suite.devel]\nenvironment = "build"')
    config, without = (parse_config([("distwright.toml", text)]) for text in (with_checkers, CONFIG))
    assert checkers_of(config, "greeter", "devel") == "tools"
    assert checkers_of(config, "", "devel") == "tools", "a source that was uploaded"
    assert checkers_of(config, "", "gone") is None
    assert checkers_of(without, "greeter", "devel") is None


def test_a_finished_build_is_reviewed_in_the_present_state_of_the_checkers(context: WorldContext) -> None:
    upstream = Upstream()
    upstream.add(make_deb("lintian"))
    upstream.publish()
    context.fetcher = UpstreamFetcher({MIRROR: upstream})
    record(record_request(), context, context.paths.cache / "pool")
    text = CONFIG.replace('include = ["debhelper"]', 'include = ["debhelper"]\ncheckers = "tools"')
    inputs: dict[str, Json] = {
        "repo": "greeter", "suite": "devel", "source": "greeter", "version": "1.0", "environment": RECIPE.to_json()
    }  # fmt: skip
    outputs: dict[str, Json] = {"files": {"a.deb": DIGEST}, "changes": DIGEST, "changes_name": "greeter.changes"}
    with context.database.write() as tx:
        place_order(tx, JobOrder(BUILD, inputs, "build greeter 1.0"), NOW)
    job = claim_next(context.database, ["local"], holder_name(), NOW)
    assert job is not None
    end_attempt(context.database, job, Ending(Outcome.OK, "built", outputs), NOW)
    with context.database.read() as tx:
        done = get_job(tx, job.id)
    assert order_of_build(context.database, context.ground(), done) is None, "no checkers are configured"
    context.config = parse_config([("distwright.toml", text)])
    order = order_of_build(context.database, context.ground(), done)
    assert order is not None
    assert (order.title, order.priority) == ("review greeter 1.0", PRIORITY_DAILY)
    assert order.inputs["files"] == {"a.deb": DIGEST, "greeter.changes": DIGEST}
    recipe = EnvironmentRecipe.from_json(plain.mapping(order.inputs, "environment"))
    assert (recipe.variant, recipe.include) == ("apt", ("xorriso",))
    event = Event(EventKind.BUILD_FINISHED, NOW, "greeter 1.0", {}, done.id)
    view = View(context.ground(), lambda _credential: b"")
    assert review_what_was_built(context.database, view, event) == [order]
    assert review_what_was_built(context.database, view, replace(event, job=None)) == []
    assert order_of_build(context.database, context.ground(), replace(done, outputs=None)) is None
