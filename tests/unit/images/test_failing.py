"""Why an image does not build, in words that help."""

from datetime import UTC, datetime

import pytest

from distwright.images.failing import (
    COMPARING,
    asked_in,
    conclude_failed,
    judge_hooks,
    judge_layer,
    judge_replay,
    judge_root,
)
from distwright.jobs.step import CommandEnd, Failure, Plan, PlannedCommand, StepEnd
from distwright.model.outcomes import Outcome

# What mmdebstrap 1.3.5 prints, apt's words among it.
UNMET = """\
I: installing remaining packages inside the chroot...
The following packages have unmet dependencies:
 petrel-greeter : Depends: libnothere1 (>= 2) but it is not installable
E: Unable to correct problems, you have held broken packages.
E: run_chroot failed: E: apt-get --yes install failed
W: hooks listed are not run
"""
UNKNOWN = """\
I: downloading packages with apt...
E: Unable to locate package petrel-greter
E: apt-get --yes -oApt::Get::Download-Only=true install failed
I: main() received signal PIPE: waiting for setup...
"""


def end(tail: str, exit_code: int = 25, cut: str = "") -> StepEnd:
    plan = Plan((PlannedCommand(("mmdebstrap",), 60),))
    return StepEnd(plan, (CommandEnd(exit_code, cut, tuple(tail.splitlines())),), {}, ())


@pytest.mark.parametrize(
    ("tail", "reason"),
    [
        (UNMET, "petrel-greeter: Depends: libnothere1 (>= 2) but it is not installable"),
        (UNKNOWN, "E: Unable to locate package petrel-greter"),
    ],
)
def test_the_reason_is_the_one_of_apt(tail: str, reason: str) -> None:
    verdict = judge_root(end(tail))
    assert (verdict.outcome, verdict.message) == (Outcome.FAILED, f"packages cannot be installed: {reason}")


def test_what_apt_has_no_part_in_is_said_as_ever() -> None:
    assert judge_root(end("all well", 0)).outcome is Outcome.OK
    assert judge_root(end("mount: no", 1)).message == "mmdebstrap ended with exit 1: mount: no"
    assert judge_root(end(UNMET, 137, "time limit of 60 s")).outcome is Outcome.TIMED_OUT


def test_the_hook_that_failed_is_named_with_what_it_said() -> None:
    assert "\\x1b" in judge_hooks(end("hook a\n\x1b]0;title\x07\n", 1)).message, "as text"
    tail = "hook 0100-a.hook.chroot\nfine\nhook 0200-b.hook.chroot\nfour\nthree\ntwo\none\n"
    assert judge_hooks(end(tail, 3)).message == "hook 0200-b.hook.chroot failed with exit 3: 'three' | 'two' | 'one'"
    assert judge_hooks(end("hook 0100-a.hook.chroot\n", 1)).message.endswith("exit 1: it printed nothing")
    assert judge_hooks(end("tar: cannot\n", 2)).message == "mmdebstrap ended with exit 2: tar: cannot"
    asked = f"{tail}asking installed\nno dpkg\n"
    assert judge_hooks(end(asked, 1)).message == "asking the image for installed failed with exit 1: 'no dpkg'"
    assert judge_hooks(end(tail, 0)).outcome is Outcome.OK


def test_who_asked_is_named_and_how_to_look_into_it() -> None:
    asked_at = {"petrel-greeter=1.0": "package-lists/base.list.chroot:30", "sudo": "package-lists/base.list.chroot:12"}
    message = "root: packages cannot be installed: petrel-greeter: Depends: libnothere1 but it is not installable"
    failure = Failure("root", Outcome.FAILED, message, {}, ())
    said = conclude_failed({"asked_at": asked_at}, {}, failure, datetime(2026, 1, 1, tzinfo=UTC), 7).message
    assert said == (
        f"{message}; petrel-greeter is asked for by package-lists/base.list.chroot:30; look into it with: distwright job enter 7"
    )
    assert "asked for" not in conclude_failed({}, {}, failure, datetime(2026, 1, 1, tzinfo=UTC), 7).message


def test_only_whole_names_count() -> None:
    assert asked_in("E: Unable to locate package sudo-ldap", {"sudo": "a:1"}) == {}
    assert asked_in("E: Unable to locate package sudo", {"sudo": "a:1"}) == {"sudo": "a:1"}


def test_a_recipe_that_gives_something_else_is_told_from_one_that_fails() -> None:
    hooks = "hook 0100-a.hook.chroot\nfine\nasking names\n"
    assert judge_replay(end(f"{hooks}{COMPARING}\n./etc/a: Contents differ\n", 1)).message == (
        "the recipe gives something else when it is followed again: './etc/a: Contents differ'"
    )
    assert judge_replay(end(f"{hooks}{COMPARING}\n", 1)).message.endswith("again: attributes or times")
    assert (
        judge_replay(end("hook 0100-a.hook.chroot\nno\n", 1)).message
        == judge_hooks(end("hook 0100-a.hook.chroot\nno\n", 1)).message
    )
    assert judge_replay(end(f"{hooks}{COMPARING}\n", 0)).outcome is Outcome.OK
    assert judge_replay(end(f"{hooks}{COMPARING}\n", 9, "time limit of 60 s")).outcome is Outcome.TIMED_OUT


def test_what_dpkg_holds_against_a_layer_is_said_and_its_warnings_are_not() -> None:
    warning = (
        "dpkg: tern: dependency problems, but removing anyway as you requested:\ndpkg: warning: while removing tern\n"
    )
    problem = "dpkg: dependency problems prevent configuration of tern:\n"
    assert judge_layer(end(f"hook dpkg\n{warning}{problem} tern depends on gull.\n", 1)).message == (
        "packages cannot be installed over those that are there: 'dpkg: dependency problems prevent configuration of tern:'"
    )
    assert judge_layer(end(f"{warning}hook 0100-a.hook.chroot\nno\n", 1)).message == (
        "hook 0100-a.hook.chroot failed with exit 1: 'no'"
    )
    assert judge_layer(end(problem, 0)).outcome is Outcome.OK
