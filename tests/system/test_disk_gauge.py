"""The disk gauge, when what it asks does not answer: a limit is never lost in silence, and nothing waits for long."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.worlds.processes import wait_until

from distwright.errors import Interrupted, ProgramFailed
from distwright.tools.du import Taken
from distwright.worker.space import DiskGauge

pytestmark = pytest.mark.system
IsCancelled = Callable[[], bool]
SMALL = Taken(4096, 1)
BIG = Taken(3 << 20, 1)


def gauge_of(folder: Path, answers: Iterator[Taken | Exception]) -> DiskGauge:
    """Give a gauge with a limit of 1 MB whose walks answer so, one after the other, and which always has a reason to walk."""

    def walk(_is_cancelled: IsCancelled) -> Taken:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return DiskGauge(folder, 1, walk, every_s=0.0)


def looked(gauge: DiskGauge) -> str:
    """Look until the gauge says something."""
    found = [""]

    def look() -> str:
        found.append(gauge.look(os.getpid()))
        return found[-1]

    wait_until(look, "an answer of the gauge")
    return found[-1]


FAILURES = (ProgramFailed("du does not say it", hint="df -h"), OSError(5, "Input/output error"))


@pytest.mark.parametrize("failure", FAILURES, ids=["du", "the disk"])
def test_limit_that_nobody_can_keep_is_an_error(tmp_path: Path, failure: Exception) -> None:
    gauge = gauge_of(tmp_path, iter([SMALL, failure, failure, failure]))
    with pytest.raises(
        ProgramFailed, match=r"its disk limit cannot be kept: .*(du does not say it|Input/output error)"
    ):
        looked(gauge)
    gauge.close()


@pytest.mark.parametrize("failure", FAILURES, ids=["du", "the disk"])
def test_walk_that_fails_is_tried_again(tmp_path: Path, failure: Exception) -> None:
    gauge = gauge_of(tmp_path, iter([SMALL, failure, BIG]))
    assert looked(gauge) == "disk limit of 1 MB"
    gauge.close()


def test_closing_ends_a_walk_that_would_not_end(tmp_path: Path) -> None:
    seen: list[str] = []

    def walk(is_cancelled: IsCancelled) -> Taken:
        if not seen:
            seen.append("first")
            return SMALL
        seen.append("walks")
        while not is_cancelled():
            time.sleep(0.01)
        seen.append("ended")
        raise Interrupted("du was cancelled", hint="")

    gauge = DiskGauge(tmp_path, 1, walk, every_s=0.0)
    wait_until(lambda: gauge.look(os.getpid()) or "walks" in seen, "the walk")
    gauge.close()
    assert seen == ["first", "walks", "ended"]
