"""Builders: machines that run programs of steps for us and are trusted with nothing. Which of them a step goes to."""

from collections.abc import Sequence
from dataclasses import dataclass

from distwright.jobs.lease import RETRY_DELAYS_S
from distwright.jobs.step import Plan
from distwright.model.digests import Sha256, digest_of
from distwright.tools.link import SILENCE_S

SLACK_S = 3600.0


@dataclass(frozen=True, slots=True)
class Builder:
    """A builder, and the program that brings us to the one command that we may start there (ssh with all its options).

    slots: how many steps it has at a time, whoever sends them. silence_s: after so long without a word it counts as gone.
    slack_s: how much longer than its programs may run a step may take there, with all that is sent.
    """

    name: str
    argv: tuple[str, ...]
    slots: int = 1
    silence_s: float = SILENCE_S
    slack_s: float = SLACK_S


def in_turn(builders: Sequence[Builder], job: int, tried: int) -> tuple[Builder, ...]:
    """Say which builders to ask for a step of a job, in order; after them, or if there are none, it is done here.

    Jobs begin at different ones, so that all have work. tried: how often the job was broken: each time the next place has it, and
    the last try is made here, whatever builders do and however many there are.
    """
    if tried >= len(RETRY_DELAYS_S):
        return ()
    first = job % len(builders) if builders else 0
    return (*builders[first:], *builders[:first])[tried:]


def key_there(key: Sha256, builder: str) -> Sha256:
    """Give the key of what a builder made of the plan with this key.

    It is another one, for a builder can make what it likes of a plan: only jobs that it may serve know what it made.
    """
    return digest_of({"step": key, "builder": builder})


def time_limit_s(builder: Builder, plan: Plan) -> float:
    """Say how long a step may take there, all told."""
    return builder.slack_s + sum(command.limits.hours * 3600 or command.timeout_s for command in plan.commands)
