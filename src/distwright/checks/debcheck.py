"""Are all packages of a state installable, and build dependencies of sources? By dose, with the versions that apt would take."""

from collections.abc import Sequence
from datetime import datetime

from distwright.builds.environment import EnvironmentRecipe, environment_step, root_of
from distwright.checks.dose import Broken, parse_dose
from distwright.checks.testbeds import APT_CONF, sources_list
from distwright.errors import BadInput, DistwrightError
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
    StepResult,
    Where,
)
from distwright.model import plain
from distwright.model.digests import Json, Sha256

KIND = KindName("suite.debcheck", 1)
_TIMEOUT_S = 3600
_ROWS_LIMIT = 1000  # in the outputs of a job; more is counted
# The versions are those that apt would take: of several in different suites one counts, as on any system. The checkers' own
# packages have no part in it. dose(1): 64 and above is no answer.
_SCRIPT = """#!/bin/sh
set -eu
install -m 0644 sources.list /etc/apt/sources.list
install -m 0644 apt.conf /etc/apt/apt.conf.d/90distwright
apt-get update
apt-cache -o Dir::State::status=/dev/null dumpavail >packages
check() {
    answer=$1
    shift
    status=0
    "$@" >"$answer" || status=$?
    test "$status" -lt 64
}
check installable dose-debcheck --deb-native-arch="$1" --failures --explain packages
if [ -s build-needs ]; then
    check buildable dose-builddebcheck --deb-native-arch="$1" --failures --explain packages build-needs
else
    echo output-version: none >buildable
fi
"""

# inputs: environment (the state that is asked about), sources (stanzas of Sources: whose build dependencies count), checkers.


def debcheck_order(state: EnvironmentRecipe, sources: Sha256, checkers: EnvironmentRecipe, title: str) -> JobOrder:
    """Order the check of a state. sources: stanzas whose build dependencies are looked at."""
    inputs: dict[str, Json] = {
        "environment": state.to_json(),
        "sources": str(sources),
        "checkers": checkers.to_json(),
    }
    return JobOrder(KIND, inputs, title, priority=PRIORITY_DAILY)


def plan(inputs: Inputs, earlier: Earlier) -> Plan:
    """Plan dose on what apt sees."""
    state = EnvironmentRecipe.from_json(plain.mapping(inputs, "environment"))
    argv = ("./debcheck.sh", state.architecture)
    return Plan(
        commands=(PlannedCommand(argv, _TIMEOUT_S, root=root_of(earlier["checkers"]), reads_shelf=True),),
        place={"build-needs": plain.digest(inputs, "sources")},
        write={"debcheck.sh": _SCRIPT, "apt.conf": APT_CONF},
        templates={"sources.list": sources_list(state)},
        collect={"installable": "installable", "buildable": "buildable"},
        shelf=state.shelf,
    )


def _read(context: Context, _inputs: Inputs, earlier: Earlier) -> StepResult:
    kept = earlier["debcheck"].outputs
    try:
        packages = parse_dose(context.objects.read(kept["installable"]))
        sources = parse_dose(context.objects.read(kept["buildable"]))
    except BadInput as error:  # nobody's package wrote it
        raise DistwrightError(error.message, hint="distwright job log JOB") from error
    counts: dict[str, Json] = {"packages": len(packages), "sources": len(sources)}
    return StepResult({}, values={"packages": _rows(packages), "sources": _rows(sources), "counts": counts})


def _rows(found: Sequence[Broken]) -> list[Json]:
    return [[one.name, one.version, one.architecture, one.why] for one in found[:_ROWS_LIMIT]]


def broken_of(outputs: Inputs, key: str) -> tuple[Broken, ...]:
    """Read what a finished job found. key: `packages` that cannot be installed, `sources` that cannot be built."""
    return tuple(Broken(*plain.texts({"row": row}, "row")) for row in plain.members(outputs, key))


def _conclude(_inputs: Inputs, earlier: Earlier, _now: datetime, _job: int) -> Conclusion:
    values = earlier["read"].values
    counts = plain.mapping(values, "counts")
    packages, sources = plain.number(counts, "packages"), plain.number(counts, "sources")
    said = f"{packages} packages cannot be installed, build dependencies of {sources} sources cannot"
    return Conclusion(dict(values), said)


SUITE_DEBCHECK = JobKind(
    KIND,
    (environment_step("checkers", "checkers"), Step("debcheck", plan), Action("read", _read, Where.ANYWHERE)),
    _conclude,
)
