"""piuparts: what of its log is the reason, and what is an answer."""

from pathlib import Path

import pytest

from distwright.builds.environment import EnvironmentRecipe
from distwright.checks.piuparts import AGAINST, UNTRIED, VERDICT, judge, piuparts_order, plan, reason_of
from distwright.checks.piuparts import UNFETCHED as NO_FILES
from distwright.jobs.step import CommandEnd, Plan, PlannedCommand, ShelfEntry, StepEnd, StepResult
from distwright.model.digests import sha256_of
from distwright.model.outcomes import Outcome
from distwright.tools.run import Command, run

SHELF = (ShelfEntry("debian", "stable", sha256_of(b"state")),)
RECIPE = EnvironmentRecipe(SHELF, {"debian/stable": ("main",)}, "minbase", (), "amd64", 1)
LEFT_FILES = b"""\
0m35.2s INFO: Running scripts post_install
0m44.0s ERROR: FAIL: Package purging left files on system:
  /etc/greeter.state\t not owned
0m44.0s ERROR: FAIL: Installation and purging test.
0m44.9s ERROR: piuparts run ends.
"""
COMMAND = b"""\
0m27.1s ERROR: Command failed (status=100): ['chroot', '/work/tmp/x', 'apt-get', '-yf', 'install', './tmp/a.deb']
  Reading package lists...
  E: Unable to correct problems
0m27.2s ERROR: FAIL: Installation and purging test.
0m27.3s ERROR: piuparts run ends.
"""


def test_the_first_thing_that_is_wrong_is_the_reason() -> None:
    assert reason_of(LEFT_FILES) == "Package purging left files on system: /etc/greeter.state\\t not owned"
    assert reason_of(COMMAND).startswith("E: Unable to correct problems (Command failed (status=100): ['chroot'")
    refused = COMMAND.replace(
        b"E: Unable",
        b"dpkg: error processing archive a.deb (--unpack):\n   new pre-installation script failed\n  E: Un",
    )
    assert reason_of(refused).startswith(
        "dpkg: error processing archive a.deb (--unpack): new pre-installation script failed ("
    )
    assert reason_of(b"0m58.3s INFO: PASS: All tests.\n0m58.3s INFO: piuparts run ends.\n") == ""
    assert reason_of(b"\xff\x00 ERROR: " * 100) == ""


def test_a_reason_is_bounded() -> None:
    assert len(reason_of(b"0m1.0s ERROR: " + b"a" * 100_000)) <= 300


SET_UP = "0m20.0s INFO: Running scripts post_setup\n"
BEGUN = f"{SET_UP}0m21.0s INFO: Running scripts pre_test\n"
LONG = "".join(f"  Setting up package{number} ...\n" for number in range(100))
UNFETCHED = "  E: Failed to fetch http://127.0.0.1/pool/a.deb  500\n  E: Unable to fetch some archives\n"


def failed(*argv: str, output: str = LONG) -> str:
    return f"0m27.1s ERROR: Command failed (status=100): {list(argv)!r}\n{output}0m27.3s ERROR: piuparts run ends.\n"


INSTALL = ("chroot", "/work/tmp/x", "apt-get", "-y", "install", "./tmp/a.deb")


@pytest.mark.parametrize(
    ("log", "exit_code"),
    [
        (LEFT_FILES.decode(), AGAINST),
        (BEGUN + failed(*INSTALL), AGAINST),
        (BEGUN + failed(*INSTALL, output=UNFETCHED), NO_FILES),
        (BEGUN + failed("mount", "-t", "proc"), UNTRIED),
        (SET_UP + failed("chroot", "/work/tmp/x", "apt-get", "-yf", "dist-upgrade"), UNTRIED),
        (SET_UP + failed("chroot", "/work/tmp/x", "apt-get", "update", output=UNFETCHED), NO_FILES),
        (f"{BEGUN}0m44.0s ERROR: Could not install a.\n", AGAINST),
        (f"{BEGUN}  0m44.0s ERROR: FAIL: a script printed this\n", UNTRIED),
        ("0m1.0s INFO: FAIL: All tests. Package cannot be tested with piuparts: a.\n", AGAINST),
        ("", UNTRIED),
    ],
)
def test_the_log_says_whose_fault_it_is(tmp_path: Path, log: str, exit_code: int) -> None:
    (tmp_path / "piuparts.log").write_text(log)
    for status, ends in ((1, exit_code), (0, 0)):
        command = Command(("/bin/sh", "-c", f"set -eu; status={status}\n{VERDICT}"), timeout_s=20, cwd=tmp_path)
        assert run(command).exit_code == ends


def test_what_was_asked_before_forms_is_planned_as_it_was() -> None:
    earlier = {name: StepResult({"root": sha256_of(b"root")}) for name in ("testbed", "checkers")}
    order = piuparts_order("greeter", "1.0", {}, state=RECIPE, testbed=RECIPE, checkers=RECIPE)
    without = {key: value for key, value in order.inputs.items() if key != "form"}
    forms = (without, {**without, "form": 2}, order.inputs)
    first, second, third = (plan(inputs, earlier).write["piuparts.sh"] for inputs in forms)
    assert first.endswith("status=$?\necho $status >status\nexit $status\n")
    assert second == first.removesuffix("exit $status\n") + VERDICT
    assert "--testdebs-repo" not in second
    assert "--testdebs-repo=/var/local/tested in/*.deb" in third


@pytest.mark.parametrize(
    ("exit_code", "cut", "last", "outcome"),
    [
        (0, "", "0m58.3s INFO: piuparts run ends.", Outcome.OK),
        (AGAINST, "", "0m44.0s ERROR: piuparts run ends.", Outcome.OK),
        (NO_FILES, "", "0m44.0s ERROR: piuparts run ends.", Outcome.BROKEN),
        (UNTRIED, "", "0m44.0s ERROR: FAIL: is not believed", Outcome.BROKEN),
        (1, "", "0m44.0s ERROR: FAIL: Installation and purging test.", Outcome.OK),
        (1, "", "0m1.0s ERROR: Command failed (status=1): ['mount']", Outcome.OK),
        (1, "", "Traceback (most recent call last):", Outcome.BROKEN),
        (127, "", "./piuparts.sh: piuparts: not found", Outcome.BROKEN),
        (137, "time limit of 7200 s", "", Outcome.TIMED_OUT),
    ],
)
def test_only_what_it_holds_against_the_packages_is_an_answer(
    exit_code: int, cut: str, last: str, outcome: Outcome
) -> None:
    planned = Plan((PlannedCommand(("./piuparts.sh",), 7200),))
    assert judge(StepEnd(planned, (CommandEnd(exit_code, cut, (last,)),), {}, ())).outcome is outcome
