"""piuparts: do packages install, upgrade from what a state has, and go again without a trace? In a testbed of their own."""

import re
from collections.abc import Mapping
from datetime import datetime
from itertools import takewhile

from distwright.builds.environment import EnvironmentRecipe
from distwright.builds.first_error import first_error
from distwright.checks.testbeds import ROOTS, inputs_of, judge_checker, plan_in_testbed, state_of
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

KIND = KindName("package.piuparts", 1)
_TIMEOUT_S = 2 * 3600
_LOG_BYTES = 8 << 20
_REASON = re.compile(r"\s*\d+m[\d.]+s ERROR: (?:FAIL: )?(.*)")
_CONTINUED = re.compile(r" {2}(.*)")

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
# What piuparts installs first is all that the packages depend on, and those of one source depend on each other, in the very
# version that no archive has yet: so they stand in one of their own, in the root, which goes before every other.
_REPO = "/var/local/tested"
_WITH_REPO = f"""mkdir -p base{_REPO}
cp in/*.deb base{_REPO}/
for deb in in/*.deb; do
    dpkg-deb --field "$deb" | sed '/^$/d'
    printf 'Filename: ./%s\\nSize: %s\\n' "${{deb#in/}}" "$(stat --format %s "$deb")"
    printf 'SHA256: %s\\n\\n' "$(sha256sum <"$deb" | cut --delimiter ' ' --fields 1)"
done >base{_REPO}/Packages
{{
    printf 'Label: tested\\nDate: Thu, 01 Jan 1970 00:00:00 UTC\\nSHA256:\\n'
    printf ' %s %s Packages\\n' "$(sha256sum <base{_REPO}/Packages | cut --delimiter ' ' --fields 1)" \\
        "$(stat --format %s base{_REPO}/Packages)"
}} >base{_REPO}/Release
printf 'Package: *\\nPin: release l=tested\\nPin-Priority: 1001\\n' >base/etc/apt/preferences.d/tested
"""
_END_OF_FORM_1 = "exit $status\n"

# piuparts ends with 1 whatever happened (its `panic`), so its log must say whose fault that is: lines of its own begin with the
# time, what programs printed is indented. Set-up is over when it runs the scripts of pre_test.
AGAINST, UNFETCHED, UNTRIED = 101, 102, 103
VERDICT = f"""[ $status != 0 ] || exit 0
! grep -qE '^ +E: (Failed to fetch |Unable to fetch |Some index files failed to download)' piuparts.log || exit {UNFETCHED}
at='^[0-9]+m[0-9.]+s'
! grep -qE "$at (ERROR|INFO): FAIL: " piuparts.log || exit {AGAINST}
sed '1,/ INFO: Running scripts pre_test$/d' piuparts.log >tested.log
! grep -qE "$at ERROR: (Could not install |Command failed \\(status=-?[0-9]+\\): \\['chroot', )" tested.log || exit {AGAINST}
exit {UNTRIED}
"""


def _script(form: int) -> str:
    repo, chosen = (_WITH_REPO, f"--testdebs-repo={_REPO} ") if form >= 3 else ("", "")
    end = VERDICT if form >= 2 else _END_OF_FORM_1
    return f"""#!/bin/sh
set -eu
./unpack.sh base
ln -sf pts/ptmx base/dev/ptmx
{repo}mkdir tmp
PATH=/work/bin:$PATH
export PATH
status=0
piuparts --existing-chroot=base --tmpdir=/work/tmp --bindmount=/dev --keep-sources-list --distribution="$1" --no-eatmydata \\
    --no-adequate --do-not-verify-signatures --warn-on-others --scriptsdir=/etc/piuparts/scripts --log-level=info \\
    --log-file=piuparts.log {chosen}in/*.deb || status=$?
echo $status >status
{end}"""


