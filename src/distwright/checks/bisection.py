"""Bisection: which step of a line of states broke it? Pure: what is answered goes in, what to ask next comes out.

The states of a line are numbered 0 to n: 0 is good, n is bad, and a step leads from each to the next. The question may be whatever
can be answered by good, bad or unknown.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

PATIENCE = (
    8  # states between the last good and the first bad one that may turn out to be unknown before nobody tries more
)


class Answer(StrEnum):
    """UNKNOWN: the state cannot be judged, whoever is to blame for that."""

    GOOD = "good"
    BAD = "bad"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Probe:
    """Ask this state next."""

    state: int


@dataclass(frozen=True, slots=True)
class Named:
    """What broke it: one of the steps from `good`, the last state that is good, to `bad`, the first one that is bad from there on.

    earlier_bad: states before `good` that are bad all the same: it had been broken before, and mended. gave_up: there are
    states in between that nobody has tried, for too many others were unknown.
    """

    good: int
    bad: int
    earlier_bad: tuple[int, ...] = ()
    gave_up: bool = False

    @property
    def is_exact(self) -> bool:
        """Say whether it is one step."""
        return self.bad == self.good + 1


@dataclass(frozen=True, slots=True)
class NoBreak:
    """An end is not what was thought: `state` gives `answer`, so that nothing breaks between them."""

    state: int
    answer: Answer


def next_step(last: int, answers: Mapping[int, Answer], *, patience: int = PATIENCE) -> Probe | Named | NoBreak:
    """Say what to ask next of a line of the states 0 to `last`, or what broke it.

    The ends are asked first if they are not answered, the bad one before the good one. Then every answer halves what is left: with
    no unknown states between n steps at most ceil(log2(n)) are asked. A history that goes up and down has several breaks; named is
    the one that the bad end still suffers from: the last good state of all that are answered counts.
    """
    for end, wanted in ((last, Answer.BAD), (0, Answer.GOOD)):
        if end not in answers:
            return Probe(end)
        if answers[end] is not wanted:
            return NoBreak(end, answers[end])
    good = max(state for state, answer in answers.items() if answer is Answer.GOOD)
    bad = min(state for state, answer in answers.items() if answer is Answer.BAD and state > good)
    earlier = tuple(sorted(state for state, answer in answers.items() if answer is Answer.BAD and state < good))
    unknown = [state for state in range(good + 1, bad) if state in answers]
    left = bad - good - 1 - len(unknown)
    if left == 0 or len(unknown) >= patience:
        return Named(good, bad, earlier, gave_up=left > 0)
    return Probe(_middle(good, bad, unknown))


def _middle(good: int, bad: int, unknown: list[int]) -> int:
    """Choose the state in the middle of the widest stretch without an answer; of two, the one nearer to the middle of all.

    So that beside many unknown states the next question is far from them, not their neighbour.
    """
    bounds = [good, *sorted(unknown), bad]
    stretches = [(low, high) for low, high in pairwise(bounds) if high - low > 1]
    widest = max(high - low for low, high in stretches)
    middles = [(low + high) // 2 for low, high in stretches if high - low == widest]
    return min(middles, key=lambda state: abs(2 * state - good - bad))
