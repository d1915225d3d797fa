"""Excuses: what a candidate breaks, in one table. All is asked with it and without; what failed before is no regression."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from distwright.checks.autopkgtest import SummaryLine, SummaryResult
from distwright.checks.dose import Broken
from distwright.model import plain
from distwright.model.digests import Json


class Result(StrEnum):
    """How one question about one package was answered in one state."""

    PASS = "pass"  # noqa: S105  # no password
    FAIL = "fail"
    SKIP = "skip"  # there was nothing to do: no test that can run here
    UNKNOWN = "unknown"  # we could not find out
    ABSENT = "absent"  # the package is not in that state


class Excuse(StrEnum):
    """What an answer with the candidate means, beside the one without."""

    FINE = "fine"
    REGRESSION = "regression"
    ALREADY = "already failing"
    MENDED = "mended"
    NEW = "new and failing"
    UNKNOWN = "cannot say"
    SKIPPED = "skipped"


BREAKS = (Excuse.REGRESSION, Excuse.NEW)


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer. why: of a failure or a skip, "" else. job: which gave it, None if none did."""

    result: Result
    why: str = ""
    job: int | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: a package, a question, both answers and what they mean."""

    package: str
    version: str
    question: str
    reference: Answer
    candidate: Answer
    excuse: Excuse
    why: str

    def to_json(self) -> Json:
        """Give the part of an inquiry's answer."""
        return {
            "package": self.package, "version": self.version, "question": self.question,
            "reference": self.reference.result.value, "candidate": self.candidate.result.value,
            "verdict": self.excuse.value, "why": self.why, "job": self.candidate.job, "reference_job": self.reference.job,
        }  # fmt: skip


def excuse_of(reference: Result, candidate: Result) -> Excuse:
    """Judge a pair of answers. Only what is known to have passed can regress, and only what fails now breaks anything."""
    if candidate is Result.UNKNOWN:
        return Excuse.UNKNOWN
    if candidate is Result.FAIL:
        by_reference = {
            Result.PASS: Excuse.REGRESSION, Result.FAIL: Excuse.ALREADY, Result.ABSENT: Excuse.NEW,
            Result.SKIP: Excuse.NEW, Result.UNKNOWN: Excuse.UNKNOWN,
        }  # fmt: skip
        return by_reference[reference]
    if candidate is Result.PASS:
        return Excuse.MENDED if reference is Result.FAIL else Excuse.FINE
    return Excuse.SKIPPED  # SKIP, or ABSENT: the candidate no longer has it


def row_of(package: str, version: str, question: str, reference: Answer, candidate: Answer) -> Row:
    """Make a line of two answers; the reason is that of the candidate's failure, or what else there is to say."""
    excuse = excuse_of(reference.result, candidate.result)
    why = candidate.why
    if excuse is Excuse.UNKNOWN and candidate.result is Result.FAIL:
        why = f"{candidate.why}; without the candidate: {reference.why or 'not known'}"
    elif excuse is Excuse.MENDED:
        why = f"failed without it: {reference.why}" if reference.why else ""
    return Row(package, version, question, reference, candidate, excuse, why)


def row_of_tests(
    package: str,
    version: str,
    reference: Answer,
    before: Sequence[SummaryLine],
    candidate: Answer,
    after: Sequence[SummaryLine],
) -> Row:
    """Make the line of a source's own tests, test by test: one that failed before is no regression, whatever others do."""
    row = row_of(package, version, "tests", reference, candidate)
    if Result.UNKNOWN in (reference.result, candidate.result) or candidate.result is not Result.FAIL:
        return row
    known = {line.name: line.result for line in before}
    failing = [line for line in after if line.result is SummaryResult.FAIL]
    fresh = [line for line in failing if known.get(line.name) is not SummaryResult.FAIL]
    if not fresh:
        names = ", ".join(line.name for line in failing)
        return replace(row, excuse=Excuse.ALREADY, why=f"{names} failed without it, too")
    regressed = [line for line in fresh if known.get(line.name) in (SummaryResult.PASS, SummaryResult.FLAKY)]
    excuse = Excuse.REGRESSION if regressed else Excuse.NEW
    why = "; ".join(f"{line.name}: {line.why}" if line.why else line.name for line in regressed or fresh)
    return replace(row, excuse=excuse, why=why)


def result_of_tests(lines: Sequence[SummaryLine]) -> Result:
    """Say how a source's tests ended as a whole: a flaky one that fails counts for nothing."""
    results = {line.result for line in lines}
    if SummaryResult.FAIL in results:
        return Result.FAIL
    return Result.PASS if SummaryResult.PASS in results or SummaryResult.FLAKY in results else Result.SKIP


def broken_rows(
    question: str, before: Sequence[Broken], after: Sequence[Broken], jobs: tuple[int | None, int | None],
    present: Collection[str] = (),
) -> list[Row]:  # fmt: skip
    """Make the lines of what is broken in one of two states, by name and architecture: what is so in both is no line of its own.

    jobs: without the candidate and with it. present: packages that the candidate brings, which the reference may lack.
    """
    old = {(one.name, one.architecture): one for one in before}
    new = {(one.name, one.architecture): one for one in after}
    rows = []
    for key in sorted(old.keys() ^ new.keys()):
        was, now = old.get(key), new.get(key)
        one = now or was
        if one is None:
            continue
        is_fresh = one.name in present and was is None
        fine = Result.ABSENT if is_fresh else Result.PASS
        reference = Answer(fine, "", jobs[0]) if was is None else Answer(Result.FAIL, was.why, jobs[0])
        candidate = Answer(Result.PASS, "", jobs[1]) if now is None else Answer(Result.FAIL, now.why, jobs[1])
        rows.append(row_of(one.name, one.version, question, reference, candidate))
    return rows


def ordered(rows: Sequence[Row]) -> list[Row]:
    """Put what breaks first, then what cannot be said, then the rest, each by package and question."""
    ranks = {excuse: rank for rank, excuse in enumerate((*BREAKS, Excuse.UNKNOWN, Excuse.ALREADY, Excuse.MENDED))}
    return sorted(rows, key=lambda row: (ranks.get(row.excuse, len(ranks)), row.package, row.question))


def verdict_of(excuses: Collection[Excuse]) -> str:
    """Say what a table means: `breaks`, `unknown` (something could not be found out, so nobody should rely on it) or `fine`."""
    if any(excuse in BREAKS for excuse in excuses):
        return "breaks"
    return "unknown" if Excuse.UNKNOWN in excuses else "fine"


def excuses_in(answer: Mapping[str, Json]) -> list[Excuse]:
    """Read the verdicts of an inquiry's answer."""
    rows = [plain.mapping({"row": row}, "row") for row in plain.members(answer, "rows")]
    return [Excuse(plain.text(row, "verdict")) for row in rows]
