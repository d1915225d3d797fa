"""blhc: which compiler calls of a build lacked a hardening flag. It reads the log, in which the package's own programs write."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from distwright.checks.words import shown
from distwright.model.digests import Json

FAULTS_LIMIT = 200
_CALLS_SHOWN = 3
_READ_BYTES = 16 << 20  # of what blhc says
_MISSING = re.compile(r"([A-Z]+) missing \(([^()]*)\): (.*)")
_HIDDEN = re.compile(r"NONVERBOSE BUILD: (.*)")
_NO_CALLS = "No compiler commands!"
EXIT_BAD_ARGUMENTS, EXIT_LIMIT = 2, 64  # a bit among others that say what was found; all of them are below the limit


@dataclass(frozen=True, slots=True)
class Fault:
    """Flags that calls of one compiler stage lacked, or calls that the log hides. times: how many; calls: the first of them."""

    key: str
    times: int
    calls: tuple[str, ...]

    def evidence(self) -> Mapping[str, Json]:
        """Give what is kept beside the finding."""
        return {"times": self.times, "calls": list(self.calls)}


@dataclass(frozen=True, slots=True)
class BlhcReport:
    """faults: in the order of their keys. has_calls: whether the log shows any compiler at all."""

    faults: tuple[Fault, ...]
    has_calls: bool


def parse_blhc(content: bytes) -> BlhcReport:
    """Read what blhc printed; lines of another form are not its."""
    calls: dict[str, list[str]] = {}
    has_calls = True
    for line in content[:_READ_BYTES].decode(errors="replace").splitlines():
        if match := _MISSING.fullmatch(line):
            calls.setdefault(f"{match[1]} without {shown(match[2], 200)}", []).append(match[3])
        elif match := _HIDDEN.fullmatch(line):
            calls.setdefault("compiler calls hidden", []).append(match[1])
        elif line == _NO_CALLS:
            has_calls = False
    faults = [
        Fault(key, len(found), tuple(shown(call) for call in found[:_CALLS_SHOWN])) for key, found in calls.items()
    ]
    return BlhcReport(tuple(sorted(faults, key=lambda fault: fault.key)[:FAULTS_LIMIT]), has_calls)
