"""Executing a job: steps in order, known results used again, every end judged by whose fault it is."""

import json
import os
import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime

import pytest
import sqlalchemy as sa
from tests.system.line import state_folder
from tests.worlds.rootfs import root_tar
from tests.worlds.work import Workshop, kind_of, shell, step, workshop

from distwright.builds.environment import environment_step
from distwright.errors import (
    BadConfig,
    BadInput,
    Busy,
    DistwrightError,
    Interrupted,
    Lost,
    NotFound,
    OutOfSpace,
    ProgramFailed,
    Refused,
    Unreachable,
    WorkFailed,
)
from distwright.jobs.lease import Ending
from distwright.jobs.limits import Limits
from distwright.jobs.step import (
    Action,
    Conclusion,
    Context,
    Earlier,
    Inputs,
    JobKind,
    Plan,
    PlannedCommand,
    Step,
    StepEnd,
    StepResult,
    Verdict,
    judge_by_exit,
)
from distwright.model.digests import Json, Sha256, canonical_json, sha256_of
from distwright.model.events import Event, EventKind
from distwright.model.findings import Finding
from distwright.model.outcomes import Outcome
from distwright.store.jobs import keep_step_result
from distwright.store.schema import step_results
from distwright.tools.sandbox import sandbox_for
from distwright.worker.execute import execute
from distwright.worker.runner import LocalRunner

pytestmark = pytest.mark.system


def said(shop: Workshop, *jobs: int) -> list[str]:
    """Give what the programs of jobs printed, which are our lines that begin with no time."""
    lines = [line for job in jobs for line in shop.log(job).splitlines()]
    return [line for line in lines if not re.match(r"\d\d:\d\d:\d\d ", line)]


# Steps


def test_steps_run_in_order_and_each_sees_what_came_before(shop: Workshop) -> None:
    def plan_second(inputs: Inputs, earlier: Earlier) -> Plan:
        script = f"read line <before; echo $line and {inputs['number']} >after"
        return Plan((shell(script),), place={"before": earlier["first"].outputs["out"]}, collect={"out": "after"})

    def look(context: Context, inputs: Inputs, earlier: Earlier) -> StepResult:
        text = context.objects.read(earlier["second"].outputs["out"])
        return StepResult({"seen": context.objects.put(b"seen: " + text)})

    kind = kind_of(
        step("echo one >out", name="first", collect={"out": "out"}), Step("second", plan_second), Action("look", look)
    )
    ending = execute(kind, {"number": 2}, shop.context())
    contents = {"first/out": b"one\n", "second/out": b"one and 2\n", "look/seen": b"seen: one and 2\n"}
    assert ending == Ending(Outcome.OK, "counted", {name: sha256_of(text) for name, text in contents.items()})
    assert shop.told == ['{"step": ["first", 1, 3]}', '{"step": ["second", 2, 3]}', '{"step": ["look", 3, 3]}']
    stages = [line[9:] for line in shop.log().splitlines() if line[9:11] in ("==", "ok")]
    assert stages == ["== first (1 of 3)", "== second (2 of 3)", "== look (3 of 3)", "ok: counted"]


def test_conclusion_gives_outputs_and_events_and_knows_the_job(shop: Workshop) -> None:
    def conclude(inputs: Inputs, _earlier: Earlier, now: datetime, job: int) -> Conclusion:
        body: dict[str, Json] = {"commit": str(inputs["number"]), "config": "x"}
        return Conclusion({"x": 1}, "done", [Event(EventKind.CONFIG_APPLIED, now, "x", body, job)])

    kind = JobKind(kind_of().kind, (), conclude)
    ending = execute(kind, {"number": 7}, shop.context(job=12))
    assert (ending.outcome, ending.outputs, ending.message) == (Outcome.OK, {"x": 1}, "done")
    ((event,),) = [ending.events]
    assert (event.body, event.job) == ({"commit": "7", "config": "x"}, 12)


def test_commands_begin_in_the_work_folder_and_know_its_place(shop: Workshop) -> None:
    script = 'test "$(pwd)" = "{work}"; test "$WHERE" = "{work}/x"; ./run >out'
    command = shell(script, environment=(("WHERE", "{work}/x"),))
    filled, verbatim = {"run": "#!/bin/sh\necho run in {work}; cat as-is\n"}, {"as-is": "not {work}\n"}
    kind = kind_of(step(command, templates=filled, write=verbatim, collect={"out": "out"}))
    ending = execute(kind, {}, shop.context(3, 4))
    folder = shop.paths.work / "3-4-count" / "files"
    assert ending.outputs == {"count/out": sha256_of(f"run in {folder}\nnot {{work}}\n".encode())}
    assert list(shop.paths.work.iterdir()) == [], "nothing of it stays"


