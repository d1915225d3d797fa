"""Impact: what a candidate breaks. Everything once with it and once without; the answer is one table of excuses.

An inquiry in two looks: first who depends on the candidate, then all trials, tests and checks of both states at once. All orders
follow from what was asked and what the first job found, so each look makes them again and reads which are answered.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from distwright.archive.resolve import Ground
from distwright.builds.environment import EnvironmentRecipe
from distwright.builds.resolve import FORM
from distwright.builds.trying import KIND as TRY
from distwright.checks.autopkgtest import autopkgtest_order, lines_of
from distwright.checks.candidates import ARCHIVE, Candidate
from distwright.checks.debcheck import broken_of, debcheck_order
from distwright.checks.dependents import Found, FoundAll, dependents_order, found_all
from distwright.checks.excuses import (
    Answer,
    Result,
    Row,
    broken_rows,
    ordered,
    result_of_tests,
    row_of,
    row_of_tests,
    verdict_of,
)
from distwright.checks.inquiries import Move
from distwright.checks.piuparts import piuparts_order
from distwright.checks.words import shown
from distwright.jobs.order import PRIORITY_DAILY, JobOrder
from distwright.model import plain
from distwright.model.digests import Json, Sha256
from distwright.model.outcomes import JobState, Outcome
from distwright.model.records import Inquiry, Job
from distwright.store.database import Database, Transaction
from distwright.store.jobs import find_by_digest

KIND = "impact"
BUILDS, TESTS, INSTALLS, INSTALLABLE, BUILD_NEEDS = "builds", "tests", "install-remove", "installable", "build-depends"
_STAGE, _SEARCH, _PARTS = "stage", "search", "parts"


@dataclass(frozen=True, slots=True)
class Question:
    """What was asked, for good. reference: the state without the candidate. checkers: None if nobody configured any.

    depth: how far reverse build dependencies are followed. limit: how many sources are built, and tested, at most.
    limits: what each build may use.
    """

    candidate: Candidate
    reference: EnvironmentRecipe
    checkers: EnvironmentRecipe | None
    depth: int
    limit: int
    limits: Mapping[str, Json] = field(default_factory=dict)

    def to_json(self) -> dict[str, Json]:
        """Give what the inquiry keeps."""
        return {
            "candidate": self.candidate.to_json(),
            "reference": self.reference.to_json(),
            "checkers": None if self.checkers is None else self.checkers.to_json(),
            "depth": self.depth,
            "limit": self.limit,
            "limits": dict(self.limits),
        }

    @classmethod
    def from_json(cls, values: plain.Plain) -> Self:
        """Read what `to_json` gave; raise BadInput."""
        checkers = (
            None if values["checkers"] is None else EnvironmentRecipe.from_json(plain.mapping(values, "checkers"))
        )
        return cls(
            Candidate.from_json(plain.mapping(values, "candidate")),
            EnvironmentRecipe.from_json(plain.mapping(values, "reference")),
            checkers,
            plain.number(values, "depth"),
            plain.number(values, "limit"),
            plain.mapping(values, "limits"),
        )

    def search(self) -> JobOrder:
        """Order the search for who depends on the candidate."""
        return dependents_order(self.candidate, self.reference, depth=self.depth, limit=self.limit)


@dataclass(frozen=True, slots=True)
class Part:
    """A question about a package, and the orders that answer it: without the candidate (None: it is not there) and with it."""

    question: str
    package: str
    version: str
    reference: JobOrder | None
    candidate: JobOrder


def parts_of(asked: Question, found: FoundAll) -> list[Part]:
    """Say everything that is asked (pure): the cheap and the sweeping first, so that bad news comes early."""
    return [*_checked(asked, found), *_built(asked, found), *_tested(asked, found)]


def _checked(asked: Question, found: FoundAll) -> Iterator[Part]:
    ours, checkers = asked.candidate, asked.checkers
    if checkers is None:
        return
    changed = ours.added_to(asked.reference)
    needs = found.build_needs
    before = debcheck_order(asked.reference, needs, checkers, "check what is installable")
    after = debcheck_order(changed, needs, checkers, f"check what is installable with {ours.name}")
    yield Part(INSTALLABLE, ours.source, ours.version, before, after)
    before_it = _installed(asked, checkers, ours.source, _version_now(found), found.debs, asked.reference)
    # What is upgraded from comes from the others, so they alone are told to apt, unless the candidate's suite has more than it.
    others = asked.reference if ours.entry.archive == ARCHIVE else changed
    with_it = _installed(asked, checkers, ours.source, ours.version, ours.debs, others)
    yield Part(INSTALLS, ours.source, ours.version, before_it if found.debs else None, with_it)


def _installed(
    asked: Question,
    checkers: EnvironmentRecipe,
    source: str,
    version: str,
    debs: Mapping[str, Sha256],
    state: EnvironmentRecipe,
) -> JobOrder:
    return piuparts_order(source, version, debs, state=state, testbed=asked.reference, checkers=checkers)


def _version_now(found: FoundAll) -> str:
    return "0" if found.reference is None else found.reference.version


def _built(asked: Question, found: FoundAll) -> Iterator[Part]:
    changed = asked.candidate.added_to(asked.reference)
    for one in found.found:
        if one.is_built:
            yield Part(BUILDS, one.name, one.version, _tried(asked, one, asked.reference), _tried(asked, one, changed))


def _tried(asked: Question, one: Found, state: EnvironmentRecipe) -> JobOrder:
    """Order the trial of a source in a state: as builds/resolve.py does for sources that came as files."""
    inputs: dict[str, Json] = {
        "form": FORM,
        "limits": dict(asked.limits),
        "repo": "",
        "source": one.name,
        "version": one.version,
        "source_files": {name: str(digest) for name, digest in sorted(one.files.items())},
        "suite": state.shelf[0].suite,
        "archive": "",
        "environment": state.to_json(),
    }
    return JobOrder(TRY, inputs, f"try {one.name} {one.version}", priority=PRIORITY_DAILY)


def _tested(asked: Question, found: FoundAll) -> Iterator[Part]:
    ours, checkers = asked.candidate, asked.checkers
    if checkers is None:
        return
    changed = ours.added_to(asked.reference)

    def order(name: str, version: str, files: Mapping[str, Sha256], state: EnvironmentRecipe) -> JobOrder:
        return autopkgtest_order(name, version, dict(files), state=state, testbed=asked.reference, checkers=checkers)

    if ours.has_tests:
        now = found.reference
        before = order(now.name, now.version, now.files, asked.reference) if now is not None and now.is_tested else None
        yield Part(
            TESTS, ours.source, ours.version, before, order(ours.source, ours.version, ours.source_files, changed)
        )
    for one in found.found:
        if one.is_tested:
            before, after = (order(one.name, one.version, one.files, state) for state in (asked.reference, changed))
            yield Part(TESTS, one.name, one.version, before, after)


def look(database: Database, _ground: Ground, row: Inquiry) -> Move:
    """Look how far it is: ask who depends on the candidate, then everything, then answer."""
    asked = Question.from_json(row.asked)
    stage = plain.text(row.progress, _STAGE) if _STAGE in row.progress else ""
    search = asked.search()
    if not stage:
        return Move(orders=[search], progress={_STAGE: _SEARCH})
    with database.read() as tx:
        job = done(tx, search)
        if job is None:
            return Move(progress=row.progress)
        if job.outcome is not Outcome.OK or job.outputs is None:
            error = {"error": job.message or "the search failed", "hint": f"distwright job log {job.id}"}
            return Move(answer=error, is_stopped=True)
        found = found_all(job.outputs)
        parts = parts_of(asked, found)
        if stage == _SEARCH and parts:
            orders = [order for part in parts for order in (part.reference, part.candidate) if order is not None]
            return Move(orders=orders, progress={_STAGE: _PARTS, "parts": len(orders)})
        answers = [(part, _done(tx, part.reference), done(tx, part.candidate)) for part in parts]
    if any(after is None or (part.reference is not None and before is None) for part, before, after in answers):
        return Move(progress=row.progress)
    return Move(answer=answer_of(asked, found, answers))


def done(tx: Transaction, order: JobOrder) -> Job | None:
    """Give the job of an order if it is done, however it ended."""
    job = find_by_digest(tx, order.digest)
    return job if job is not None and job.state is JobState.DONE else None


def _done(tx: Transaction, order: JobOrder | None) -> Job | None:
    return None if order is None else done(tx, order)


def answer_of(
    asked: Question, found: FoundAll, answers: Sequence[tuple[Part, Job | None, Job | None]]
) -> dict[str, Json]:
    """Make the table of what the jobs said (pure)."""
    lost = [
        row_of(one.name, "", BUILDS if one.is_built else TESTS, Answer(Result.UNKNOWN), Answer(Result.UNKNOWN, one.why))
        for one in found.unfetched
    ]
    rows = ordered(
        [*lost, *(row for part, before, after in answers for row in rows_of(part, before, after, found.lacking))]
    )
    return {
        "candidate": asked.candidate.name,
        "verdict": verdict_of([row.excuse for row in rows]),
        "rows": [row.to_json() for row in rows],
        "left_out": found.left_count,
        "left_out_names": list(found.left),
        "unreadable": list(found.unreadable),
        "not_asked": [] if asked.checkers is not None else [TESTS, INSTALLS, INSTALLABLE, BUILD_NEEDS],
    }


def rows_of(part: Part, before: Job | None, after: Job | None, lacking: Sequence[str]) -> list[Row]:
    """Make the lines of one part (pure)."""
    if part.question == INSTALLABLE:
        return _installable_rows(part, before, after, lacking)
    judge = {BUILDS: built_answer, TESTS: tested_answer, INSTALLS: installed_answer}[part.question]
    old, new = judge(before), judge(after)
    if part.question == TESTS:
        known = () if before is None or old.result is Result.UNKNOWN else lines_of(before.outputs or {})
        now = () if after is None or new.result is Result.UNKNOWN else lines_of(after.outputs or {})
        return [row_of_tests(part.package, part.version, old, known, new, now)]
    return [row_of(part.package, part.version, part.question, old, new)]


def _installable_rows(part: Part, before: Job | None, after: Job | None, lacking: Sequence[str]) -> list[Row]:
    unknown = [job for job in (before, after) if not _is_answer(job)]
    if unknown or before is None or after is None:
        answers = [
            _undecided(job) if not _is_answer(job) else Answer(Result.PASS, "", _number(job)) for job in (before, after)
        ]
        return [row_of(part.package, part.version, INSTALLABLE, *answers)]
    jobs = (before.id, after.id)
    old, new = before.outputs or {}, after.outputs or {}
    rows = broken_rows(INSTALLABLE, broken_of(old, "packages"), broken_of(new, "packages"), jobs, lacking)
    rows += broken_rows(BUILD_NEEDS, broken_of(old, "sources"), broken_of(new, "sources"), jobs)
    if not any(row.question == INSTALLABLE and row.candidate.result is Result.FAIL for row in rows):
        same = len(broken_of(new, "packages"))
        why = f"{same} packages are not installable, with it as without" if same else ""
        fine = row_of(
            part.package, part.version, INSTALLABLE, Answer(Result.PASS, "", jobs[0]), Answer(Result.PASS, why, jobs[1])
        )
        rows.append(fine)
    return rows


def built_answer(job: Job | None) -> Answer:
    """Say what a trial answers: one that was stopped by its limits fails too, for a build that never ends is none."""
    if job is None:
        return Answer(Result.ABSENT)
    if job.outcome is Outcome.OK:
        return Answer(Result.PASS, "", job.id)
    if job.outcome in (Outcome.FAILED, Outcome.TIMED_OUT):
        return Answer(Result.FAIL, shown(job.message or ""), job.id)
    return _undecided(job)


def tested_answer(job: Job | None) -> Answer:
    """Say what autopkgtest answers."""
    if job is None:
        return Answer(Result.ABSENT)
    if not _is_answer(job):
        return _undecided(job)
    lines = lines_of(job.outputs or {})
    result = result_of_tests(lines)
    skipped = sorted({line.why for line in lines if line.why}) if result is Result.SKIP else []
    failed = [f"{line.name}: {line.why}" for line in lines if line.result == "fail"]
    return Answer(result, shown("; ".join(failed or skipped)), job.id)


def installed_answer(job: Job | None) -> Answer:
    """Say what piuparts answers."""
    if job is None:
        return Answer(Result.ABSENT)
    if not _is_answer(job):
        return _undecided(job)
    outputs = job.outputs or {}
    is_passed = plain.flag(outputs, "passed")
    return Answer(Result.PASS if is_passed else Result.FAIL, shown(plain.text(outputs, "why")), job.id)


def _is_answer(job: Job | None) -> bool:
    return job is not None and job.outcome is Outcome.OK and job.outputs is not None


def _undecided(job: Job | None) -> Answer:
    """Say that we do not know: the machine failed, or somebody stopped it. A checker that timed out says nothing of the package."""
    return Answer(Result.UNKNOWN, "" if job is None else shown(f"{job.outcome}: {job.message}"), _number(job))


def _number(job: Job | None) -> int | None:
    return None if job is None else job.id
