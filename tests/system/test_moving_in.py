"""`distwright archive import` as a person types it: one command for each of the programs, small and at ten thousand packages."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.system.line import DISTWRIGHT
from tests.worlds.packages import make_deb, make_source
from tests.worlds.theirs import Aptly, Reprepro, everything_in, write_packages

from distwright.model.digests import Json

pytestmark = pytest.mark.system

CONFIG = """\
format = 1
[site]
name = "Petrel"
[archive.ours]
kind = "own"
origin = "Petrel"
label = "Petrel"
key = { credential = "ours" }
[suite.devel]
archive = "ours"
"""
DISTRIBUTIONS = "Codename: stable\nArchitectures: amd64 source\nComponents: main\n"
MANY, AT_ONCE = 10_000, 2_000
MEMORY_LIMIT_KB = 150 * 1024


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Give an installation with an empty archive of ours and its key."""
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "distwright.toml").write_text(CONFIG)
    state = tmp_path / "state"
    for words in (("config", "init", str(tmp_path / "conf")), ("archive", "key", "ours", "--make")):
        subprocess.run([DISTWRIGHT, *words, "--state", state], check=True, capture_output=True, timeout=60)
    return state


def run(state: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    argv = [str(DISTWRIGHT), "archive", "import", "ours", *words, "--state", str(state)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=600, check=False)


def rows(done: "subprocess.CompletedProcess[str]") -> list[tuple[Json, ...]]:
    assert done.returncode == 0, done.stderr
    return [(row["theirs"], row["ours"], row["added"], row["there already"]) for row in json.loads(done.stdout)]


def test_one_command_moves_an_archive_in_and_publishes_it(state: Path, tmp_path: Path) -> None:
    reprepro = Reprepro(tmp_path / "theirs", DISTRIBUTIONS)
    reprepro.include("stable", [make_deb("hello"), make_source("hello")])
    base = str(reprepro.base)
    tried = run(state, "reprepro", base, "--dry-run", "--json")
    assert rows(tried) == [("stable", "ours/stable", 2, 0)]
    assert not (state / "public" / "ours" / "dists").exists()
    assert rows(run(state, "reprepro", base, "--publish", "--json")) == [("stable", "ours/stable", 2, 0)]
    served = state / "public" / "ours"
    assert (served / "pool/main/h/hello/hello_1.0_amd64.deb").read_bytes() == make_deb("hello").content
    assert (served / "dists/stable/InRelease").is_file()
    assert rows(run(state, "tree", base, "--json")) == [("stable", "ours/stable", 0, 2)]


def test_the_configuration_of_an_archive_that_is_not_there_yet_is_printed(state: Path, tmp_path: Path) -> None:
    reprepro = Reprepro(tmp_path / "theirs", DISTRIBUTIONS.replace("main", "main contrib"))
    reprepro.include("stable", [make_deb("hello")])
    printed = run(state, "reprepro", str(reprepro.base), "--print-config")
    assert printed.returncode == 0, printed.stderr
    assert printed.stdout == (
        '[archive.ours]\nkind = "own"\ncomponents = ["main", "contrib"]\narchitectures = ["amd64"]\norigin = "Petrel"\n'
        'label = "Petrel"\nkey = { credential = "ours" }\n\n[suite.stable]\narchive = "ours"\n'
    )
    refused = run(state, "reprepro", str(reprepro.base))
    assert refused.returncode == 3
    assert "component contrib" in refused.stderr
    assert "distwright config apply COMMIT" in refused.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("reprepro", "conf"), "has no file distributions"),
        (("aptly", "conf"), "has no database of aptly"),
        (("tree", "conf"), "has no suite in dists/"),
        (("tree", "conf", "--suite", "stable"), "names no pair of suites"),
        (("aptly", "conf", "--keyring", "conf/distwright.toml"), "--keyring has no meaning for aptly"),
    ],
)
def test_what_is_no_archive_is_named(state: Path, words: tuple[str, ...], said: str) -> None:
    places = [str(state.parent / word) if word.startswith("conf") else word for word in words]
    done = run(state, *places)
    assert done.returncode in (2, 10)
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.full
@pytest.mark.parametrize("make", [Reprepro, Aptly])
def test_ten_thousand_packages_move_in_with_one_command(
    state: Path, tmp_path: Path, make: Callable[..., Reprepro | Aptly]
) -> None:
    files: list[Path] = []
    for begin in range(0, MANY, AT_ONCE):
        debs = (make_deb(f"package-{number:05}", "1.0") for number in range(begin, begin + AT_ONCE))
        files += write_packages(tmp_path / f"in-{begin}", debs)
    if make is Reprepro:
        theirs: Reprepro | Aptly = Reprepro(tmp_path / "theirs", DISTRIBUTIONS)
        base, kind = tmp_path / "theirs", "reprepro"
        for begin in range(0, MANY, AT_ONCE):
            theirs.include_all("stable", files[begin : begin + AT_ONCE])  # type: ignore[union-attr]
    else:
        theirs = Aptly(tmp_path / "theirs")
        base, kind = tmp_path / "theirs", "aptly"
        theirs.run("repo", "create", "stable")
        theirs.run("repo", "add", "stable", *(str(tmp_path / f"in-{begin}") for begin in range(0, MANY, AT_ONCE)))
    before = everything_in(base)
    took_s, memory_kb = measured(state, kind, str(base))
    assert everything_in(base) == before
    assert memory_kb < MEMORY_LIMIT_KB
    assert took_s < 120
    assert rows(run(state, kind, str(base), "--json")) == [("stable", "ours/stable", 0, MANY)]


_MEASURED = """
import os, sys
_, status, usage = os.wait4(os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ), 0)
print(usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def measured(state: Path, *words: str) -> tuple[float, int]:
    """Run an import; give how long it took and the most memory that it, or a program that it ran, had.

    From a small process: Linux counts what its parent had when it was forked, and this one has grown (getrusage(2), execve(2)).
    """
    began = time.monotonic()
    argv = [str(DISTWRIGHT), "archive", "import", "ours", *words, "--json", "--state", str(state)]
    ran = subprocess.run([sys.executable, "-c", _MEASURED, *argv], check=True, capture_output=True, text=True)
    return time.monotonic() - began, int(ran.stdout.splitlines()[-1])