def test_work_folder_is_removed_after_a_failure_too(shop: Workshop) -> None:
    execute(kind_of(step("mkdir -p a/b; chmod 0 a; exit 1")), {}, shop.context())
    assert list(shop.paths.work.iterdir()) == []


# What is known already


def test_same_plan_is_not_run_twice_even_in_another_job(shop: Workshop) -> None:
    kind = kind_of(step("echo x; echo result >out", collect={"out": "out"}))
    endings = [execute(kind, {}, shop.context(job)) for job in (1, 2, 3)]
    assert endings == [Ending(Outcome.OK, "counted", {"count/out": sha256_of(b"result\n")})] * 3
    assert said(shop, 1, 2, 3) == ["x"]
    assert "count is known already" in shop.log(3)


@pytest.mark.parametrize("lost", ["the output", "the result"])
def test_step_whose_result_is_gone_is_run_again(shop: Workshop, lost: str) -> None:
    """Retention may have taken it: a name in a table is no proof of the bytes."""
    kind = kind_of(step("echo x; echo result >out", collect={"out": "out"}))
    output = sha256_of(b"result\n")
    execute(kind, {}, shop.context(1))
    (result,) = set(shop.objects.digests()) - {output}
    shop.objects.path(output if lost == "the output" else result).unlink()
    ending = execute(kind, {}, shop.context(2))
    assert (ending.outputs, shop.objects.read(output)) == ({"count/out": output}, b"result\n")
    assert said(shop, 1, 2) == ["x", "x"]


def test_command_without_the_shelf_reaches_nothing_of_this_machine(shop: Workshop) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        command = shell(f"curl -s -m 3 http://127.0.0.1:{listener.getsockname()[1]}/")
        ending = execute(kind_of(step(command)), {}, shop.context())
        assert ending == Ending(Outcome.FAILED, "count: sh ended with exit 7"), "curl: failed to connect"


def test_step_that_is_to_be_repeated_is_run_each_time(shop: Workshop) -> None:
    kind = kind_of(step("echo x", repeat=True))
    for job in (1, 2):
        execute(kind, {}, shop.context(job))
    assert said(shop, 1, 2) == ["x", "x"]


def test_known_result_is_judged_as_its_step_is_judged_today(shop: Workshop) -> None:
    """A judge that learned to see something must not be silenced by what was kept before it did."""

    def stricter(end: StepEnd) -> Verdict:
        found = [Finding("test.warning", "warning", "count", line) for line in end.ends[0].tail]
        return Verdict(Outcome.FAILED if "worse" in end.ends[0].tail else Outcome.OK, "looked", found)

    for word in ("bad", "worse"):
        before = step(f"echo {word}; echo {word} >out", collect={"out": "out"})
        assert execute(kind_of(before), {}, shop.context(1)).outcome is Outcome.OK
    ending = execute(
        kind_of(replace(step("echo bad; echo bad >out", collect={"out": "out"}), judge=stricter)), {}, shop.context(2)
    )
    assert ending.outcome is Outcome.OK
    assert "count is known already" in shop.log(2)
    assert b"test.warning" in shop.objects.read(ending.evidence["findings"])
    ending = execute(
        kind_of(replace(step("echo worse; echo worse >out", collect={"out": "out"}), judge=stricter)),
        {},
        shop.context(3),
    )
    assert ending.outcome is Outcome.FAILED
    assert "count is known already" not in shop.log(3)


def test_result_that_version_0_1_0_kept_is_still_known(shop: Workshop) -> None:
    kind = kind_of(step("echo x; echo result >out", collect={"out": "out"}))
    execute(kind, {}, shop.context(1))
    with shop.database.read() as tx:
        ((key, digest),) = tx.connection.execute(sa.select(step_results.c.key, step_results.c.result)).all()
    document = json.loads(shop.objects.read(Sha256(digest)))
    del document["ends"]
    with shop.database.write() as tx:
        keep_step_result(tx, Sha256(key), "count", shop.objects.put(canonical_json(document)), shop.context().now())
    execute(kind, {}, shop.context(2))
    assert "count is known already" in shop.log(2)


