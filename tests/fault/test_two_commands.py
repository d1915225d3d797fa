"""Two commands on one archive at the same moment: one waits, or is told to run again; both do what was asked, nothing is lost."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.worlds.archive import make_deb
from tests.worlds.tracing import run_command, starting_command
from tests.worlds.trials import DROPPED, OPERATIONS, TAKEN, Ground, Trial, write_packages

pytestmark = pytest.mark.system

BUSY = 11
PAIRS = {
    "publish and publish": (
        ("suite", "publish", "devel", "--again"),
        ("suite", "publish", "devel", "topic", "--again"),
    ),
    "add and add": (("suite", "add", "devel", "new", "--publish"), ("suite", "add", "devel", "other", "--publish")),
    "add and merge": (("suite", "add", "devel", "other", "--publish"), OPERATIONS["merge"]),
    "publish and collect": (("suite", "publish", "devel", "--again"), OPERATIONS["collect"]),
    "add and collect": (("suite", "add", "devel", "new", "--publish"), OPERATIONS["collect"]),
    "collect and collect": (OPERATIONS["collect"], OPERATIONS["collect"]),
    "take and drop": (OPERATIONS["snapshot"], OPERATIONS["drop"]),
    "record and collect": (OPERATIONS["record"], OPERATIONS["collect"]),
    "import and upload": (OPERATIONS["import"], OPERATIONS["upload"]),
}
SOME = ("publish and publish", "add and add", "add and collect", "record and collect", "import and upload")
DEVEL = {
    "add and add": ["hello 1.2", "puffin 1.0", "skua 1.0", "tern 1.0"],
    "add and merge": ["gull 1.0", "hello 2.0", "puffin 1.0"],
    "add and collect": ["hello 1.2", "skua 1.0", "tern 1.0"],
    "import and upload": ["beeper 1.0", "hello 1.1"],
}


def ended(started: subprocess.Popen[str], words: Sequence[str], trial: Trial) -> None:
    """Wait for a command; one that lost a race is told so, and is run again."""
    _, said = started.communicate(timeout=120)
    code, turns = started.returncode, 0
    while code == BUSY and turns < 3:
        assert "run the same command again" in said, said
        again = run_command([*words, "--state", "state"], trial.folder)
        code, said, turns = again.exit_code, again.stderr, turns + 1
    assert code == 0, f"{' '.join(words)}: {code}\n{said}"


def assert_both_are_done(pair: str, trial: Trial) -> None:
    commands = PAIRS[pair]
    write_packages(trial.folder / "other", make_deb("puffin"))
    started = [starting_command([*words, "--state", "state"], trial.folder) for words in commands]
    for process, words in zip(started, commands, strict=True):
        ended(process, words, trial)
    assert trial.packages()["dists/devel"] == DEVEL.get(pair, ["hello 1.1"])
    state = trial.state()
    assert state["building"] == []
    if pair == "take and drop":
        snapshots = {path.name for path in (trial.archive / "snapshots").iterdir()}
        assert snapshots == {TAKEN} != {DROPPED}
    if pair == "import and upload":
        assert trial.packages()["dists/moved"] == ["hello 2.0", "wave 1.0", "world 1.0"]
    assert trial.damages() == []
    assert trial.leftovers() == []
    trial.assert_no_lock_is_held()


@pytest.mark.parametrize("pair", SOME)
def test_two_commands_at_once_both_do_what_was_asked(ground: Ground, tmp_path: Path, pair: str) -> None:
    assert_both_are_done(pair, ground.copy(tmp_path / "trial"))


@pytest.mark.full
@pytest.mark.parametrize("pair", PAIRS)
def test_two_commands_at_once_many_times(ground: Ground, tmp_path: Path, pair: str) -> None:
    for number in range(8):
        assert_both_are_done(pair, ground.copy(tmp_path / str(number)))
