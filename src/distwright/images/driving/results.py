"""What is written of scenarios while they run: a file of results, whole after each, and an archive of evidence that grows."""

import io
import json
import re
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from .session import write_whole

PASSED, FAILED, TIMED_OUT, SKIPPED, NOT_RUN = "passed", "failed", "timed-out", "skipped", "not-run"
MESSAGE_LIMIT = 4000
ARCHIVE_LIMIT_BYTES = 192 << 20  # of one worker
_AROUND_BYTES = 4096  # at most: of what tar writes around a file


@dataclass(frozen=True, slots=True)
class Scenario:
    """How a scenario ended. at: `FILE.feature:LINE`. seconds: on the clock, after the first start_s, in which its machine started.

    step: the sentence that failed. evidence: names of files in the archive.
    """

    feature: str
    scenario: str
    at: str
    outcome: str = NOT_RUN
    is_quarantined: bool = False
    start_s: float = 0.0
    seconds: float = 0.0
    step: str = ""
    message: str = ""
    evidence: Sequence[str] = ()

    @property
    def name(self) -> str:
        """Name it with its feature."""
        return f"{self.feature}: {self.scenario}"

    @property
    def folder(self) -> str:
        """Name the folder of its evidence."""
        return re.sub(r"[^A-Za-z0-9]+", "-", self.at.replace(".feature", "")).strip("-")


class Results:
    """The results of one worker. Killed at any moment, what it has written can be read."""

    def __init__(self, folder: Path, number: int, limit_bytes: int = ARCHIVE_LIMIT_BYTES) -> None:
        """Write `results-NUMBER.json` and `evidence-NUMBER.tar` in a folder, or go on with them. limit_bytes: of the archive."""
        self._limit_bytes = limit_bytes
        self._results = folder / f"results-{number}.json"
        self._evidence = folder / f"evidence-{number}.tar"
        known = json.loads(self._results.read_text())["scenarios"] if self._results.exists() else []
        self._scenarios = {row["at"]: Scenario(**row) for row in known}

    def expect(self, scenarios: Sequence[Scenario]) -> None:
        """Write what shall be run."""
        self._scenarios |= {one.at: one for one in scenarios}
        self._write()

    def add(self, one: Scenario, evidence: Mapping[str, bytes]) -> None:
        """Write how a scenario ended, its evidence first, as far as there is room in the archive."""
        left = self._limit_bytes - (self._evidence.stat().st_size if self._evidence.exists() else 0)
        kept: list[str] = []
        if evidence:
            with tarfile.open(self._evidence, "a") as tar:
                for name, content in evidence.items():
                    left -= len(content) + _AROUND_BYTES
                    if left < 0:
                        break
                    member = tarfile.TarInfo(f"{one.folder}/{name}")
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
                    kept.append(name)
        self._scenarios[one.at] = replace(one, evidence=[name for name in one.evidence if name in kept])
        self._write()

    def _write(self) -> None:
        rows = [asdict(one) for one in self._scenarios.values()]
        write_whole(self._results, json.dumps({"scenarios": rows}, indent=1) + "\n")