def test_what_commands_print_is_kept_however_they_end_and_is_read_again_for_the_judge(shop: Workshop) -> None:
    seen: list[str] = []

    def note(end: StepEnd) -> Verdict:
        seen.append(end.log)
        return judge_by_exit(end)

    for script, outcome in (("echo two >&2; exit 3", Outcome.FAILED), ("printf 'two\\033[2J'", Outcome.OK)):
        kind = kind_of(replace(step("echo one", script, keep_log="log"), judge=note))
        ending = execute(kind, {}, shop.context())
        assert ending.outcome is outcome
        left = ending.evidence if outcome is Outcome.FAILED else ending.outputs or {}
        assert shop.objects.read(Sha256(str(left["count/log"]))) in (b"one\ntwo\n", b"one\ntwo\x1b[2J")
    assert seen == ["one\ntwo\n", "one\ntwo"]
    execute(kind, {}, shop.context(2))
    assert "count is known already" in shop.log(2)
    assert seen[2:] == ["one\ntwo"]
    assert shop.log().count("one\n") == 2, "the live log is there as well"


def test_failure_is_not_remembered(shop: Workshop) -> None:
    kind = kind_of(step("case {work} in */2-1-*) ;; *) exit 1;; esac"))
    assert execute(kind, {}, shop.context(1)).outcome is Outcome.FAILED
    assert execute(kind, {}, shop.context(2)).outcome is Outcome.OK


def test_identity_of_a_plan_is_all_of_it_and_the_versions_of_its_programs(shop: Workshop) -> None:
    digest = sha256_of(b"")
    command = PlannedCommand(("true",), 1)
    plan = Plan((command,), place={"a": digest}, write={"b": "c"}, collect={"d": "e"})
    others = [
        replace(plan, commands=()),
        replace(plan, commands=(replace(command, argv=("false",)),)),
        replace(plan, commands=(replace(command, timeout_s=2),)),
        replace(plan, commands=(replace(command, root=digest),)),
        replace(plan, commands=(replace(command, reads_shelf=True),)),
        replace(plan, commands=(replace(command, until="x"),)),
        replace(plan, commands=(replace(command, never="x"),)),
        replace(plan, commands=(replace(command, environment=(("A", "b"),)),)),
        replace(plan, place={"a": sha256_of(b"x")}),
        replace(plan, write={"b": "d"}),
        replace(plan, collect={"d": "f"}),
        replace(plan, programs=("dpkg",)),
        replace(plan, keep_log="log"),
    ]
    runner = LocalRunner(shop.context())
    keys = [runner.key(one) for one in (plan, *others)]
    assert len(set(keys)) == len(keys)
    assert runner.key(replace(plan, place=dict(plan.place))) == keys[0]
    limited = replace(plan, commands=(replace(command, limits=Limits(memory_mb=1, hours=9)),))
    assert runner.key(limited) == keys[0], "what ended well within limits is what would have without"


# How commands end


def test_program_whose_plan_says_no_limits_has_those_of_the_machine(shop: Workshop) -> None:
    context = shop.context()
    assert min(context.limits.memory_mb, context.limits.disk_mb, context.limits.processes, context.limits.output_mb) > 0
    context.limits = Limits(memory_mb=100, disk_mb=100, processes=50, output_mb=1)
    hog = "my @held; push @held, 'x' x (16 << 20) while 1"
    small, own = Outcome.BROKEN, Outcome.FAILED  # a machine of 100 MB is too small for anybody
    planned = Limits(memory_mb=200, disk_mb=500)
    for command, outcome, cut in (
        (PlannedCommand(("perl", "-e", hog), 60), small, "memory limit of 100 MB"),
        (PlannedCommand(("perl", "-e", hog), 60, limits=planned), own, "memory limit of 200 MB"),
        (shell("cat /dev/zero >x; sleep 100"), small, "disk limit of 100 MB"),
        (shell("for i in $(seq 100); do sleep 100 & done; wait"), own, "process limit of 50"),
        (shell("yes; true"), own, "output limit of 1 MB"),
    ):
        ending = execute(kind_of(step(command, repeat=True)), {}, context)
        assert (ending.outcome, cut in ending.message) == (outcome, True), ending.message


def test_hours_of_the_limits_are_the_time_of_a_program(shop: Workshop) -> None:
    command = PlannedCommand(("sleep", "1.5"), 1, limits=Limits(hours=1))
    assert execute(kind_of(step(command)), {}, shop.context()).outcome is Outcome.OK


