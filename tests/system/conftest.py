"""What system tests share: one line, built once, killed in every stage on the way; and cells of the sandbox."""

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.system.line import Line, keep_in_cache, state_folder, wait_until_gone
from tests.worlds.cells import HOST_SECRET, IS_ROOT, Cell
from tests.worlds.rootfs import root_tar
from tests.worlds.work import Workshop, workshop

from distwright.tools.sandbox import SANDBOX_USER, RootFolders, Sandbox, sandbox_for

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
    ("build image", "customise", 2.0),
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


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """Give a folder that the sandbox user can reach, with an unpacked root and a file that nobody inside must see."""
    with state_folder() as folder:
        (folder / "root.tar").write_bytes(root_tar())
        (folder / HOST_SECRET).write_text("secret")
        sandbox_for(os.geteuid()).unpack(folder / "root.tar", folder / "lower")
        yield folder
        sandbox_for(os.geteuid()).remove(folder / "lower")


_numbers = itertools.count()


@pytest.fixture(params=["started by root", "started by a user"] if IS_ROOT else ["started by a user"])
def cell(request: pytest.FixtureRequest, place: Path) -> Iterator[Cell]:
    """Give a fresh cell as root makes them, and as a plain user makes them (root becomes one for that)."""
    owner = sandbox_for(os.geteuid())
    base = place / f"cell-{next(_numbers)}"
    folders = RootFolders(place / "lower", base / "upper", base / "scratch", base / "merged", base / "work")
    for folder in (base, folders.upper, folders.scratch, folders.merged, folders.work):
        owner.make_folder(folder)
    if request.param == "started by root" or not IS_ROOT:
        yield Cell(owner, (), folders, place)
    else:
        prefix = ("setpriv", "--reuid", SANDBOX_USER, "--regid", SANDBOX_USER, "--init-groups", "--")
        yield Cell(Sandbox(None), prefix, folders, place)
    owner.remove(base)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Workshop]:
    """Give an installation whose programs run as ourselves, which needs no user and no folder that others can reach."""
    shop = workshop(tmp_path / "state", Sandbox(None))
    yield shop
    shop.database.close()
