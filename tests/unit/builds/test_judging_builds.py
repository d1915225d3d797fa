"""How builds end: whose fault it is follows from what a build cannot reach, whatever it prints."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from tests.unit.builds.test_package import EARLIER, INPUTS

from distwright.builds.judging_builds import conclude_failed_build, judge_build, judge_source
from distwright.builds.limiting_builds import DEPENDENCIES, OTHER_ARCHITECTURE, OURS, PACKAGE, within_limits
from distwright.builds.package import PACKAGE_BUILD, conclude, plan_build
from distwright.builds.source_step import plan_source
from distwright.errors import BadInput
from distwright.jobs.limits import NO_LIMITS, Limits
from distwright.jobs.step import CommandEnd, Failure, Plan, StepEnd, StepResult, Verdict
from distwright.model.digests import sha256_of
from distwright.model.events import BODY_KEYS, EventKind
from distwright.model.outcomes import Outcome

NOW = datetime(2026, 12, 1, tzinfo=UTC)
LIMITS = {"hours": 2, "memory_mb": 500, "disk_mb": 9000, "processes": 200, "output_mb": 20}
FORM_2 = plan_build({**INPUTS, "form": 2, "limits": LIMITS}, EARLIER)
BEGUN = "dpkg-buildpackage: info: source package x\n   dh_auto_test\n"
LIE = "Status: given-back\nFail-Stage: create-session\nE: Failed to create session\n"
UNMET = (
    "The following packages have unmet dependencies:\n"
    " sbuild-build-depends-main-dummy : Depends: libx-dev but it is not installable\n"
)


def judged(exit_code: int, log: str = "", cut: str = "", plan: Plan = FORM_2) -> Verdict:
    return judge_build(StepEnd(plan, (CommandEnd(exit_code, cut, ("the last line",)),), {}, (), log))


ENDS = {
    "well": (judged(0, BEGUN), Outcome.OK, "ok", ""),
    "a test": (judged(PACKAGE, f"{BEGUN}FAIL: a.sh\n"), Outcome.FAILED, "test: FAIL: a.sh", "test"),
    "nothing said": (judged(PACKAGE, f"{BEGUN}boo\n"), Outcome.FAILED, "test: boo", "test"),
    "a lie": (judged(PACKAGE, f"{BEGUN}FAIL: a.sh\n{LIE}"), Outcome.FAILED, "test: FAIL: a.sh", "test"),
    "never begun": (judged(PACKAGE, "newuidmap: no\n"), Outcome.BROKEN, "sbuild ended with exit 100: newuidmap: no", "session"),
    "unmet": (judged(DEPENDENCIES, UNMET), Outcome.FAILED, "dependencies: libx-dev but it is not installable", "dependencies"),
    "unfetched": (
        judged(DEPENDENCIES, "E: Failed to fetch http://x  Hash Sum mismatch\n"), Outcome.BROKEN,
        "sbuild ended with exit 101: E: Failed to fetch http://x  Hash Sum mismatch", "session",
    ),
    "other architecture": (judged(OTHER_ARCHITECTURE), Outcome.SKIPPED, "the package is not for this architecture", "source"),
    "no session": (judged(OURS, "E: no session\n"), Outcome.BROKEN, "sbuild ended with exit 103: E: no session", "session"),
    "sbuild itself": (judged(255, "Can't locate X\n"), Outcome.BROKEN, "sbuild ended with exit 255: Can't locate X", "session"),
    "killed": (judged(-9, BEGUN), Outcome.BROKEN, "sbuild ended with exit -9: dh_auto_test", "session"),
    "time": (judged(-15, f"{BEGUN}x\n", "time limit of 7200 s"), Outcome.TIMED_OUT, "test: time limit of 7200 s: x", "test"),
    "memory": (judged(-9, f"{BEGUN}x\n", "memory limit of 500 MB"), Outcome.FAILED, "test: memory limit of 500 MB: x", "test"),
    "output": (
        judged(-9, "Get:1 x\n", "output limit of 20 MB"), Outcome.FAILED, "dependencies: output limit of 20 MB: Get:1 x",
        "dependencies",
    ),
    "before there were logs": (
        judged(1, "", plan=plan_build(INPUTS, EARLIER)), Outcome.FAILED, "./sbuild ended with exit 1: the last line", "",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("verdict", "outcome", "message", "stage"), ENDS.values(), ids=ENDS)
def test_end_of_a_build_is_judged(verdict: Verdict, outcome: Outcome, message: str, stage: str) -> None:
    assert (verdict.outcome, verdict.message, verdict.stage) == (outcome, message, stage)


@pytest.mark.parametrize("exit_code", [0, PACKAGE])
def test_no_build_can_print_itself_into_being_tried_again(exit_code: int) -> None:
    for lie in (
        LIE,
        UNMET,
        "E: Failed to fetch x\n",
        "E: Build killed\n",
        "sbuild: abort\n",
        "No space left on device\n",
    ):
        assert judged(exit_code, f"{BEGUN}{lie}").outcome is not Outcome.BROKEN


def test_source_that_is_wrong_is_named_by_its_first_error() -> None:
    plan = plan_source(INPUTS, EARLIER)
    tail = ("dpkg-source: info: applying fix.patch", "Hunk #1 FAILED at 1.", "dpkg-source: error: LC_ALL=C patch …")
    ends = {tail: "patch fix.patch: Hunk #1 FAILED at 1.", ("boo",): "sh ended with exit 2: boo"}
    for said, message in ends.items():
        verdict = judge_source(StepEnd(plan, (CommandEnd(2, "", said),), {}, ()))
        assert (verdict.outcome, verdict.message) == (Outcome.FAILED, message)


# What form 2 plans


def test_build_of_form_2_has_limits_and_keeps_its_log_and_its_udebs() -> None:
    before = plan_build(INPUTS, EARLIER)
    [command] = FORM_2.commands
    assert (command.limits, command.timeout_s) == (Limits(500, 9000, 200, 20, hours=2), before.commands[0].timeout_s)
    assert (FORM_2.keep_log, FORM_2.collect["udeb"]) == ("log", "out/*.udeb")
    assert "'install-deps' => 101" in FORM_2.templates["sbuild"]
    same = replace(
        FORM_2, keep_log="", collect=before.collect, templates=before.templates,
        commands=(replace(command, limits=NO_LIMITS),),
    )  # fmt: skip
    assert same == before
    assert within_limits(before, INPUTS) == before, "an old order plans what it always did"


def test_order_with_a_limit_that_is_none_is_not_understood() -> None:
    with pytest.raises(BadInput, match="'colours' is nothing that this version knows"):
        within_limits(plan_build(INPUTS, EARLIER), {**INPUTS, "limits": {"colours": 3}})


# What follows


def test_finished_build_names_its_log_apart_from_its_files() -> None:
    digest = sha256_of(b"x")
    built = StepResult({"changes/x.changes": digest, "deb/x.deb": digest, "udeb/x.udeb": digest, "log": digest})
    ended = conclude(INPUTS, {"build": built, "sign": StepResult({"changes/x.changes": digest})}, NOW, 3)
    [event] = ended.events
    assert ended.outputs["log"] == event.body["log"] == digest
    assert event.body["files"] == {"x.deb": digest, "x.udeb": digest}


def test_failed_build_is_announced_with_stage_and_log() -> None:
    log = sha256_of(b"log")
    failure = Failure("build", Outcome.FAILED, "build: test: FAIL: a.sh", {"log": log}, (), "test")
    ended = conclude_failed_build(INPUTS, {}, failure, NOW, 3)
    [event] = ended.events
    assert event.kind is EventKind.BUILD_FAILED
    assert BODY_KEYS[event.kind] <= event.body.keys()
    assert event.body == {
        "repo": "greeter", "tag": "1.0", "commit": "0" * 40, "archive": "petrel", "suite": "devel", "source": "greeter",
        "version": "1.0", "outcome": "failed", "stage": "test", "message": "build: test: FAIL: a.sh", "log": log,
    }  # fmt: skip
    assert ended.outputs == {"stage": "test"}, "a search for a culprit asks whether it stopped where it is looked for"
    assert PACKAGE_BUILD.conclude_failed is conclude_failed_build


def test_environment_that_took_too_long_says_nothing_of_the_package() -> None:
    failure = Failure("environment", Outcome.TIMED_OUT, "environment: mmdebstrap: time limit of 1800 s", {}, ())
    assert conclude_failed_build(INPUTS, {}, failure, NOW, 3).events == ()
