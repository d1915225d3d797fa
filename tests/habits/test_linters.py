"""Layout, lint, types and import contracts hold: they run with the tests, nobody has to remember them."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.habits.source import ROOT

LINTERS = {
    "ruff check": ("ruff", "check", "."),
    "ruff format": ("ruff", "format", "--check", "."),
    "mypy": ("mypy",),
    "import-linter": ("lint-imports",),
}


@pytest.mark.parametrize("argv", LINTERS.values(), ids=LINTERS.keys())
def test_linter_has_nothing_to_say(argv: tuple[str, ...]) -> None:
    program = Path(sys.executable).parent / argv[0]
    ran = subprocess.run([program, *argv[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, f"{' '.join(argv)}\n{ran.stdout[-6000:]}{ran.stderr[-2000:]}"
