"""Run the tests in bundles, as many at a time as there are processors: `python -m tests.together [options of pytest]`.

A bundle is a pytest of its own for tests that share what is dear to make, so nothing is made twice, and no process grows large
(tests fork, and a fork costs what it has to copy). What a bundle printed is shown when it has ended.
"""

import fnmatch
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[1]
# What looks at the line that the session ran, and what records Debian and builds by itself.
ON_THE_LINE = ("line", "web", "review", "bad_builds", "sources_of_packages", "taking_part", "cgroups")
BUILDING = ("real_sources", "rebuild", "stops_building", "impact", "impact_of_libbsd", "bring_a_package", "foreign")
OF_IMAGES = ("image_test", "kits")
WHOLE_IMAGES = ("guest", "desktop", "image_rebuild", "live_build_tree", "real_layer", "rehearsal", "topic")
# Patterns of files; a file belongs to the first that fits. The longest bundles stand first, for they begin first.
BUNDLES: Mapping[str, tuple[str, ...]] = {
    "the line": tuple(f"tests/system/test_{name}.py" for name in ON_THE_LINE),
    "builds": tuple(f"tests/system/test_{name}.py" for name in BUILDING),
    "images": tuple(f"tests/system/test_{name}.py" for name in OF_IMAGES),
    "whole images": tuple(f"tests/system/test_{name}.py" for name in WHOLE_IMAGES),
    "fault": ("tests/fault/*",),
    "other programs": ("tests/apt/*",),
    "system": ("tests/system/*",),
    "habits, units": ("tests/habits/*", "tests/unit/*"),
    "contracts": ("tests/contract/*", "tests/fuzz/*", "tests/upgrade/*"),
}
MOST = 4  # at a time: some tests are programs that use two processors themselves
_NO_TESTS = 5  # exit code of pytest
_TELL_EVERY_S = 60.0


@dataclass
class Running:
    """A bundle's pytest. seconds: how long it took, when it has ended."""

    name: str
    process: subprocess.Popen[bytes]
    output: IO[bytes]
    began: float = field(default_factory=time.monotonic)
    seconds: float = 0.0


def bundles(files: Sequence[str], patterns: Mapping[str, Sequence[str]] = BUNDLES) -> dict[str, list[str]]:
    """Put files into bundles, in the order of `patterns`; a file that fits none makes one of its folder's name."""
    found: dict[str, list[str]] = {name: [] for name in patterns}
    for file in files:
        fitting = (name for name, group in patterns.items() if any(fnmatch.fnmatchcase(file, each) for each in group))
        found.setdefault(next(fitting, file.rpartition("/")[0]), []).append(file)
    return {name: members for name, members in found.items() if members}


def files_below(root: Path, folders: Sequence[str]) -> list[str]:
    """List the test files below folders of `root`, sorted, relative to it."""
    return sorted(
        str(file.relative_to(root))
        for folder in folders
        for file in (root / folder).rglob("test_*.py")
        if file.is_file()
    )


def run(chosen: Mapping[str, Sequence[str]], options: Sequence[str], at_once: int) -> int:
    """Run bundles; show each when it has ended, and all at the end. Gives 0, 1 if a test failed, 5 if there was none."""
    waiting = list(chosen)
    running: list[Running] = []
    done: list[Running] = []
    began = told = time.monotonic()
    with _stopped_at_the_end(running):
        while waiting or running:
            while waiting and len(running) < at_once:
                name = waiting.pop(0)
                running.append(_start(name, chosen[name], options))
            time.sleep(0.1)
            for ended in [one for one in running if one.process.poll() is not None]:
                running.remove(ended)
                done.append(ended)
                _show(ended)
            if time.monotonic() - told > _TELL_EVERY_S:
                told = time.monotonic()
                _say("  ".join(["…", *(f"{one.name} {told - one.began:.0f} s" for one in running)]))
    for one in done:
        _say(f"{one.seconds:6.0f} s  {_verdict(one.process.returncode)}  {one.name}")
    _say(f"{time.monotonic() - began:6.0f} s  in all, {at_once} at a time")
    codes = {one.process.returncode for one in done}
    if codes == {_NO_TESTS}:
        return _NO_TESTS
    return 1 if codes - {0, _NO_TESTS} else 0


def _start(name: str, files: Sequence[str], options: Sequence[str]) -> Running:
    output = tempfile.TemporaryFile()  # noqa: SIM115  # closed when it has been shown
    kept = f"cache_dir=.pytest_cache/{name.replace(' ', '-').replace('/', '-')}"
    argv = [sys.executable, "-m", "pytest", "-o", kept, *options, *files]
    process = subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
    return Running(name, process, output)


def _show(ended: Running) -> None:
    ended.seconds = time.monotonic() - ended.began
    _say(f"\n######## {ended.name}: {ended.seconds:.0f} s")
    with ended.output as output:
        output.seek(0)
        sys.stdout.buffer.write(output.read())
    sys.stdout.flush()


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _verdict(code: int) -> str:
    return {0: "ok     ", _NO_TESTS: "no test"}.get(code, "FAILED ")


@contextmanager
def _stopped_at_the_end(running: Sequence[Running]) -> Iterator[None]:
    """Stop what still runs, as Ctrl-C at the terminal does: pytest takes down what its tests made."""
    try:
        yield
    finally:
        for one in running:
            one.process.send_signal(signal.SIGINT)
        for one in running:
            one.process.wait()
            _show(one)


def main(arguments: Sequence[str]) -> int:
    """Take options of pytest, and files or folders to run (all tests without them)."""
    # A shell that starts it in the background has it ignore Ctrl-C; and who ends it wants what it started ended, too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(128 + signal.SIGTERM))
    folders = [word.rstrip("/") for word in arguments if not word.startswith("-") and (ROOT / word).exists()]
    options = [word for word in arguments if word.rstrip("/") not in folders]
    if any("::" in word or (ROOT / word).is_file() for word in arguments):
        return subprocess.call([sys.executable, "-m", "pytest", *arguments], cwd=ROOT)
    at_once = int(os.environ.get("AT_ONCE") or min(MOST, os.cpu_count() or 1))
    return run(bundles(files_below(ROOT, folders or ("tests",))), options, at_once)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