def test_first_command_that_fails_is_the_last(shop: Workshop) -> None:
    kind = kind_of(
        step("echo one", "echo no good >&2; exit 7", "echo three"),
        step("echo four", name="later"),
    )
    ending = execute(kind, {}, shop.context())
    assert ending == Ending(Outcome.FAILED, "count: sh ended with exit 7: no good")
    assert said(shop, 1) == ["one", "no good"]
    assert shop.log().splitlines()[-1][9:] == "failed: count: sh ended with exit 7: no good"


ENDS: Mapping[str, tuple[PlannedCommand, Outcome, str]] = {
    "time": (shell("sleep 1000", timeout_s=0), Outcome.TIMED_OUT, "count: sh: time limit of 0 s"),
    "until": (shell("echo login:; sleep 1000; true", until="login:"), Outcome.OK, "counted"),
    "not until": (
        shell("echo logout", until="login:"), Outcome.FAILED, "count: sh ended with the end, without showing 'login:': logout",
    ),
    "never": (
        shell("echo Kernel panic; sleep 1000; true", until="login:", never="panic"), Outcome.FAILED,
        "count: sh ended with 'panic' in its output: Kernel panic",
    ),
    "signal": (shell("sh -c 'kill -SEGV $$' || exit"), Outcome.FAILED, "count: sh ended with exit 139: Segmentation fault"),
    "talk of a full disk": (
        shell("echo cp: error writing x: No space left on device >&2; exit 1"), Outcome.FAILED,
        "count: sh ended with exit 1: cp: error writing x: No space left on device",
    ),
    "missing program": (
        PlannedCommand(("no-such-program",), 60), Outcome.BROKEN, "count: program no-such-program is not installed here",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("command", "outcome", "message"), ENDS.values(), ids=ENDS)
def test_end_of_a_command_is_judged(shop: Workshop, command: PlannedCommand, outcome: Outcome, message: str) -> None:
    ending = execute(kind_of(step(command)), {}, shop.context())
    assert (ending.outcome, ending.message.replace(str(shop.paths.work / "1-1-count"), "WORK").partition(" (")[0]) == (
        outcome,
        message,
    )


def test_missing_package_of_the_host_is_our_fault_and_named(shop: Workshop) -> None:
    ending = execute(kind_of(step("true", programs=("dpkg", "no-such-package"))), {}, shop.context())
    assert ending == Ending(
        Outcome.BROKEN,
        "count: Debian packages are not installed here: no-such-package (sudo apt-get install no-such-package)",
    )


@pytest.mark.parametrize(
    ("script", "outcome"), [("exit 1", Outcome.BROKEN), ("sleep 9", Outcome.BROKEN), ("true", Outcome.OK)]
)
def test_environment_that_cannot_be_made_is_never_the_fault_of_the_work(
    shop: Workshop, script: str, outcome: Outcome
) -> None:
    judged = replace(step(shell(script, timeout_s=1)), judge=environment_step("environment", "environment").judge)
    assert execute(kind_of(judged), {}, shop.context()).outcome is outcome


@pytest.mark.parametrize("script", ["true", "ln -s /etc/passwd out", "mkdir out", "mkfifo out"])
def test_output_that_is_missing_or_no_file_is_the_fault_of_the_work(shop: Workshop, script: str) -> None:
    ending = execute(kind_of(step(script, collect={"out": "out"})), {}, shop.context())
    assert (ending.outcome, "out" in ending.message) == (Outcome.FAILED, True)


def test_input_that_is_gone_from_the_store_is_our_fault(shop: Workshop) -> None:
    gone = sha256_of(b"gone")
    ending = execute(kind_of(step("true", place={"x": gone})), {}, shop.context())
    assert (ending.outcome, ending.message.partition(" (")[0]) == (Outcome.BROKEN, f"count: object {gone} is not here")
    ending = execute(kind_of(step(shell("true", root=gone))), {}, shop.context())
    assert (ending.outcome, str(gone) in ending.message) == (Outcome.BROKEN, True)


def test_cancel_stops_between_steps_and_within_a_command(shop: Workshop) -> None:
    shop.is_cancelled = lambda: shop.paths.job_log(1, 1).exists() and "cancel me" in said(shop, 1)
    kind = kind_of(step("echo cancel me; sleep 1000; true"), step("true", name="later"))
    assert execute(kind, {}, shop.context()) == Ending(Outcome.CANCELLED, "cancelled in step count")
    assert execute(kind, {}, shop.context()) == Ending(Outcome.CANCELLED, "cancelled in step count")
    assert "later" not in shop.log()


# Actions and whose fault it is

FAULTS: Mapping[type[DistwrightError], Outcome] = {
    WorkFailed: Outcome.FAILED,
    Refused: Outcome.FAILED,
    BadInput: Outcome.FAILED,
    NotFound: Outcome.FAILED,
    Lost: Outcome.BROKEN,
    Unreachable: Outcome.BROKEN,
    ProgramFailed: Outcome.BROKEN,
    OutOfSpace: Outcome.BROKEN,
    Busy: Outcome.BROKEN,
    BadConfig: Outcome.BROKEN,
    DistwrightError: Outcome.BROKEN,
}


@pytest.mark.parametrize(("error", "outcome"), FAULTS.items(), ids=[error.__name__ for error in FAULTS])
def test_error_of_an_action_is_of_the_work_or_of_the_world(
    shop: Workshop, error: type[DistwrightError], outcome: Outcome
) -> None:
    def fail(_context: Context, _inputs: Inputs, _earlier: Earlier) -> StepResult:
        raise error("it went wrong", hint="do this")

    ending = execute(kind_of(Action("act", fail)), {}, shop.context())
    assert ending == Ending(outcome, "act: it went wrong (do this)")


def test_interrupted_action_is_cancelled(shop: Workshop) -> None:
    def stop(_context: Context, _inputs: Inputs, _earlier: Earlier) -> StepResult:
        raise Interrupted("stopped", hint="retry")

    assert execute(kind_of(Action("act", stop)), {}, shop.context()) == Ending(
        Outcome.CANCELLED, "cancelled in step act"
    )


@pytest.mark.parametrize("where", ["plan", "action", "conclusion"])
def test_error_is_named_wherever_it_comes_from_and_a_bug_is_let_through(shop: Workshop, where: str) -> None:
    """The child process of the attempt catches bugs, with their traceback; see worker/child.py."""

    def kind_that(fail: Callable[..., object]) -> JobKind:
        if where == "plan":
            return kind_of(Step("act", fail))  # type: ignore[arg-type]
        if where == "action":
            return kind_of(Action("act", fail))  # type: ignore[arg-type]
        return replace(kind_of(), conclude=fail)  # type: ignore[arg-type]

    def refuse(*_: object) -> object:
        raise Refused("no", hint="hint")

    def stumble(*_: object) -> object:
        raise KeyError("x")

    assert execute(kind_that(refuse), {}, shop.context()).outcome is Outcome.FAILED
    with pytest.raises(KeyError):
        execute(kind_that(stumble), {}, shop.context())


# Roots


def test_rooted_command_runs_in_its_root_which_is_unpacked_once() -> None:
    with state_folder() as folder:
        shop = workshop(folder / "state", sandbox_for(os.geteuid()))
        root = shop.objects.put(root_tar())
        script = "pwd >out; echo {work} >>out; ls / >>out; touch /etc/changed"
        kind = kind_of(step(*[shell(script, root=root) for _ in range(2)], collect={"out": "out"}))
        ending = execute(kind, {}, shop.context())
        seen = b"/work\n/work\nbin\ndev\netc\nhome\nproc\nroot\nsys\ntmp\nwork\n"
        assert ending == Ending(Outcome.OK, "counted", {"count/out": sha256_of(seen)})
        (unpacked,) = shop.paths.roots.iterdir()
        assert (unpacked.name, sorted(file.name for file in (unpacked / "etc").iterdir())) == (root, ["owned"])
        before = unpacked.stat().st_ctime_ns
        again = execute(kind_of(step(shell("true", root=root))), {}, shop.context(2))
        assert (again.outcome, unpacked.stat().st_ctime_ns) == (Outcome.OK, before)
        shop.sandbox.remove(unpacked)
        shop.database.close()


def test_root_that_does_not_unpack_leaves_nothing() -> None:
    with state_folder() as folder:
        shop = workshop(folder / "state", sandbox_for(os.geteuid()))
        broken = shop.objects.put(root_tar()[:100_000])
        kind = kind_of(step(shell("true", root=broken)))
        assert execute(kind, {}, shop.context()).outcome is Outcome.BROKEN
        assert list(shop.paths.roots.iterdir()) == []
        shop.database.close()


def test_program_of_a_plan_that_is_no_virtual_machine_does_not_see_kvm(shop: Workshop) -> None:
    assert (
        execute(kind_of(step(shell("[ -e /dev/null ] && [ ! -e /dev/kvm ]"))), {}, shop.context()).outcome is Outcome.OK
    )
