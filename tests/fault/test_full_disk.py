"""A full disk at any stage: a clear error, nothing lost, and the next run goes on once there is space."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.system.line import EXAMPLE, Line
from tests.worlds.work import kind_of, workshop

from distwright.jobs.step import Plan, PlannedCommand, Step
from distwright.model.outcomes import Outcome
from distwright.tools.sandbox import Sandbox
from distwright.worker.execute import execute

pytestmark = pytest.mark.system


@contextmanager
def small_disk(size: str) -> Iterator[Path]:
    """Give a folder on a file system of its own (needs root, as CI has; a user runs these tests by sudo)."""
    assert os.geteuid() == 0, "the full-disk tests mount a tmpfs: run them as root"
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="distwright-test-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"mode=755,size={size}", "tmpfs", name], check=True)
        try:
            yield folder
        finally:
            subprocess.run(["umount", "--lazy", name], check=True)


def grow(folder: Path, size: str) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", str(folder)], check=True)


def test_record_on_a_full_disk_says_so_and_succeeds_with_space() -> None:
    with small_disk("18m") as folder:
        line = Line(folder / "state")
        assert line.call("config", "init", str(EXAMPLE), "--state", str(line.state)).returncode == 0
        failed = line.call("archive", "record", "debian", "--state", str(line.state), timeout_s=300)
        # 1: the job is broken; 20: not even that could be written.
        assert failed.returncode in (1, 20), failed.stderr
        assert "no space left" in failed.stdout or "full" in failed.stderr
        grow(folder, "19m")
        assert line.answer("snapshot", "list") == []
        assert list((line.state / "objects" / "incoming").iterdir()) == []
        grow(folder, "400m")
        done = line.call("archive", "record", "debian", "--state", str(line.state), timeout_s=300)
        assert done.returncode == 0, done.stdout + done.stderr
        assert len(line.answer("snapshot", "list")) == 1


def test_state_on_a_full_disk_is_refused_with_a_hint() -> None:
    with small_disk("64k") as folder:
        failed = Line(folder / "state").call("config", "init", str(EXAMPLE), "--state", str(folder / "state"))
        assert failed.returncode == 20, failed.stderr
        assert "full" in failed.stderr or "no space" in failed.stderr
        assert "try:" in failed.stderr


def test_program_that_fills_the_disk_and_tidies_up_is_broken_and_one_that_only_says_so_has_failed() -> None:
    with small_disk("100m") as folder:
        shop = workshop(folder / "state", Sandbox(None))

        def outcome(script: str) -> Outcome:
            plan = Plan((PlannedCommand(("sh", "-c", script), 60),))
            return execute(kind_of(Step("count", lambda _inputs, _earlier: plan)), {}, shop.context()).outcome

        assert outcome("echo cp: No space left on device; exit 1") is Outcome.FAILED
        assert outcome("head -c 300M /dev/zero >big; ended=$?; sleep 0.5; rm big; exit $ended") is Outcome.BROKEN
        assert outcome("head -c 300M /dev/zero >big; sleep 0.5; rm big; exit 0") is Outcome.OK
        shop.database.close()


@pytest.mark.full
def test_build_on_a_full_disk_is_broken_not_failed_and_succeeds_with_space() -> None:
    with small_disk("420m") as folder:
        line = Line(folder / "state")
        failed = line.demo(timeout_s=900)
        assert failed.returncode == 1, failed.stderr
        jobs = {row["kind"]: row["state"] for row in line.answer("job", "list")}
        assert jobs["package.build"] == "broken", jobs
        assert "no space left" in failed.stdout
        assert list((line.state / "run" / "work").iterdir()) == []
        grow(folder, "6g")
        assert line.demo().returncode == 0
