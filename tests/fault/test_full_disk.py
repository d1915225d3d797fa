"""A full disk at any stage: a clear error, nothing lost, and the next run goes on once there is space."""

import os
import shlex
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.system.line import EXAMPLE, Line
from tests.worlds.work import kind_of, workshop

from distwright.jobs.limits import NO_LIMITS, Limits
from distwright.jobs.step import Plan, PlannedCommand, Step
from distwright.model.outcomes import Outcome
from distwright.tools.sandbox import Sandbox
from distwright.worker.execute import execute

pytestmark = pytest.mark.system


@dataclass(frozen=True)
class SmallDisk:
    """A file system of its own. seen: its folder as the tests see it; inside: what a command that uses it is started by."""

    folder: Path
    seen: Path
    inside: tuple[str, ...]
    as_owner: tuple[str, ...]

    def grow(self, size: str) -> None:
        """Give it more space."""
        # With type and source, mount adds no options of its own: the owner that it would repeat is nobody in our namespace.
        options = ["-t", "tmpfs", "-o", f"remount,mode=755,size={size}", "tmpfs", str(self.folder)]
        subprocess.run([*self.as_owner, "mount", *options], check=True)

    def line(self) -> Line:
        """Give an installation on it."""
        return Line(self.folder / "state", inside=self.inside)


@contextmanager
def small_disk(size: str) -> Iterator[SmallDisk]:
    """Mount a small tmpfs: as root for all, as a plain user in namespaces of our own, in which commands are the same user."""
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="distwright-test-") as name:
        Path(name).chmod(0o755)
        mount = ["mount", "-t", "tmpfs", "-o", f"mode=755,size={size}", "tmpfs", name]
        with _mounted_for_all(mount, Path(name)) if os.geteuid() == 0 else _mounted_for_us(mount, Path(name)) as disk:
            yield disk


@contextmanager
def _mounted_for_all(mount: list[str], folder: Path) -> Iterator[SmallDisk]:
    subprocess.run(mount, check=True)
    try:
        yield SmallDisk(folder, folder, (), ())
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def _mounted_for_us(mount: list[str], folder: Path) -> Iterator[SmallDisk]:
    """Keep the namespaces by a process that waits for the end of its input."""
    words = shlex.join(mount)
    holder = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", f"{words} && echo mounted && exec cat"]
    with subprocess.Popen(holder, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        assert said == b"mounted\n", "user namespaces are needed, as for distwright itself: distwright doctor"
        target = f"--target={process.pid}"
        as_owner = ("nsenter", target, "--user", "--mount", "--preserve-credentials", "--")
        ourselves = ("unshare", "--user", f"--map-user={os.geteuid()}", f"--map-group={os.getegid()}", "--")
        yield SmallDisk(folder, Path(f"/proc/{process.pid}/root{folder}"), (*as_owner, *ourselves), as_owner)


def test_record_on_a_full_disk_says_so_and_succeeds_with_space() -> None:
    with small_disk("18m") as disk:
        line = disk.line()
        assert line.call("config", "init", str(EXAMPLE), "--state", str(line.state)).returncode == 0
        failed = line.call("archive", "record", "debian", "--state", str(line.state), timeout_s=300)
        # 1: the job is broken; 20: not even that could be written.
        assert failed.returncode in (1, 20), failed.stderr
        assert "no space left" in failed.stdout or "full" in failed.stderr
        disk.grow("19m")
        assert line.answer("snapshot", "list") == []
        assert list((disk.seen / "state" / "objects" / "incoming").iterdir()) == []
        disk.grow("400m")
        done = line.call("archive", "record", "debian", "--state", str(line.state), timeout_s=300)
        assert done.returncode == 0, done.stdout + done.stderr
        assert len(line.answer("snapshot", "list")) == 1


def test_state_on_a_full_disk_is_refused_with_a_hint() -> None:
    with small_disk("64k") as disk:
        failed = disk.line().call("config", "init", str(EXAMPLE), "--state", str(disk.folder / "state"))
        assert failed.returncode == 20, failed.stderr
        assert "full" in failed.stderr or "no space" in failed.stderr
        assert "try:" in failed.stderr


def test_program_that_fills_the_disk_and_tidies_up_is_broken_and_one_that_only_says_so_has_failed() -> None:
    with small_disk("100m") as disk:
        shop = workshop(disk.seen / "state", Sandbox(None))

        much = Limits(disk_mb=1000)

        def outcome(script: str, limits: Limits = much) -> Outcome:
            plan = Plan((PlannedCommand(("sh", "-c", script), 60, limits=limits),))
            return execute(kind_of(Step("count", lambda _inputs, _earlier: plan)), {}, shop.context()).outcome

        assert outcome("echo cp: No space left on device; exit 1") is Outcome.FAILED
        assert outcome("head -c 300M /dev/zero >big; ended=$?; sleep 3; rm big; exit $ended") is Outcome.BROKEN
        assert outcome("head -c 300M /dev/zero >big; sleep 3; rm big; exit 0") is Outcome.OK
        never_full = "head -c 60M /dev/zero >big; sleep 20; rm big; exit 0"
        assert outcome(never_full, Limits(disk_mb=45)) is Outcome.FAILED, "it was told how much it may have"
        assert outcome(never_full, NO_LIMITS) is Outcome.BROKEN, "the machine has less than anybody may need"
        shop.database.close()


@pytest.mark.full
@pytest.mark.skipif(
    os.geteuid() != 0, reason="sbuild needs the subordinate users, which a namespace of ours has not: run as root"
)
def test_build_on_a_full_disk_is_broken_not_failed_and_succeeds_with_space() -> None:
    with small_disk("420m") as disk:
        line = disk.line()
        failed = line.demo(timeout_s=900)
        assert failed.returncode == 1, failed.stderr
        jobs = {row["kind"]: row["state"] for row in line.answer("job", "list")}
        assert jobs["package.build"] == "broken", jobs
        assert "no space left" in failed.stdout
        assert list((disk.seen / "state" / "run" / "work").iterdir()) == []
        disk.grow("6g")
        assert line.demo().returncode == 0
