"""Opening an installation: where it is, who may see it, and what is no installation."""

import os
import shutil
import sqlite3
import stat
from pathlib import Path

import pytest
from tests.worlds.installation import CONFIG

from distwright.app import App, open_app
from distwright.errors import BadConfig, BadUsage, NotFound, Refused
from distwright.site.config_files import config_files, read_config
from distwright.site.places import state_folder


def opened(folder: Path, *, create: bool = False) -> App:
    app = open_app(str(folder), create=create)
    app.database.close()
    return app


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_an_empty_place_is_a_mistake_and_never_the_default() -> None:
    with pytest.raises(BadUsage, match="--state is empty"):
        state_folder("", {}, 0)
    with pytest.raises(BadUsage, match="DISTWRIGHT_STATE is empty"):
        state_folder(None, {"DISTWRIGHT_STATE": ""}, 0)
    assert state_folder("/x", {"DISTWRIGHT_STATE": ""}, 0) == Path("/x")
    assert state_folder(None, {"DISTWRIGHT_STATE": "/y"}, 0) == Path("/y")
    assert state_folder(None, {}, 0) == Path("/var/lib/distwright")


def test_a_new_state_is_passed_through_by_others_and_its_database_is_read_by_nobody_else(tmp_path: Path) -> None:
    old = os.umask(0o022)
    try:
        app = open_app(str(tmp_path / "state"), create=True)
        with app.database.read():
            files = sorted(path for path in app.paths.root.iterdir() if path.name.startswith("db.sqlite"))
        app.database.close()
    finally:
        os.umask(old)
    assert (mode_of(app.paths.root), mode_of(app.paths.keys)) == (0o711, 0o700)
    assert len(files) >= 1
    assert {mode_of(path) for path in files if path.exists()} == {0o600}


@pytest.mark.parametrize("how", ["truncated", "without tables"])
def test_an_emptied_database_is_no_new_installation(tmp_path: Path, how: str) -> None:
    paths = opened(tmp_path / "state", create=True).paths
    for file in paths.root.glob("db.sqlite*"):
        file.unlink()
    paths.database.touch()
    if how == "without tables":
        with sqlite3.connect(paths.database) as connection:
            connection.execute("VACUUM")
        connection.close()
    with pytest.raises(Refused, match="holds nothing, not even tables"):
        open_app(str(paths.root))
    opened(paths.root, create=True)
    opened(paths.root)


def test_a_state_that_lost_its_run_folder_gets_it_back(tmp_path: Path) -> None:
    paths = opened(tmp_path / "state", create=True).paths
    shutil.rmtree(paths.spool.parent)
    opened(paths.root)
    assert paths.spool.is_dir()


def test_a_file_where_the_state_should_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadUsage, match=r"'.*/file.*': File exists"):
        open_app(str(tmp_path / "file"), create=True)
    with pytest.raises(BadUsage, match=r"'.*/file/state': Not a directory"):
        open_app(str(tmp_path / "file" / "state"), create=True)
    with pytest.raises(NotFound, match="there is no distwright state"):
        open_app(str(tmp_path / "file"))


def test_a_configuration_file_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    (tmp_path / "distwright.toml").write_text(CONFIG)
    (tmp_path / "distwright.d").mkdir()
    (tmp_path / "distwright.d" / "more.toml").write_bytes(b"# caf\xe9\n")
    assert sorted(config_files(str(tmp_path))) == ["distwright.d/more.toml", "distwright.toml"]
    with pytest.raises(BadConfig, match=r"distwright\.d/more\.toml:1 TOML: the file is not UTF-8 text"):
        read_config(str(tmp_path))


def test_an_empty_place_of_the_configuration_is_a_mistake_too() -> None:
    with pytest.raises(BadUsage, match="--config is empty"):
        config_files("")
