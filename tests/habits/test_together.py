"""The tests run in bundles: each once, those that share what is dear to make in one, and a failure of any is a failure."""

import re
from pathlib import Path

import pytest
from tests.together import BUNDLES, ROOT, bundles, files_below, main, run

# Fixtures of a whole session that take half a minute or more to make: their tests belong into one bundle.
DEAR = ("killed_line",)


def test_every_test_file_is_in_one_bundle_that_has_a_name() -> None:
    files = files_below(ROOT, ["tests"])
    found = bundles(files)
    assert sorted(file for members in found.values() for file in members) == files
    assert set(found) == set(BUNDLES)


@pytest.mark.parametrize("fixture", DEAR)
def test_what_is_dear_is_made_in_one_bundle(fixture: str) -> None:
    asks = re.compile(rf"^def \w+\(.*\b{fixture}: ", re.MULTILINE)
    users = {
        name
        for name, members in bundles(files_below(ROOT, ["tests"])).items()
        if any(asks.search((ROOT / file).read_text()) for file in members if not file.endswith("conftest.py"))
    }
    assert len(users) == 1


def test_a_file_that_no_pattern_knows_makes_a_bundle_of_its_folder() -> None:
    assert bundles(["new/test_a.py", "new/test_b.py", "old/test_c.py"], {"old": ("old/*",)}) == {
        "old": ["old/test_c.py"],
        "new": ["new/test_a.py", "new/test_b.py"],
    }


def test_every_bundle_runs_and_one_that_fails_fails_all(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    sources = {"good": "def test_good(): pass\n", "bad": "def test_bad(): assert 0\n", "none": "x = 1\n"}
    for name, text in sources.items():
        (tmp_path / f"test_{name}.py").write_text(text)
    files = {name: [str(tmp_path / f"test_{name}.py")] for name in sources}
    assert run(files, ["-q", "-p", "no:cacheprovider"], 2) == 1
    said = capfd.readouterr().out
    assert "1 passed" in said
    assert "test_bad.py::test_bad" in said
    assert [line.split("  ")[-1].strip() for line in said.splitlines() if "FAILED  " in line] == ["bad"]
    assert run({"good": files["good"], "none": files["none"]}, ["-q"], 2) == 0
    assert run({"none": files["none"]}, ["-q"], 2) == 5


def test_files_are_run_as_by_pytest_itself(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "test_one.py").write_text("def test_one(): pass\n")
    assert main(["-q", str(tmp_path / "test_one.py")]) == 0
    assert "########" not in capfd.readouterr().out
