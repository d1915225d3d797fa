"""autopkgtest: a source's own tests, against the packages of a state, in a testbed of their own."""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from distwright.builds.environment import EnvironmentRecipe
from distwright.checks.testbeds import ROOTS, inputs_of, judge_checker, plan_in_testbed
from distwright.checks.words import shown
from distwright.jobs.order import PRIORITY_DAILY, JobOrder
from distwright.jobs.step import (
    Action,
    CommandEnd,
    Conclusion,
    Context,
    Earlier,
    Inputs,
    JobKind,
    KindName,
    Plan,
    Step,
    StepEnd,
    StepResult,
    Verdict,
    Where,
)
from distwright.model import plain
from distwright.model.digests import Json, Sha256

KIND = KindName("package.autopkgtest", 1)
TESTS_LIMIT = 500
_TIMEOUT_S = 3 * 3600
_ONE_TEST_S = 3600
_SUMMARY_BYTES = 1 << 20
_LINE = re.compile(r"(\S{1,200})\s+(PASS|FAIL|FLAKY|SKIP)(?:\s+(.*))?")
_TESTBED_FAILED = 16  # autopkgtest(1), EXIT STATUS: from here on it says nothing about the package

# The tests run as a plain user unless they ask for root. What needs a machine of its own, or the internet, is skipped with that
# reason: there is neither here.
_SCRIPT = f"""#!/bin/sh
set -eu
./unpack.sh testbed
mount --rbind /dev testbed/dev
mount --bind /proc testbed/proc
mount --rbind /sys testbed/sys
chroot testbed useradd --create-home --shell /bin/bash tester
status=0
autopkgtest --no-built-binaries --apt-upgrade --user=tester --needs-internet=skip --timeout-test={_ONE_TEST_S} \\
    --summary-file=summary "in/$1" -- chroot /work/testbed || status=$?
exit $status
"""

# inputs: source, version, source_files (name -> digest), environment (the state that is asked about), testbed, checkers.


class SummaryResult(StrEnum):
    """How one test ended, in autopkgtest's words."""

    PASS = "pass"  # noqa: S105  # no password
    FAIL = "fail"
    FLAKY = "flaky"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class SummaryLine:
    """One test. why: of a failure or a skip, "" else."""

    name: str
    result: SummaryResult
    why: str

    def to_json(self) -> Json:
        """Give the part of a job's outputs."""
        return {"name": self.name, "result": self.result.value, "why": self.why}


def parse_summary(content: bytes) -> tuple[SummaryLine, ...]:
    """Read autopkgtest's summary, one line for each test; of one that is named again the last line counts. Others are not its."""
    found: dict[str, SummaryLine] = {}
    for line in content[:_SUMMARY_BYTES].decode(errors="replace").splitlines():
        match = _LINE.fullmatch(line.rstrip())
        if match is not None and (len(found) < TESTS_LIMIT or match[1] in found):
            name = shown(match[1], 200)
            found[name] = SummaryLine(name, SummaryResult(match[2].lower()), shown(match[3] or ""))
    return tuple(found.values())


def lines_of(outputs: Inputs) -> tuple[SummaryLine, ...]:
    """Read the tests of a finished job's outputs."""
    rows = [plain.mapping({"test": row}, "test") for row in plain.members(outputs, "tests")]
    return tuple(
        SummaryLine(plain.text(row, "name"), SummaryResult(plain.text(row, "result")), plain.text(row, "why"))
        for row in rows
    )


def autopkgtest_order(
    source: str, version: str, source_files: dict[str, Sha256], *, state: EnvironmentRecipe, testbed: EnvironmentRecipe,
    checkers: EnvironmentRecipe,
) -> JobOrder:  # fmt: skip
    """Order the tests of a source against the packages of a state. testbed: what they begin in, of that state or an older one."""
    inputs: dict[str, Json] = {
        "source": source,
        "version": version,
        "source_files": {name: str(digest) for name, digest in sorted(source_files.items())},
        **inputs_of(state, testbed, checkers),
    }
    return JobOrder(KIND, inputs, f"test {source} {version}", priority=PRIORITY_DAILY)


def plan(inputs: Inputs, earlier: Earlier) -> Plan:
    """Plan the tests: unpack the testbed, and let autopkgtest unpack the source and run its tests there."""
    files = plain.digest_map(inputs, "source_files")
    dsc = next(name for name in files if name.endswith(".dsc"))
    place = {f"in/{name}": digest for name, digest in files.items()}
    return plan_in_testbed(
        inputs, earlier, ("./test.sh", dsc), _TIMEOUT_S,
        place=place, write={"test.sh": _SCRIPT}, collect={"summary": "summary"},
    )  # fmt: skip


def judge(end: StepEnd) -> Verdict:
    """Judge the program, not the tests: failing tests are an answer. A testbed that fails is ours."""
    return judge_checker(end, _trouble)


def _trouble(end: CommandEnd) -> str:
    if end.exit_code % 2 == 0 and end.exit_code < _TESTBED_FAILED:
        return ""  # a set of bits: 2 skipped, 4 failed, 8 nothing to do or a bad package
    last = f": {end.tail[-1]}" if end.tail else ""
    return f"autopkgtest could not test: exit {end.exit_code}{last}"


def _read(context: Context, _inputs: Inputs, earlier: Earlier) -> StepResult:
    lines = parse_summary(context.objects.read(earlier["autopkgtest"].outputs["summary"]))
    for line in lines:
        context.log(f"{line.name}: {line.result} {line.why}".rstrip())
    return StepResult({}, values={"tests": [line.to_json() for line in lines]})


def summary(lines: tuple[SummaryLine, ...]) -> str:
    """Say in a line how the tests ended."""
    counts = [f"{sum(line.result is result for line in lines)} {result}" for result in SummaryResult]
    return ", ".join(count for count in counts if not count.startswith("0 ")) or "no tests"


def _conclude(inputs: Inputs, earlier: Earlier, _now: datetime, _job: int) -> Conclusion:
    tests = lines_of(earlier["read"].values)
    return Conclusion(dict(earlier["read"].values), f"{inputs['source']} {inputs['version']}: {summary(tests)}")


PACKAGE_AUTOPKGTEST = JobKind(
    KIND, (*ROOTS, Step("autopkgtest", plan, judge), Action("read", _read, Where.ANYWHERE)), _conclude
)
