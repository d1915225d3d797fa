"""A person in the place of a step's programs: what is there, what is seen, and what is left."""

import os
from collections.abc import Iterator
from dataclasses import replace

import pytest
from tests.system.line import state_folder
from tests.worlds.rootfs import root_tar
from tests.worlds.work import Workshop, kind_of, nothing, workshop

from distwright.errors import NotFound, Refused
from distwright.jobs.step import Action, JobKind, Plan, PlannedCommand, Step
from distwright.model.digests import sha256_of
from distwright.model.outcomes import Outcome
from distwright.tools.sandbox import sandbox_for
from distwright.worker.enter import enter, step_to_enter
from distwright.worker.execute import execute

pytestmark = pytest.mark.system
ROOT = sha256_of(root_tar())
SCRIPT = "#!/bin/sh\nset -eu\ncp input made\nexit 3\n"


@pytest.fixture
def shop() -> Iterator[Workshop]:
    with state_folder() as folder:
        sandbox = sandbox_for(os.geteuid())
        shop = workshop(folder / "state", sandbox)
        shop.objects.put(root_tar())
        shop.objects.put(b"given\n")
        yield shop
        shop.database.close()


def failing() -> JobKind:
    """Give a kind whose second step fails in a root."""
    first = Plan((PlannedCommand(("sh", "-c", "echo one >one"), 20),), collect={"one": "one"})
    command = PlannedCommand(("./fails.sh", "{work}"), 20, root=ROOT, environment=(("EPOCH", "7"),))
    second = Plan(
        (command,), place={"input": sha256_of(b"given\n")}, write={"fails.sh": SCRIPT}, collect={"made": "made"}
    )
    return kind_of(
        Step("first", lambda _inputs, _earlier: first),
        Action("notes", nothing),
        Step(
            "second",
            lambda _inputs, earlier: replace(second, write={**second.write, "one": earlier["first"].outputs["one"]}),
        ),
    )


def test_the_step_that_failed_is_entered_and_its_script_can_be_run_again(
    shop: Workshop, capfd: pytest.CaptureFixture[str]
) -> None:
    kind, context = failing(), shop.context()
    assert execute(kind, {}, context).outcome is Outcome.FAILED
    name, plan = step_to_enter(kind, {}, context)
    said: list[str] = []
    program = (
        "sh",
        "-c",
        './fails.sh; echo "$? $EPOCH $PWD $(cat made) $(ls /etc/machine-of-the-host 2>&1 | wc -l)"; exit 5',
    )
    assert (name, enter(context, plan, said.append, program)) == ("second", 5)
    assert said == ["./fails.sh /work"]
    assert capfd.readouterr().out.splitlines() == ["3 7 /work given 1"]
    assert list(shop.paths.work.iterdir()) == []


def test_a_step_is_entered_by_its_name_once_those_before_it_are_known(shop: Workshop) -> None:
    kind, context = failing(), shop.context()
    with pytest.raises(Refused, match="step first has no result"):
        step_to_enter(kind, {}, context, "second")
    assert step_to_enter(kind, {}, context)[0] == "first"
    execute(kind, {}, context)
    assert step_to_enter(kind, {}, context, "first")[0] == "first"
    with pytest.raises(NotFound, match="has no step 'third'"):
        step_to_enter(kind, {}, context, "third")


def test_nothing_is_left_to_be_entered_where_all_went_well(shop: Workshop) -> None:
    plan = Plan((PlannedCommand(("sh", "-c", "echo one >one"), 20),), collect={"one": "one"})
    kind, context = kind_of(Step("first", lambda _inputs, _earlier: plan)), shop.context()
    assert execute(kind, {}, context).outcome is Outcome.OK
    with pytest.raises(Refused, match="every step of this job is known"):
        step_to_enter(kind, {}, context)
