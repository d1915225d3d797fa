"""How long something may take: without the time that the machine waited for a processor, so that a busy host turns no test red."""

import time
from collections.abc import Callable
from dataclasses import dataclass

WALL_FACTOR = 10


class DrivingError(Exception):
    """The machine did not do what a test asked for; the message says what it did instead."""


class OutOfPatience(DrivingError):
    """The machine had all the time that it was given."""


@dataclass(frozen=True, slots=True)
class Patience:
    """A limit. limit_s: seconds in which the machine ran or was idle, and ten times that on the clock; both since `begin`."""

    limit_s: float
    used: Callable[[], float]
    wall: Callable[[], float]
    used_at_start_s: float
    wall_at_start_s: float

    @classmethod
    def begin(cls, limit_s: float, used: Callable[[], float], wall: Callable[[], float] = time.monotonic) -> "Patience":
        """Begin to count. used: seconds so far in which the machine ran or was idle."""
        return cls(limit_s, used, wall, used(), wall())

    def why_over(self) -> str:
        """Say which limit has passed; "" if none has."""
        used_s = self.used() - self.used_at_start_s
        wall_s = self.wall() - self.wall_at_start_s
        if used_s > self.limit_s:
            return f"the machine has had {self.limit_s:g} s"
        if wall_s > self.limit_s * WALL_FACTOR:
            return f"{self.limit_s * WALL_FACTOR:g} s have passed"
        return ""

    def check(self, what: str) -> None:
        """Raise OutOfPatience, naming what was waited for, if a limit has passed."""
        if why := self.why_over():
            raise OutOfPatience(f"{what}: {why}")
