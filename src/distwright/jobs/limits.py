"""What a program may use of a machine before it is ended. Values only: who enforces them stands in worker/."""

import re
from dataclasses import asdict, dataclass, fields, replace
from typing import Self

from distwright.errors import BadInput
from distwright.model import plain
from distwright.model.digests import Json


@dataclass(frozen=True, slots=True)
class Limits:
    """Each 0 if nothing is said of it; then the machine's hold (`limits_of_machine`).

    memory_mb: MiB of memory that nobody else could use: of all its processes together, and of the tmpfs that it fills.
    disk_mb: MiB that it adds below the work folder, deleted files that it holds open included; and one inode for each 4 KiB.
    processes: processes and threads at a time. output_mb: MiB that it prints. hours: hours until it is ended, instead of the
    planned `timeout_s`.
    """

    memory_mb: int = 0
    disk_mb: int = 0
    processes: int = 0
    output_mb: int = 0
    hours: int = 0

    def __post_init__(self) -> None:
        """Refuse what is no limit."""
        for name, value in asdict(self).items():
            if value < 0:
                raise BadInput(f"the limit {name} is {value}", hint="give a whole number from 0, which is none")

    @property
    def are_watched(self) -> bool:
        """Say whether somebody must look at the program while it runs; what it prints is counted anyway."""
        return bool(self.memory_mb or self.disk_mb or self.processes)

    def or_else(self, others: "Limits") -> "Limits":
        """Give these, and of `others` what these do not say."""
        return replace(self, **{name: value for name, value in asdict(others).items() if not getattr(self, name)})

    def to_json(self) -> Json:
        """Give the part of a plan's identity: the limits that there are."""
        return {name: value for name, value in asdict(self).items() if value}

    @classmethod
    def from_json(cls, value: Json) -> Self:
        """Read what `to_json` gave; raise BadInput."""
        given = plain.mapping({"limits": value}, "limits")
        names = [field.name for field in fields(cls)]
        values = plain.with_defaults(given, (), dict.fromkeys(names, 0))
        return cls(**{name: plain.number(values, name) for name in names})


NO_LIMITS = Limits()


def limits_of_machine(memory_mb: int, free_mb: int) -> Limits:
    """Give what any program may use on a machine with so much memory and free disk if its plan says nothing of it.

    As much as does no harm to the machine, and no honest program needs more: mksquashfs takes a quarter of the memory for itself,
    and an image of some GiB is there four times while it is made. On a small machine 3/4 of the memory, and half of the disk.
    """
    return Limits(
        memory_mb=min(max(8192, memory_mb // 2), memory_mb * 3 // 4),
        disk_mb=min(65536, free_mb // 2),
        processes=8192,
        output_mb=256,
    )


# A machine that gives less than this is too small, or too full; whoever passes its limit has done nothing wrong.
_ENOUGH = Limits(memory_mb=2048, disk_mb=8192)


def blames_machine(cut: str, planned: Limits, given: Limits) -> bool:
    """Say whether a command ended at a limit that its plan did not name and that is less than any machine should give.

    given: the limits that it had, those of the machine with them.
    """
    what = cut.partition(" ")[0]
    if not is_limit(cut) or what not in ("memory", "disk"):
        return False
    name = f"{what}_mb"
    return not getattr(planned, name) and getattr(given, name) < getattr(_ENOUGH, name)


_PASSED = re.compile(r"(?:memory|disk|process|output|fetch) limit of ")


def is_limit(cut: str) -> bool:
    """Say whether this end of a command names one of these limits; the time limit is none of them."""
    return _PASSED.match(cut) is not None


def words_of(what: str, limit: int) -> str:
    """Name a limit as `CommandEnd.cut` does: `memory limit of 4096 MB`."""
    unit = "" if what == "process" else " MB"
    return f"{what} limit of {limit}{unit}"
