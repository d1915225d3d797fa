"""docs/how-to/from-live-build.md as somebody types it: each of its blocks, in order, up to where Debian is fetched and built.

That what is imported builds and starts is tried in test_live_build_tree.py.
"""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.system.line import DISTWRIGHT, ROOT, state_folder

pytestmark = pytest.mark.system
GUIDE = ROOT / "docs" / "how-to" / "from-live-build.md"
FETCHING = ("distwright archive record", "distwright image build")
BLOCK = re.compile(r"^```\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@pytest.fixture
def home() -> Iterator[Path]:
    """Give a home with a tree that `lb config` has just made, and nothing of live-build's but what it makes."""
    with state_folder() as folder:
        tree = folder / "live-tree"
        tree.mkdir()
        begun = subprocess.run(
            ["lb", "config", "--distribution", "bookworm"], cwd=tree, capture_output=True, text=True, check=False
        )
        assert begun.returncode == 0, begun.stderr
        (tree / "config/package-lists/more.list.chroot").write_text("nano\n")
        (folder / ".gitconfig").write_text("[user]\nname = Ada\nemail = ada@example.org\n")
        (folder / "bin").mkdir()
        (folder / "bin" / "distwright").symlink_to(DISTWRIGHT)
        yield folder


def typed(home: Path, lines: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Type lines into one shell, which stops at the first that fails."""
    environment = {
        "HOME": str(home), "PATH": f"{home}/bin:/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL": "C.UTF-8", "DEBFULLNAME": "Ada",
        "DEBEMAIL": "ada@example.org", **{name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}, **more,
    }  # fmt: skip
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", lines], cwd=home, env=environment, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def test_the_guide_can_be_typed_as_it_stands(home: Path) -> None:
    lines = "".join(BLOCK.findall(GUIDE.read_text())).splitlines(keepends=True)
    here = [line for line in lines if not line.startswith(FETCHING)]
    assert lines == [*here, *lines[len(here) :]], "nothing comes after what needs a network"
    assert len(lines) - len(here) == len(FETCHING)
    done = typed(home, "".join(here))
    assert done.returncode == 0, f"{done.stdout[-2000:]}{done.stderr[-2000:]}"
    assert "is not there yet" in done.stderr
    state = home / "state"
    pushed = subprocess.run(
        ["git", "--git-dir", str(state / "repos/kiosk.git"), "ls-tree", "-r", "--name-only", "main"],
        capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    assert {"debian/changelog", "distwright.toml", "distwright.d/kiosk.toml"} <= set(pushed)
    assert "images/kiosk/package-lists/more.list.chroot" in pushed
    left = typed(home, lines[-1], DISTWRIGHT_STATE=str(state))
    assert (left.returncode, "archive debian has no snapshot yet" in left.stderr) == (11, True), left.stderr


def test_what_the_import_says_of_the_changelog_can_be_typed(home: Path) -> None:
    said = typed(home, "distwright image import live-tree --into kiosk --name kiosk").stderr
    [command] = [line.partition("not there yet: ")[2] for line in said.splitlines() if "not there yet: " in line]
    done = typed(home, f"cd kiosk; {command}")
    assert done.returncode == 0, done.stderr
    assert (home / "kiosk/debian/changelog").read_text().startswith("kiosk (1.0) UNRELEASED; urgency=")
