"""autopkgtest: its summary, and which of its exit codes are an answer."""

import pytest

from distwright.checks.autopkgtest import (
    TESTS_LIMIT,
    SummaryLine,
    SummaryResult,
    judge,
    lines_of,
    parse_summary,
    summary,
)
from distwright.jobs.step import CommandEnd, Plan, PlannedCommand, StepEnd
from distwright.model.outcomes import Outcome

# As autopkgtest 5.28 wrote it for a source with one test of each kind.
REAL = b"""\
alone                SKIP Test restriction "isolation-machine" requires testbed capability "isolation-machine"
alone                SKIP Test restriction "isolation-machine" requires testbed capability "isolation-machine"
good                 PASS
bad                  FAIL non-zero exit status 3
noisy                FAIL stderr: oops
flaky                FLAKY non-zero exit status 3
notthere             FAIL badpkg
blame: tally_1.dsc
badpkg: Test dependencies are unsatisfiable. A common reason is that your testbed is out of date.
"""


def test_each_test_has_its_result_and_reason() -> None:
    isolation = 'Test restriction "isolation-machine" requires testbed capability "isolation-machine"'
    assert parse_summary(REAL) == (
        SummaryLine("alone", SummaryResult.SKIP, isolation),
        SummaryLine("good", SummaryResult.PASS, ""),
        SummaryLine("bad", SummaryResult.FAIL, "non-zero exit status 3"),
        SummaryLine("noisy", SummaryResult.FAIL, "stderr: oops"),
        SummaryLine("flaky", SummaryResult.FLAKY, "non-zero exit status 3"),
        SummaryLine("notthere", SummaryResult.FAIL, "badpkg"),
    )


def test_a_source_without_tests_says_so() -> None:
    lines = parse_summary(b"*                    SKIP no tests in this package\n")
    assert lines == (SummaryLine("*", SummaryResult.SKIP, "no tests in this package"),)
    assert summary(lines) == "1 skip"
    assert summary(()) == "no tests"


def test_outputs_of_a_job_are_read_as_they_were_written() -> None:
    lines = parse_summary(REAL)
    assert lines_of({"tests": [line.to_json() for line in lines]}) == lines


def test_hostile_names_are_bounded() -> None:
    flood = b"".join(b"t%d PASS\n" % number for number in range(5 * TESTS_LIMIT))
    assert len(parse_summary(flood)) == TESTS_LIMIT
    (line,) = parse_summary(b"\x1b[2J\xff FAIL " + b"a" * 100_000)
    assert line.name.isprintable()
    assert len(line.why) <= 300
    assert parse_summary(b"a" * 300 + b" PASS\n") == ()


def ended(exit_code: int, cut: str = "") -> StepEnd:
    plan = Plan((PlannedCommand(("./test.sh",), 60),))
    return StepEnd(plan, (CommandEnd(exit_code, cut, ("the last line",)),), {}, ())


@pytest.mark.parametrize("exit_code", [0, 2, 4, 6, 8, 12, 14])
def test_tests_that_fail_are_an_answer(exit_code: int) -> None:
    assert judge(ended(exit_code)).outcome is Outcome.OK


@pytest.mark.parametrize("exit_code", [1, 16, 20, 127, 137])
def test_a_testbed_that_fails_is_ours(exit_code: int) -> None:
    assert judge(ended(exit_code)).outcome is Outcome.BROKEN


def test_what_never_ends_is_timed_out() -> None:
    assert judge(ended(137, "time limit of 60 s")).outcome is Outcome.TIMED_OUT
