"""Testbeds: where packages are installed and tested. Roots of their own, inside the root of the checkers, which has the programs.

Both are in the sandbox's namespaces, as root of the user namespace: no device can be made and no disk mounted, but devices that
are there can be bound. The door leads to the shelf only.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from distwright.builds.environment import EnvironmentRecipe, environment_step, root_of
from distwright.jobs.step import (
    CommandEnd,
    Earlier,
    Inputs,
    Plan,
    PlannedCommand,
    StepEnd,
    Verdict,
    judge_by_exit,
)
from distwright.model import plain
from distwright.model.digests import Json, Sha256
from distwright.model.outcomes import Outcome

ROOTS = (environment_step("testbed", "testbed"), environment_step("checkers", "checkers"))
# Of the state that is asked about; the testbed itself may be older, and is upgraded to it.
APT_CONF = 'Acquire::Check-Valid-Until "false";\nAcquire::Languages "none";\n'
# $1: the folder. No service of a tested package is started: there is no init.
UNPACK = """#!/bin/sh
set -eu
mkdir "$1"
tar --extract --numeric-owner --file root.tar --directory "$1"
install -m 0644 sources.list "$1/etc/apt/sources.list"
install -m 0644 apt.conf "$1/etc/apt/apt.conf.d/90distwright"
printf '#!/bin/sh\\nexit 101\\n' >"$1/usr/sbin/policy-rc.d"
chmod 0755 "$1/usr/sbin/policy-rc.d"
mkdir -p "$1/dev"
touch /etc/resolv.conf
"""


def testbed_of(recipe: EnvironmentRecipe) -> EnvironmentRecipe:
    """Give the recipe of a testbed: what every Debian system has and apt, so that what a package forgot to ask for is missing."""
    return replace(recipe, variant="minbase", include=())


def sources_list(recipe: EnvironmentRecipe) -> str:
    """Give the sources.list of a state, as a template."""
    return "".join(f"{line}\n" for line in recipe.source_lines())


def inputs_of(state: EnvironmentRecipe, testbed: EnvironmentRecipe, checkers: EnvironmentRecipe) -> dict[str, Json]:
    """Give the inputs that every job in a testbed has. state: asked about. testbed: begun in, of that state or an older one."""
    return {
        "environment": state.to_json(),
        "testbed": testbed_of(testbed).to_json(),
        "checkers": checkers.to_json(),
    }


def state_of(inputs: Inputs) -> EnvironmentRecipe:
    """Read the state that a job asks about."""
    return EnvironmentRecipe.from_json(plain.mapping(inputs, "environment"))


def plan_in_testbed(
    inputs: Inputs, earlier: Earlier, command: tuple[str, ...], timeout_s: int, *,
    place: Mapping[str, Sha256], write: Mapping[str, str], collect: Mapping[str, str],
) -> Plan:  # fmt: skip
    """Plan a program of the checkers beside what `unpack.sh FOLDER` makes a testbed of, with the state on the shelf."""
    state = state_of(inputs)
    return Plan(
        commands=(PlannedCommand(command, timeout_s, root=root_of(earlier["checkers"]), reads_shelf=True),),
        place={"root.tar": root_of(earlier["testbed"]), **place},
        write={"apt.conf": APT_CONF, "unpack.sh": UNPACK, **write},
        templates={"sources.list": sources_list(state)},
        collect=dict(collect),
        shelf=state.shelf,
    )


def judge_checker(end: StepEnd, trouble: Callable[[CommandEnd], str]) -> Verdict:
    """Judge a program, not what it looks at: that it finds something is an answer. trouble: why it could not look, "" if it did."""
    verdict = judge_by_exit(end)
    if verdict.outcome is not Outcome.FAILED or not end.ends or end.ends[-1].cut:
        return verdict
    why = trouble(end.ends[-1])
    return Verdict(Outcome.BROKEN, why) if why else Verdict(Outcome.OK, "ok")
