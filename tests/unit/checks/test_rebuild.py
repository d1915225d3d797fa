"""The rebuild check: its order, its comparison, and what it concludes."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.habits.samples import INPUTS, VARIATION
from tests.worlds.debs import Member, deb_of
from tests.worlds.state import memory_database
from tests.worlds.times import NOW

from distwright.checks.rebuild import (
    KIND,
    PACKAGE_REBUILD,
    compare,
    conclude,
    conclude_failed,
    rebuild_order,
    verdict_of,
)
from distwright.errors import BadInput, Refused
from distwright.jobs.order import PRIORITY_BASE
from distwright.jobs.step import Failure, StepResult
from distwright.model.digests import Sha256, sha256_of
from distwright.model.outcomes import JobState, Outcome
from distwright.model.records import Job
from distwright.store.holds import all_holds
from distwright.store.memory import MemoryObjects

DEB, SYMBOLS, DSC = "greeter_1.0_amd64.deb", "greeter-dbgsym_1.0_amd64.deb", "greeter_1.0.dsc"


class Seen:
    """What an action may use here: objects, a log, and somebody who may cancel."""

    def __init__(self) -> None:
        self.objects = MemoryObjects()
        self.database = memory_database()
        self.write = self.database.write
        self.job = 9
        self.lines: list[str] = []

    def log(self, line: str) -> None:
        self.lines.append(line)

    def check_cancelled(self) -> None:
        """Go on."""

    def now(self) -> datetime:
        return NOW

    def held(self) -> set[tuple[str, str]]:
        with self.database.read() as tx:
            return {(hold.holder, hold.target) for hold in all_holds(tx)}


def build_job(**changed: Any) -> Job:
    files = {DEB: sha256_of(b"deb"), DSC: sha256_of(b"dsc"), "greeter_1.0_amd64.buildinfo": sha256_of(b"info")}
    job = Job(
        id=3, kind="package.build", version=1, digest=sha256_of(b"order"), inputs=INPUTS["package.build"], title="build",
        pool="local", priority=PRIORITY_BASE, state=JobState.DONE, outcome=Outcome.OK, message="built",
        outputs={"files": {name: str(digest) for name, digest in files.items()}}, created_at=NOW, finished_at=NOW, not_before=NOW,
        fence=1, broken_count=0, lost_count=0, lease_holder=None, lease_until=None, is_cancelled=False, config_commit=None,
        cause=None,
    )  # fmt: skip
    return replace(job, **changed)


def compared(first: dict[str, bytes], second: dict[str, bytes]) -> tuple[dict[str, Any], StepResult, Seen]:
    seen = Seen()
    inputs = {**INPUTS["package.rebuild"], "built": {name: str(seen.objects.put(data)) for name, data in first.items()}}
    outputs = {f"deb/{name}": seen.objects.put(data) for name, data in second.items()}
    outputs["changes/greeter.changes"] = outputs["buildinfo/greeter.buildinfo"] = outputs["log"] = Sha256("0" * 64)
    result = compare(seen, inputs, {"rebuild": StepResult(outputs)})  # type: ignore[arg-type]  # all of a context that it uses
    return inputs, result, seen


def test_an_order_has_the_inputs_of_the_build_and_what_it_gave_but_its_records() -> None:
    order = rebuild_order(build_job())
    assert order.kind == KIND
    assert {key: order.inputs[key] for key in INPUTS["package.build"]} == INPUTS["package.build"]
    assert order.inputs["built"] == {DEB: sha256_of(b"deb"), DSC: sha256_of(b"dsc")}
    assert order.priority < PRIORITY_BASE
    assert rebuild_order(build_job()).digest == order.digest
    assert rebuild_order(build_job(digest=sha256_of(b"other"))).inputs["variation"] != order.inputs["variation"]


def test_what_has_built_nothing_is_not_rebuilt() -> None:
    with pytest.raises(Refused, match=r"job 3 is no build but a image\.boot"):
        rebuild_order(build_job(kind="image.boot"))
    with pytest.raises(Refused, match="job 3 has built nothing"):
        rebuild_order(build_job(outcome=Outcome.FAILED, outputs=None))


def test_all_that_comes_out_the_same_is_the_same() -> None:
    inputs, result, seen = compared({DEB: b"a", DSC: b"b"}, {DEB: b"a", DSC: b"b"})
    done = conclude(inputs, {"compare": result}, NOW, 9)
    assert done.outputs == {"verdict": "same"}
    assert done.message == "greeter 1.0: all 2 files came out the same"
    [event] = done.events
    assert (event.subject, event.job, event.body["verdict"], event.body["tag"]) == ("greeter 1.0", 9, "same", "1.0")
    assert event.body["varied"]["host name"] == VARIATION["hostname"]  # type: ignore[index,call-overload]
    assert (done.heir, seen.held()) == ("", set())


def test_the_first_difference_is_that_of_a_package_before_its_symbols_and_the_source() -> None:
    first = {SYMBOLS: deb_of(Member("a", b"x")), DEB: deb_of(Member("a", b"by sbuild")), DSC: b"one"}
    second = {SYMBOLS: deb_of(Member("a", b"y")), DEB: deb_of(Member("a", b"by other")), DSC: b"two"}
    inputs, result, seen = compared(first, second)
    done = conclude(inputs, {"compare": result}, NOW, 9)
    said = f"{DEB}: data.tar a: the content differs at byte 3: 'by sbuild' against 'by other'; the host name (other)"
    assert done.message == f"greeter 1.0 is not reproducible: {said}"
    [event] = done.events
    assert (event.body["verdict"], event.body["message"], event.body["count"]) == ("differs", said, 3)
    assert set(event.body["pairs"]) == {SYMBOLS, DEB, DSC}  # type: ignore[arg-type]
    assert event.body["pairs"] == done.outputs["pairs"]
    assert done.heir == "", "or the serials of the build would be held for good"
    contents = [*first.values(), *second.values()]
    assert seen.held() == {("comparison 9", sha256_of(content)) for content in contents}, "what differs is kept"
    assert said in seen.lines


def test_a_file_that_only_one_build_gave_differs() -> None:
    inputs, result, _ = compared({DEB: b"a", DSC: b"b"}, {DEB: b"a", SYMBOLS: b"c"})
    done = conclude(inputs, {"compare": result}, NOW, 9)
    assert done.outputs["differences"] == [
        f"{SYMBOLS}: only in the second build",
        f"{DSC}: only in the first build",
    ]
    assert done.outputs["pairs"] == {}


def test_a_rebuild_that_fails_is_unknown_and_says_why() -> None:
    failure = Failure("rebuild", Outcome.FAILED, "rebuild: sbuild ended with exit 2", {}, ())
    done = conclude_failed(INPUTS["package.rebuild"], {}, failure, NOW, 9)
    assert done.outputs == {"verdict": "unknown"}
    [event] = done.events
    assert (event.body["verdict"], event.body["message"]) == ("unknown", "rebuild: sbuild ended with exit 2")


def test_a_rebuild_that_was_broken_is_unknown_too() -> None:
    broken = build_job(kind=KIND.name, outcome=Outcome.BROKEN, outputs=None, message="no space left")
    assert verdict_of(broken) == ("unknown", "no space left")
    assert verdict_of(build_job(kind=KIND.name, outputs={"verdict": "same"})) == ("same", "built")
    with pytest.raises(BadInput, match=r"job 3 is no rebuild but a package\.build"):
        verdict_of(build_job(finished_at=NOW + timedelta(seconds=1)))


def test_the_steps_before_the_rebuild_are_those_of_the_build() -> None:
    assert [step.name for step in PACKAGE_REBUILD.steps] == ["environment", "source", "rebuild", "compare"]
