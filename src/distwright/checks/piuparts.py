"""piuparts: do packages install, upgrade from what a state has, and go again without a trace? In a testbed of their own."""

import re
from collections.abc import Mapping
from datetime import datetime

from distwright.builds.environment import EnvironmentRecipe, environment_step, root_of
from distwright.checks.testbeds import files_of, testbed_of
from distwright.checks.words import shown
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
    judge_by_exit,
)
from distwright.model import plain
from distwright.model.digests import Json, Sha256
from distwright.model.outcomes import Outcome

KIND = KindName("package.piuparts", 1)
_TIMEOUT_S = 2 * 3600
_LOG_BYTES = 8 << 20
_REASON = re.compile(r"\s*\d+m[\d.]+s ERROR: (?:FAIL: )?(.*)")
_CONTINUED = re.compile(r" {2}\s*(\S.*)")

# It would make /dev/null by mknod, which root of a namespace may not; with a /dev bound into its root it does not try. Its own
# mounts of /dev bind no devices, which are mounts of their own here: these two words do, and take them off again.
_MOUNT = """#!/bin/sh
case "$*" in
    "-o bind /dev "*) exec /bin/mount --rbind /dev "$4" ;;
esac
exec /bin/mount "$@"
"""
_UMOUNT = """#!/bin/sh
exec /bin/umount --recursive "$@"
"""
_SCRIPT = """#!/bin/sh
set -eu
./unpack.sh base
ln -sf pts/ptmx base/dev/ptmx
mkdir tmp
PATH=/work/bin:$PATH
export PATH
status=0
piuparts --existing-chroot=base --tmpdir=/work/tmp --bindmount=/dev --keep-sources-list --distribution="$1" --no-eatmydata \\
    --no-adequate --do-not-verify-signatures --warn-on-others --scriptsdir=/etc/piuparts/scripts --log-level=info \\
    --log-file=piuparts.log in/*.deb || status=$?
echo $status >status
exit $status
"""

# inputs: source, version, debs (file name -> digest), environment (the state with what they are upgraded from), testbed, checkers.


def piuparts_order(
    source: str, version: str, debs: Mapping[str, Sha256], *, state: EnvironmentRecipe, testbed: EnvironmentRecipe,
    checkers: EnvironmentRecipe,
) -> JobOrder:  # fmt: skip
    """Order that packages are installed, upgraded to from a state, and removed. testbed: what the root is made of."""
    inputs: dict[str, Json] = {
        "source": source,
        "version": version,
        "debs": {name: str(digest) for name, digest in sorted(debs.items())},
        "environment": state.to_json(),
        "testbed": testbed_of(testbed).to_json(),
        "checkers": checkers.to_json(),
    }
    return JobOrder(KIND, inputs, f"install, upgrade and remove {source} {version}", priority=PRIORITY_DAILY)


def plan(inputs: Inputs, earlier: Earlier) -> Plan:
    """Plan piuparts on all packages at once, as they come from one source."""
    state = EnvironmentRecipe.from_json(plain.mapping(inputs, "environment"))
    place, write, templates = files_of(state, root_of(earlier["testbed"]))
    argv = ("./piuparts.sh", state.shelf[0].suite)
    return Plan(
        commands=(PlannedCommand(argv, _TIMEOUT_S, root=root_of(earlier["checkers"]), reads_shelf=True),),
        place=place | {f"in/{name}": digest for name, digest in plain.digest_map(inputs, "debs").items()},
        write=write | {"piuparts.sh": _SCRIPT, "bin/mount": _MOUNT, "bin/umount": _UMOUNT},
        templates=templates,
        collect={"log": "piuparts.log", "status": "status"},
        shelf=state.shelf,
    )


def judge(end: StepEnd) -> Verdict:
    """Judge the program, not the packages: what it holds against them is an answer. That it could not try is ours."""
    verdict = judge_by_exit(end)
    if verdict.outcome is not Outcome.FAILED or not end.ends or end.ends[-1].cut:
        return verdict
    is_answer = any("FAIL: " in line or "Command failed" in line for line in end.ends[-1].tail)
    return (
        Verdict(Outcome.OK, "ok")
        if is_answer
        else Verdict(Outcome.BROKEN, f"piuparts could not try: {verdict.message}")
    )


def reason_of(log: bytes) -> str:
    """Say what piuparts held against the packages first, with the line that follows; "" if it does not say."""
    lines = log[:_LOG_BYTES].decode(errors="replace").splitlines()
    for number, line in enumerate(lines):
        match = _REASON.fullmatch(line)
        if match is None or match[1] == "piuparts run ends.":
            continue
        more = _CONTINUED.fullmatch(lines[number + 1]) if number + 1 < len(lines) else None
        return shown(f"{match[1]} {more[1]}" if more else match[1])
    return ""


def _read(context: Context, _inputs: Inputs, earlier: Earlier) -> StepResult:
    kept = earlier["piuparts"].outputs
    passed = context.objects.read(kept["status"]).strip() == b"0"
    why = "" if passed else reason_of(context.objects.read(kept["log"])) or "piuparts does not say why"
    return StepResult({}, values={"passed": passed, "why": why})


def _conclude(inputs: Inputs, earlier: Earlier, _now: datetime, _job: int) -> Conclusion:
    values = earlier["read"].values
    said = "installs, upgrades and goes" if plain.flag(values, "passed") else plain.text(values, "why")
    return Conclusion(dict(values), f"{inputs['source']} {inputs['version']}: {said}")


PACKAGE_PIUPARTS = JobKind(
    KIND,
    (
        environment_step("testbed", "testbed"),
        environment_step("checkers", "checkers"),
        Step("piuparts", plan, judge),
        Action("read", _read),
    ),
    _conclude,
)
