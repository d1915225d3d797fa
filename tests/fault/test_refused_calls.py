"""A disk that is full from some call on, or fails at one: a clear error, one whole state served, and the next run ends right."""

from pathlib import Path

import pytest
from tests.fault.test_killed_commands import EVERY
from tests.worlds.tracing import Call, refuse_from, refuse_once
from tests.worlds.trials import OPERATIONS, Ground, Trial
from tests.worlds.undisturbed import Undisturbed, UndisturbedRuns

pytestmark = pytest.mark.system

FULL, BROKEN = ("no space left", "is full", "cannot be written"), ("the disk", "does not work")
# SQLite does not tell why it could not bring something to disk.
WORDS = {"ENOSPC": FULL + BROKEN, "EIO": BROKEN}
CASES = [(operation, "ENOSPC") for operation in OPERATIONS] + [(name, "EIO") for name in ("add", "collect", "record")]


def assert_survives_refusal(call: Call, error: str, operation: str, trial: Trial, plain: Undisturbed) -> None:
    """Refuse a call, look, run the same again, look.

    Exit code 0 is right where the call was not needed (a cache, a progress file), 1 where a job is broken.
    """
    refuse = refuse_from if error == "ENOSPC" else refuse_once
    ended = refuse(call, trial.words(operation), trial.folder, error)
    said = ended.stdout + ended.stderr
    assert "Traceback" not in said, said
    assert "bug of distwright" not in said, said
    assert ended.exit_code in (0, 1, 20), said
    # The same write of another process is refused as well: the one that would say so.
    is_mute = call.name == "write" and said == ""
    if ended.exit_code and not is_mute:
        assert any(word in said for word in WORDS[error]), said
    if ended.exit_code == 20 and not is_mute:
        assert "try: " in said, said
    plain.assert_one_whole_state_is_served(trial)
    plain.assert_done_by_the_same_command(operation, trial)


def refusable(error: str, plain: Undisturbed) -> list[int]:
    """Say which calls can end so: a full disk refuses what needs room, a broken one everything."""
    return [number for number, call in enumerate(plain.calls) if error == "EIO" or call.needs_room]


def assert_survives_refusals(
    numbers: list[int], error: str, operation: str, ground: Ground, plain: Undisturbed, folder: Path
) -> None:
    for number in numbers:
        call = plain.calls[number]
        try:
            assert_survives_refusal(call, error, operation, ground.copy(folder / f"{error}-{number}"), plain)
        except AssertionError as failure:
            raise AssertionError(
                f"{operation}, {error} at call {number}, {call.name} {call.number}: {call.text}"
            ) from failure


@pytest.mark.parametrize(("operation", "error"), CASES)
def test_refused_at_a_decisive_call_it_says_so_and_ends_right_afterwards(
    operation: str, error: str, ground: Ground, undisturbed: UndisturbedRuns, tmp_path: Path
) -> None:
    plain = undisturbed[operation]
    assert_survives_refusals(plain.decisive[-1:], error, operation, ground, plain, tmp_path)


@pytest.mark.full
@pytest.mark.parametrize("error", WORDS)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_refused_at_many_calls_it_says_so_and_ends_right_afterwards(
    operation: str, error: str, ground: Ground, undisturbed: UndisturbedRuns, tmp_path: Path
) -> None:
    """One call in EVERY, as in test_killed_commands."""
    plain = undisturbed[operation]
    numbers = refusable(error, plain)[EVERY // 2 :: EVERY]
    assert_survives_refusals(numbers, error, operation, ground, plain, tmp_path)
