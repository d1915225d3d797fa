"""Impact: what is asked, look by look, and what the answers mean together."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from tests.worlds.installation import WorldContext, make_context
from tests.worlds.times import NOW

from distwright.builds.environment import EnvironmentRecipe
from distwright.checks import impact
from distwright.checks.candidates import ARCHIVE, Candidate, CandidatePackage
from distwright.checks.dependents import Found, FoundAll, Unfetched
from distwright.checks.impact import Question, parts_of
from distwright.checks.inquiries import advance_inquiries, ask, get_inquiry
from distwright.checks.looks import LOOKS
from distwright.jobs.lease import Ending, Retry, claim_next, end_attempt, holder_name
from distwright.jobs.order import JobOrder
from distwright.jobs.step import ShelfEntry
from distwright.model import plain
from distwright.model.digests import Json, sha256_of
from distwright.model.outcomes import Outcome
from distwright.model.records import Inquiry, InquiryState, Job

STATE, TREE, DEB, DSC, NEEDS = (sha256_of(word.encode()) for word in ("state", "tree", "deb", "dsc", "needs"))
REFERENCE = EnvironmentRecipe(
    (ShelfEntry("debian", "stable", STATE),), {"debian/stable": ("main",)}, "buildd", ("debhelper",), "amd64", 1
)
CHECKERS = EnvironmentRecipe(REFERENCE.shelf, REFERENCE.components, "minbase", ("lintian",), "amd64", 1)
CANDIDATE = Candidate(
    "tally", "2", ShelfEntry(ARCHIVE, "candidate", TREE, is_own=True), ("main",),
    {"libtally-dev": CandidatePackage("2", (), "libtally-dev_2_all.deb", DEB)}, {"tally_2.dsc": DSC}, has_tests=True,
)  # fmt: skip
LIMITS = {"hours": 2, "memory_mb": 512}
ASKED = Question(CANDIDATE, REFERENCE, CHECKERS, 1, 20, LIMITS)


def source(name: str, *, built: bool = True, tested: bool = False) -> Found:
    return Found(
        name, "1", 1 if built else 0, is_own=True, is_built=built, is_tested=tested, files={f"{name}_1.dsc": DSC}
    )


FOUND = FoundAll(
    found=(source("counter"), source("crooked"), source("keeper"), source("tester", built=False, tested=True)),
    debs={"libtally-dev_1_all.deb": DEB},
    reference=None,
    build_needs=NEEDS,
)


def test_what_was_asked_is_read_as_it_was_written() -> None:
    assert Question.from_json(ASKED.to_json()) == ASKED
    without = Question(CANDIDATE, REFERENCE, None, 2, 3)
    assert Question.from_json(without.to_json()) == without


def test_everything_is_asked_with_the_candidate_and_without() -> None:
    parts = parts_of(ASKED, FOUND)
    assert [(part.question, part.package, part.reference is not None) for part in parts] == [
        ("installable", "tally", True),
        ("install-remove", "tally", True),
        ("builds", "counter", True),
        ("builds", "crooked", True),
        ("builds", "keeper", True),
        ("tests", "tally", False),
        ("tests", "tester", True),
    ]
    shelves = [(_shelf(part.reference), _shelf(part.candidate)) for part in parts if part.reference is not None]
    both, alone = ["debian/stable", f"{ARCHIVE}/candidate"], ["debian/stable"]
    assert shelves == [(alone, both), (alone, alone), *[(alone, both)] * 4], "what is upgraded from is the reference"
    assert len({order.digest for part in parts for order in (part.reference, part.candidate) if order}) == 13


def test_builds_of_others_keep_their_log_and_their_limits() -> None:
    [counter] = [
        part.candidate for part in parts_of(ASKED, FOUND) if (part.question, part.package) == ("builds", "counter")
    ]
    assert (counter.inputs["form"], counter.inputs["limits"]) == (2, LIMITS)


def _shelf(order: JobOrder | None) -> list[str]:
    assert order is not None
    return [entry.name for entry in EnvironmentRecipe.from_json(plain.mapping(order.inputs, "environment")).shelf]


def test_without_checkers_only_builds_are_asked() -> None:
    parts = parts_of(Question(CANDIDATE, REFERENCE, None, 1, 20), FOUND)
    assert {part.question for part in parts} == {"builds"}


End = tuple[Outcome, str, Mapping[str, Json] | None]
NO_LOOKS_LEFT = 20


def inquire(context: WorldContext, ends: Mapping[str, End], asked: Question = ASKED) -> Inquiry:
    """Ask, and have every job end as is said of its title; with the candidate of `TITLE +`, if that is said."""
    number = ask(context.database, impact.KIND, "tally 2", asked.to_json(), "ada", NOW)
    for _ in range(NO_LOOKS_LEFT):
        advance_inquiries(context.database, context.ground(), LOOKS, lambda _pool: None)
        while (job := claim_next(context.database, ["local"], holder_name(), NOW)) is not None:
            outcome, message, outputs = end_of(job, ends)
            end_attempt(context.database, job, Ending(outcome, message, outputs), NOW, retry=Retry.NEVER)
        with context.database.read() as tx:
            row = get_inquiry(tx, number)
        if row.state is not InquiryState.OPEN:
            return row
    raise AssertionError(f"no answer: {row.progress}")


def end_of(job: Job, ends: Mapping[str, End]) -> End:
    has_candidate = ARCHIVE in str(job.inputs["environment"])
    return ends.get(f"{job.title} +", ends[job.title]) if has_candidate else ends[job.title]


def ran(**results: str) -> End:
    rows: list[Json] = [
        {"name": name, "result": result, "why": "why" * (result == "fail")} for name, result in results.items()
    ]
    return Outcome.OK, "", {"tests": rows}


def broken(*packages: list[str], sources: list[list[str]] | None = None) -> End:
    return (
        Outcome.OK,
        "",
        {"packages": [list(one) for one in packages], "sources": [list(one) for one in sources or []]},
    )


def piuparts(why: str = "") -> End:
    return Outcome.OK, "", {"passed": not why, "why": why}


SEARCHED: End = (Outcome.OK, "", FOUND.to_json())
BUILT: End = (Outcome.OK, "", {"files": {}})
ODD = ["odd", "1", "all", "it needs what is not there"]
ENDS: Mapping[str, End] = {
    "find what depends on tally 2": SEARCHED,
    "check what is installable": broken(ODD),
    "check what is installable with tally 2": broken(
        ODD, ["adder", "1", "all", "it needs tally-abi-1, which is not there"]
    ),
    "install, upgrade and remove tally 0": piuparts(),
    "install, upgrade and remove tally 2": piuparts(),
    "try counter 1": BUILT,
    "try counter 1 +": (Outcome.FAILED, "build: counter.c:3: error: tally_1 is gone", None),
    "try crooked 1": (Outcome.FAILED, "build: it never was right", None),
    "try keeper 1": BUILT,
    "test tally 2": ran(own="pass"),
    "test tester 1": ran(asks="pass", smoke="pass"),
    "test tester 1 +": ran(asks="fail", smoke="pass"),
}


@pytest.fixture
def context(tmp_path: Path) -> WorldContext:
    return make_context(tmp_path)


def rows_of(row: Inquiry) -> list[tuple[Json, ...]]:
    assert row.answer is not None
    rows = [plain.mapping({"row": one}, "row") for one in plain.members(row.answer, "rows")]
    return [
        (one["package"], one["question"], one["reference"], one["candidate"], one["verdict"], one["why"])
        for one in rows
    ]


def test_the_answer_is_one_table_of_excuses(context: WorldContext) -> None:
    row = inquire(context, ENDS)
    assert row.state is InquiryState.DONE
    assert row.answer is not None
    assert (row.answer["verdict"], row.answer["candidate"]) == ("breaks", "tally 2")
    assert rows_of(row) == [
        ("adder", "installable", "pass", "fail", "regression", "it needs tally-abi-1, which is not there"),
        ("counter", "builds", "pass", "fail", "regression", "build: counter.c:3: error: tally_1 is gone"),
        ("tester", "tests", "pass", "fail", "regression", "asks: why"),
        ("crooked", "builds", "fail", "fail", "already failing", "build: it never was right"),
        ("keeper", "builds", "pass", "pass", "fine", ""),
        ("tally", "install-remove", "pass", "pass", "fine", ""),
        ("tally", "tests", "absent", "pass", "fine", ""),
    ]


def test_a_candidate_that_breaks_nothing_new_is_fine(context: WorldContext) -> None:
    ends = {title: end for title, end in ENDS.items() if not title.endswith(" +")}
    row = inquire(context, ends | {"check what is installable with tally 2": broken(ODD)})
    assert row.answer is not None
    assert row.answer["verdict"] == "fine"
    assert (
        "tally",
        "installable",
        "pass",
        "pass",
        "fine",
        "1 packages are not installable, with it as without",
    ) in rows_of(row)


def test_what_could_not_be_found_out_is_not_called_fine(context: WorldContext) -> None:
    ends = {title: end for title, end in ENDS.items() if not title.endswith(" +")}
    lost: End = (Outcome.BROKEN, "no space left", None)
    row = inquire(context, ends | {"check what is installable with tally 2": lost, "try keeper 1 +": lost})
    assert row.answer is not None
    assert row.answer["verdict"] == "unknown"
    assert [one[:5] for one in rows_of(row)[:2]] == [
        ("keeper", "builds", "pass", "unknown", "cannot say"),
        ("tally", "installable", "pass", "unknown", "cannot say"),
    ]


def test_a_build_that_never_ends_with_the_candidate_is_a_regression(context: WorldContext) -> None:
    row = inquire(context, {**ENDS, "try keeper 1 +": (Outcome.TIMED_OUT, "build: time limit of 60 s", None)})
    assert ("keeper", "builds", "pass", "fail", "regression", "build: time limit of 60 s") in rows_of(row)


def test_a_candidate_that_does_not_go_without_a_trace_is_said(context: WorldContext) -> None:
    row = inquire(
        context, {**ENDS, "install, upgrade and remove tally 2": piuparts("Package purging left files on system")}
    )
    expected = ("tally", "install-remove", "pass", "fail", "regression", "Package purging left files on system")
    assert expected in rows_of(row)


def test_build_dependencies_that_can_no_longer_be_installed_are_said(context: WorldContext) -> None:
    with_it = broken(ODD, sources=[["keeper", "1", "all", "it needs libtally-dev (<< 2), which is not there"]])
    row = inquire(context, {**ENDS, "check what is installable with tally 2": with_it})
    assert (
        "keeper",
        "build-depends",
        "pass",
        "fail",
        "regression",
        "it needs libtally-dev (<< 2), which is not there",
    ) in rows_of(row)


def test_a_search_that_refuses_the_candidate_ends_the_question(context: WorldContext) -> None:
    refusal: End = (Outcome.FAILED, "find: libtally-dev 2 is there already", None)
    row = inquire(context, {"find what depends on tally 2": refusal})
    assert row.state is InquiryState.STOPPED
    assert row.answer is not None
    assert row.answer["error"] == "find: libtally-dev 2 is there already"


def test_a_source_that_no_mirror_has_is_not_called_fine(context: WorldContext) -> None:
    lost = replace(
        FOUND,
        found=(),
        debs={},
        unfetched=(
            Unfetched("counter", "upstream no longer has it", is_built=True),
            Unfetched("tester", "it is gone", is_built=False),
        ),
    )
    ends = {**ENDS, "find what depends on tally 2": (Outcome.OK, "", lost.to_json())}
    row = inquire(context, ends, Question(CANDIDATE, REFERENCE, None, 1, 20))
    assert rows_of(row) == [
        ("counter", "builds", "unknown", "unknown", "cannot say", "upstream no longer has it"),
        ("tester", "tests", "unknown", "unknown", "cannot say", "it is gone"),
    ]
    assert row.answer is not None
    assert row.answer["verdict"] == "unknown"


def test_what_is_left_out_is_in_the_answer(context: WorldContext) -> None:
    cut = replace(FOUND, found=(), debs={}, left=("counter",), left_count=7)
    ends = {**ENDS, "find what depends on tally 2": (Outcome.OK, "", cut.to_json())}
    row = inquire(context, ends, Question(CANDIDATE, REFERENCE, None, 1, 0))
    assert row.answer is not None
    assert (row.answer["left_out"], row.answer["left_out_names"], row.answer["verdict"]) == (7, ["counter"], "fine")
    assert row.answer["not_asked"] == ["tests", "install-remove", "installable", "build-depends"]
