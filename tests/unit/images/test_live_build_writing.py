"""What came of a tree of live-build is written whole or not at all, over nothing, by one at a time."""

import fcntl
import os
import shutil
import sys
from pathlib import Path

import pytest
from tests.unit.images.test_from_live_build import KEY, imported
from tests.worlds.killing import killed_before_each_change

from distwright.errors import Busy, NotAllowed, OutOfSpace, Refused
from distwright.images.live_build_writing import write_import


def test_what_is_written_is_the_recipe_and_nothing_is_written_over(tmp_path: Path) -> None:
    found = imported()
    recipe, tables = write_import(tmp_path, found)
    assert {str(path.relative_to(recipe)) for path in recipe.rglob("*") if not path.is_dir()} == {
        file.path for file in found.files
    }
    assert (recipe / "includes.chroot/etc/link").readlink() == Path("late")
    assert tables.read_text() == found.tables
    assert (tmp_path / "keys/other.asc").read_text() == KEY
    (recipe / "README.md").write_text("mine")
    with pytest.raises(Refused, match="is there already"):
        write_import(tmp_path, found)
    assert (recipe / "README.md").read_text() == "mine"


def test_the_same_import_once_more_changes_nothing_and_a_changed_one_is_refused(tmp_path: Path) -> None:
    found = imported()
    recipe, tables = write_import(tmp_path, found)
    before = {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert write_import(tmp_path, found) == (recipe, tables)
    assert {path: path.lstat().st_mtime_ns for path in (*recipe.rglob("*"), tables)}.items() <= before.items()
    tables.unlink()  # one that was killed before it came so far
    assert write_import(tmp_path, found) == (recipe, tables)
    assert tables.read_text() == found.tables
    (recipe / "includes.chroot/etc/link").unlink()
    with pytest.raises(Refused, match="is there already"):
        write_import(tmp_path, found)


@pytest.mark.parametrize(
    "stop", [KeyboardInterrupt, OSError(28, "No space left on device"), OSError(13, "Permission denied")]
)
@pytest.mark.parametrize("late", [False, True])
def test_an_import_that_is_stopped_leaves_nothing(tmp_path: Path, stop: BaseException, late: bool) -> None:  # noqa: FBT001  # a parameter of the test
    """By Ctrl-C or a full disk, while files are written or when some are at their places already."""
    into, found = tmp_path / "repo", imported()
    began: list[object] = []

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        is_it = event == "os.rename" if late else event == "open" and ".import-of-" in str(arguments[0])
        if (
            began == [True]
            and is_it
            and ("tables" if late else ".list")
            and str(arguments).count("kiosk-1.toml" if late else ".list")
        ):
            began.clear()
            raise stop

    sys.addaudithook(watch)
    began.append(True)
    with pytest.raises((KeyboardInterrupt, OutOfSpace, NotAllowed)):
        write_import(into, found)
    assert not began, "it was stopped where it was to be"
    assert list(tmp_path.iterdir()) == []
    write_import(into, found)
    assert sorted(path.name for path in into.iterdir()) == ["distwright.d", "images", "keys"]


def test_one_import_at_a_time_writes_into_a_repository(tmp_path: Path) -> None:
    found = imported()
    beside = tmp_path / f".import-of-{found.name}"
    beside.mkdir()
    (beside / "half a recipe").touch()  # of one that was killed
    held = os.open(beside, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    with pytest.raises(Busy, match="another import of kiosk-1 writes into"):
        write_import(tmp_path, found)
    os.close(held)
    write_import(tmp_path, found)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["distwright.d", "images", "keys"]


def test_an_import_that_is_killed_before_any_change_is_ended_by_the_next_one(tmp_path: Path) -> None:
    found = imported()
    whole = contents(write_import(tmp_path / "whole", found)[0].parents[1])
    tried = killed_before_each_change(
        lambda number: tmp_path / number, lambda into: lambda: write_import(into, found), more_than=50
    )
    for _, into in tried:
        tables = into / "distwright.d" / "kiosk-1.toml"
        assert not tables.exists() or contents(into) == whole, "the tables come last"
        write_import(into, found)
        assert contents(into) == whole
        shutil.rmtree(into)


def contents(folder: Path) -> dict[str, bytes | str]:
    """Read what is in a folder, by path; what an import was beside does not count."""
    return {
        str(path.relative_to(folder)): str(path.readlink()) if path.is_symlink() else path.read_bytes()
        for path in folder.rglob("*")
        if (path.is_symlink() or path.is_file()) and not path.relative_to(folder).parts[0].startswith(".import-of-")
    }
