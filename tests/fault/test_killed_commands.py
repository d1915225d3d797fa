"""kill -9 at any call to the kernel, SQLite's too: clients see one whole state, and the same command again does what was asked.

Commands run as whole processes under strace (tests/worlds/tracing.py). `make test` takes some calls all the way and a decisive
one of each operation; `make test-full` all decisive ones, and one in EVERY of the others: EVERY=1 takes hours.
"""

import os
import re
from pathlib import Path

import pytest
from tests.worlds.apt import make_apt
from tests.worlds.archive import signer
from tests.worlds.tracing import Call, kill_at
from tests.worlds.trials import OPERATIONS, Ground, Trial
from tests.worlds.undisturbed import Undisturbed, UndisturbedRuns

pytestmark = pytest.mark.system

EVERY = int(os.environ.get("EVERY", "40"))
RENAMED = re.compile(r'"([^"]*)"')
SERVES_NOTHING = ("upload",)
SPREAD = 2  # how many calls of each operation, evenly spread, `make test` takes


def chosen(plain: Undisturbed) -> list[int]:
    """Choose some calls all the way, and the last decisive one."""
    spread = [len(plain.calls) * (2 * part + 1) // (2 * SPREAD) for part in range(SPREAD)]
    return sorted({*spread, *plain.decisive[-1:]})


def assert_survives_kill_at(call: Call, operation: str, trial: Trial, plain: Undisturbed) -> bool:
    """Kill before a call, look, run the same again, look; say whether it was killed at all."""
    was_killed = kill_at(call, trial.words(operation), trial.folder)
    plain.assert_one_whole_state_is_served(trial)
    plain.assert_done_by_the_same_command(operation, trial)
    return was_killed


def assert_survives_kills(
    numbers: list[int], operation: str, ground: Ground, undisturbed: UndisturbedRuns, folder: Path
) -> None:
    plain, killed = undisturbed[operation], 0
    for number in numbers:
        call = plain.calls[number]
        try:
            killed += assert_survives_kill_at(call, operation, ground.copy(folder / str(number)), plain)
        except AssertionError as error:
            raise AssertionError(
                f"{operation}, killed before call {number}, {call.name} {call.number}: {call.text}"
            ) from error
    # The same calls do not come in each run: folders of objects are made as needed, threads take turns.
    assert killed >= len(numbers) * 0.9 - 1


@pytest.mark.parametrize("operation", OPERATIONS)
def test_what_is_half_made_among_served_files_has_a_name_that_copies_leave_out(
    operation: str, undisturbed: UndisturbedRuns
) -> None:
    renames = [RENAMED.findall(call.text) for call in undisturbed[operation].calls if call.name.startswith("rename")]
    served = [(Path(names[0]), Path(names[-1])) for names in renames if "public/" in names[0]]
    seen = [
        (old.name, new.name)
        for old, new in served
        if not (old.name.startswith(".new-") or new.name.startswith(".gone-"))
    ]
    assert seen == []
    assert served or operation in SERVES_NOTHING


@pytest.mark.parametrize("operation", OPERATIONS)
def test_killed_at_some_calls_it_ends_as_if_nothing_had_been(
    operation: str, ground: Ground, undisturbed: UndisturbedRuns, tmp_path: Path
) -> None:
    assert_survives_kills(chosen(undisturbed[operation]), operation, ground, undisturbed, tmp_path)


@pytest.mark.full
@pytest.mark.parametrize("operation", OPERATIONS)
def test_killed_at_every_decisive_call_and_many_others_it_ends_as_if_nothing_had_been(
    operation: str, ground: Ground, undisturbed: UndisturbedRuns, tmp_path: Path
) -> None:
    plain = undisturbed[operation]
    numbers = sorted({*range(EVERY // 2, len(plain.calls), EVERY), *plain.decisive})
    assert_survives_kills(numbers, operation, ground, undisturbed, tmp_path)


def test_apt_reads_before_and_after_a_publish_that_was_killed_around_the_switch(
    ground: Ground, undisturbed: UndisturbedRuns, tmp_path: Path
) -> None:
    plain = undisturbed["add"]
    [switch] = [
        number for number, call in enumerate(plain.calls) if call.name == "rename" and "/.new-devel" in call.text
    ]
    for number, packages in ((switch, 0), (switch + 1, 1)):
        trial = ground.copy(tmp_path / str(number))
        apt = make_apt(tmp_path / f"apt-{number}", f"file:{trial.archive}", signer("petrel").certificate())
        assert apt.update().complaints == []
        assert kill_at(plain.calls[number], trial.words("add"), trial.folder)
        assert apt.update().complaints == []
        assert apt.candidates() == plain.links[packages]["dists/devel"]
        trial.done(*OPERATIONS["add"])
        assert apt.update().complaints == []
        assert apt.candidates() == plain.links[1]["dists/devel"]
