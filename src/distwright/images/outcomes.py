"""What scenarios gave: read from what a test left, whoever wrote it, and what that means for the image. Pure."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from distwright.errors import BadInput
from distwright.formats.streaming import PIECE_BYTES
from distwright.formats.tar import TarKind
from distwright.formats.tarheaders import iter_entries
from distwright.model.outcomes import Outcome

SCENARIOS_LIMIT = 2000
RESULTS_LIMIT_BYTES = 16 << 20
EVIDENCE_LIMIT_BYTES = 256 << 20
ARCHIVE_LIMIT_BYTES = 256 << 20  # read of one archive of evidence: more than our driver writes
_MEMBERS_LIMIT = 100_000
SHOWN_LIMIT_BYTES = 8 << 20
_TEXT_LIMIT = 4000
_NAMED_LIMIT = 10
_NO_NAME = re.compile(r"[^A-Za-z0-9]+")  # as in driving/results.py
PASSED, FAILED, TIMED_OUT, SKIPPED, NOT_RUN = "passed", "failed", "timed-out", "skipped", "not-run"
OUTCOMES: Mapping[str, Outcome] = {
    PASSED: Outcome.OK, FAILED: Outcome.FAILED, TIMED_OUT: Outcome.TIMED_OUT, SKIPPED: Outcome.SKIPPED,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ScenarioEnd:
    """How a scenario ended. start_s: until its machine was there, seconds: after that, both on the clock.

    step, message: where it failed and why, "" if it did not. folder, evidence: files in the archive of evidence.
    """

    feature: str
    scenario: str
    at: str
    outcome: str
    is_quarantined: bool
    start_s: float
    seconds: float
    step: str
    message: str
    folder: str
    evidence: tuple[str, ...]

    @property
    def is_red(self) -> bool:
        """Say whether it speaks against the image."""
        return self.outcome in (FAILED, TIMED_OUT, NOT_RUN) and not self.is_quarantined

    @property
    def name(self) -> str:
        """Name it with its feature."""
        return f"{self.feature}: {self.scenario}"


def parse_results(files: Iterable[bytes]) -> tuple[ScenarioEnd, ...]:
    """Read what workers wrote, in order of place. Raises BadInput for what no worker of ours writes."""
    found: list[ScenarioEnd] = []
    for content in files:
        if len(content) > RESULTS_LIMIT_BYTES:
            raise BadInput("the results of scenarios are too long", hint="distwright job log JOB")
        try:
            found += [_read(row) for row in json.loads(content)["scenarios"]]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise BadInput(
                f"the results of scenarios cannot be read: {error!r}", hint="distwright job log JOB"
            ) from error
        if len(found) > SCENARIOS_LIMIT:
            raise BadInput(f"more than {SCENARIOS_LIMIT} scenarios have results", hint="run fewer: --feature F")
    return tuple(sorted(found, key=lambda one: (one.at.partition(":")[0], _line(one.at))))


def _read(row: Mapping[str, Any]) -> ScenarioEnd:
    outcome = str(row["outcome"])
    if outcome not in (*OUTCOMES, NOT_RUN):
        raise ValueError(outcome)
    at = _text(row["at"])
    folder = _NO_NAME.sub("-", at.replace(".feature", "")).strip("-")
    return ScenarioEnd(
        _text(row["feature"]), _text(row["scenario"]), at, outcome, row["is_quarantined"] is True,
        _seconds(row["start_s"]), _seconds(row["seconds"]), _text(row["step"]), _text(row["message"]),
        folder, tuple(_text(name) for name in row["evidence"][:100]),
    )  # fmt: skip


def _text(value: object) -> str:
    text = str(value)[:_TEXT_LIMIT]
    return "".join(sign if sign.isprintable() or sign == "\n" else "�" for sign in text)


def _seconds(value: object) -> float:
    return min(max(float(value), 0.0), 1e6) if isinstance(value, int | float) else 0.0


def _line(at: str) -> int:
    line = at.rpartition(":")[2]
    return int(line) if line.isascii() and line.isdigit() else 0


def evidence_of(archives: Iterable[BinaryIO]) -> dict[str, bytes]:
    """Read archives of evidence: `folder/file` -> content. Only plain files of some MB, as far as it is whole.

    archives: each is read to its end, or for ARCHIVE_LIMIT_BYTES. Memory: what is given, EVIDENCE_LIMIT_BYTES at most.
    """
    found: dict[str, bytes] = {}
    left = EVIDENCE_LIMIT_BYTES
    for file in archives:
        try:
            for entry in iter_entries(_pieces(file), max_members=_MEMBERS_LIMIT):
                header = entry.header
                if header.kind is TarKind.FILE and header.size <= min(SHOWN_LIMIT_BYTES, left):
                    content = b"".join(entry.content)
                    left -= len(content)
                    found[header.name.decode("utf-8", "replace")] = content
        except BadInput:
            continue  # it was cut when the time was over: what came before counts
    return found


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    left = ARCHIVE_LIMIT_BYTES
    while left > 0 and (piece := file.read(PIECE_BYTES)):
        left -= len(piece)
        yield piece


def verdict_of(scenarios: Sequence[ScenarioEnd], *, is_part: bool = False) -> tuple[Outcome, str]:
    """Say whether the image has passed, in a line that names who says no. is_part: of all scenarios, some were chosen.

    It has not if nothing has: when all were skipped, or all that failed are in quarantine, nobody has seen that it works.
    """
    red = [one for one in scenarios if one.is_red]
    counts = [
        f"{count} {name}" for name in (*OUTCOMES, NOT_RUN) if (count := sum(one.outcome == name for one in scenarios))
    ]
    if not scenarios:
        return Outcome.FAILED, "no scenario was run"
    said = f"{'a chosen part of the ' if is_part else ''}scenarios: {', '.join(counts)}"
    if not red and not any(one.outcome == PASSED for one in scenarios):
        return Outcome.FAILED, f"no scenario has passed; {said}"
    if not red:
        return Outcome.OK, said
    named = ", ".join(f"{one.name} ({one.outcome})" for one in red[:_NAMED_LIMIT])
    more = f" and {len(red) - _NAMED_LIMIT} more" if len(red) > _NAMED_LIMIT else ""
    return Outcome.FAILED, f"{said}; {named}{more}"
