"""Variations: chosen by the build, told to sbuild, and nothing else of the plan is another."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.habits.samples import EARLIER, INPUTS

from distwright.builds.package import plan_build
from distwright.checks.variations import LEAST_AHEAD_S, Variation, variation_of, varied
from distwright.errors import BadInput
from distwright.jobs.step import Plan
from distwright.model.digests import sha256_of

BUILD = sha256_of(b"build")
VARIATION = variation_of(BUILD, "greeter")
PLAN = plan_build(INPUTS["package.build"], EARLIER)


def test_the_same_build_always_gets_the_same_circumstances() -> None:
    assert variation_of(BUILD, "greeter") == VARIATION
    assert variation_of(sha256_of(b"another"), "greeter") != VARIATION


@given(st.binary())
def test_every_variation_is_another_in_everything(seed: bytes) -> None:
    one = variation_of(sha256_of(seed), "greeter")
    assert one.clock_ahead_s >= LEAST_AHEAD_S
    assert one.clock_ahead_s % 86_400, "another time of the day"
    assert 1000 < one.uid < 65_536
    assert one.umask != 0o022
    assert one.locale.endswith(".UTF-8")
    assert not one.timezone.startswith("UTC")
    assert one.build_path != "/build/greeter"
    assert len(one.user) <= 32, "useradd takes no more"
    assert Variation.from_json(one.to_json()) == one  # type: ignore[arg-type]  # a mapping


def test_a_variation_of_a_later_version_is_refused() -> None:
    given = {**VARIATION.to_json(), "kernel": "5.0"}  # type: ignore[dict-item]
    with pytest.raises(BadInput, match="kernel"):
        Variation.from_json(given)


def test_only_the_circumstances_are_planned_otherwise() -> None:
    other = varied(PLAN, VARIATION)
    before, after = PLAN.commands[0], other.commands[0]
    gone, come = set(before.argv) - set(after.argv), set(after.argv) - set(before.argv)
    assert gone == {"--build-path=/build/greeter"}
    assert come == {f"--build-path={VARIATION.build_path}", "--starting-build-commands=/second-build/prepare"}
    assert replace(other, commands=PLAN.commands, templates=PLAN.templates, write=PLAN.write) == PLAN
    assert replace(after, argv=before.argv) == before
    assert set(other.write) - set(PLAN.write) == {
        f"second-build/{name}" for name in ("start", "prepare", "other_clock.c")
    }
    assert other.templates["sbuildrc"].endswith(PLAN.templates["sbuildrc"])


def test_everything_that_is_varied_is_told() -> None:
    other = varied(PLAN, VARIATION)
    told = "".join((*other.write.values(), *other.templates.values(), *other.commands[0].argv))
    words = ("locale", "timezone", "user", "uid", "build_path", "hostname", "home", "clock_ahead_s")
    assert [word for word in words if str(getattr(VARIATION, word)) not in told] == []
    assert "umask 0002\n" in told
    assert "parallel=1" in told


def test_a_plan_that_is_no_build_is_refused() -> None:
    for plan in (
        Plan(()),
        Plan(PLAN.commands * 2),
        replace(PLAN, templates={**PLAN.templates, "sbuild": "exec sbuild"}),
    ):
        with pytest.raises(BadInput):
            varied(plan, VARIATION)
    with pytest.raises(BadInput, match="not that of a package build"):
        varied(PLAN, replace(VARIATION, cpus=2))