# inputs: source, version, debs (file name -> digest), environment (the state with what they are upgraded from), testbed, checkers,
# form: 2 since the script says whose fault it is, 3 since the packages stand in a repo of their own; absent: 1.


def piuparts_order(
    source: str, version: str, debs: Mapping[str, Sha256], *, state: EnvironmentRecipe, testbed: EnvironmentRecipe,
    checkers: EnvironmentRecipe,
) -> JobOrder:  # fmt: skip
    """Order that packages are installed, upgraded to from a state, and removed. testbed: what the root is made of."""
    inputs: dict[str, Json] = {
        "source": source,
        "version": version,
        "debs": {name: str(digest) for name, digest in sorted(debs.items())},
        **inputs_of(state, testbed, checkers),
        "form": 3,
    }
    return JobOrder(KIND, inputs, f"install, upgrade and remove {source} {version}", priority=PRIORITY_DAILY)


def plan(inputs: Inputs, earlier: Earlier) -> Plan:
    """Plan piuparts on all packages at once, as they come from one source."""
    form = plain.number(inputs, "form") if "form" in inputs else 1
    return plan_in_testbed(
        inputs, earlier, ("./piuparts.sh", state_of(inputs).shelf[0].suite), _TIMEOUT_S,
        place={f"in/{name}": digest for name, digest in plain.digest_map(inputs, "debs").items()},
        write={"piuparts.sh": _script(form), "bin/mount": _MOUNT, "bin/umount": _UMOUNT},
        collect={"log": "piuparts.log", "status": "status"},
    )  # fmt: skip


def judge(end: StepEnd) -> Verdict:
    """Judge the program, not the packages: what it holds against them is an answer. That it could not try is ours.

    So a package whose scripts print what apt says when it cannot fetch is tried three times, and then not told.
    """
    return judge_checker(end, _trouble)


def _trouble(end: CommandEnd) -> str:
    is_of_form_1 = end.exit_code == 1 and any("FAIL: " in line or "Command failed" in line for line in end.tail)
    if end.exit_code == AGAINST or is_of_form_1:
        return ""
    if end.exit_code == UNFETCHED:
        return "piuparts could not try: apt could not fetch what is there"
    last = f": {end.tail[-1]}" if end.tail else ""
    return f"piuparts could not try: exit {end.exit_code}{last}"


def reason_of(log: bytes) -> str:
    """Say what piuparts held against the packages first, after what a program said was wrong, or before the line that follows.

    "" if it does not say.
    """
    lines = log.decode(errors="replace").splitlines()
    for number, line in enumerate(lines):
        match = _REASON.fullmatch(line)
        if match is None or match[1] == "piuparts run ends.":
            continue
        printed = [more[1] for more in takewhile(bool, map(_CONTINUED.fullmatch, lines[number + 1 :])) if more]
        error = first_error("\n".join(printed))
        if error is not None:
            return shown(f"{error.line} ({match[1]})")
        return shown(f"{match[1]} {next((text.strip() for text in printed), '')}".strip())
    return ""


def _read(context: Context, _inputs: Inputs, earlier: Earlier) -> StepResult:
    kept = earlier["piuparts"].outputs
    passed = context.objects.read(kept["status"]).strip() == b"0"
    with context.objects.open(kept["log"]) as log:
        why = "" if passed else reason_of(log.read(_LOG_BYTES)) or "piuparts does not say why"
    return StepResult({}, values={"passed": passed, "why": why})


def _conclude(inputs: Inputs, earlier: Earlier, _now: datetime, _job: int) -> Conclusion:
    values = earlier["read"].values
    said = "installs, upgrades and goes" if plain.flag(values, "passed") else plain.text(values, "why")
    return Conclusion(dict(values), f"{inputs['source']} {inputs['version']}: {said}")


PACKAGE_PIUPARTS = JobKind(
    KIND, (*ROOTS, Step("piuparts", plan, judge), Action("read", _read, Where.ANYWHERE)), _conclude
)
