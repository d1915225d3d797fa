"""Excuses: each pair of answers means one thing, and what failed before is no regression."""

import pytest

from distwright.checks.autopkgtest import SummaryLine, SummaryResult
from distwright.checks.dose import Broken
from distwright.checks.excuses import (
    Answer,
    Excuse,
    Result,
    broken_rows,
    excuse_of,
    ordered,
    result_of_tests,
    row_of,
    row_of_tests,
    verdict_of,
)

PASS, FAIL, SKIP, UNKNOWN, ABSENT = Result.PASS, Result.FAIL, Result.SKIP, Result.UNKNOWN, Result.ABSENT
MEANINGS = {
    (PASS, PASS): Excuse.FINE,
    (PASS, FAIL): Excuse.REGRESSION,
    (PASS, SKIP): Excuse.SKIPPED,
    (PASS, UNKNOWN): Excuse.UNKNOWN,
    (PASS, ABSENT): Excuse.SKIPPED,
    (FAIL, PASS): Excuse.MENDED,
    (FAIL, FAIL): Excuse.ALREADY,
    (FAIL, SKIP): Excuse.SKIPPED,
    (FAIL, UNKNOWN): Excuse.UNKNOWN,
    (FAIL, ABSENT): Excuse.SKIPPED,
    (SKIP, PASS): Excuse.FINE,
    (SKIP, FAIL): Excuse.NEW,
    (SKIP, SKIP): Excuse.SKIPPED,
    (SKIP, UNKNOWN): Excuse.UNKNOWN,
    (SKIP, ABSENT): Excuse.SKIPPED,
    (UNKNOWN, PASS): Excuse.FINE,
    (UNKNOWN, FAIL): Excuse.UNKNOWN,
    (UNKNOWN, SKIP): Excuse.SKIPPED,
    (UNKNOWN, UNKNOWN): Excuse.UNKNOWN,
    (UNKNOWN, ABSENT): Excuse.SKIPPED,
    (ABSENT, PASS): Excuse.FINE,
    (ABSENT, FAIL): Excuse.NEW,
    (ABSENT, SKIP): Excuse.SKIPPED,
    (ABSENT, UNKNOWN): Excuse.UNKNOWN,
    (ABSENT, ABSENT): Excuse.SKIPPED,
}


def test_every_pair_of_answers_has_a_meaning() -> None:
    assert MEANINGS.keys() == {(before, after) for before in Result for after in Result}
    assert {pair: excuse_of(*pair) for pair in MEANINGS} == MEANINGS


def test_a_row_says_why() -> None:
    gone = row_of("user", "1", "builds", Answer(FAIL, "old error", 1), Answer(PASS, "", 2))
    assert (gone.excuse, gone.why) == (Excuse.MENDED, "failed without it: old error")
    fresh = row_of("user", "1", "builds", Answer(PASS, "", 1), Answer(FAIL, "new error", 2))
    assert (fresh.excuse, fresh.why) == (Excuse.REGRESSION, "new error")
    open_ = row_of("user", "1", "builds", Answer(UNKNOWN, "the disk was full", 1), Answer(FAIL, "new error", 2))
    assert (open_.excuse, open_.why) == (Excuse.UNKNOWN, "new error; without the candidate: the disk was full")


def lines(**results: str) -> list[SummaryLine]:
    return [
        SummaryLine(name, SummaryResult(result), "why" if result == "fail" else "") for name, result in results.items()
    ]


@pytest.mark.parametrize(
    ("before", "after", "excuse", "why"),
    [
        ({"a": "pass"}, {"a": "fail"}, Excuse.REGRESSION, "a: why"),
        ({"a": "fail"}, {"a": "fail"}, Excuse.ALREADY, "a failed without it, too"),
        ({"a": "fail", "b": "pass"}, {"a": "fail", "b": "fail"}, Excuse.REGRESSION, "b: why"),
        ({"a": "fail", "b": "pass"}, {"a": "pass", "b": "fail"}, Excuse.REGRESSION, "b: why"),
        ({"a": "fail"}, {"a": "pass"}, Excuse.MENDED, "failed without it: some"),
        ({"a": "skip"}, {"a": "fail"}, Excuse.NEW, "a: why"),
        ({"a": "flaky"}, {"a": "fail"}, Excuse.REGRESSION, "a: why"),
        ({"a": "pass"}, {"a": "flaky"}, Excuse.FINE, ""),
        ({"a": "pass"}, {"a": "pass", "new": "fail"}, Excuse.NEW, "new: why"),
        ({"a": "pass"}, {"a": "skip"}, Excuse.SKIPPED, ""),
        ({"a": "pass", "b": "pass"}, {"a": "pass"}, Excuse.FINE, ""),
    ],
)
def test_tests_are_compared_one_by_one(before: dict[str, str], after: dict[str, str], excuse: Excuse, why: str) -> None:
    old, new = lines(**before), lines(**after)
    reference = Answer(result_of_tests(old), "some" if result_of_tests(old) is FAIL else "", 1)
    row = row_of_tests("user", "1", reference, old, Answer(result_of_tests(new), "", 2), new)
    assert (row.excuse, row.why) == (excuse, why)


def test_tests_that_could_not_run_mean_nothing() -> None:
    row = row_of_tests("user", "1", Answer(UNKNOWN, "no disk", 1), [], Answer(FAIL, "a: why", 2), lines(a="fail"))
    assert row.excuse is Excuse.UNKNOWN


def test_only_what_differs_of_the_uninstallable_is_a_line() -> None:
    before = [Broken("always", "1", "all", "x"), Broken("mended", "1", "all", "x")]
    after = [
        Broken("always", "1", "all", "y"),
        Broken("adder", "1", "all", "it needs z"),
        Broken("new-one", "2", "all", "w"),
    ]
    rows = broken_rows("installable", before, after, (1, 2), present={"new-one"})
    assert [(row.package, row.excuse, row.why) for row in rows] == [
        ("adder", Excuse.REGRESSION, "it needs z"),
        ("mended", Excuse.MENDED, "failed without it: x"),
        ("new-one", Excuse.NEW, "w"),
    ]


def test_what_breaks_comes_first() -> None:
    rows = [
        row_of("b", "1", "builds", Answer(PASS), Answer(PASS)),
        row_of("z", "1", "builds", Answer(PASS), Answer(FAIL)),
        row_of("a", "1", "builds", Answer(FAIL), Answer(FAIL)),
        row_of("c", "1", "builds", Answer(PASS), Answer(UNKNOWN)),
    ]
    assert [row.package for row in ordered(rows)] == ["z", "c", "a", "b"]


def test_a_table_means_what_its_worst_line_means() -> None:
    assert verdict_of([]) == verdict_of([Excuse.FINE, Excuse.ALREADY, Excuse.MENDED, Excuse.SKIPPED]) == "fine"
    assert verdict_of([Excuse.FINE, Excuse.UNKNOWN]) == "unknown"
    assert verdict_of([Excuse.UNKNOWN, Excuse.REGRESSION]) == verdict_of([Excuse.NEW]) == "breaks"
