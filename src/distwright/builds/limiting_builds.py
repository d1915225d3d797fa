"""What a build may use, what is kept of what it prints, and how sbuild says in which stage it ended: form 2 of a build."""

from collections.abc import Mapping
from dataclasses import replace

from distwright.config.tables import Environment
from distwright.jobs.limits import Limits
from distwright.jobs.step import Inputs, Plan
from distwright.model import plain
from distwright.model.digests import Json

LOG = "log"
# Exit codes of our wrapper of sbuild: the package says no, its dependencies do, it is not for this architecture; else we failed.
PACKAGE, DEPENDENCIES, OTHER_ARCHITECTURE, OURS = 100, 101, 102, 103
_CODES: Mapping[str, int] = {
    "arch-check": OTHER_ARCHITECTURE,
    "build": PACKAGE,
    "check-unpacked-version": PACKAGE,
    "install-deps": DEPENDENCIES,
    "parse-changes": PACKAGE,
    "post-build": PACKAGE,
}
# The wrapper of package.py, which also turns the stage that sbuild itself says it failed in (Sbuild::Build, `Pkg Fail Stage`) into
# an exit code. A build cannot reach it: it runs as another user, in a pid namespace below, and what it prints is not read for this.
_STAGED_SBUILD = """#!/usr/bin/perl
use Sbuild::Sysconfig;
$Sbuild::Sysconfig::paths{'SBUILD_CONF'} = '{work}/sbuildrc';
require Sbuild::Build;
my %codes = (CODES);
my ($first, $job, $run) = ($$, undef, \\&Sbuild::Build::run);
{ no warnings 'redefine'; *Sbuild::Build::run = sub { $job = $_[0]; goto &$run; }; }
END {
    if ($$ == $first && defined $job) {
        my $stage = $job->get('Pkg Fail Stage') // '';
        $? = $job->get_status() eq 'successful' ? 0 : $codes{$stage} // OURS;
    }
}
$0 = '/usr/bin/sbuild';
do $0;
die $@ || "$0: $!\\n";
"""


def form_of(inputs: Inputs) -> int:
    """Say in which form a build was ordered; those of before there were forms are 1."""
    return plain.number(inputs, "form") if "form" in inputs else 1


def limits_of_builds(table: Environment) -> dict[str, Json]:
    """Give what a build in an environment may use, as the inputs of an order say it."""
    return {
        "hours": table.build_hours,
        "memory_mb": table.build_memory_mb,
        "disk_mb": table.build_disk_mb,
        "processes": table.build_processes,
        "output_mb": table.build_output_mb,
    }


def within_limits(plan: Plan, inputs: Inputs) -> Plan:
    """Give the plan of sbuild the limits of its order; from form 2 on, also what keeps its log, its stage and its .udebs."""
    if "limits" in inputs:
        [command] = plan.commands
        limits = Limits.from_json(plain.mapping(inputs, "limits"))
        plan = replace(plan, commands=(replace(command, limits=limits),))
    if form_of(inputs) < 2:
        return plan
    codes = ", ".join(f"'{stage}' => {code}" for stage, code in _CODES.items())
    wrapper = _STAGED_SBUILD.replace("CODES", codes).replace("OURS", str(OURS))
    return replace(
        plan,
        templates={**plan.templates, "sbuild": wrapper},
        collect={**plan.collect, "udeb": "out/*.udeb"},
        keep_log=LOG,
    )
