"""Impact, with real sbuild, autopkgtest, piuparts and dose, on a library whose new version breaks some of its users."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.system.line import Line, keep_in_cache, state_folder
from tests.worlds.packages import MadeDeb, MadeSource, make_deb
from tests.worlds.tallies import CONFIG, LIBRARY, SUITE, library, world

from distwright.app import open_app
from distwright.signing.signer import make_key
from distwright.site.applied import apply_config

pytestmark = pytest.mark.system
TIMEOUT_S = 1500


@pytest.fixture(scope="module")
def line() -> Iterator[Line]:
    """Give an installation with Debian recorded, and a suite with the library and everybody who uses it."""
    with state_folder() as folder:
        app = open_app(str(folder / "state"), create=True)
        make_key(app.paths.key("petrel-archive"), "petrel")
        files = {"distwright.toml": CONFIG}
        apply_config(
            files, {}, "0" * 40, database=app.database, objects=app.objects, paths=app.paths, now=datetime.now(UTC)
        )
        app.database.close()
        line = Line(folder / "state")
        sources, debs = world()
        write(folder / "packages", *sources, *debs)
        state = ("--state", str(line.state))
        for command in (
            ("archive", "record", "debian"),
            ("suite", "add", SUITE, str(folder / "packages"), "--publish"),
        ):
            done = line.call(*command, *state, timeout_s=600)
            assert done.returncode == 0, done.stderr
        yield line
        keep_in_cache(line.state)


def write(folder: Path, *packages: MadeDeb | MadeSource) -> list[str]:
    """Write packages into a folder; give the paths."""
    folder.mkdir(exist_ok=True)
    files = [
        entry
        for one in packages
        for entry in (one.files.items() if isinstance(one, MadeSource) else [(one.file_name, one.content)])
    ]
    for name, content in files:
        (folder / name).write_bytes(content)
    return [str(folder / name) for name, _ in files]


def ask(line: Line, candidate: Path, *arguments: str) -> tuple[int, str]:
    """Ask what the candidate breaks; give the exit code and the answer."""
    done = line.call(
        "package", "impact", "tally", "--candidate", str(candidate), "--suite", SUITE, "--state", str(line.state),
        *arguments, timeout_s=TIMEOUT_S,
    )  # fmt: skip
    assert done.stdout, done.stderr
    return done.returncode, done.stdout


def rows_of(answer: dict[str, Any]) -> dict[tuple[str, str], tuple[str, str, str]]:
    return {
        (row["package"], row["question"]): (row["reference"], row["candidate"], row["verdict"])
        for row in answer["rows"]
    }


WITHOUT_BUILDS = {
    ("adder", "installable"): ("pass", "fail", "regression"),
    ("tester", "tests"): ("pass", "fail", "regression"),
    ("tally", "install-remove"): ("pass", "pass", "fine"),
}


def test_tests_that_fail_and_packages_that_can_no_longer_be_installed_are_told(line: Line, tmp_path: Path) -> None:
    sibling = make_deb("tally-tools", "2", architecture="all", source="tally", depends=f"{LIBRARY} (= 2)")
    candidate, other = write(tmp_path, library("2"), sibling)
    exit_code, text = ask(line, Path(candidate), "--candidate", other, "--depth", "0", "--json")
    answer = json.loads(text)
    assert rows_of(answer) == WITHOUT_BUILDS
    assert (exit_code, answer["verdict"]) == (1, "breaks")
    why = {row["package"]: row["why"] for row in answer["rows"]}
    assert why["adder"] == "it needs tally-abi-1, which is not there"
    assert "non-zero exit status" in why["tester"]
    jobs = line.answer("job", "list")
    exit_code, text = ask(line, Path(candidate), "--candidate", other, "--depth", "0")
    assert exit_code == 1
    assert "tally 2: the candidate breaks something" in text
    assert line.answer("job", "list") == jobs, "what is known costs nothing"


@pytest.mark.full
def test_what_no_longer_builds_is_told_from_what_never_did(line: Line, tmp_path: Path) -> None:
    """Two environments are made for it, with the candidate and without."""
    (candidate,) = write(tmp_path, library("2", is_held=True))
    exit_code, text = ask(line, Path(candidate), "--json")
    answer = json.loads(text)
    assert "pre-installation script" in next(
        row["why"] for row in answer["rows"] if row["question"] == "install-remove"
    )
    assert rows_of(answer) == WITHOUT_BUILDS | {
        ("tally", "install-remove"): ("pass", "fail", "regression"),
        ("counter", "builds"): ("pass", "fail", "regression"),
        ("crooked", "builds"): ("fail", "fail", "already failing"),
        ("keeper", "builds"): ("pass", "pass", "fine"),
    }
    assert exit_code == 1
