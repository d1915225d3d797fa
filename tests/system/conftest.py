"""One line for all system tests: built once, killed in every stage on the way."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from tests.system.line import Line, keep_in_cache, state_folder, wait_until_gone

# Job, step, seconds into it. Early in each, so that little is done twice.
KILLS = (
    ("record debian ", "record", 0.4),
    ("build petrel-greeter", "environment", 3.0),
    ("build petrel-greeter", "source", 0.2),
    ("build petrel-greeter", "build", 5.0),
    ("accept petrel-greeter", "accept", 0.0),
    ("publish petrel/bookworm", "publish", 0.0),
    ("install petrel-greeter", "install", 0.7),
    ("build image", "tools", 3.0),
    ("build image", "root", 5.0),
    ("build image", "initrd", 3.0),
    ("build image", "squashfs", 1.5),
    ("build image", "iso", 0.5),
    ("boot petrel", "boot", 8.0),
)


@dataclass(frozen=True)
class KilledLine:
    """The line after it was killed in each stage and then run to its end. reached: which kills really happened."""

    line: Line
    reached: tuple[tuple[str, str], ...]
    last_output: str
    exit_code: int


@pytest.fixture(scope="session")
def killed_line() -> Iterator[KilledLine]:
    """Run the demo, killed in each stage, then once to its end."""
    with state_folder() as folder:
        line = Line(folder / "state")
        reached = []
        for job, step, delay_s in KILLS:
            if line.demo_killed_in(job, step, delay_s):
                reached.append((job, step))
            wait_until_gone(line.state)
        done = line.demo()
        yield KilledLine(line, tuple(reached), done.stdout + done.stderr, done.returncode)
        keep_in_cache(line.state)
