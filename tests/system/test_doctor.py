"""What doctor says of the jobs of an installation."""

from pathlib import Path

import pytest
from tests.worlds.state import count_order, placed
from tests.worlds.times import NOW
from tests.worlds.work import workshop

from distwright.site.doctor import examine_machine
from distwright.site.health import HealthFinding
from distwright.store.paths import StatePaths
from distwright.tools.sandbox import Sandbox

pytestmark = pytest.mark.system


def jobs_finding(paths: StatePaths) -> HealthFinding:
    [found] = [finding for finding in examine_machine(paths, NOW) if finding.check == "jobs"]
    return found


def test_doctor_notes_queued_jobs_that_nobody_here_knows(tmp_path: Path) -> None:
    assert jobs_finding(StatePaths(tmp_path / "none")).state == "well"
    shop = workshop(tmp_path / "state", Sandbox(None))
    assert jobs_finding(shop.paths).state == "well"
    placed(shop.database, count_order())
    shop.database.close()
    found = jobs_finding(shop.paths)
    assert (found.state, "count 1" in found.what) == ("note", True)


def test_doctor_says_who_keeps_the_limits_of_jobs(tmp_path: Path) -> None:
    [found] = [finding for finding in examine_machine(StatePaths(tmp_path), NOW) if finding.check == "limits"]
    assert found.state in ("well", "note")
    assert ("the kernel keeps memory" in found.what) == (found.state == "well")
    assert "time and output are counted, the disk is watched" in found.what
