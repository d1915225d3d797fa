"""What the kernel is asked for when names must be on disk: the system calls are the promise (strace shows them)."""

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from distwright.store.settle import settle_file_system, settle_folders

SETTLE = dedent("""\
    import sys
    from pathlib import Path
    from distwright.store.settle import settle_folders
    settle_folders([Path(folder) for folder in sys.argv[1:]])
""")


def _calls(tmp_path: Path, count: int) -> list[str]:
    """Settle new folders in a process of its own; list its calls to sync as `call folder`."""
    folders = [tmp_path / f"{number:03d}" for number in range(count)]
    for folder in folders:
        folder.mkdir()
    trace = tmp_path / "trace"
    traced = ["strace", "-f", "-y", "-qq", "-e", "trace=fsync,fdatasync,sync,syncfs", "-o", str(trace)]
    subprocess.run([*traced, sys.executable, "-c", SETTLE, *map(str, folders)], check=True)
    lines = [line.partition(" ")[2].strip() for line in trace.read_text().splitlines()]
    assert all(line.endswith("= 0") for line in lines), lines
    return [f"{line.partition('(')[0]} {line.partition('>')[0].rpartition('/')[2]}" for line in lines]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_few_folders_are_settled_one_by_one(tmp_path: Path, count: int) -> None:
    assert _calls(tmp_path, count) == [f"fsync {number:03d}" for number in range(count)]


def test_many_folders_are_settled_by_their_file_system_at_once(tmp_path: Path) -> None:
    assert _calls(tmp_path, 100) == ["syncfs 000"]


def test_folder_that_is_not_there_is_an_error_and_not_passed_over(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        settle_folders([tmp_path / "missing"])
    with pytest.raises(FileNotFoundError):
        settle_file_system(tmp_path / "missing")
