"""What a step leaves besides its verdict: evidence of failures, findings, and results that others hold."""

import json
from dataclasses import replace
from datetime import datetime

import pytest
from tests.worlds.work import Workshop, kind_of, step

from distwright.jobs.lease import Ending
from distwright.jobs.step import Conclusion, Earlier, Failure, Inputs, Step, StepEnd, Verdict, judge_by_exit
from distwright.model.digests import Json, sha256_of
from distwright.model.events import Event, EventKind
from distwright.model.findings import Finding
from distwright.model.outcomes import Outcome
from distwright.store.holds import all_holds
from distwright.worker.execute import execute

pytestmark = pytest.mark.system


def test_judge_of_a_step_has_the_last_word(shop: Workshop) -> None:
    def judge(end: StepEnd) -> Verdict:
        (ended,) = end.ends
        return Verdict(Outcome.OK if ended.exit_code == 3 else Outcome.SKIPPED, f"{ended.exit_code} {ended.tail}")

    def judged(name: str, script: str) -> Ending:
        return execute(kind_of(replace(step(script, name=name), judge=judge)), {}, shop.context())

    assert judged("right", "echo x; exit 3") == Ending(Outcome.OK, "counted", {})
    assert judged("wrong", "echo y") == Ending(Outcome.SKIPPED, "wrong: 0 ('y',)")


def test_step_whose_judge_accepts_a_failed_exit_keeps_its_outputs(shop: Workshop) -> None:
    """And the cached result has them too, not nothing by accident."""

    def accept(end: StepEnd) -> Verdict:
        return Verdict(Outcome.OK, "ok") if end.ends[-1].exit_code == 3 else judge_by_exit(end)

    kind = kind_of(replace(step("echo result >out; exit 3", collect={"out": "out"}), judge=accept))
    endings = [execute(kind, {}, shop.context(job)) for job in (1, 2)]
    assert endings == [Ending(Outcome.OK, "counted", {"count/out": sha256_of(b"result\n")})] * 2
    assert "count is known already" in shop.log(2)
    missing = kind_of(replace(step("exit 3", collect={"out": "out"}), judge=accept))
    assert execute(missing, {}, shop.context(3)).outcome is Outcome.FAILED


@pytest.mark.parametrize(
    ("script", "left"),
    [("exit 1", ("log", "shot/a.png")), ("rm log; exit 1", ("shot/a.png",)), ("ln -sf x log; exit 1", ("shot/a.png",))],
)
def test_failed_step_leaves_its_evidence(shop: Workshop, script: str, left: tuple[str, ...]) -> None:
    texts = {"log": b"lines\n", "shot/a.png": b"picture\n"}
    begin = "echo lines >log; echo picture >a.png; echo built >out; "
    kind = kind_of(step(begin + script, collect={"out": "out"}, collect_always={"log": "log", "shot": "*.png"}))
    ending = execute(kind, {}, shop.context())
    assert (ending.outcome, ending.outputs) == (Outcome.FAILED, None)
    assert ending.evidence == {f"count/{name}": sha256_of(texts[name]) for name in left}
    assert all(shop.objects.has(digest) for digest in ending.evidence.values())
    assert ("log is not kept" in shop.log()) == ("log" not in left)


def test_what_is_always_collected_is_an_output_like_others_when_all_is_well(shop: Workshop) -> None:
    kind = kind_of(step("echo lines >log; echo built >out", collect={"out": "out"}, collect_always={"log": "log"}))
    ending = execute(kind, {}, shop.context())
    assert ending.outputs == {"count/out": sha256_of(b"built\n"), "count/log": sha256_of(b"lines\n")}


@pytest.mark.parametrize("outcome", [Outcome.OK, Outcome.FAILED])
def test_findings_of_all_steps_are_kept_and_known_results_still_have_theirs(shop: Workshop, outcome: Outcome) -> None:
    def find(name: str, end: Outcome) -> Step:
        finding = Finding("lintian", name, "greeter", "line 1")
        return replace(step(f"echo {name}", name=name), judge=lambda _end: Verdict(end, "looked", [finding]))

    kind = kind_of(find("first", Outcome.OK), find("second", outcome))
    for job in (1, 2):
        ending = execute(kind, {}, shop.context(job))
        assert json.loads(shop.objects.read(ending.evidence["findings"])) == [
            {"kind": "lintian", "key": name, "subject": "greeter", "evidence": "line 1"} for name in ("first", "second")
        ]


def test_kind_may_conclude_from_a_failure(shop: Workshop) -> None:
    def conclude_failed(inputs: Inputs, earlier: Earlier, failure: Failure, now: datetime, number: int) -> Conclusion:
        body: dict[str, Json] = {"commit": str(inputs["number"]), "config": str(failure.outcome)}
        outputs: dict[str, Json] = {"log": str(failure.outputs["log"]), "after": list(earlier)}
        event = Event(EventKind.CONFIG_APPLIED, now, failure.step, body, number)
        return Conclusion(outputs, f"no: {failure.message}", [event])

    failing = step("echo lines >log; exit 1", name="second", collect_always={"log": "log"})
    kind = replace(kind_of(step("true", name="first"), failing), conclude_failed=conclude_failed)
    ending = execute(kind, {"number": 7}, shop.context(12))
    assert (ending.outcome, ending.message) == (Outcome.FAILED, "no: second: sh ended with exit 1")
    assert ending.outputs == {"log": sha256_of(b"lines\n"), "after": ["first"]}
    assert [(event.body, event.job) for event in ending.events] == [({"commit": "7", "config": "failed"}, 12)]


def test_kind_concludes_nothing_from_what_broke_on_our_side(shop: Workshop) -> None:
    def conclude_failed(*_: object) -> Conclusion:
        raise AssertionError

    broken = replace(step("true"), judge=lambda _end: Verdict(Outcome.BROKEN, "no display"))
    ending = execute(replace(kind_of(broken), conclude_failed=conclude_failed), {}, shop.context())
    assert ending == Ending(Outcome.BROKEN, "count: no display")


def test_known_result_is_held_by_its_step(shop: Workshop) -> None:
    execute(kind_of(step("echo result >out", collect={"out": "out"})), {}, shop.context())
    with shop.database.read() as tx:
        held = all_holds(tx)
    assert {hold.holder.partition(" ")[0] for hold in held} == {"step"}
    assert sorted(hold.reason for hold in held) == ["out", "result"]
    assert {hold.target for hold in held} == set(shop.objects.digests())
