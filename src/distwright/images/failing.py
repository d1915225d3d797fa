"""Why an image does not build: apt's reason and the line of the list that asked, or the hook and what it said last; pure."""

import re
from collections.abc import Mapping
from datetime import datetime

from distwright.builds.first_error import first_error
from distwright.errors import quoted
from distwright.images.recipe_lists import package_of
from distwright.jobs.step import Conclusion, Earlier, Failure, Inputs, StepEnd, Verdict, judge_by_exit
from distwright.model import plain
from distwright.model.outcomes import Outcome

_WORD = re.compile(r"[a-z0-9][a-z0-9+.-]+")
_HOOK = re.compile(r"(hook|asking) (\S+)")
COMPARING = "comparing with what there is"
_OF_DPKG = ("dpkg: error", "dpkg: dependency problems prevent")  # and no warnings
_LAST_LINES = 3
_MOST_NAMED = 5


def judge_root(end: StepEnd) -> Verdict:
    """Judge the packages: apt's reason, not what mmdebstrap says last."""
    verdict = judge_by_exit(end)
    tail = "\n".join(end.ends[-1].tail) if end.ends else ""
    error = first_error(tail) if verdict.outcome is Outcome.FAILED else None
    return verdict if error is None else Verdict(verdict.outcome, f"packages cannot be installed: {error.line}")


def judge_hooks(end: StepEnd) -> Verdict:
    """Judge what the recipe does: the hook that ran last, or what the image was asked last, and what was printed since."""
    verdict = judge_by_exit(end)
    tail = list(end.ends[-1].tail) if end.ends else []
    begun = next((at for at in range(len(tail) - 1, -1, -1) if _HOOK.fullmatch(tail[at])), None)
    if verdict.outcome is not Outcome.FAILED or begun is None:
        return verdict
    word, _, name = tail[begun].partition(" ")
    what = f"hook {name}" if word == "hook" else f"asking the image for {name}"
    said = " | ".join(map(quoted, tail[begun + 1 :][-_LAST_LINES:])) or "it printed nothing"
    return Verdict(verdict.outcome, f"{what} failed with exit {end.ends[-1].exit_code}: {said}")


def judge_replay(end: StepEnd) -> Verdict:
    """Judge a recipe that is followed again: whether it does, and whether it gives what it gave."""
    verdict = judge_hooks(end)
    tail = list(end.ends[-1].tail) if end.ends else []
    if verdict.outcome is not Outcome.FAILED or COMPARING not in tail:
        return verdict
    said = " | ".join(map(quoted, tail[tail.index(COMPARING) + 1 :][:_LAST_LINES]))
    return Verdict(
        verdict.outcome, f"the recipe gives something else when it is followed again: {said or 'attributes or times'}"
    )


def judge_layer(end: StepEnd) -> Verdict:
    """Judge packages that are installed over a root, and then what the recipe does: dpkg's reason, or the hook."""
    verdict = judge_hooks(end)
    said = [line for line in (end.ends[-1].tail if end.ends else ()) if line.startswith(_OF_DPKG)]
    if verdict.outcome is not Outcome.FAILED or not said:
        return verdict
    return Verdict(verdict.outcome, f"packages cannot be installed over those that are there: {quoted(said[0])}")


def conclude_failed(inputs: Inputs, _earlier: Earlier, failure: Failure, _now: datetime, job: int) -> Conclusion:
    """Say who asked for what cannot be installed, and how to look into it."""
    places = asked_in(failure.message, plain.text_map(inputs, "asked_at")) if "asked_at" in inputs else {}
    asked = "; ".join(f"{name} is asked for by {place}" for name, place in places.items())
    parts = (failure.message, asked, f"look into it with: distwright job enter {job}")
    return Conclusion({}, "; ".join(part for part in parts if part))


def asked_in(message: str, asked_at: Mapping[str, str]) -> dict[str, str]:
    """Give the packages of the lists that a message names, with their lines, in the order of the message."""
    by_name = {package_of(asked): place for asked, place in asked_at.items()}
    named = dict.fromkeys(word for word in _WORD.findall(message) if word in by_name)
    return {name: by_name[name] for name in list(named)[:_MOST_NAMED]}
