"""Which builder a step goes to, and what its answer may be."""

from typing import Any

import pytest
from tests.worlds.times import NOW

from distwright.errors import BadInput
from distwright.formats.frames import Note
from distwright.jobs.lease import RETRY_DELAYS_S, retry_at
from distwright.jobs.limits import Limits
from distwright.jobs.step import CommandEnd, Plan, PlannedCommand
from distwright.model.digests import Json, sha256_of
from distwright.model.outcomes import Outcome
from distwright.worker.builders import Builder, in_turn, key_there, time_limit_s
from distwright.worker.far_answers import Ended, read_ended

A, B, C = (Builder(name, ("ssh", name)) for name in "abc")
PLAN = Plan(
    (PlannedCommand(("true",), 60), PlannedCommand(("false",), 7)),
    collect={"image": "out/image.iso", "debs": "out/*_*.deb"},
    collect_always={"pictures": "*.png", "report": "report"},
    keep_log="log",
)
OK: dict[str, Json] = {"exit": 0, "cut": "", "tail": ["done"]}
BAD: dict[str, Json] = {"exit": 2, "cut": "", "tail": []}
WHOLE: dict[str, Json] = {"image": 9, "debs/a_1.deb": 3, "pictures/one.png": 1, "log": 2}


def read(*ends: Json, outputs: dict[str, Json] | None = None, problem: Json = "", limit_bytes: int = 100) -> Ended:
    values: dict[str, Any] = {"ends": list(ends), "outputs": WHOLE if outputs is None else outputs, "problem": problem}
    return read_ended(Note("ended", values), PLAN, limit_bytes)


def test_jobs_begin_at_different_builders_and_go_on_to_the_next_place() -> None:
    builders = (A, B, C)
    assert [in_turn(builders, job, 0) for job in (0, 1, 2, 3)] == [(A, B, C), (B, C, A), (C, A, B), (A, B, C)]
    assert [in_turn(builders, 1, tried) for tried in (1, 2, 3, 4)] == [(C, A), (A,), (), ()]
    assert in_turn((), 5, 0) == ()


def test_last_try_of_a_broken_job_is_made_here_however_many_builders_there_are() -> None:
    many = tuple(Builder(name, ("ssh", name)) for name in "abcdefgh")
    last = len(RETRY_DELAYS_S)
    assert retry_at(Outcome.BROKEN, last, NOW) is None
    assert [bool(in_turn(many, 1, tried)) for tried in range(last + 2)] == [True] * last + [False, False]


def test_what_a_builder_made_has_a_key_of_its_own() -> None:
    key = sha256_of(b"plan")
    assert len({key, key_there(key, "a"), key_there(key, "b"), key_there(sha256_of(b"other"), "a")}) == 4


def test_step_may_take_as_long_as_its_programs_and_some_time() -> None:
    plan = Plan((PlannedCommand(("a",), 60), PlannedCommand(("b",), 60, limits=Limits(hours=2))))
    assert time_limit_s(Builder("a", (), slack_s=100), plan) == 100 + 60 + 7200


def test_end_of_a_step_is_read_with_its_outputs_by_kind() -> None:
    assert read(OK, OK) == Ended(
        (CommandEnd(0, "", ("done",)), CommandEnd(0, "", ("done",))),
        {"pictures/one.png": 1, "log": 2},
        {"image": 9, "debs/a_1.deb": 3},
        "",
    )
    assert read(OK, BAD, outputs={"log": 0, "report": 1}, problem="no image").always == {"log": 0, "report": 1}
    assert read(OK, OK, outputs={"log": 0}, problem="it is\nno file").problem == "it is no file"


@pytest.mark.parametrize(
    "name",
    [
        "", "other", "image/", "image/x", "debs", "debs/", "debs/a.deb", "debs/../a_1.deb", "debs/a_1.deb/x", "debs//a_1.deb",
        "debs/a_\n.deb", "debs/" + "a" * 300 + "_1.deb", "pictures/../x.png", "pictures/.png.", "report/x", "log/x", "../image",
        "debs/a_1.deb\0",
    ],
)  # fmt: skip
def test_output_that_no_pattern_gives_is_refused(name: str) -> None:
    with pytest.raises(BadInput, match="names an output"):
        read(OK, OK, outputs={**WHOLE, name: 1})


@pytest.mark.parametrize(
    ("ends", "outputs", "message"),
    [
        ((OK,), WHOLE, "has run 1 of 2 commands"),
        ((OK, OK, OK), WHOLE, "more commands"),
        ((BAD, OK), WHOLE, "after one that failed"),
        ((), WHOLE, "run nothing"),
        ((OK, OK), {"log": 1}, "does not give 'image'"),
        ((OK, BAD), {"image": 1}, "does not give the log"),
        ((OK, BAD), {"log": 1}, "does not give 'image'"),
        ((OK, OK), {**WHOLE, "image": 95}, "100 are the most"),
        ((OK, OK), {**WHOLE, "image": -1}, "'-1'"),
        ((OK, OK), {**WHOLE, "image": 1 << 70}, "bytes"),
        ((OK, OK), {**WHOLE, "image": "9"}, "whole number"),
        ((OK, {**OK, "exit": 256}), WHOLE, "exit '256'"),
        ((OK, {**OK, "exit": 10**4000}), WHOLE, "exit"),
        ((OK, {**OK, "exit": None}), WHOLE, "whole number"),
        ((OK, {**OK, "tail": ["x"] * 16}), WHOLE, "16 last lines"),
        ((OK, {**OK, "tail": [1]}), WHOLE, "list of strings"),
        ((OK, {**OK, "cut": None}), WHOLE, "a string"),
        ((OK, "ok"), WHOLE, "a mapping"),
    ],
)
def test_end_that_cannot_be_is_refused(ends: tuple[Json, ...], outputs: dict[str, Json], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        read(*ends, outputs=outputs)


def test_long_words_of_a_builder_are_cut() -> None:
    ended = read(OK, {"exit": 1, "cut": "c" * 9000, "tail": ["t" * 9000]}, outputs={"log": 0}, problem="p" * 9000)
    assert (len(ended.ends[1].cut), len(ended.ends[1].tail[0]), len(ended.problem)) == (500, 2000, 500)
