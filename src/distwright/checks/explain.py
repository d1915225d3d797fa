"""What diffoscope says of two builds that differ: run in an environment of checkers, within limits."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from distwright.builds.environment import EnvironmentRecipe, environment_step, root_of
from distwright.jobs.order import PRIORITY_DAILY, JobOrder
from distwright.jobs.step import (
    Action,
    Conclusion,
    Context,
    Earlier,
    Inputs,
    JobKind,
    KindName,
    Plan,
    PlannedCommand,
    Step,
    StepEnd,
    StepResult,
    Verdict,
    Where,
    judge_by_exit,
)
from distwright.model import plain
from distwright.model.digests import Json, Sha256
from distwright.model.outcomes import Outcome
from distwright.store.holds import Hold, object_hold, replace_holds

KIND = KindName("package.explain", 1)
PROGRAM = "diffoscope"
MOST_FILES = 12
REPORT_BYTES = 1_000_000
_TIMEOUT_S = 900
_SOFT_TIMEOUT_S = 600  # from then on diffoscope looks into nothing further
_MEMORY_KIB = 4 << 20
_FILE_BLOCKS = 8 << 21  # of 512 bytes: no file that it unpacks is larger than 8 GiB
_REPORT = "report.txt"

# It says 1 where files differ, which they do, and 2 where it fails.
_SCRIPT = f"""#!/bin/sh
set -eu
command -v {PROGRAM} >/dev/null || {{ echo "the environment of checkers has no {PROGRAM}: include diffoscope-minimal"; exit 3; }}
ulimit -v {_MEMORY_KIB}
ulimit -f {_FILE_BLOCKS}
export TMPDIR=/work/tmp HOME=/work/tmp PYTHONDONTWRITEBYTECODE=1
{PROGRAM} --no-progress --exclude-directory-metadata=yes --timeout {_SOFT_TIMEOUT_S} --max-text-report-size {REPORT_BYTES} \\
    --max-report-size {REPORT_BYTES} --max-diff-block-lines 200 --max-diff-input-lines 1000000 --max-container-depth 20 \\
    --text {_REPORT} first second || test $? = 1
"""

# inputs: source, version (for people); pairs: file name -> [object of the first build, of the second]; environment: of checkers.


def explain_order(
    recipe: EnvironmentRecipe, pairs: Mapping[str, tuple[Sha256, Sha256]], about: str, holds: tuple[Hold, ...] = ()
) -> JobOrder:
    """Order what diffoscope says of pairs of files; the same pairs are looked at once. about: source and version, for people."""
    looked_at = sorted(pairs.items())[:MOST_FILES]
    inputs: dict[str, Json] = {
        "pairs": {name: [str(first), str(second)] for name, (first, second) in looked_at},
        "environment": recipe.to_json(),
    }
    return JobOrder(KIND, inputs, f"explain differences of {about}", PRIORITY_DAILY, holds=holds)


def pairs_of(values: plain.Plain) -> dict[str, tuple[Sha256, Sha256]]:
    """Read the pairs of an order, an event or a comparison; raise BadInput."""
    pairs = plain.mapping(values, "pairs")
    found = {name: plain.texts(pairs, name) for name in pairs}
    return {name: (Sha256(first), Sha256(second)) for name, (first, second) in found.items()}


def _plan(inputs: Inputs, earlier: Earlier) -> Plan:
    place: dict[str, Sha256] = {}
    for name, (first, second) in pairs_of(inputs).items():
        place |= {f"first/{name}": first, f"second/{name}": second}
    return Plan(
        commands=(PlannedCommand(("./explain",), _TIMEOUT_S, root=root_of(earlier["environment"])),),
        place=place,
        write={"explain": _SCRIPT, "tmp/.keep": ""},
        collect={"report": _REPORT},
    )


def _judge(end: StepEnd) -> Verdict:
    """Judge diffoscope: no package is to blame for what it does, and trying again does not help."""
    verdict = judge_by_exit(end)
    if verdict.outcome is Outcome.FAILED:
        return replace(verdict, message=f"{PROGRAM} has no answer: {verdict.message}")
    return verdict


def _keep(context: Context, _inputs: Inputs, earlier: Earlier) -> StepResult:
    """Hold the report, and nothing that it was made of."""
    report = earlier[PROGRAM].outputs["report"]
    with context.write() as tx:
        replace_holds(tx, f"explanation {context.job}", [object_hold("", report, "report")], context.now())
    return StepResult({"report": report})


def _conclude(inputs: Inputs, earlier: Earlier, now: datetime, job: int) -> Conclusion:
    names = ", ".join(pairs_of(inputs))
    outputs: dict[str, Json] = {"report": str(earlier[PROGRAM].outputs["report"])}
    return Conclusion(outputs, f"{PROGRAM} looked at {names}")


PACKAGE_EXPLAIN = JobKind(
    KIND,
    (
        environment_step("environment", "environment"),
        Step(PROGRAM, _plan, _judge),
        Action("keep", _keep, Where.ANYWHERE),
    ),
    _conclude,
)
