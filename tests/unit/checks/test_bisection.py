"""Bisection against brute force: every line that can be, every state that cannot be judged, every answer known before."""

from collections.abc import Mapping, Sequence
from math import ceil, log2

from hypothesis import given
from hypothesis import strategies as st

from distwright.checks.bisection import PATIENCE, Answer, Named, NoBreak, Probe, next_step

GOOD, BAD, UNKNOWN = Answer.GOOD, Answer.BAD, Answer.UNKNOWN


def walk(
    line: Sequence[Answer], known: Mapping[int, Answer] | None = None, patience: int = PATIENCE
) -> tuple[Named | NoBreak, list[int]]:
    """Bisect a line whose truth we know; give the end and what was asked."""
    answers = dict(known or {})
    asked: list[int] = []
    while True:
        step = next_step(len(line) - 1, answers, patience=patience)
        if not isinstance(step, Probe):
            return step, asked
        assert step.state not in answers, "nothing is asked twice"
        asked.append(step.state)
        answers[step.state] = line[step.state]


def broken_at(last: int, first_bad: int) -> list[Answer]:
    return [GOOD if state < first_bad else BAD for state in range(last + 1)]


@given(st.integers(1, 300).flatmap(lambda last: st.tuples(st.just(last), st.integers(1, last))))
def test_the_step_is_found_and_no_more_is_asked_than_must_be(where: tuple[int, int]) -> None:
    last, first_bad = where
    line = broken_at(last, first_bad)
    named, asked = walk(line, {0: GOOD, last: BAD})
    assert named == Named(first_bad - 1, first_bad)
    assert len(asked) <= ceil(log2(last))


def test_over_64_serials_there_are_seven_builds_at_most() -> None:
    for first_bad in range(1, 65):
        _, asked = walk(broken_at(64, first_bad), {0: GOOD, 64: BAD})
        assert len(asked) <= 6
        _, asked = walk(broken_at(63, min(first_bad, 63)), {0: GOOD})
        assert len(asked) <= 7, "64 states, of which nobody has tried the last one"


lines = st.lists(st.sampled_from(Answer), max_size=40).map(lambda middle: [GOOD, *middle, BAD])


@given(lines, st.data())
def test_whatever_the_history_the_named_steps_are_true(line: list[Answer], data: st.DataObject) -> None:
    """The first is good, the last is bad, and nothing between them can be judged, whatever was known before."""
    known_states = data.draw(st.sets(st.integers(0, len(line) - 1)))
    named, asked = walk(line, {state: line[state] for state in known_states}, patience=1000)
    assert isinstance(named, Named)
    assert line[named.good] is GOOD
    assert line[named.bad] is BAD
    assert all(line[state] is UNKNOWN for state in range(named.good + 1, named.bad))
    assert not named.gave_up
    assert named.is_exact == (named.bad - named.good == 1)
    seen = known_states | set(asked)
    assert named.earlier_bad == tuple(state for state in sorted(seen) if state < named.good and line[state] is BAD)


@given(st.integers(2, 200).flatmap(lambda last: st.tuples(st.just(last), st.integers(1, last))), st.data())
def test_with_states_that_cannot_be_judged_the_true_step_is_among_those_named(
    where: tuple[int, int], data: st.DataObject
) -> None:
    last, first_bad = where
    line = broken_at(last, first_bad)
    for state in data.draw(st.sets(st.integers(1, last - 1))):
        line[state] = UNKNOWN
    named, asked = walk(line)
    assert isinstance(named, Named)
    assert named.good < first_bad <= named.bad
    untried = [state for state in range(named.good + 1, named.bad) if state not in asked]
    assert named.gave_up == bool(untried)
    assert len(asked) <= 2 + ceil(log2(last)) + 2 * PATIENCE * ceil(log2(last))


def test_beside_a_stretch_that_cannot_be_judged_the_next_question_is_far_from_it() -> None:
    line = broken_at(64, 60)
    line[28:36] = [UNKNOWN] * 8
    named, asked = walk(line, {0: GOOD, 64: BAD})
    assert named == Named(59, 60)
    assert len(asked) <= 8, asked


def test_too_many_that_cannot_be_judged_end_the_search() -> None:
    line = [GOOD, *[UNKNOWN] * 30, BAD]
    named, asked = walk(line)
    assert named == Named(0, 31, gave_up=True)
    assert len(asked) == 2 + PATIENCE
    assert walk([*line[:5], BAD])[0] == Named(0, 5), "all were tried"


def test_every_answer_that_is_known_counts() -> None:
    line = broken_at(100, 50)
    assert walk(line, {0: GOOD, 49: GOOD, 50: BAD, 100: BAD}) == (Named(49, 50), [])


def test_a_break_that_was_mended_in_between_is_mentioned_and_not_named() -> None:
    line = [GOOD, BAD, BAD, GOOD, GOOD, BAD]
    assert walk(line, {0: GOOD, 1: BAD, 3: GOOD, 5: BAD})[0] == Named(4, 5, earlier_bad=(1,))


def test_ends_that_are_not_what_was_thought_are_said() -> None:
    assert walk([GOOD, GOOD]) == (NoBreak(1, GOOD), [1])
    assert walk([BAD, BAD]) == (NoBreak(0, BAD), [1, 0])
    assert walk([UNKNOWN, BAD]) == (NoBreak(0, UNKNOWN), [1, 0])
