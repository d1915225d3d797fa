"""What rules are: values in, orders out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from distwright.archive.resolve import Ground
from distwright.config.model import Config
from distwright.errors import Busy, DiskFailed, DistwrightError, OutOfSpace, ProgramFailed
from distwright.jobs.order import JobOrder
from distwright.model.events import Event
from distwright.store.database import Database

OUR_FAULTS = (Busy, OutOfSpace, DiskFailed, ProgramFailed)  # of this machine, not of what was asked


def _every_key(_credential: str) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class View:
    """What rules may look at. certificate: gives the public certificate of a credential. has_key: whether its key is there."""

    ground: Ground
    certificate: Callable[[str], bytes]
    has_key: Callable[[str], bool] = _every_key

    @property
    def config(self) -> Config:
        """The configuration in force."""
        return self.ground.config


FLOW = "flow"  # what reads events for the rules is called
Rule = Callable[[Database, View, Event], list[JobOrder]]


class PartlyOrdered(DistwrightError):
    """Some of what follows from an event is ordered, and some cannot be."""

    exit_code = 1

    def __init__(self, orders: Sequence[JobOrder], reasons: Sequence[DistwrightError]) -> None:
        """Keep both. reasons: at least one."""
        super().__init__("; ".join(reason.message for reason in reasons), hint=reasons[0].hint)
        self.orders, self.reasons = tuple(orders), tuple(reasons)
