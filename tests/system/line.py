"""The whole line as its users run it: the `distwright` command as a process, on the example, against the real Debian archive."""

import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "petrel"
DISTWRIGHT = Path(sys.executable).parent / "distwright"
# Package files of Debian, kept between runs of the tests; every one is verified by its hash when it is taken.
CACHE = Path(os.environ.get("DISTWRIGHT_TEST_CACHE", "/var/tmp/distwright-test-cache"))
LINE_TIMEOUT_S = 1500
GONE_TIMEOUT_S = 15


@contextmanager
def state_folder() -> Iterator[Path]:
    """Give a new folder that sandboxed programs can reach (pytest's own are 0700), removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="distwright-test-", dir="/var/tmp"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        subprocess.run(
            ["unshare", "--map-root-user", "--map-auto", "rm", "-rf", "--", str(folder)], check=False
        ) if os.geteuid() else None
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class Line:
    """A state folder and the commands on it. arguments: more of them for `demo`. inside: what every command is started by."""

    state: Path
    arguments: tuple[str, ...] = ()
    inside: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    def call(self, *arguments: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            [*self.inside, str(DISTWRIGHT), *arguments],
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def answer(self, *arguments: str) -> Any:
        """Run a command with --json and give its answer."""
        done = self.call(*arguments, "--state", str(self.state), "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def demo(self, *arguments: str, timeout_s: float = LINE_TIMEOUT_S) -> subprocess.CompletedProcess[str]:
        """Run the demo to its end."""
        return self.call(
            "demo", str(EXAMPLE), "--state", str(self.state), *self.arguments, *arguments, timeout_s=timeout_s
        )

    def demo_killed_in(self, job: str, step: str, delay_s: float) -> bool:
        """Run the demo and kill -9 its process `delay_s` after a step of a job began; say whether that step was reached."""
        argv = [str(DISTWRIGHT), "demo", str(EXAMPLE), "--state", str(self.state), *self.arguments]
        with subprocess.Popen(
            argv, env=self._environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        ) as process:
            assert process.stderr is not None
            title = ""
            for line in process.stderr:
                text = line.decode(errors="replace").rstrip()
                title = text if text.startswith("▶") else title
                if job in title and text.startswith(f"  {step} ("):
                    time.sleep(delay_s)
                    process.kill()
                    return True
            return False

    def demo_killed_after(self, delay_s: float) -> bool:
        """Run the demo and kill -9 its process after some time; say whether it was still running then."""
        argv = [str(DISTWRIGHT), "demo", str(EXAMPLE), "--state", str(self.state), *self.arguments]
        with subprocess.Popen(
            argv, env=self._environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            try:
                process.wait(delay_s)
            except subprocess.TimeoutExpired:
                process.kill()
                return True
        return False

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Serve the state on a free port of loopback; give the base URL."""
        argv = [str(DISTWRIGHT), "serve", "--port", "0", "--state", str(self.state)]
        with subprocess.Popen(argv, env=self._environment(), stderr=subprocess.PIPE) as process:
            try:
                assert process.stderr is not None
                with selectors.DefaultSelector() as selector:
                    selector.register(process.stderr, selectors.EVENT_READ)
                    assert selector.select(30), "serve did not begin"
                first = process.stderr.readline().decode()
                assert first.startswith("http://127.0.0.1:"), first
                yield first.split()[0].rstrip("/")  # it listens already when it says so
            finally:
                process.send_signal(signal.SIGINT)
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()  # else leaving the block waits for ever
                    raise

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("DISTWRIGHT_")}
        return {**kept, "DISTWRIGHT_ALTERNATES": str(CACHE), **self.environment}


def processes_of(state: Path) -> list[str]:
    """List the living processes that mention a state folder, or whose working folder or root is in it."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            places = [str((entry / link).readlink()) for link in ("cwd", "root")]
        except OSError:
            continue
        if str(state) in command or any(place.startswith(str(state)) for place in places):
            found.append(f"{entry.name} {command[:200]}")
    return found


def wait_until_gone(state: Path) -> None:
    """Wait until no process works in a state folder any more; fail if that never happens."""
    deadline = time.monotonic() + GONE_TIMEOUT_S
    while left := processes_of(state):
        assert time.monotonic() < deadline, f"still running: {left}"
        time.sleep(0.1)


def keep_in_cache(state: Path) -> None:
    """Keep the package files that a run fetched, for the next run of the tests; forget what nobody took for 30 days."""
    for package in (state / "objects" / "sha256").glob("??/*"):
        target = CACHE / "sha256" / package.parent.name / package.name
        if target.exists() or not _is_package(package):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            target.hardlink_to(package)
        except OSError:
            shutil.copyfile(package, target)
    for old in CACHE.glob("sha256/??/*"):
        if time.time() - max(old.stat().st_atime, old.stat().st_mtime) > 30 * 24 * 3600:
            old.unlink()


def _is_package(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(8) == b"!<arch>\n"
