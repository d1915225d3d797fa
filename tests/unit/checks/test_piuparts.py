"""piuparts: what of its log is the reason, and what is an answer."""

import pytest

from distwright.checks.piuparts import judge, reason_of
from distwright.jobs.step import CommandEnd, Plan, PlannedCommand, StepEnd
from distwright.model.outcomes import Outcome

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
    assert reason_of(COMMAND).startswith("Command failed (status=100): ['chroot'")
    assert reason_of(b"0m58.3s INFO: PASS: All tests.\n0m58.3s INFO: piuparts run ends.\n") == ""
    assert reason_of(b"\xff\x00 ERROR: " * 100) == ""


def test_a_reason_is_bounded() -> None:
    assert len(reason_of(b"0m1.0s ERROR: " + b"a" * 100_000)) <= 300


@pytest.mark.parametrize(
    ("exit_code", "cut", "last", "outcome"),
    [
        (0, "", "0m58.3s INFO: piuparts run ends.", Outcome.OK),
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
    plan = Plan((PlannedCommand(("./piuparts.sh",), 7200),))
    assert judge(StepEnd(plan, (CommandEnd(exit_code, cut, (last,)),), {}, ())).outcome is outcome
